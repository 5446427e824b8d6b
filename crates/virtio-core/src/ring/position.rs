//! A place in a packed ring: which descriptor, and in which lap.
#![forbid(unsafe_code)]

/// Index of a descriptor, and the flags that the lap gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    index: u16,
    /// Flags of an available descriptor: AVAIL if the wrap counter is 1, USED if it is 0. // Virtio 1.3 §2.8.1
    available: u16,
}

/// `VIRTQ_DESC_F_AVAIL`.
pub(crate) const AVAIL: u16 = 1 << 7;
/// `VIRTQ_DESC_F_USED`.
pub(crate) const USED: u16 = 1 << 15;

impl Position {
    /// Where both sides start: the first descriptor, wrap counter 1. // Virtio 1.3 §2.8.1
    pub(crate) const START: Self = Self {
        index: 0,
        available: AVAIL,
    };

    /// The descriptor `index`, in the lap in which available descriptors have these flags.
    #[inline(always)]
    pub(crate) const fn of(index: u16, available: u16) -> Self {
        Self { index, available }
    }

    /// Index of the descriptor.
    #[inline(always)]
    pub(crate) const fn index(self) -> u16 {
        self.index
    }

    /// Index in bits 0 to 14, wrap counter in bit 15: as event suppression and notifications have it.
    ///
    /// // Virtio 1.3 §2.8.14, §2.9
    #[inline]
    pub(crate) const fn bits(self) -> u16 {
        self.index | (self.available & AVAIL) << 8
    }

    /// The position `by` descriptors further, at most one lap of `size`.
    #[inline(always)]
    pub(crate) const fn advance(self, by: u16, size: u16) -> Self {
        let mut position = self;
        position.step(by, size);
        position
    }

    /// Goes on by `by` descriptors, at most one lap of `size`.
    #[inline(always)]
    pub(crate) const fn step(&mut self, by: u16, size: u16) {
        // At most 32767 + 32768.
        let index = self.index.wrapping_add(by);
        if index < size {
            self.index = index;
        } else {
            *self = self.lap(index.wrapping_sub(size));
        }
    }

    /// The position at `index` of the next lap.
    #[inline(always)]
    const fn lap(self, index: u16) -> Self {
        // Once a lap only: the usual case is a comparison and a jump not taken.
        core::hint::cold_path();
        Self {
            index,
            available: self.available ^ (AVAIL | USED),
        }
    }

    /// Flags that make a descriptor here available: AVAIL is the wrap counter, USED its inverse. // Virtio 1.3 §2.8.1
    #[inline(always)]
    pub(crate) const fn available(self) -> u16 {
        self.available
    }

    /// Flags with which a descriptor here is neither available nor used in this lap: those of one used in the lap before.
    #[inline]
    pub(crate) const fn stale(self) -> u16 {
        self.available ^ AVAIL
    }

    /// Whether flags found here say that the device has used the descriptor: both are the wrap counter, that is, AVAIL is as
    /// in an available one and USED is not. // Virtio 1.3 §2.8.1
    #[inline(always)]
    pub(crate) const fn is_used(self, flags: u16) -> bool {
        (flags ^ self.available) & (AVAIL | USED) == USED
    }
}

/// From `earlier` up to `later`, which is further by a lap of `size` at most and not the same place; and whether both are in
/// one lap. Both lie below `size`, in any unit.
#[inline(always)]
pub(crate) const fn distance(earlier: usize, later: usize, size: usize) -> (usize, bool) {
    let distance = later.wrapping_sub(earlier);
    if later > earlier {
        (distance, true)
    } else {
        core::hint::cold_path();
        (distance.wrapping_add(size), false)
    }
}
