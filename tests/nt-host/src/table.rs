//! The scenarios that every driver has to pass.

use std::time::Duration;

use crate::cdb::Form;
use crate::commands::Abilities;
use crate::scenario::{Backend, Goal, Qemu, Scenario};

mod dump;
mod features;
mod port;
mod provoke;

pub use provoke::{provoke, provoke_dump};

/// Which kind of virtio device the driver is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// virtio-blk.
    Blk,
    /// virtio-scsi with one disk.
    Scsi,
}

/// Operations of a full workload.
const OPERATIONS: u64 = 20_000;
/// Bytes of its disk.
const SIZE: u64 = 128 << 20;
/// The longest operation.
const MOST: usize = 1 << 20;
/// Requests in flight at most.
const DEPTH: usize = 64;

/// A scenario with the full workload, to be changed.
#[must_use]
pub fn plain(name: &str, about: &str, backend: Backend) -> Scenario {
    Scenario {
        name: name.to_owned(),
        about: about.to_owned(),
        backend,
        goal: Goal::Move,
        cpus: 4,
        block: 512,
        size: SIZE,
        operations: OPERATIONS,
        most: MOST,
        depth: DEPTH,
        forms: vec![Form::Ten, Form::Sixteen],
        dma_remapping: false,
        settings: Vec::new(),
        slot: host_storport::AdapterOptions::default().slot,
        deadline: Duration::from_secs(240),
    }
}

/// The whole table for one kind of device.
#[must_use]
pub fn scenarios(kind: Kind) -> Vec<Scenario> {
    let mut all = qemu(kind);
    if kind == Kind::Blk {
        all.extend(in_process());
        all.extend(features::scenarios());
        all.extend(dump::scenarios());
        all.extend(port::scenarios());
        all.extend(refused());
    }
    all
}

/// On QEMU's devices.
fn qemu(kind: Kind) -> Vec<Scenario> {
    // The same configuration is spelt differently for the two kinds.
    let device = |properties: &str| match kind {
        Kind::Blk => format!("virtio-blk-pci{properties}"),
        Kind::Scsi => format!("virtio-scsi-pci{properties}")
            .replace("num-queues", "num_queues")
            .replace("queue-size", "virtqueue_size"),
    };
    let scenario = |name: &str, about: &str, properties: &str| {
        let qemu = Qemu {
            device: device(properties),
            ..Qemu::default()
        };
        plain(name, about, Backend::Qemu(qemu))
    };
    let changed = |mut scenario: Scenario, change: &dyn Fn(&mut Scenario, &mut Qemu)| {
        let mut backend = scenario.backend.clone();
        if let Backend::Qemu(qemu) = &mut backend {
            change(&mut scenario, qemu);
        }
        scenario.backend = backend;
        scenario
    };
    let ring_format = |name, about, properties| {
        changed(scenario(name, about, properties), &|scenario, _| {
            short(scenario);
        })
    };
    let iommu = |name, about, dma_remapping| {
        let base = scenario(name, about, ",disable-legacy=on,iommu_platform=on");
        changed(base, &|scenario, qemu| {
            scenario.dma_remapping = dma_remapping;
            qemu.iommu = true;
        })
    };
    vec![
        scenario("defaults", "a transitional device as QEMU makes it", ""),
        scenario("modern", "disable-legacy=on", ",disable-legacy=on"),
        iommu(
            "iommu-opted-in",
            "iommu_platform=on behind intel-iommu, DMA is remapped",
            true,
        ),
        iommu("iommu-opted-out", "the same, DMA is not remapped", false),
        changed(
            scenario("queues-1", "num-queues=1", ",num-queues=1"),
            &|scenario, _| scenario.cpus = 1,
        ),
        scenario("queues-4", "num-queues=4", ",num-queues=4"),
        // Windows cuts each operation into seven requests, so that a quarter of them is still more requests than elsewhere.
        changed(
            scenario("queue-size-8", "queue-size=8", ",queue-size=8"),
            &|scenario, _| scenario.operations = OPERATIONS / 4,
        ),
        scenario("queue-size-128", "queue-size=128", ",queue-size=128"),
        scenario(
            "queue-size-1024",
            "queue-size=1024, so seg_max is 1022",
            ",queue-size=1024",
        ),
        scenario("no-event-idx", "event_idx=off", ",event_idx=off"),
        scenario("no-indirect", "indirect_desc=off", ",indirect_desc=off"),
        changed(
            scenario("block-4096", "logical_block_size=4096", ""),
            &|scenario, qemu| {
                let size = "logical_block_size=4096,physical_block_size=4096";
                scenario.block = 4096;
                match kind {
                    Kind::Blk => qemu.device = format!("{},{size}", qemu.device),
                    Kind::Scsi => size.clone_into(&mut qemu.disk),
                }
            },
        ),
        changed(
            scenario(
                "read-only",
                "a read-only image: each write fails with DATA PROTECT",
                "",
            ),
            &|_, qemu| qemu.read_only = true,
        ),
        scenario("no-msix", "vectors=0: the interrupt line", ",vectors=0"),
        scenario(
            "vectors-2",
            "two vectors for four queues",
            ",num-queues=4,vectors=2",
        ),
        changed(
            scenario(
                "blkdebug",
                "10,000 operations on an image that fails in many places",
                ",num-queues=2",
            ),
            &|scenario, qemu| {
                qemu.bad_sectors = 400;
                // Merged requests would fail together, also those that touch no bad sector.
                if kind == Kind::Blk {
                    qemu.device += ",request-merging=off";
                }
                scenario.operations = 10_000;
                scenario.size = 16 << 20;
                scenario.most = 64 << 10;
            },
        ),
        ring_format("packed", "packed=on", ",packed=on"),
        ring_format(
            "packed-direct",
            "packed=on, indirect_desc=off, in_order=on, which the driver need not take",
            ",packed=on,indirect_desc=off,in_order=on",
        ),
        changed(
            scenario(
                "commands",
                "every command but plain reads and writes",
                ",num-queues=2",
            ),
            &|scenario, _| {
                if kind == Kind::Blk {
                    // What QEMU's virtio-blk offers unless told otherwise.
                    scenario.goal = Goal::Commands(Abilities {
                        discard: true,
                        discarded: None,
                        zeroes: Some(true),
                        cache_mode: true,
                        wear: None,
                        bad: None,
                        serial: "",
                    });
                }
                scenario.operations = 500;
                scenario.size = 32 << 20;
            },
        ),
        changed(
            scenario("reset", "bus resets under load", ",num-queues=2"),
            &|scenario, _| {
                scenario.goal = Goal::Reset;
                scenario.operations = 4_000;
            },
        ),
        changed(
            scenario("removed", "the device vanishes under load", ",num-queues=2"),
            &|scenario, _| {
                scenario.goal = Goal::Vanish;
                scenario.operations = 2_000;
            },
        ),
    ]
}

