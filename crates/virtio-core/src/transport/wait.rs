//! Waiting for a device, never longer than a deadline.
#![forbid(unsafe_code)]

use core::ops::ControlFlow;

use crate::Clock;

/// First wait between two looks, in microseconds; it doubles up to the longest.
const FIRST_US: u32 = 10;
/// Longest wait between two looks, in microseconds: some clocks spin, and not for a millisecond at a time. // MS:
/// nf-storport-storportstallexecution
const LONGEST_US: u32 = 500;

/// Looks again and again until `look` has a result; once it is told that it is late, it has to have one.
///
/// `late` turns true `timeout_us` microseconds after the call. The clock is read before each look, so that what has
/// become true during a long pause still counts.
pub(super) fn until<V>(
    clock: &impl Clock,
    timeout_us: u64,
    mut look: impl FnMut(Late) -> ControlFlow<V, Early>,
) -> V {
    let deadline = clock.now_us().saturating_add(timeout_us);
    let mut wait = FIRST_US;
    loop {
        let late = match clock.now_us() < deadline {
            true => Late::No(Early(())),
            false => Late::Yes,
        };
        match look(late) {
            ControlFlow::Break(value) => return value,
            ControlFlow::Continue(Early(())) => clock.wait_us(wait),
        }
        wait = wait.saturating_mul(2).min(LONGEST_US);
    }
}

/// Whether the deadline has passed. Only before it is there an [`Early`], which going on takes.
pub(super) enum Late {
    No(Early),
    Yes,
}

/// The right to look once more.
pub(super) struct Early(());
