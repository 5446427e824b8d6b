//! One execution's driver queue and device, over memory that both share.

use std::alloc::{Layout as Allocation, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::device::{Bus, Device};
use crate::mem::{DeviceAddress, DmaRegion, access};
use crate::ring::{Armed, Completion, IndirectChain, Kick, Part, Queue, QueueMemory, Slot, Taken};
use crate::spec::features::Features;

/// What the driver writes into a buffer before it shows it to the device.
pub const QUESTION: u32 = 0x7165_7374;
/// What the device writes into it.
pub const ANSWER: u32 = 0x616e_7377;

/// Buffers of a test, each with room for one question, one answer and one indirect table.
const BUFFERS: usize = 4;
const BUFFER: usize = 64;
/// Bytes of question and answer; the table follows.
const DATA: usize = 16;

/// What was negotiated, and whether the driver uses tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// RING_PACKED.
    pub packed: bool,
    /// EVENT_IDX.
    pub event_idx: bool,
    /// IN_ORDER.
    pub in_order: bool,
    /// INDIRECT_DESC, and every chain in a table.
    pub indirect: bool,
}

impl Case {
    /// Both formats with and without EVENT_IDX and IN_ORDER, chains in the ring itself.
    pub fn direct() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self {
            packed: bits & 1 != 0,
            event_idx: bits & 2 != 0,
            in_order: bits & 4 != 0,
            indirect: false,
        })
    }

    /// The same with every chain in a table.
    pub fn indirect() -> impl Iterator<Item = Self> {
        Self::direct().map(|case| Self {
            indirect: true,
            ..case
        })
    }

    fn features(self) -> Features {
        let mut features = Features::VERSION_1;
        features.set(Features::RING_PACKED, self.packed);
        features.set(Features::EVENT_IDX, self.event_idx);
        features.set(Features::IN_ORDER, self.in_order);
        features.set(Features::INDIRECT_DESC, self.indirect);
        features
    }
}

/// Memory of one execution; goes with it.
#[derive(Debug)]
pub struct Memory {
    base: NonNull<u8>,
    allocation: Allocation,
    ring: usize,
    case: Case,
    size: u16,
    slots: Vec<Slot<usize>>,
}

impl Memory {
    /// Memory for a queue of `size` and its buffers, known to loom.
    #[must_use]
    pub fn new(case: Case, size: u16) -> Self {
        let layout = Queue::<usize>::layout(size, case.features()).expect("a legal size");
        let ring = layout.len().next_multiple_of(BUFFER);
        let allocation = Allocation::from_size_align(ring + BUFFERS * BUFFER, layout.align())
            .expect("a small allocation");
        // SAFETY: the size is not 0.
        let base = unsafe { alloc_zeroed(allocation) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(allocation));
        access::share(base, allocation.size());
        Self {
            base,
            allocation,
            ring,
            case,
            size,
            slots: (0..size).map(|_| Slot::EMPTY).collect(),
        }
    }

    fn region(&self, offset: usize, len: usize) -> DmaRegion {
        assert!(offset + len <= self.allocation.size());
        // SAFETY: just checked.
        let at = unsafe { self.base.add(offset) };
        // SAFETY: the memory lives as long as `self`, which the rig borrows, and is reached through `access` only.
        unsafe { DmaRegion::new(at, DeviceAddress(Bus::START + offset as u64), len) }
    }

    /// A queue and its device in this memory.
    pub fn queue(&mut self) -> (Driver<'_>, Device) {
        let ring = self.region(0, self.ring);
        let part = |n, offset, len| self.region(self.ring + n * BUFFER + offset, len);
        let buffers = core::array::from_fn(|n| part(n, 0, DATA));
        let tables = core::array::from_fn(|n| part(n, DATA, BUFFER - DATA));
        let bus = Bus {
            base: self.base,
            len: self.allocation.size(),
        };
        let memory = QueueMemory {
            ring,
            slots: &mut self.slots,
        };
        let queue = Queue::new(self.size, self.case.features(), memory).expect("a legal queue");
        let device = Device::new(bus, self.case, self.size, queue.addresses());
        let driver = Driver {
            queue,
            buffers,
            tables,
            case: self.case,
        };
        (driver, device)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        access::unshare();
        // SAFETY: allocated by `new` with the same layout; the device's thread has ended (the tests join it).
        unsafe { dealloc(self.base.as_ptr(), self.allocation) };
    }
}

