//! Which notifications the two sides asked for: arithmetic of positions that wrap, and nothing else.
#![forbid(unsafe_code)]

/// Whether moving an index from `old` to `new` passed the entry `event`. // Virtio 1.3 §2.7.10, §2.7.7
///
/// True when `event` is one of the entries `old..new`, counted modulo 2¹⁶: as many entries lie after `event` up to `new`
/// as there are in the range, or fewer.
#[inline]
pub(crate) const fn passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// The same in a packed ring of `size`: whether the last `count` descriptors before `new` have the descriptor `event`
/// among them. // Virtio 1.3 §2.8.10
///
/// `event` and `new` are offsets with the wrap counter in bit 15. Seen from `new`, an event with the other wrap counter
/// lies a lap back. `event` may be anything: an offset outside the ring is never passed or passed by chance.
#[inline]
pub(crate) const fn passed_packed(event: u16, new: u16, count: u16, size: u16) -> bool {
    const WRAP: u16 = 1 << 15;
    let lap = if (event ^ new) & WRAP == 0 { 0 } else { size };
    let (event, new) = (event & !WRAP, new & !WRAP);
    passed(event.wrapping_sub(lap), new.wrapping_sub(count), new)
}

/// The same where all `count` descriptors lie in the lap of `new`, that is, `count` is not more than its offset.
///
/// An event of the other lap has another bit 15 and so differs from `new` by more than that.
#[inline]
pub(crate) const fn passed_in_lap(event: u16, new: u16, count: u16) -> bool {
    passed(event, new.wrapping_sub(count), new)
}

/// How many of `in_flight` buffers are used before the one whose use is to interrupt, for that to be when three quarters
/// (rounded up) are done.
#[inline]
pub(crate) const fn delay(in_flight: u16) -> u16 {
    in_flight.wrapping_sub(in_flight >> 2).saturating_sub(1)
}
