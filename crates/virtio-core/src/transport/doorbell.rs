//! Notifying the device of one queue. // Virtio 1.3 §4.1.5.2
#![forbid(unsafe_code)]

use core::fmt;
use core::num::NonZeroU64;

use crate::mmio::Registers;

/// Where and with what to notify the device of one queue; got by [`super::Transport::enable_queue`].
///
/// It holds all that a notification takes, so that one is one register write and nothing else. It is one word, so that it and an
/// `Option` of it stay in a register: bit 0 is set, then come [`WIDE`], the id and the offset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Doorbell(NonZeroU64);

/// The position in the ring is written as well: NOTIFICATION_DATA.
const WIDE: u64 = 2;
/// Where begins what names the queue: its index, or what the device chose. // Virtio 1.3 §4.1.5.2.1
const ID: u32 = 16;
/// Where the place in the notify structure begins, in bytes; checked against its length for the width that is written. It has 32
/// bits, as no structure is longer, so that bounds checks need not look for a sum that wraps.
const OFFSET: u32 = 32;

impl Doorbell {
    /// Most bytes that a notification writes.
    pub(super) const WIDEST: u32 = 4;

    /// Bytes that a notification writes.
    pub(super) const fn width(wide: bool) -> u64 {
        if wide { 4 } else { 2 }
    }

    pub(super) fn new(offset: u32, id: u16, wide: bool) -> Self {
        let wide = if wide { WIDE } else { 0 };
        Self(NonZeroU64::MIN | u64::from(offset) << OFFSET | u64::from(id) << ID | wide)
    }

    #[inline(always)]
    const fn offset(self) -> usize {
        (self.0.get() >> OFFSET) as usize
    }

    #[inline(always)]
    const fn id(self) -> u16 {
        (self.0.get() >> ID) as u16
    }

    #[inline(always)]
    const fn is_wide(self) -> bool {
        self.0.get() & WIDE != 0
    }

    /// Notifies; `position` is where the next chain will be made available. // Virtio 1.3 §2.9
    #[inline]
    pub(super) fn ring(self, registers: &impl Registers, position: u16) {
        if self.is_wide() {
            let value = u32::from(position) << 16 | u32::from(self.id());
            registers.write32(self.offset(), value);
        } else {
            registers.write16(self.offset(), self.id());
        }
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell")
            .field("offset", &self.offset())
            .field("id", &self.id())
            .field("wide", &self.is_wide())
            .finish()
    }
}