/// A scenario on the device in this process. Its DMA is remapped unless `change` says otherwise, so that no address of memory is one
/// for the device.
fn own(name: &str, about: &str, properties: &str, change: &dyn Fn(&mut Scenario)) -> Scenario {
    let mut scenario = plain(name, about, Backend::InProcess(Vec::new()));
    scenario.dma_remapping = true;
    change(&mut scenario);
    let mut properties = parse(properties);
    if scenario.dma_remapping {
        // Virtio 1.3 §6.1: only such a device uses translated addresses.
        properties.extend(parse("access-platform=on"));
    }
    scenario.backend = Backend::InProcess(properties);
    scenario
}

/// A workload on a device that knows memory by its physical addresses.
fn physical(scenario: &mut Scenario) {
    short(scenario);
    scenario.dma_remapping = false;
}

/// A shorter workload than the usual one.
fn short(scenario: &mut Scenario) {
    scenario.operations = OPERATIONS / 4;
    scenario.most = 128 << 10;
    scenario.size = 32 << 20;
}

/// On the device in this process, for what QEMU cannot present.
fn in_process() -> Vec<Scenario> {
    let scenario = own;
    let full = |_: &mut Scenario| ();
    vec![
        scenario(
            "size-max",
            "segments of 8 KiB at most",
            "size-max=8192 queues=2 vectors=3",
            &full,
        ),
        scenario(
            "size-max-odd",
            "segments of 5000 bytes at most: less than two pages, and no whole sector",
            "size-max=5000",
            &short,
        ),
        scenario(
            "size-max-4095",
            "segments of a byte less than eight blocks",
            "size-max=4095",
            &|scenario| {
                short(scenario);
                scenario.operations = 1_000;
            },
        ),
        scenario(
            "size-max-0",
            "SIZE_MAX offered without a limit, as qemu-storage-daemon does",
            "size-max=0",
            &short,
        ),
        scenario(
            "seg-max-1",
            "one segment a request",
            "seg-max=1",
            &|scenario| {
                short(scenario);
                // Six requests each.
                scenario.operations = OPERATIONS / 4;
            },
        ),
        scenario(
            "seg-max-1022",
            "1022 segments a request, queue of 1024",
            "seg-max=1022 queue-size=1024 queues=4 vectors=5",
            &full,
        ),
        scenario(
            "no-seg-max",
            "neither SEG_MAX nor SIZE_MAX offered",
            "seg-max=none blk-size=none",
            &full,
        ),
        scenario(
            "no-flush",
            "no FLUSH: a write-through disk",
            "flush=off",
            &short,
        ),
        scenario(
            "wide",
            "64 CPUs, 64 queues, a vector each",
            "queues=64 vectors=65",
            &|scenario| {
                scenario.cpus = 64;
                physical(scenario);
            },
        ),
        scenario(
            "bare",
            "tiny queue, no indirect, no event index, the line",
            "queue-size=4 indirect=off event-idx=off vectors=0",
            &physical,
        ),
        scenario(
            "every-form",
            "READ and WRITE in their 6, 10, 12 and 16-byte forms",
            "",
            &|scenario| {
                physical(scenario);
                scenario.forms = vec![Form::Six, Form::Ten, Form::Twelve, Form::Sixteen];
            },
        ),
        scenario(
            "device-errors",
            "some sectors end in IOERR, some in UNSUPP",
            &failing(),
            &|scenario| {
                short(scenario);
                scenario.operations = 10_000;
            },
        ),
        scenario(
            "repeat",
            "a second run from the same seed is identical",
            "queues=4 vectors=5",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Repeat;
                scenario.operations = 4_000;
            },
        ),
        scenario(
            "reset-in-process",
            "bus resets under load",
            "queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Reset;
                scenario.operations = 4_000;
            },
        ),
        scenario(
            "removed-in-process",
            "the device vanishes under load",
            "queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::Vanish;
                scenario.operations = 2_000;
            },
        ),
        scenario(
            "removed-told",
            "a port driver tells by requests alone that the adapter is gone, and later that the device is",
            "queues=2 vectors=3",
            &|scenario| {
                short(scenario);
                scenario.goal = Goal::VanishTold;
                scenario.operations = 2_000;
            },
        ),
        scenario("empty", "capacity 0", "capacity=0", &|scenario| {
            scenario.goal = Goal::Empty;
            scenario.size = 0;
        }),
        scenario(
            "arm64",
            "the short run that fits an emulated CPU",
            "queues=2 vectors=3",
            &|scenario| {
                scenario.operations = 1_000;
                scenario.size = 16 << 20;
                scenario.cpus = 2;
                scenario.most = 256 << 10;
            },
        ),
    ]
}