/// The driver's side.
#[derive(Debug)]
pub struct Driver<'m> {
    /// The queue under test.
    pub queue: Queue<'m, usize>,
    /// Question and answer.
    buffers: [DmaRegion; BUFFERS],
    /// Indirect tables.
    tables: [DmaRegion; BUFFERS],
    case: Case,
}

impl Driver<'_> {
    /// Asks a question in buffer `n`: one part to read, one to write.
    pub fn add(&mut self, n: usize) {
        if self.case.indirect {
            let chain = self.describe(n);
            self.queue.add_indirect(n, chain)
        } else {
            let (readable, writable) = self.ask(n);
            self.queue.add_direct(n, readable, writable)
        }
        .expect("room");
    }

    /// Writes the question.
    fn ask(&mut self, n: usize) -> ([Part; 1], [Part; 1]) {
        let buffer = &mut self.buffers[n];
        let at = buffer.address();
        buffer.write(0, QUESTION.to_ne_bytes()).expect("inside");
        buffer.write(4, [0_u8; 4]).expect("inside");
        let writable = Part::new(DeviceAddress(at.0 + 4), 4);
        ([Part::new(at, 4)], [writable])
    }

    /// Writes the question, and the table that names it.
    fn describe(&mut self, n: usize) -> IndirectChain {
        let (readable, writable) = self.ask(n);
        let features = self.case.features();
        IndirectChain::write(&mut self.tables[n], features, readable, writable).expect("room")
    }

    /// Asks a question in buffer `n`, in a table, and shows the device what was added, in one.
    pub fn submit(&mut self, n: usize) -> Kick {
        let chain = self.describe(n);
        self.queue.submit_indirect(n, chain).expect("room")
    }

    /// Shows the device what was added.
    pub fn publish(&mut self) -> Kick {
        self.queue.publish()
    }

    /// Takes the next finished buffer and checks its answer.
    pub fn completed(&mut self) -> Option<usize> {
        let done = self.queue.completed().expect("an honest device")?;
        check(&self.buffers, &done);
        Some(done.token)
    }

    /// Takes the one finished buffer, checks its answer and arms, or goes on with [`Self::take_all`]. How many there were, and whether
    /// all was taken.
    pub fn take_alone(&mut self) -> (usize, bool) {
        let (first, armed) = self.queue.take_alone();
        let one = first.map_or(0, |done| {
            check(&self.buffers, &done);
            1
        });
        if armed == Armed::Idle {
            return (one, true);
        }
        let (more, ended) = self.take_all();
        (one + more, ended == Taken::Idle)
    }

    /// Takes all finished buffers, checks their answers and arms, in one. How many there were, and how it ended.
    pub fn take_all(&mut self) -> (usize, Taken<()>) {
        // More than the tests have buffers and looks.
        const BUDGET: u32 = 16;
        let mut count = 0;
        let ended = self.queue.take_all(BUDGET, |done| {
            check(&self.buffers, &done);
            count += 1;
            None
        });
        (count, ended.expect("an honest device"))
    }
}

/// The answer to a question is there.
fn check(buffers: &[DmaRegion], done: &Completion<usize>) {
    assert_eq!(done.written, 4);
    let answer: [u8; 4] = buffers[done.token].read(4).expect("inside");
    assert_eq!(
        u32::from_ne_bytes(answer),
        ANSWER,
        "answer read before it was written"
    );
}
