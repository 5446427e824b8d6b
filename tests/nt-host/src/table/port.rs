//! Devices behind a root port: they sleep in D3, with their power and without, and one is taken out.

use super::{plain, short};
use crate::scenario::{Backend, Goal, Qemu, Scenario};

/// All of them.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        sleep(
            "sleep",
            "D3 under load, with and without power",
            "num-queues=2",
        ),
        sleep(
            "sleep-line",
            "the same with packed rings and the interrupt line",
            "packed=on,vectors=0",
        ),
        unplugged(),
    ]
}

fn sleep(name: &str, about: &str, properties: &str) -> Scenario {
    let mut scenario = behind_port(name, about, properties, Goal::Sleep);
    short(&mut scenario);
    scenario.operations = 1_800;
    scenario
}

fn unplugged() -> Scenario {
    let about = "the device is taken out of its slot under load";
    let mut scenario = behind_port("unplugged", about, "num-queues=2", Goal::Vanish);
    scenario.operations = 2_000;
    scenario
}

fn behind_port(name: &str, about: &str, properties: &str, goal: Goal) -> Scenario {
    let qemu = Qemu {
        device: format!("virtio-blk-pci,{properties}"),
        behind_port: true,
        ..Qemu::default()
    };
    let mut scenario = plain(name, about, Backend::Qemu(qemu));
    scenario.goal = goal;
    scenario
}
