//! Driver and device take turns as the input says; the device may lie at any time.
//!
//! What must hold whatever the device does: every token comes back exactly once, and none before it was published; no more bytes are
//! said to be written than the buffer had room for; the first violation closes the queue and is reported once; no call takes
//! more steps than there are tokens; no byte is written that was not lent. As long as the device is honest, the queue does not
//! close, and kicks when the device asked for it (`ring-rig` compares).

use std::collections::{BTreeMap, BTreeSet};

use ring_rig::{Mode, Rig, Variant, part};
use virtio_core::ring::{AddError, QueueError, Slot};

use crate::bytes::Bytes;

/// Bytes of each part.
const PART: u32 = 64;

struct Run<'a> {
    bytes: Bytes<'a>,
    rig: Rig,
    /// Bytes that the device may write to each token's buffer.
    room: BTreeMap<u64, u32>,
    /// Tokens that were added and are not published yet.
    unpublished: BTreeSet<u64>,
    /// Buffers that the device holds, in the order in which it took them.
    held: Vec<(u16, u32)>,
    next: u64,
    /// Buffers that came back, and how many the used index of a split ring ever showed.
    given: u64,
    shown: u64,
    /// The device has broken the protocol, or may have.
    lied: bool,
    closed: Option<QueueError>,
}

pub fn run(packed: bool, data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let bits = bytes.u8();
    let mut modes = Mode::judged();
    modes.retain(|mode| mode.packed == packed);
    let mut mode = modes[usize::from(bits) % modes.len()];
    if bits >= 128 && !packed && !mode.in_order {
        mode.variant = Variant::Legacy;
    }
    // The largest is for other tests: small rings wrap sooner.
    let sizes = mode.sizes().split_last().expect("several sizes").1;
    let size = sizes[usize::from(bits >> 3) % sizes.len()];
    let mut run = Run {
        bytes,
        rig: Rig::new(mode, size),
        room: BTreeMap::new(),
        unpublished: BTreeSet::new(),
        held: Vec::new(),
        next: 0,
        given: 0,
        shown: 0,
        lied: false,
        closed: None,
    };
    while let Some(operation) = run.bytes.next() {
        run.step(operation);
        run.check();
    }
    let slots = run.end();
    // SAFETY: the rig leaks a box for the slots, and nothing else refers to it after its end.
    drop(unsafe { Box::from_raw(slots) });
}

