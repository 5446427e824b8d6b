//! A driver queue and an independent device queue over the same memory.

use std::boxed::Box;
use std::vec::Vec;

use virtio_queue::{QueueOwnedT, QueueT};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryMmap};

use crate::mem::DeviceAddress;
use crate::ring::{IndirectChain, Part, Queue, QueueMemory, Rejected, Slot};
use crate::spec::features::Features;
use crate::testing::region;

/// How a test runs: all behaviour has to be the same in every mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) indirect: bool,
    pub(super) event_idx: bool,
}

impl Mode {
    pub(super) const ALL: [Self; 4] = [
        Self::new(false, false),
        Self::new(false, true),
        Self::new(true, false),
        Self::new(true, true),
    ];

    const fn new(indirect: bool, event_idx: bool) -> Self {
        Self {
            indirect,
            event_idx,
        }
    }

    pub(super) fn features(self) -> Features {
        let mut features = Features::VERSION_1;
        features.set(Features::INDIRECT_DESC, self.indirect);
        features.set(Features::EVENT_IDX, self.event_idx);
        features
    }
}

/// A chain as the device finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) head: u16,
    /// Address, length, whether the device writes it.
    pub(super) parts: Vec<(u64, u32, bool)>,
}

/// Guest memory does not start at 0, so that a pointer taken for a device address is noticed.
const MEMORY: u64 = 0x4000_0000;
/// Where the ring lies: not at the start of memory.
pub(super) const RING: u64 = MEMORY + 0x1_0000;
/// Where indirect tables lie.
const TABLES: u64 = MEMORY + 0x20_0000;
/// Bytes of each indirect table.
const TABLE_LEN: usize = 0x400;
/// Indirect tables.
const TABLE_COUNT: u64 = 512;
/// Where buffers are said to lie; nobody looks into them.
pub(super) const DATA: u64 = MEMORY + 0x80_0000;

pub(super) struct Rig {
    pub(super) mode: Mode,
    pub(super) driver: Queue<'static, u64>,
    pub(super) device: Device,
    next_table: u64,
}

/// The device's side of it.
pub(super) struct Device {
    pub(super) memory: GuestMemoryMmap,
    pub(super) queue: virtio_queue::Queue,
}

impl Device {
    /// Takes the next available chain.
    pub(super) fn pop(&mut self) -> Option<Seen> {
        let chain = self.queue.iter(&self.memory).ok()?.next()?;
        Some(Seen {
            head: chain.head_index(),
            parts: chain
                .map(|d| (d.addr().raw_value(), d.len(), d.is_write_only()))
                .collect(),
        })
    }

    /// Finishes a chain.
    pub(super) fn finish(&mut self, head: u16, written: u32) {
        self.queue.add_used(&self.memory, head, written).unwrap();
    }
}

impl Rig {
    pub(super) fn new(mode: Mode, size: u16) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(MEMORY), 0x100_0000)]).unwrap();
        // What lay there before must not matter.
        memory
            .write_slice(&std::vec![0xa5; 0x10_0000], GuestAddress(RING))
            .unwrap();
        let driver = Queue::new(size, mode.features(), lend(&memory, mode, size)).unwrap();
        let mut device = virtio_queue::Queue::new(size).unwrap();
        let at = driver.addresses();
        device
            .try_set_desc_table_address(GuestAddress(at.descriptor.0))
            .unwrap();
        device
            .try_set_avail_ring_address(GuestAddress(at.driver.0))
            .unwrap();
        device
            .try_set_used_ring_address(GuestAddress(at.device.0))
            .unwrap();
        device.set_event_idx(mode.event_idx);
        device.set_ready(true);
        assert!(device.is_valid(&memory));
        Self {
            mode,
            driver,
            device: Device {
                memory,
                queue: device,
            },
            next_table: 0,
        }
    }

    /// Adds a chain in the way of the mode.
    pub(super) fn add(
        &mut self,
        token: u64,
        readable: &[Part],
        writable: &[Part],
    ) -> Result<(), Rejected<u64>> {
        let (readable, writable) = (readable.iter().copied(), writable.iter().copied());
        if !self.mode.indirect {
            return self.driver.add_direct(token, readable, writable);
        }
        let address = TABLES + self.next_table * TABLE_LEN as u64;
        self.next_table = (self.next_table + 1) % TABLE_COUNT;
        let mut table = region(&self.device.memory, address, TABLE_LEN);
        let chain = IndirectChain::write(&mut table, self.mode.features(), readable, writable)
            .map_err(|error| Rejected { token, error })?;
        self.driver.add_indirect(token, chain)
    }

    /// Adds a chain of one readable and one writable part of 512 bytes, and publishes it.
    pub(super) fn submit(&mut self, token: u64) -> bool {
        self.add(token, &[part(token, 512)], &[part(token, 512)])
            .unwrap();
        self.driver.publish().needed()
    }

    /// The device takes the next available chain.
    pub(super) fn pop(&mut self) -> Option<Seen> {
        self.device.pop()
    }

    /// The device finishes a chain.
    pub(super) fn finish(&mut self, head: u16, written: u32) {
        self.device.finish(head, written);
    }

    /// Overwrites memory as a lying device would; `offset` is in bytes from an area's start.
    pub(super) fn poke<V: vm_memory::ByteValued>(
        &self,
        area: DeviceAddress,
        offset: u64,
        value: V,
    ) {
        self.device
            .memory
            .write_obj(value, GuestAddress(area.0 + offset))
            .unwrap();
    }

    pub(super) fn peek16(&self, area: DeviceAddress, offset: u64) -> u16 {
        self.device
            .memory
            .read_obj(GuestAddress(area.0 + offset))
            .unwrap()
    }
}

/// A part whose address can be told from every other; `n` below 4096.
pub(super) fn part(n: u64, len: u32) -> Part {
    Part::new(DeviceAddress(DATA + (n % 4096) * 0x400), len)
}

/// Memory for a queue of `size`, with fresh slots.
pub(super) fn lend(memory: &GuestMemoryMmap, mode: Mode, size: u16) -> QueueMemory<'static, u64> {
    let layout = Queue::<u64>::layout(size, mode.features()).unwrap();
    QueueMemory {
        ring: region(memory, RING, layout.len()),
        slots: slots(size),
    }
}

/// As many empty slots; leaked, as tests end with the process.
pub(super) fn slots(count: u16) -> &'static mut [Slot<u64>] {
    let slots: Vec<_> = (0..count).map(|_| Slot::EMPTY).collect();
    Box::leak(slots.into_boxed_slice())
}
