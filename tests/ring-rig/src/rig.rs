//! Driver and device over the same memory, and the account of the tokens.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use ring_device::{Buffer, Memory};
use virtio_core::ring::{
    Armed, IndirectChain, Kick, Part, Queue, QueueError, QueueMemory, Rejected, Slot, Taken,
};
use virtio_core::transport::{ConfigSpace, DeviceStopped, stop_bus_mastering};

use crate::{Device, GuestMemory, Mode};

/// Tokens of buffers that came back, and the bytes written to each.
pub type Done = Vec<(u64, u32)>;

/// Bytes that no one may touch in front of the ring.
const GUARD: u64 = 4096;
/// Parts that an indirect table has room for: more than the small queues allow.
const TABLE_PARTS: u16 = 16;
/// Where buffers are said to lie; nobody looks into them.
const DATA: u64 = 0x1_0000_0000;

/// A queue with a device behind it.
pub struct Rig {
    /// How it runs.
    pub mode: Mode,
    /// Guest memory.
    pub memory: GuestMemory,
    /// The driver side.
    pub driver: Queue<'static, u64>,
    /// The device side.
    pub device: Device,
    /// Tokens that the queue has and has not given back, each with the address of its indirect table.
    inside: BTreeMap<u64, Option<u64>>,
    /// Addresses of indirect tables that are not in use.
    tables: Vec<u64>,
    /// Bytes of each.
    table_len: u64,
}

impl Rig {
    /// A queue of `size` descriptors.
    ///
    /// # Panics
    ///
    /// If it cannot be set up.
    #[must_use]
    pub fn new(mode: Mode, size: u16) -> Self {
        // As large as the larger format needs, for a queue of the other format to be set up in it next.
        let ring = (32 * u64::from(size)).next_multiple_of(GUARD) + GUARD;
        let table_len = 16 * u64::from(size.min(TABLE_PARTS - 1) + 1);
        // One for each chain, and one for the chain that does not fit.
        let count = u64::from(size) + 1;
        let start = GuestMemory::START + GUARD + ring;
        let end = start + count * table_len;
        let memory = GuestMemory::new((end + GUARD - GuestMemory::START) as usize);
        if mode.indirect {
            let _all_tables = memory.lend(start, (end - start) as usize);
        }
        let lent = Self::lend(&memory, mode, size);
        let tables = (0..count).rev().map(|n| start + n * table_len).collect();
        Self::over(mode, size, memory, lent, tables, table_len)
    }

    fn over(
        mode: Mode,
        size: u16,
        memory: GuestMemory,
        lent: QueueMemory<'static, u64>,
        tables: Vec<u64>,
        table_len: u64,
    ) -> Self {
        let driver = Queue::new(size, mode.features(), lent).expect("memory made to measure");
        let device = Device::new(&memory, mode, size, driver.addresses());
        Self {
            mode,
            memory,
            driver,
            device,
            inside: BTreeMap::new(),
            tables,
            table_len,
        }
    }

    /// Ends the queue as [`Self::end`] does, and sets up another in its memory, which must be no larger.
    ///
    /// # Panics
    ///
    /// As [`Self::end`], and if the queue cannot be set up.
    pub fn rebuild(&mut self, mode: Mode, size: u16) {
        let mut old = std::mem::replace(self, Self::new(mode, 1));
        old.drain();
        let (memory, tables) = (old.memory.clone(), std::mem::take(&mut old.tables));
        let table_len = old.table_len;
        let mut lent = old.end();
        if lent.slots.len() < usize::from(size) {
            lent.slots = slots(size);
        }
        let layout = Queue::<u64>::layout(size, mode.features()).expect("a legal size");
        if lent.ring.len() < layout.len() {
            lent = Self::lend(&memory, mode, size);
        }
        *self = Self::over(mode, size, memory, lent, tables, table_len);
    }

