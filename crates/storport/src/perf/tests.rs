//! Options that need each other.

use super::Options;

#[test]
fn options_without_what_they_need_are_dropped() {
    let all = Options::DPC_REDIRECTION
        | Options::INTERRUPT_MESSAGE_RANGES
        | Options::ADV_CONFIG_LOCALITY
        | Options::OPTIMIZE_FOR_COMPLETION_DURING_STARTIO
        | Options::DPC_REDIRECTION_CURRENT_CPU
        | Options::CONCURRENT_CHANNELS;
    assert_eq!(all.consistent(), all);
    assert_eq!(
        (all - Options::DPC_REDIRECTION).consistent(),
        Options::CONCURRENT_CHANNELS
    );
    let without_ranges = all - Options::INTERRUPT_MESSAGE_RANGES;
    assert_eq!(
        without_ranges.consistent(),
        without_ranges - Options::ADV_CONFIG_LOCALITY
    );
}
