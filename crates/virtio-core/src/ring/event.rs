//! When a side that counts to 65,536 and wraps has passed the position at which the other wants to be told.
#![forbid(unsafe_code)]

/// Whether moving an index from `old` to `new` passed the entry `event`. // Virtio 1.3 §2.7.10, §2.7.7
///
/// True when `event` is one of the entries `old..new`, counted modulo 2¹⁶: as many entries lie after `event` up to `new`
/// as there are in the range, or fewer.
#[inline]
pub(crate) const fn passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