/// Two queues and 64 failing sectors over 32 MiB, every fourth with UNSUPP.
fn failing() -> String {
    let sectors = (0..64).map(|at| {
        format!(
            "fail-sector={}:{}",
            at * 1009 + 13,
            if at % 4 == 0 { 2 } else { 1 }
        )
    });
    ["queues=2".to_owned(), "vectors=3".to_owned()]
        .into_iter()
        .chain(sectors)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Devices that have to be refused.
fn refused() -> Vec<Scenario> {
    let broken = [
        ("blk-size-0", "block size 0", "blk-size=0"),
        ("blk-size-3", "block size 3", "blk-size=3"),
        ("blk-size-1m", "block size 1 MiB", "blk-size=1048576"),
        (
            "host-managed-zones",
            "zones that take sequential writes only",
            "zoned=1",
        ),
        (
            "not-modern",
            "a modern device without VERSION_1",
            "version-1=off",
        ),
        (
            "features-refused",
            "FEATURES_OK does not stay set",
            "refuse-features=on",
        ),
        (
            "remapped",
            "no ACCESS_PLATFORM, and the system remaps the device's DMA",
            "",
        ),
        (
            "never-resets",
            "the status never reads 0 after a reset",
            "reset-reads=none",
        ),
        (
            "never-resets-again",
            "the status never reads 0 after the reset of HwInitialize, which waits above DISPATCH_LEVEL",
            "most-resets=2",
        ),
        ("no-queue", "a queue of size 0", "queue-size=0"),
    ];
    broken
        .into_iter()
        .map(|(name, about, properties)| {
            let backend = Backend::InProcess(parse(properties));
            let mut scenario = plain(&format!("refuse-{name}"), about, backend);
            scenario.dma_remapping = name == "remapped";
            scenario.goal = Goal::Refuse;
            scenario.size = 1 << 20;
            scenario.cpus = 2;
            scenario
        })
        .collect()
}

/// `key=value` pairs between spaces.
fn parse(properties: &str) -> Vec<(String, String)> {
    properties
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests;
