//! Options that need each other.

use super::Options;

#[test]
fn options_without_what_they_need_are_dropped() {
    let all =
        Options::DPC_REDIRECTION | Options::INTERRUPT_MESSAGE_RANGES | Options::CONCURRENT_CHANNELS;
    assert_eq!(all.consistent(), all);
    assert_eq!(
        (all - Options::DPC_REDIRECTION).consistent(),
        Options::CONCURRENT_CHANNELS
    );
}
