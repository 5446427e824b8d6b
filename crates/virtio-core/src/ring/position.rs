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
/// What the flags of a lap and of the next one differ in. // Virtio 1.3 §2.8.1
pub(crate) const LAP: u16 = AVAIL | USED;

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

    /// The descriptor `index`, in the lap in which used descriptors have these flags.
    #[inline(always)]
    pub(crate) const fn of_used(index: u16, used: u16) -> Self {
        Self::of(index, used ^ USED)
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
        let mut index = self.index as usize;
        let lapped = step(&mut index, by as usize, size as usize);
        Self {
            index: index as u16,
            available: if lapped {
                self.available ^ LAP
            } else {
                self.available
            },
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

    /// AVAIL and USED of a used descriptor here: both are the wrap counter. // Virtio 1.3 §2.8.1
    #[inline(always)]
    pub(crate) const fn used(self) -> u16 {
        self.available ^ USED
    }
}

/// Whether flags have AVAIL and USED as in `lap`.
#[inline(always)]
pub(crate) const fn shows(flags: u16, lap: u16) -> bool {
    flags & LAP == lap
}

/// Goes on by `by`, at most a lap of `size`; whether that leads to the next lap. `at` lies below `size`, before and after; in
/// any unit.
#[inline(always)]
pub(crate) const fn step(at: &mut usize, by: usize, size: usize) -> bool {
    // At most 2²⁰, in bytes.
    *at = at.wrapping_add(by);
    let lapped = *at >= size;
    if lapped {
        // Once a lap only: the usual case is a comparison and a jump not taken.
        core::hint::cold_path();
        *at = at.wrapping_sub(size);
    }
    lapped
}

/// As [`step`] for one descriptor: the next lap begins at 0, without a subtraction.
#[inline(always)]
pub(crate) const fn step_one(at: &mut usize, one: usize, size: usize) -> bool {
    *at = at.wrapping_add(one);
    let lapped = *at >= size;
    if lapped {
        core::hint::cold_path();
        *at = 0;
    }
    lapped
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
