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

/// Whether a plain command is found plain.
fn goes_short(state: &State) -> bool {
    state.now().commands() & crate::scsi::STARTED != 0
}

#[test]
fn a_change_is_taken_once_and_keeps_requests_off_the_short_way() {
    for change in [CAPACITY_CHANGED, MODE_CHANGED] {
        let state = State::new(false, false, true, false);
        assert!(!goes_short(&state));
        state.let_dpcs_run();
        assert!(goes_short(&state) && !state.take(change));
        state.tell(change);
        assert!(!goes_short(&state));
        assert!(state.take(change) && !state.take(change));
        assert!(goes_short(&state));
    }
    let state = State::new(false, false, true, false);
    state.let_dpcs_run();
    state.tell(CAPACITY_CHANGED);
    state.tell(MODE_CHANGED);
    assert!(state.take(MODE_CHANGED) && !goes_short(&state));
    state.set(RUNNING, false);
    assert!(state.take(CAPACITY_CHANGED) && !goes_short(&state));
    state.set(RUNNING, true);
    assert!(goes_short(&state));
    state.set(GONE, true);
    assert!(!goes_short(&state));
    let state = State::new(true, false, true, false);
    state.let_dpcs_run();
    assert!(!goes_short(&state));
}

#[test]
fn commands_are_looked_at_as_the_disk_is() {
    use crate::scsi::PLAIN;
    let look = |state: &State| state.now().commands();
    for (write_cache, cache_mode) in [(false, false), (true, false), (false, true), (true, true)] {
        let flushes = if write_cache || cache_mode { FORCED } else { 0 };
        let state = State::new(false, false, write_cache, cache_mode);
        assert_eq!(look(&state), PLAIN | flushes);
        state.let_dpcs_run();
        assert_eq!(look(&state), PLAIN | STARTED | flushes);
        state.set(READ_ONLY, true);
        assert_eq!(look(&state), PLAIN | STARTED | flushes | WRITES);
        state.set(RUNNING, false);
        assert_eq!(look(&state), PLAIN | flushes | WRITES);
        // Nothing else is among the bits of commands.
        for bit in BITS
            .into_iter()
            .filter(|bit| ![READ_ONLY, RUNNING].contains(bit))
        {
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
