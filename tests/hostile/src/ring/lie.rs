//! How lies are told, and how the driver is seen to take them.

use ring_device::{Buffer, Memory, Packed, Queue};
use ring_rig::{Mode, Rig, part};
use virtio_core::ring::{AddError, Armed};

use crate::Outcome;

/// Filters for rows.
pub(super) const fn any(_: Mode) -> bool {
    true
}
pub(super) const fn split(mode: Mode) -> bool {
    !mode.packed
}
pub(super) const fn packed(mode: Mode) -> bool {
    mode.packed
}
pub(super) const fn out_of_order(mode: Mode) -> bool {
    !mode.in_order
}

/// Bytes that each chain of [`busy`] offers to be written.
pub(super) const ROOM: u32 = 512;

/// Publishes chains with the tokens `0..count`, which the device takes.
pub(super) fn busy(rig: &mut Rig, count: u64) -> Vec<Buffer> {
    for token in 0..count {
        rig.submit(token);
    }
    rig.pop_all()
}

/// Says that `id` was used, `ahead` places after where the device stands, and shows it.
///
/// Nothing of it is known to the honest side of the device.
pub(super) fn used_ahead(rig: &Rig, ahead: u16, id: u32, written: u32) {
    match rig.device.queue() {
        Queue::Split(queue) => {
            let position = queue.next_used().wrapping_add(ahead);
            element(rig, position, id, written);
            rig.poke16(queue.used_idx_address(), position.wrapping_add(1));
        }
        Queue::Packed(_) => mark(rig, ahead, id as u16, written, 2),
    }
}

/// Says that `id` was used, where the driver looks next.
pub(super) fn used(rig: &Rig, id: impl Into<u32>, written: u32) {
    used_ahead(rig, 0, id.into(), written);
}

/// Writes an element of a split ring's used ring, without showing it.
pub(super) fn element(rig: &Rig, position: u16, id: u32, written: u32) {
    if let Queue::Split(queue) = rig.device.queue() {
        let at = queue.used_address(position);
        rig.poke(at, &id.to_le_bytes());
        rig.poke(at + 4, &written.to_le_bytes());
    }
}

/// Writes a used index of a split ring, so far ahead of where the device stands.
pub(super) fn used_idx(rig: &Rig, ahead: u16) {
    if let Queue::Split(queue) = rig.device.queue() {
        let idx = queue.next_used().wrapping_add(ahead);
        rig.poke16(queue.used_idx_address(), idx);
    }
}

/// Marks a descriptor of a packed ring as used, so many places after where the device stands; `more` are flags beside AVAIL
/// and USED.
pub(super) fn mark(rig: &Rig, ahead: u16, id: u16, written: u32, more: u16) {
    if let Queue::Packed(queue) = rig.device.queue() {
        let (place, wrap) = queue.next_used();
        let place = place + ahead;
        let wrap = wrap == (place < rig.size());
        let flags = Packed::used_flags(wrap) | more;
        let written = queue.write_used(&rig.memory, place, id, written, flags);
        written.expect("a ring in guest memory");
    }
}

/// An id that no chain in flight has.
pub(super) fn free_id(rig: &Rig) -> u16 {
    let held = rig.device.queue().held();
    let free = (0..rig.size()).rev().find(|id| !held.contains(id));
    free.expect("a queue that is not full")
}

/// Fills guest memory.
pub(super) fn fill(rig: &Rig, address: u64, len: u64, byte: u8) {
    rig.poke(address, &vec![byte; len as usize]);
}

/// Bytes of the three parts of the ring, with their addresses.
pub(super) fn areas(rig: &Rig) -> [(u64, u64); 3] {
    let (at, size) = (rig.driver.addresses(), u64::from(rig.size()));
    let [driver, device] = if rig.mode.packed {
        [4, 4]
    } else {
        [6 + 2 * size, 6 + 8 * size]
    };
    [
        (at.descriptor.get(), 16 * size),
        (at.driver.get(), driver),
        (at.device.get(), device),
    ]
}

/// What becomes of the queue at its next look: closed once and for all, or not.
pub(super) fn closes(rig: &mut Rig) -> Outcome {
    let error = match rig.completed() {
        Err(error) => error,
        Ok(None) => return Outcome::Ignored,
        Ok(Some(_)) => return Outcome::Harmless,
    };
    assert_eq!(rig.driver.closed(), Some(error));
    for _ in 0..3 {
        assert_eq!(rig.completed(), Ok(None), "reported twice");
    }
    // A closed queue takes nothing, tells nobody, and waits for nothing.
    let refused = rig.driver.add_direct(u64::MAX, [part(0, 4)], []);
    let refused = refused.expect_err("a closed queue takes a chain");
    assert_eq!((refused.token, refused.error), (u64::MAX, AddError::Closed));
    assert!(!rig.driver.publish().needed());
    assert_eq!(rig.driver.arm(), Armed::Idle);
    assert_eq!(rig.driver.arm_delayed(), Armed::Idle);
    rig.driver.disarm();
    assert_eq!(rig.driver.closed(), Some(error), "the cause is kept");
    Outcome::closed(&error)
}

/// Honest work after a lie that must not matter: the device finishes `held`, then two laps of new chains go through.
pub(super) fn works(rig: &mut Rig, held: Vec<Buffer>) -> Outcome {
    for buffer in held {
        rig.finish(buffer.id, 0);
    }
    let left = rig.inside().len();
    assert_eq!(rig.complete_all().len(), left);
    for token in 1000..1000 + 2 * u64::from(rig.size()) {
        assert_eq!(rig.driver.arm(), Armed::Idle);
        let _ = rig.device.request_notification().expect("guest memory");
        assert!(rig.submit(token), "the device is not told");
        let buffer = rig.pop().expect("a chain");
        assert_eq!(buffer.parts[0].address, part(token, 1).address.get());
        rig.finish(buffer.id, 7);
        assert!(
            rig.device.interrupt_due().expect("a legal wish"),
            "the driver is not told"
        );
        assert_eq!(rig.completed(), Ok(Some((token, 7))));
    }
    assert_eq!(rig.driver.free(), rig.size());
    Outcome::Ignored
}

/// A 16-bit word of the device area.
pub(super) fn device_word(rig: &Rig, offset: u64) -> u64 {
    rig.driver.addresses().device.get() + offset
}

/// What lies in a piece of guest memory.
pub(super) fn bytes(rig: &Rig, address: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    rig.memory.read(address, &mut bytes).expect("guest memory");
    bytes
}
