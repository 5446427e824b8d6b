//! Scenarios for what a disk may offer besides reading and writing, and for devices that misbehave on the way.

use super::{own as scenario, physical, short};
use crate::commands::Abilities;
use crate::scenario::{Allowed, Goal, Scenario};

mod described;

/// All of them, on the device in this process.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = offered();
    all.extend(described::scenarios());
    all
}

fn offered() -> Vec<Scenario> {
    vec![
        scenario(
            "commands-in-pieces",
            "every command on a device that takes ranges in small pieces, on segments of 8 KiB",
            "discard=50:3:8 write-zeroes=70:2:1 lifetime=3 config-wce=on size-max=8192 queues=2 vectors=3 used=serial",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Commands(Abilities {
                    discard: true,
                    discarded: Some(0xdd),
                    zeroes: Some(true),
                    cache_mode: true,
                    wear: Some(30),
                    bad: None,
                    serial: "winpv-inproc",
                });
                scenario.operations = 500;
            },
        ),
        scenario(
            "commands-bare",
            "every command on a device that offers nothing for them, has a bad sector, one segment, no indirect tables, and counts no status byte",
            "seg-max=1 indirect=off event-idx=off flush=off fail-sector=40000:1 used=data",
            &|scenario| {
                physical(scenario);
                scenario.goal = Goal::Commands(Abilities {
                    discard: false,
                    discarded: None,
                    zeroes: None,
                    cache_mode: false,
                    wear: None,
                    bad: Some(40_000),
                    serial: "winpv-inproc",
                });
                scenario.operations = 500;
            },
        ),
        scenario(
            "commands-one-block",
            "every command on a device that discards and zeroes one block at a time",
            "discard=1:1:1 write-zeroes=1:1:1",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Commands(Abilities {
                    discard: true,
                    discarded: Some(0xdd),
                    zeroes: Some(true),
                    cache_mode: false,
                    wear: None,
                    bad: None,
                    serial: "winpv-inproc",
                });
                scenario.operations = 500;
            },
        ),
        scenario(
            "commands-4096",
            "every command on blocks of 4096 bytes",
            "blk-size=4096 discard=4096:1:64 write-zeroes=4096:32:0",
            &|scenario| {
                short(scenario);
                scenario.block = 4096;
                scenario.goal = Goal::Commands(Abilities {
                    discard: true,
                    discarded: Some(0xdd),
                    zeroes: Some(false),
                    cache_mode: false,
                    wear: None,
                    bad: None,
                    serial: "winpv-inproc",
                });
                scenario.operations = 500;
            },
        ),
        scenario(
            "grow",
            "the disk grows while it is used: a unit attention before the next command, and StorPort is told",
            "resize=300:131072",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Grow(131_072);
                scenario.operations = 500;
            },
        ),
        scenario(
            "flush-fails",
            "flushes end with IOERR: what was to reach the medium failed",
            "flush-status=1",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::FlushesFail;
            },
        ),
        scenario(
            "rebalanced",
            "the device gets other addresses under a running system, and is removed while it is stopped",
            "queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Rebalance;
                scenario.operations = 500;
            },
        ),
        scenario(
            "slow-reset-requests",
            "resets that take the device longer than a processor may be kept",
            "reset-reads=400",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::SlowResets;
            },
        ),
        scenario(
            "cache-stays-on",
            "the device says that its write cache is on whatever it was told, and flushes end with IOERR",
            "config-wce=on flush-status=1 lie=field=20:1@1x0",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::CacheStaysOn;
            },
        ),
        scenario(
            "becomes-read-only",
            "the disk is read-only after a restart",
            "protect-after=4",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Protect;
            },
        ),
        scenario(
            "silent",
            "the device leaves five requests unanswered",
            "hang=5 hang-after=500 queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Silent;
                scenario.operations = 2_000;
            },
        ),
        scenario(
            "statistics",
            "the driver counts what it did, whatever becomes of its rings, and refuses malformed requests for the numbers",
            "queues=4 vectors=5",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Statistics { crowded: false };
                scenario.operations = 1_000;
            },
        ),
        scenario(
            "statistics-crowded",
            "the same in two queues of eight without indirect tables, so that requests spill, with a sector that fails",
            "queues=2 vectors=3 queue-size=8 indirect=off fail-sector=40000:1",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Statistics { crowded: true };
                scenario.operations = 2_000;
                scenario.cpus = 2;
            },
        ),
        scenario(
            "statistics-copied",
            "the number of those whose data is copied on a device that takes one segment a request",
            "seg-max=1",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Copied;
            },
        ),
        scenario(
            "statistics-refusals",
            "the number of refused commands on a device that knows no request, LOG SENSE among them",
            "lifetime=3 fail-every=1:2",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Refusals;
            },
        ),
        scenario(
            "unusual-requests",
            "requests that Windows sends seldom or never",
            "config-wce=on",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Unusual;
                scenario.operations = 100;
            },
        ),
        scenario(
            "slow-reset",
            "the device asks for resets, and each takes it longer than a processor may be kept, that of the start included",
            "reset-reads=400 needs-reset-every=250 queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::NeedsReset;
                scenario.operations = 1_000;
            },
        ),
        scenario(
            "slowest-reset",
            "the device asks for resets, and one takes it so long that what waits has ended before it is back",
            "slow-reset=4:760 needs-reset-every=250 queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::NeedsReset;
                scenario.operations = 1_000;
            },
        ),
        scenario(
            "needs-reset",
            "the device asks for a reset instead of every hundredth answer",
            "needs-reset-every=100 queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::NeedsReset;
                scenario.operations = 1_000;
            },
        ),
        scenario(
            "storm",
            "the device asks for a reset instead of every answer, until it is given up",
            "needs-reset-every=1 queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::GivenUp;
                scenario.operations = 500;
            },
        ),
        scenario(
            "slow-storm",
            "the same, and each reset takes it longer than a processor may be kept, those of restarts included",
            "needs-reset-every=1 reset-reads=400 queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::GivenUp;
                scenario.operations = 500;
            },
        ),
        scenario(
            "settings",
            "one queue, 16 requests, one interrupt message, as the registry says",
            "queues=4 vectors=5",
            &|scenario| {
                short(scenario);
                scenario.settings = vec![
                    ("QueueCount", 1),
                    ("QueueDepth", 16),
                    ("InterruptMessages", 1),
                ];
                scenario.goal = Goal::Limited(Allowed {
                    depth: 16,
                    channels: 4,
                });
                scenario.operations = 1_000;
            },
        ),
        scenario(
            "settings-out-of-range",
            "registry values that are too small and too large",
            "queues=4 vectors=5",
            &|scenario| {
                short(scenario);
                scenario.settings = vec![
                    ("QueueCount", u32::MAX),
                    ("QueueDepth", 0),
                    ("InterruptMessages", 1000),
                ];
                scenario.goal = Goal::Limited(Allowed {
                    depth: 1,
                    channels: 4,
                });
                scenario.operations = 200;
            },
        ),
        scenario(
            "seg-max-0",
            "seg_max 0, which stands for one segment",
            "seg-max=0",
            &|scenario| {
                short(scenario);
                scenario.operations = 1_000;
            },
        ),
        scenario(
            "packed-in-process",
            "packed rings, where DMA is remapped",
            "packed=on queues=2 vectors=3",
            &short,
        ),
        scenario(
            "host-aware-zones",
            "a zoned disk that takes all writes",
            "zoned=2",
            &|scenario| {
                short(scenario);
                scenario.operations = 1_000;
            },
        ),
    ]
}
