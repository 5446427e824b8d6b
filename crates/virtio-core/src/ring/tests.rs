//! What only the inside of the rings shows. Their behaviour is tested from outside, in tests/ring-rig and tests/hostile.

mod event;

use core::ptr::NonNull;

use super::Slot;

#[test]
fn slots_are_small() {
    assert_eq!(size_of::<Slot<NonNull<u64>>>(), 24);
}
