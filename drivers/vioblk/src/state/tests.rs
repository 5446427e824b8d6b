use super::*;

const BITS: [u32; 11] = [
    GONE,
    CAPACITY_CHANGED,
    MODE_CHANGED,
    BY_MESSAGE,
    WRITE_CACHE,
    HALTED,
    NO_DPCS,
    MESSAGES_SHARED,
    POLLED,
    READ_ONLY,
    RUNNING,
];

#[test]
fn bits_are_set_and_cleared_one_by_one() {
    for bit in BITS {
        let state = State::new(false, false, false, false);
        let others = |state: &State| BITS.map(|other| other == bit || state.is(other));
        let before = others(&state);
        let was = state.is(bit);
        assert_eq!(state.set(bit, !was), was);
        assert_eq!(state.is(bit), !was);
        assert_eq!(state.set(bit, was), !was);
        assert_eq!(state.is(bit), was);
        assert_eq!(others(&state), before);
    }
}

#[test]
fn a_change_is_taken_once_and_keeps_requests_off_the_short_way() {
    for change in [CAPACITY_CHANGED, MODE_CHANGED] {
        let state = State::new(false, false, true, false);
        assert!(state.now().is_quiet() && !state.take(change));
        state.tell(change);
        assert!(!state.now().is_quiet());
        assert!(state.take(change) && !state.take(change));
        assert!(state.now().is_quiet());
    }
    let state = State::new(false, false, true, false);
    state.set(GONE, true);
    assert!(!state.now().is_quiet());
    assert!(!State::new(true, false, true, false).now().is_quiet());
}

#[test]
fn commands_are_looked_at_as_the_disk_is() {
    use crate::scsi::PLAIN;
    let look = |state: &State| state.now().commands();
    for (write_cache, cache_mode) in [(false, false), (true, false), (false, true), (true, true)] {
        let flushes = if write_cache || cache_mode { FORCED } else { 0 };
        let state = State::new(false, false, write_cache, cache_mode);
        assert_eq!(look(&state), PLAIN | STARTED | flushes);
        state.set(READ_ONLY, true);
        assert_eq!(look(&state), PLAIN | STARTED | flushes | WRITES);
        state.set(RUNNING, false);
        assert_eq!(look(&state), PLAIN | flushes | WRITES);
        // Nothing else is among the bits of commands.
        for bit in [GONE, CAPACITY_CHANGED, MODE_CHANGED, BY_MESSAGE, HALTED] {
            state.set(bit, !state.is(bit));
            assert_eq!(look(&state), PLAIN | flushes | WRITES);
        }
    }
}

#[test]
fn dpcs_run_once_they_may() {
    let state = State::new(false, false, false, false);
    assert!(!state.dpcs_may_run());
    state.set(HALTED, false);
    assert!(!state.dpcs_may_run());
    state.let_dpcs_run();
    assert!(state.dpcs_may_run() && !state.queue_message_is_simple());
    state.set(MESSAGES_SHARED, false);
    assert!(state.queue_message_is_simple());
    state.set(HALTED, true);
    assert!(!state.dpcs_may_run() && !state.queue_message_is_simple());
}
