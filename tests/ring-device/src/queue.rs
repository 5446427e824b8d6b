//! A virtqueue of either format.

use crate::{Buffer, Memory, Packed, Split, Violation};

/// What the transport told the device about a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Whether the ring is packed; otherwise it is split.
    pub packed: bool,
    /// Number of descriptors.
    pub size: u16,
    /// Device address of the descriptor area.
    pub descriptor: u64,
    /// Device address of the driver area.
    pub driver: u64,
    /// Device address of the device area.
    pub device: u64,
    /// INDIRECT_DESC was negotiated.
    pub indirect: bool,
    /// EVENT_IDX was negotiated.
    pub event_idx: bool,
    /// IN_ORDER was negotiated.
    pub in_order: bool,
}

impl Setup {
    pub(crate) fn check_alignment(&self, driver: u64, device: u64) -> Result<(), Violation> {
        for (address, align) in [
            (self.descriptor, 16),
            (self.driver, driver),
            (self.device, device),
        ] {
            if !address.is_multiple_of(align) {
                return Err(Violation::Misaligned { address, align });
            }
        }
        Ok(())
    }
}

/// Fails unless `len` bytes at `address` are zero.
pub(crate) fn check_zero(memory: &impl Memory, address: u64, len: u64) -> Result<(), Violation> {
    for address in (address..address + len).step_by(2) {
        if memory.read_u16(address)? != 0 {
            return Err(Violation::NotZero { address });
        }
    }
    Ok(())
}

/// The device side of a virtqueue.
///
/// Every method that reads the ring fails with a [`Violation`] when the driver has broken a rule.
#[derive(Clone, Debug)]
pub enum Queue {
    /// Split ring. // Virtio 1.3 §2.7
    Split(Split),
    /// Packed ring. // Virtio 1.3 §2.8
    Packed(Packed),
}

impl Queue {
    /// A queue as the driver has just set it up: nothing available, nothing used.
    ///
    /// # Errors
    ///
    /// [`Violation`] if size, alignment or the ring's first content are not as they have to be.
    pub fn new(setup: Setup, memory: &impl Memory) -> Result<Self, Violation> {
        if setup.packed {
            Packed::new(setup, memory).map(Self::Packed)
        } else {
            Split::new(setup, memory).map(Self::Split)
        }
    }

    /// What it was set up with.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        match self {
            Self::Split(queue) => queue.setup(),
            Self::Packed(queue) => queue.setup(),
        }
    }

    /// Takes the next available buffer.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn pop(&mut self, memory: &impl Memory) -> Result<Option<Buffer>, Violation> {
        match self {
            Self::Split(queue) => queue.pop(memory),
            Self::Packed(queue) => queue.pop(memory),
        }
    }

    /// Uses one buffer, into which `written` bytes were written. With IN_ORDER it has to be the oldest.
    ///
    /// # Errors
    ///
    /// [`Violation::NotHeld`] for a buffer that was not popped or is not next; others are the driver's.
    pub fn push(&mut self, memory: &impl Memory, id: u16, written: u32) -> Result<(), Violation> {
        match self {
            Self::Split(queue) => queue.push(memory, id, written),
            Self::Packed(queue) => queue.push(memory, id, written),
        }
    }

    /// Uses all buffers up to and including `last`, in the order in which they were popped, with a single used element, as
    /// IN_ORDER allows; `written` is for the last. // Virtio 1.3 §2.7.9, §2.8.8
    ///
    /// # Errors
    ///
    /// [`Violation::NotHeld`] without IN_ORDER, or for a buffer that was not popped; others are the driver's.
    pub fn push_batch(
        &mut self,
        memory: &impl Memory,
        last: u16,
        written: u32,
    ) -> Result<(), Violation> {
        match self {
            Self::Split(queue) => queue.push_batch(memory, last, written),
            Self::Packed(queue) => queue.push_batch(memory, last, written),
        }
    }

    /// Whether the driver wants an interrupt for what was used since the last call. // Virtio 1.3 §2.7.7.2, §2.8.10
    ///
    /// # Errors
    ///
    /// [`Violation::EventSuppression`].
    pub fn interrupt_due(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        match self {
            Self::Split(queue) => queue.interrupt_due(memory),
            Self::Packed(queue) => queue.interrupt_due(memory),
        }
    }

    /// Whether the driver had to notify this device of what it made available since the last call, by the wish that lies
    /// in the device area now. // Virtio 1.3 §2.7.10.1, §2.8.10
    ///
    /// Looks at memory only, so it can be asked right after the driver has published, whether or not it did notify.
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn notification_due(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        match self {
            Self::Split(queue) => queue.notification_due(memory),
            Self::Packed(queue) => queue.notification_due(memory),
        }
    }

    /// Asks to be notified of the next available buffer, and looks once more; whether there is one already.
    ///
    /// # Errors
    ///
    /// [`Violation::Unreachable`].
    pub fn request_notification(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        match self {
            Self::Split(queue) => queue.request_notification(memory),
            Self::Packed(queue) => queue.request_notification(memory),
        }
    }

    /// Tells the driver that notifications are not needed.
    ///
    /// # Errors
    ///
    /// [`Violation::Unreachable`].
    pub fn suppress_notification(&mut self, memory: &impl Memory) -> Result<(), Violation> {
        match self {
            Self::Split(queue) => queue.suppress_notification(memory),
            Self::Packed(queue) => queue.suppress_notification(memory),
        }
    }

    /// What a notification carries beside the queue's index when NOTIFICATION_DATA was negotiated: `next_off` in the low 15
    /// bits, `next_wrap` above, for all that is available now. // Virtio 1.3 §2.9
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn notification_data(&self, memory: &impl Memory) -> Result<u16, Violation> {
        match self {
            Self::Split(queue) => queue.notification_data(memory),
            Self::Packed(queue) => queue.notification_data(memory),
        }
    }

    /// Buffers popped and not yet used, in the order in which they were popped.
    #[must_use]
    pub fn held(&self) -> Vec<u16> {
        match self {
            Self::Split(queue) => queue.held(),
            Self::Packed(queue) => queue.held(),
        }
    }
}
