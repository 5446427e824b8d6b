//! A place in a packed ring: which descriptor, and in which lap.
#![forbid(unsafe_code)]

/// Offset of a descriptor in bits 0 to 14, wrap counter in bit 15: as event suppression and notifications have it.
///
/// // Virtio 1.3 §2.8.1, §2.8.14, §2.9
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(u16);

/// The bit of the wrap counter.
const WRAP: u16 = 1 << 15;
/// `VIRTQ_DESC_F_AVAIL`.
const AVAIL: u16 = 1 << 7;
/// `VIRTQ_DESC_F_USED`.
const USED: u16 = 1 << 15;

impl Position {
    /// Where both sides start: the first descriptor, wrap counter 1. // Virtio 1.3 §2.8.1
    pub(crate) const START: Self = Self(WRAP);

    /// Offset and wrap counter in one word.
    #[inline]
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// Index of the descriptor.
    #[inline]
    pub(crate) const fn index(self) -> u16 {
        self.0 & !WRAP
    }

    /// The position `by` descriptors further, at most one lap of `size`.
    #[inline]
    pub(crate) const fn advance(self, by: u16, size: u16) -> Self {
        // At most 32767 + 32768.
        let sum = self.index().wrapping_add(by);
        let wrap = self.0 & WRAP;
        if sum >= size {
            Self(sum.wrapping_sub(size) | (wrap ^ WRAP))
        } else {
            Self(sum | wrap)
        }
    }

    /// Flags that make a descriptor here available: AVAIL is the wrap counter, USED its inverse. // Virtio 1.3 §2.8.1
    #[inline]
    pub(crate) const fn available(self) -> u16 {
        if self.0 & WRAP != 0 { AVAIL } else { USED }
    }

    /// Flags with which a descriptor here is neither available nor used in this lap: those of one used in the lap before.
    #[inline]
    pub(crate) const fn stale(self) -> u16 {
        if self.0 & WRAP != 0 { 0 } else { AVAIL | USED }
    }

    /// Whether flags found here say that the device has used the descriptor: both are the wrap counter. // Virtio 1.3 §2.8.1
    #[inline]
    pub(crate) const fn is_used(self, flags: u16) -> bool {
        let used = if self.0 & WRAP != 0 { AVAIL | USED } else { 0 };
        flags & (AVAIL | USED) == used
    }
}
