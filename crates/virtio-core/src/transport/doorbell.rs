//! Notifying the device of one queue. // Virtio 1.3 §4.1.5.2
#![forbid(unsafe_code)]

use crate::mmio::Registers;

/// Where and with what to notify the device of one queue; got by [`super::Transport::enable_queue`].
///
/// It holds all that a notification takes, so that one is one register write and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// In the notify structure, in bytes; checked against its length for the width that is written. 32 bits, as no structure
    /// is longer, and so that bounds checks need not look for a sum that wraps.
    offset: u32,
    /// What names the queue: its index, or what the device chose. // Virtio 1.3 §4.1.5.2.1
    id: u16,
    /// Whether the position in the ring is written as well: NOTIFICATION_DATA.
    wide: bool,
}

impl Doorbell {
    /// Most bytes that a notification writes.
    pub(super) const WIDEST: u32 = 4;

    /// Bytes that a notification writes.
    pub(super) const fn width(wide: bool) -> u64 {
        if wide { 4 } else { 2 }
    }

    pub(super) const fn new(offset: u32, id: u16, wide: bool) -> Self {
        Self { offset, id, wide }
    }

    /// Notifies; `position` is where the next chain will be made available. // Virtio 1.3 §2.9
    #[inline]
    pub(super) fn ring(&self, registers: &impl Registers, position: u16) {
        let offset = self.offset as usize;
        if self.wide {
            let value = u32::from(position) << 16 | u32::from(self.id);
            registers.write32(offset, value);
        } else {
            registers.write16(offset, self.id);
        }
    }
}