impl Run<'_> {
    fn step(&mut self, operation: u8) {
        match operation % 16 {
            0 | 1 => self.add(),
            2 | 3 => self.publish(),
            4 => self.pop(),
            5 => self.finish(),
            6 => self.finish_batch(),
            7 => {
                self.complete();
            }
            8 => self.complete_all(),
            9 => {
                let _ = self.rig.driver.arm();
            }
            10 => {
                let _ = self.rig.driver.arm_delayed();
            }
            11 => self.rig.driver.disarm(),
            12 => self.device_wish(),
            13 => self.lie_in_used(),
            14 => self.lie_in_a_word(),
            _ => self.lie_in_a_byte(),
        }
    }

    fn add(&mut self) {
        let parts = self.bytes.u8();
        let (readable, writable) = (parts & 7, parts >> 3 & 7);
        let part = |n| part(self.next * 16 + u64::from(n), PART);
        let readable: Vec<_> = (0..readable).map(part).collect();
        let writable: Vec<_> = (8..8 + writable).map(part).collect();
        let free = self.rig.driver.free();
        match self.rig.add(self.next, &readable, &writable) {
            Ok(()) => {
                assert!(self.closed.is_none(), "a closed queue took a buffer");
                self.room.insert(self.next, PART * writable.len() as u32);
                self.unpublished.insert(self.next);
            }
            Err(rejected) => {
                assert_eq!(rejected.token, self.next);
                assert_eq!(self.rig.driver.free(), free);
                assert!(
                    self.closed.is_none()
                        || matches!(
                            rejected.error,
                            AddError::Closed
                                | AddError::EmptyChain
                                | AddError::TableTooSmall { .. }
                        )
                );
            }
        }
        self.next += 1;
    }

    fn publish(&mut self) {
        // A closed queue publishes nothing, and gives nothing back either.
        self.unpublished.clear();
        if self.lied {
            let _ = self.rig.driver.publish();
        } else {
            let _ = self.rig.publish();
        }
    }

    fn pop(&mut self) {
        let popped = self.rig.device.pop();
        if let Some(buffer) = self.honest(popped) {
            let room = buffer.writable_bytes().try_into().unwrap_or(u32::MAX);
            self.held.push((buffer.id, room));
        }
    }

    fn finish(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let in_order = self.rig.mode.in_order && !self.lied;
        let which = if in_order {
            0
        } else {
            self.bytes.below(self.held.len())
        };
        let (id, room) = self.held.remove(which);
        let written = self.written(room);
        self.push(id, written);
    }

    /// Several buffers by one used entry, as IN_ORDER allows.
    fn finish_batch(&mut self) {
        let last = self.bytes.below(4);
        if !self.rig.mode.in_order || last >= self.held.len() {
            return;
        }
        let (id, room) = self.held[last];
        self.held.drain(..=last);
        let written = self.written(room);
        let result = self.rig.device.push_batch(id, written);
        self.honest(result);
    }

    /// How much the device says that it wrote: at times more than there is room for.
    fn written(&mut self, room: u32) -> u32 {
        match self.bytes.u8() {
            255 => {
                self.lied = true;
                room + 1 + u32::from(self.bytes.u8())
            }
            some => u32::from(some).min(room),
        }
    }

    fn push(&mut self, id: u16, written: u32) {
        let result = self.rig.device.push(id, written);
        self.honest(result);
    }

    /// The device found a rule of the driver broken, which no driver is to blame for once the device has lied.
    fn honest<V: Default>(&self, result: Result<V, impl core::fmt::Display>) -> V {
        result.unwrap_or_else(|violation| {
            assert!(self.lied, "the driver broke a rule: {violation}");
            V::default()
        })
    }

    /// Takes one used buffer; whether there was one.
    fn complete(&mut self) -> bool {
        self.look();
        match self.rig.completed() {
            Ok(Some((token, written))) => {
                self.given += 1;
                let shown = self.rig.mode.packed || self.given <= self.shown;
                assert!(shown, "more buffers came back than the used index showed");
                assert!(self.closed.is_none(), "a closed queue gave a buffer back");
                let room = self.room.remove(&token).expect("the rig keeps account");
                assert!(written <= room, "{written} bytes written to {room}");
                let shown = !self.unpublished.contains(&token);
                assert!(shown, "token {token} came back before it was published");
                true
            }
            Ok(None) => false,
            Err(error) => {
                assert!(self.lied, "an honest device was taken for a liar: {error}");
                assert_eq!(self.closed, None, "a violation was reported twice");
                self.closed = Some(error);
                false
            }
        }
    }

    /// Sees how far the used index of a split ring has come, if it may have come there.
    fn look(&mut self) {
        if !self.rig.mode.packed {
            let index = self
                .rig
                .peek16(self.rig.driver.addresses().device.get() + 2);
            let ahead = u64::from(index.wrapping_sub(self.given as u16));
            if ahead <= (self.room.len() - self.unpublished.len()) as u64 {
                self.shown = self.shown.max(self.given + ahead);
            }
        }
    }

    fn complete_all(&mut self) {
        let most = self.room.len();
        let taken = (0..=most).take_while(|_| self.complete()).count();
        assert!(taken <= most, "more buffers came back than were added");
    }

    fn device_wish(&mut self) {
        let result = match self.bytes.u8() % 3 {
            0 => self.rig.device.request_notification().map(|_| ()),
            1 => self.rig.device.suppress_notification(),
            _ => self.rig.device.interrupt_due().map(|_| ()),
        };
        self.honest(result);
    }

    /// Writes a used entry as the format has it, near where the driver looks, with any id and length.
    fn lie_in_used(&mut self) {
        self.lied = true;
        let at = self.rig.driver.addresses();
        let size = u64::from(self.rig.size());
        let place = u64::from(self.bytes.u8()) % size;
        let (id, len, last) = (self.bytes.u16(), self.bytes.u16(), self.bytes.u16());
        if self.rig.mode.packed {
            let descriptor = at.descriptor.get() + 16 * place;
            self.rig.poke(descriptor + 8, &u32::from(len).to_le_bytes());
            self.rig.poke16(descriptor + 12, id);
            self.rig.poke16(descriptor + 14, last);
        } else {
            let element = at.device.get() + 4 + 8 * place;
            self.rig.poke(element, &u32::from(id).to_le_bytes());
            self.rig.poke(element + 4, &u32::from(len).to_le_bytes());
            // Any index, or the next ones, which are more likely to be believed.
            let index = self.rig.peek16(at.device.get() + 2);
            let index = if last & 0xff00 == 0 {
                index.wrapping_add(last & 3)
            } else {
                last
            };
            self.rig.poke16(at.device.get() + 2, index);
        }
    }

    /// Addresses and lengths of the parts of a ring.
    fn parts(&self) -> [(u64, u64); 3] {
        let at = self.rig.driver.addresses();
        let size = u64::from(self.rig.size());
        if self.rig.mode.packed {
            [
                (at.descriptor.get(), 16 * size),
                (at.driver.get(), 4),
                (at.device.get(), 4),
            ]
        } else {
            [
                (at.descriptor.get(), 16 * size),
                (at.driver.get(), 6 + 2 * size),
                (at.device.get(), 6 + 8 * size),
            ]
        }
    }

    /// A place in the ring.
    fn place(&mut self, width: u64) -> u64 {
        self.lied = true;
        let (start, len) = self.parts()[self.bytes.below(3)];
        let steps = len / width;
        start + width * (u64::from(self.bytes.u8()) % steps)
    }

    fn lie_in_a_word(&mut self) {
        let at = self.place(2);
        let value = self.bytes.u16();
        self.rig.poke16(at, value);
    }

    fn lie_in_a_byte(&mut self) {
        let at = self.place(1);
        let value = self.bytes.u8();
        self.rig.poke(at, &[value]);
    }

    fn check(&self) {
        let driver = &self.rig.driver;
        assert!(driver.free() <= driver.size());
        assert!(driver.in_flight() <= driver.size());
        assert_eq!(driver.closed(), self.closed);
        assert_eq!(self.rig.inside().len(), self.room.len());
    }

    /// Everything comes back, in the end from a device that has stopped; returns the slots.
    fn end(mut self) -> &'static mut [Slot<u64>] {
        if !self.lied {
            self.publish();
            loop {
                let before = self.held.len();
                self.pop();
                if self.held.len() == before {
                    break;
                }
            }
            for (id, _) in core::mem::take(&mut self.held) {
                self.push(id, 0);
            }
            self.complete_all();
            assert!(
                self.room.is_empty(),
                "an honest device left something behind"
            );
            assert_eq!(self.rig.driver.free(), self.rig.size());
        }
        self.rig.end().slots
    }
}