    /// Memory for a queue of `size`, with fresh slots. The ring lies at the same place each time.
    ///
    /// # Panics
    ///
    /// If the memory is too small.
    #[must_use]
    pub fn lend(memory: &GuestMemory, mode: Mode, size: u16) -> QueueMemory<'static, u64> {
        let layout = Queue::<u64>::layout(size, mode.features()).expect("a legal size");
        QueueMemory {
            ring: memory.lend(GuestMemory::START + GUARD, layout.len()),
            slots: slots(size),
        }
    }

    /// Number of descriptors.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.driver.size()
    }

    /// Chains of `parts` parts that fit into the empty queue.
    #[must_use]
    pub fn depth(&self, parts: u16) -> u16 {
        if self.mode.indirect && parts <= self.size() {
            self.size()
        } else {
            self.size() / parts
        }
    }

    /// Adds a chain in the way of the mode.
    ///
    /// # Errors
    ///
    /// As the queue says; the token is then not in it.
    pub fn add(
        &mut self,
        token: u64,
        readable: &[Part],
        writable: &[Part],
    ) -> Result<(), Rejected<u64>> {
        let (readable, writable) = (readable.iter().copied(), writable.iter().copied());
        let table = self.tables.last().copied().filter(|_| self.mode.indirect);
        let added = if let Some(table) = table {
            let mut table = self.memory.lend(table, self.table_len as usize);
            IndirectChain::write(&mut table, self.mode.features(), readable, writable)
                .map_err(|error| Rejected { token, error })
                .and_then(|chain| self.driver.add_indirect(token, chain))
        } else {
            self.driver.add_direct(token, readable, writable)
        };
        if added.is_ok() {
            if table.is_some() {
                self.tables.pop();
            }
            let before = self.inside.insert(token, table);
            assert_eq!(before, None, "token {token} is in the queue already");
        }
        added
    }

    /// A token has come back: it had to be in the queue.
    fn account(&mut self, token: u64) {
        match self.inside.remove(&token) {
            Some(table) => self.tables.extend(table),
            None => panic!("token {token} came back twice"),
        }
    }

    /// Adds a chain of one part of 512 bytes that the device writes, and publishes it with what was added before; whether the
    /// device has to be notified.
    ///
    /// # Panics
    ///
    /// If it does not fit, or if the answer is wrong.
    pub fn submit(&mut self, token: u64) -> bool {
        self.submit_few(token, [part(token, 512)], 0).expect("room")
    }

    /// Adds a chain of which the device reads the first `readable` parts, in the way of the mode, and publishes it with what was
    /// added before; whether the device has to be notified.
    ///
    /// # Errors
    ///
    /// As the queue says; the token is then not in it, and nothing was published.
    ///
    /// # Panics
    ///
    /// If the answer is wrong.
    pub fn submit_few<const N: usize>(
        &mut self,
        token: u64,
        parts: [Part; N],
        readable: usize,
    ) -> Result<bool, Rejected<u64>> {
        let Some(table) = self.tables.last().copied().filter(|_| self.mode.indirect) else {
            let (reads, writes) = parts.split_at(readable);
            self.add(token, reads, writes)?;
            return Ok(self.publish());
        };
        let mut lent = self.memory.lend(table, self.table_len as usize);
        let (reads, writes) = parts.split_at(readable);
        let (reads, writes) = (reads.iter().copied(), writes.iter().copied());
        let kick = IndirectChain::write(&mut lent, self.mode.features(), reads, writes)
            .map_err(|error| Rejected { token, error })
            .and_then(|chain| self.driver.submit_indirect(token, chain))?;
        self.tables.pop();
        let before = self.inside.insert(token, Some(table));
        assert_eq!(before, None, "token {token} is in the queue already");
        Ok(self.confirm(kick))
    }

    /// Publishes what was added; whether the device has to be notified, which the device confirms.
    ///
    /// # Panics
    ///
    /// If the device thinks otherwise.
    pub fn publish(&mut self) -> bool {
        let kick = self.driver.publish();
        self.confirm(kick)
    }

    fn confirm(&mut self, kick: Kick) -> bool {
        let kick = kick.needed();
        let due = self
            .device
            .notification_due()
            .expect("a driver that keeps the rules");
        assert_eq!(kick, due, "{:?}: notification", self.mode);
        kick
    }

    /// The device takes the next available buffer.
    ///
    /// # Panics
    ///
    /// If the driver broke a rule.
    pub fn pop(&mut self) -> Option<Buffer> {
        let mode = self.mode;
        self.device
            .pop()
            .unwrap_or_else(|violation| panic!("{mode:?}: {violation}"))
    }

    /// The device takes all available buffers.
    pub fn pop_all(&mut self) -> Vec<Buffer> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// The device uses a buffer.
    ///
    /// # Panics
    ///
    /// If the driver broke a rule.
    pub fn finish(&mut self, id: u16, written: u32) {
        let mode = self.mode;
        self.device
            .push(id, written)
            .unwrap_or_else(|violation| panic!("{mode:?}: {violation}"));
    }

    /// The driver takes the next used buffer: token and bytes written.
    ///
    /// # Errors
    ///
    /// As the queue says.
    ///
    /// # Panics
    ///
    /// If a token comes back that was not in the queue.
    pub fn completed(&mut self) -> Result<Option<(u64, u32)>, QueueError> {
        let done = self.driver.completed()?;
        Ok(done.map(|done| {
            let token = done.token;
            self.account(token);
            (token, done.written)
        }))
    }

    /// The driver does all that an interrupt takes, up to `budget`, or until it has taken `most` buffers: tokens and bytes written of
    /// these, and how it ended. `alone`: it hopes for one only, at first, if it may take more.
    ///
    /// # Panics
    ///
    /// If a token comes back that was not in the queue.
    pub fn take_all(
        &mut self,
        mut budget: u32,
        most: usize,
        alone: bool,
    ) -> (Done, Result<Taken<()>, QueueError>) {
        let mut done = Vec::new();
        if alone && budget > 1 && most > 1 {
            let (first, armed) = self.driver.take_alone();
            if let Some(one) = first {
                self.account(one.token);
                done.push((one.token, one.written));
                budget -= 1;
            }
            if armed == Armed::Idle {
                return (done, Ok(Taken::Idle));
            }
        }
        let before = done.len();
        let ended = self.driver.take_all(budget, |one| {
            done.push((one.token, one.written));
            (done.len() == most).then_some(())
        });
        for (token, _) in &done[before..] {
            self.account(*token);
        }
        (done, ended)
    }

    /// The driver takes all used buffers.
    ///
    /// # Panics
    ///
    /// If the queue closes, or gives back more than it had.
    pub fn complete_all(&mut self) -> Done {
        let mut done = Vec::new();
        while let Some(one) = self.completed().expect("an honest device") {
            done.push(one);
        }
        done
    }

    /// The tokens that are in the queue.
    #[must_use]
    pub fn inside(&self) -> BTreeSet<u64> {
        self.inside.keys().copied().collect()
    }

    /// Ends the queue: every token that it had comes back exactly once, its memory can be had again, and no byte was changed
    /// that was not lent.
    ///
    /// # Panics
    ///
    /// If any of that is not so.
    pub fn end(mut self) -> QueueMemory<'static, u64> {
        self.drain();
        let proof = stopped();
        self.memory.check_guards();
        self.driver
            .into_memory(&proof)
            .unwrap_or_else(|_| panic!("an empty queue keeps its memory"))
    }

    /// Takes out what the device did not finish: every token exactly once.
    fn drain(&mut self) {
        let proof = stopped();
        // One call more than there are tokens ends it: no queue may yield for ever.
        for _ in 0..=self.inside.len() {
            let Some(token) = self.driver.drain(&proof) else {
                break;
            };
            self.account(token);
        }
        assert_eq!(self.driver.drain(&proof), None, "drain does not end");
        assert!(
            self.inside.is_empty(),
            "tokens were lost: {:?}",
            self.inside()
        );
    }

    /// Overwrites guest memory as a lying device would.
    ///
    /// # Panics
    ///
    /// If it is no memory.
    pub fn poke(&self, address: u64, bytes: &[u8]) {
        self.memory.write(address, bytes).expect("guest memory");
    }

    /// Overwrites a 16-bit word.
    pub fn poke16(&self, address: u64, value: u16) {
        self.poke(address, &value.to_le_bytes());
    }

    /// A 16-bit word of guest memory.
    ///
    /// # Panics
    ///
    /// If it is no memory.
    #[must_use]
    pub fn peek16(&self, address: u64) -> u16 {
        self.memory.read_u16(address).expect("guest memory")
    }
}

/// A part whose address can be told from every other; `n` modulo 2²⁰.
#[must_use]
pub fn part(n: u64, len: u32) -> Part {
    Part::new(GuestMemory::address(DATA + (n % (1 << 20)) * 0x1000), len)
}

/// As many empty slots; leaked, as tests end with the process.
#[must_use]
pub fn slots(count: u16) -> &'static mut [Slot<u64>] {
    let slots: Vec<_> = (0..count).map(|_| Slot::EMPTY).collect();
    Box::leak(slots.into_boxed_slice())
}

/// A PCI function that obeys its command register.
struct Function(Cell<u16>);

impl ConfigSpace for Function {
    fn read16(&self, _offset: u16) -> u16 {
        self.0.get()
    }

    fn write16(&self, _offset: u16, value: u16) {
        self.0.set(value);
    }
}

/// A proof that some device has stopped.
///
/// # Panics
///
/// Never: the function obeys.
pub fn stopped() -> DeviceStopped {
    stop_bus_mastering(&Function(Cell::new(0x0406))).expect("a function that obeys")
}
