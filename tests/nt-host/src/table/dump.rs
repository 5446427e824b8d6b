//! Machines that stop under load: the dump stack goes on with a second instance of the driver.

use host_storport::DumpMode;

use super::{own, plain, short};
use crate::scenario::{Backend, DumpEnd, DumpPlan, Goal, Qemu, Scenario};

/// All of them.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        dump(
            "dump",
            "a crash under load, and a dump through a second instance",
            "queues=4 vectors=5",
            DumpMode::Crash,
            DumpEnd::Written,
        ),
        dump(
            "dump-line",
            "the same without interrupt messages, indirect tables and event index",
            "queue-size=32 indirect=off event-idx=off vectors=0",
            DumpMode::Crash,
            DumpEnd::Written,
        ),
        dump(
            "dump-by-argument",
            "the same when nothing but HwFindAdapter's argument string says that it is a dump stack",
            "queues=2 vectors=3",
            DumpMode::ByArgument,
            DumpEnd::Written,
        ),
        dump(
            "dump-bounced",
            "the same on a device that takes one segment a request",
            "seg-max=1",
            DumpMode::Crash,
            DumpEnd::Written,
        ),
        dump(
            "hibernate",
            "hibernation, with a request in flight when the machine goes off, and the way back",
            "queues=2 vectors=3",
            DumpMode::Hibernate,
            DumpEnd::Written,
        ),
        dump(
            "dump-silent",
            "a crash because the disk does not answer any more",
            "hang=1000000 hang-after=640 queues=2 vectors=3",
            DumpMode::Crash,
            DumpEnd::Silent,
        ),
        dump(
            "dump-never-stops",
            "a crash with a device that obeys no further reset",
            "queues=2 vectors=3 most-resets=3",
            DumpMode::Crash,
            DumpEnd::Refused,
        ),
        on_qemu(
            "dump-qemu",
            "a crash under load, and a dump to a device of QEMU's",
            "num-queues=4",
            DumpMode::Crash,
        ),
        on_qemu(
            "hibernate-qemu",
            "hibernation and the way back on a device of QEMU's with packed rings",
            "num-queues=2,packed=on",
            DumpMode::Hibernate,
        ),
        // Short enough for an emulated CPU.
        small(dump(
            "arm64-dump",
            "a crash, and a dump through a second instance, on two CPUs",
            "queues=2 vectors=3",
            DumpMode::Crash,
            DumpEnd::Written,
        )),
    ]
}

/// On the device in this process.
fn dump(name: &str, about: &str, properties: &str, mode: DumpMode, end: DumpEnd) -> Scenario {
    own(name, about, properties, &|scenario| {
        stops(scenario, DumpPlan { mode, end });
        scenario.dma_remapping = mode != DumpMode::ByArgument;
    })
}

/// On a device of QEMU's: the dump is read back from the file behind it.
fn on_qemu(name: &str, about: &str, properties: &str, mode: DumpMode) -> Scenario {
    let qemu = Qemu {
        device: format!("virtio-blk-pci,{properties}"),
        ..Qemu::default()
    };
    let mut scenario = plain(name, about, Backend::Qemu(qemu));
    let end = DumpEnd::Written;
    stops(&mut scenario, DumpPlan { mode, end });
    scenario
}

fn stops(scenario: &mut Scenario, plan: DumpPlan) {
    short(scenario);
    scenario.goal = Goal::Dump(plan);
    scenario.operations = 600;
}

fn small(mut scenario: Scenario) -> Scenario {
    scenario.cpus = 2;
    scenario.size = 16 << 20;
    scenario.operations = 100;
    scenario
}
