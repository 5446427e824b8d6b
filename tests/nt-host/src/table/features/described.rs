//! Scenarios for what a disk says of itself.

use super::super::{own, short};
use crate::scenario::{Goal, Scenario};

/// All of them, on the device in this process.
pub(super) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, about, properties, block| {
        own(name, about, properties, &|scenario| {
            short(scenario);
            scenario.block = block;
            scenario.goal = Goal::Described;
            scenario.operations = 100;
        })
    };
    vec![
        scenario(
            "described",
            "a serial number of 24 characters, a topology, limits of UNMAP: pages, READ CAPACITY, short buffers, two slots",
            "serial=winpv-0123456789abcdefgh physical-block-exp=3 alignment-offset=5 min-io-size=16 opt-io-size=100 \
             discard=2048:4:24 lifetime=3",
            512,
        ),
        scenario(
            "described-4096",
            "the same on blocks of 4096 bytes, with a serial number of 20 characters and a best length above the longest request",
            "blk-size=4096 serial=winpv-0123456789abcd physical-block-exp=2 alignment-offset=1 min-io-size=4 \
             opt-io-size=1000000 discard=4096:2:8 lifetime=3",
            4096,
        ),
        scenario(
            "described-bare",
            "the same with a serial number of 19 characters and nothing else offered",
            "serial=winpv-0123456789abc lifetime=3",
            512,
        ),
        scenario(
            "described-nameless",
            "the same without a serial number: the name is that of the slot",
            "serial= lifetime=3",
            512,
        ),
    ]
}
