//! Devices that sleep in D3, with their power and without.

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
    ]
}

fn sleep(name: &str, about: &str, properties: &str) -> Scenario {
    let qemu = Qemu {
        device: format!("virtio-blk-pci,{properties}"),
        behind_port: true,
        ..Qemu::default()
    };
    let mut scenario = plain(name, about, Backend::Qemu(qemu));
    short(&mut scenario);
    scenario.goal = Goal::Sleep;
    scenario.operations = 1_800;
    scenario
}
