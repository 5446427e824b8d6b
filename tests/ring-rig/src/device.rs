//! The device of a rig: `ring-device`, or rust-vmm's queue with `ring-device` looking on.

#[cfg(not(miri))]
use ring_device::Part;
use ring_device::{Buffer, Memory, Queue, Setup, Violation};
use virtio_core::ring::RingAddresses;
#[cfg(not(miri))]
use {
    virtio_queue::{QueueOwnedT, QueueT},
    vm_memory::{Address, GuestAddress, GuestMemoryMmap, GuestRegionMmap, mmap::MmapRegionBuilder},
};

use crate::{GuestMemory, Mode, Side};

/// A device over guest memory.
pub struct Device {
    memory: GuestMemory,
    /// Plays the device, or only looks on.
    queue: Queue,
    #[cfg(not(miri))]
    other: Option<(virtio_queue::Queue, GuestMemoryMmap)>,
    event_idx: bool,
}

impl Device {
    /// A device for a queue that the driver has just set up.
    ///
    /// # Panics
    ///
    /// If the driver set it up wrongly.
    #[must_use]
    pub fn new(memory: &GuestMemory, mode: Mode, size: u16, at: RingAddresses) -> Self {
        let setup = Setup {
            packed: mode.packed,
            size,
            descriptor: at.descriptor.get(),
            driver: at.driver.get(),
            device: at.device.get(),
            indirect: mode.indirect,
            event_idx: mode.event_idx,
            in_order: mode.in_order,
        };
        Self {
            memory: memory.clone(),
            queue: Queue::new(setup, memory).expect("a ring as it has to be"),
            #[cfg(not(miri))]
            other: (mode.side == Side::RustVmm).then(|| rust_vmm(memory, setup)),
            event_idx: mode.event_idx,
        }
    }

    /// The memory it works on.
    #[must_use]
    pub fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// The judging queue, for its addresses.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Takes the next available buffer.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the driver broke a rule.
    pub fn pop(&mut self) -> Result<Option<Buffer>, Violation> {
        #[cfg(not(miri))]
        if let Some((queue, memory)) = &mut self.other {
            let Some(chain) = queue.iter(&*memory).ok().and_then(|mut all| all.next()) else {
                return Ok(None);
            };
            let id = chain.head_index();
            let parts = chain.map(|descriptor| Part {
                address: descriptor.addr().raw_value(),
                len: descriptor.len(),
                writable: descriptor.is_write_only(),
            });
            return Ok(Some(Buffer {
                id,
                descriptors: 0,
                parts: parts.collect(),
                table: None,
            }));
        }
        self.queue.pop(&self.memory)
    }

    /// Uses a buffer.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn push(&mut self, id: u16, written: u32) -> Result<(), Violation> {
        #[cfg(not(miri))]
        if let Some((queue, memory)) = &mut self.other {
            return queue
                .add_used(&*memory, id, written)
                .map_err(|_| Violation::NotHeld { id });
        }
        self.queue.push(&self.memory, id, written)
    }

    /// Uses all buffers up to `last` with one used element.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn push_batch(&mut self, last: u16, written: u32) -> Result<(), Violation> {
        self.queue.push_batch(&self.memory, last, written)
    }

    /// Whether the driver wants an interrupt for what was used since the last call.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn interrupt_due(&mut self) -> Result<bool, Violation> {
        #[cfg(not(miri))]
        if let Some((queue, memory)) = &mut self.other {
            let due = queue
                .needs_notification(&*memory)
                .map_err(|_| Violation::NotHeld { id: 0 })?;
            // It does not know the flag, so the rule is applied here. Virtio 1.3 §2.7.7.2
            let flags = self.memory.read_u16(self.queue.setup().driver)?;
            return Ok(due && (self.event_idx || flags == 0));
        }
        self.queue.interrupt_due(&self.memory)
    }

    /// Whether the driver had to notify of what it published since the last call.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn notification_due(&mut self) -> Result<bool, Violation> {
        self.queue.notification_due(&self.memory)
    }

    /// Asks to be notified; whether there is work already.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn request_notification(&mut self) -> Result<bool, Violation> {
        #[cfg(not(miri))]
        if let Some((queue, memory)) = &mut self.other {
            return queue
                .enable_notification(&*memory)
                .map_err(|_| Violation::NotHeld { id: 0 });
        }
        self.queue.request_notification(&self.memory)
    }

    /// Tells the driver not to notify.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn suppress_notification(&mut self) -> Result<(), Violation> {
        #[cfg(not(miri))]
        if let Some((queue, memory)) = &mut self.other {
            return queue
                .disable_notification(&*memory)
                .map_err(|_| Violation::NotHeld { id: 0 });
        }
        self.queue.suppress_notification(&self.memory)
    }

    /// What a notification has to carry with NOTIFICATION_DATA.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn notification_data(&self) -> Result<u16, Violation> {
        self.queue.notification_data(&self.memory)
    }
}

/// rust-vmm's queue over the same bytes.
#[cfg(not(miri))]
fn rust_vmm(memory: &GuestMemory, setup: Setup) -> (virtio_queue::Queue, GuestMemoryMmap) {
    // SAFETY: the bytes are page-aligned and live in the `GuestMemory` that the device keeps beside this.
    let builder = unsafe {
        MmapRegionBuilder::new(memory.size()).with_raw_mmap_pointer(memory.base().as_ptr())
    };
    let region = builder
        .with_mmap_flags(0x22)
        .with_mmap_prot(3)
        .build()
        .expect("a region over memory that is there");
    let region =
        GuestRegionMmap::new(region, GuestAddress(GuestMemory::START)).expect("no overflow");
    let memory = GuestMemoryMmap::from_regions(vec![region]).expect("one region");
    let mut queue = virtio_queue::Queue::new(setup.size).expect("a legal size");
    queue
        .try_set_desc_table_address(GuestAddress(setup.descriptor))
        .expect("aligned");
    queue
        .try_set_avail_ring_address(GuestAddress(setup.driver))
        .expect("aligned");
    queue
        .try_set_used_ring_address(GuestAddress(setup.device))
        .expect("aligned");
    queue.set_event_idx(setup.event_idx);
    queue.set_ready(true);
    assert!(queue.is_valid(&memory));
    (queue, memory)
}
