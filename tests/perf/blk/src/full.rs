//! What becomes of requests when a queue is full: another queue, then the backlog, and only then a busy adapter.

use std::path::Path;

use anyhow::{Result, ensure};
use test_device::inproc::scripted::Shape;

use crate::rig::{Rig, SECTORS, Tally};

const SHAPE: Shape = Shape {
    queues: 2,
    queue_size: 16,
    packed: false,
    indirect: true,
    sectors: SECTORS,
};

/// One processor sends more than its queue holds: the rest goes to the other queue.
pub fn spills(sys: &Path, packed: bool) -> Result<()> {
    let mut rig = Rig::start(Shape { packed, ..SHAPE }, sys)?;
    let most = rig.adapter.limits()?.max_number_of_io;
    ensure!(
        most == 32,
        "{most} requests are allowed, two queues hold 32"
    );
    for number in 0..most {
        rig.submit(0, number % 2 == 1, 1);
    }
    rig.settle(0)?;
    let held = rig.script.take();
    ensure!(held == [16, 16], "the queues hold {held:?}, not 16 each");
    never_busy(&rig.tally())?;
    rig.complete_all();
    rig.settle(most)?;
    rig.end()
}

/// Requests take more descriptors than was thought, so that both queues are full with one of them: the rest waits in the driver.
pub fn waits(sys: &Path, packed: bool) -> Result<()> {
    let shape = Shape {
        packed,
        indirect: false,
        ..SHAPE
    };
    let mut rig = Rig::start(shape, sys)?;
    let most = rig.adapter.limits()?.max_number_of_io;
    ensure!(
        most == 8,
        "{most} requests are allowed, not one for four descriptors"
    );
    for number in 0..most {
        // Header, eight pages, status.
        rig.submit(0, number % 2 == 1, 8);
    }
    rig.settle(0)?;
    let held = rig.script.take();
    ensure!(
        held == [1, 1],
        "the queues hold {held:?}, there is room for one each"
    );
    never_busy(&rig.tally())?;
    for _ in 0..most {
        if rig.finished() == most {
            break;
        }
        let finished = rig.finished();
        let done: usize = rig
            .script
            .take()
            .into_iter()
            .enumerate()
            .map(|(queue, held)| rig.script.complete(queue, held))
            .sum();
        ensure!(done > 0, "the device has nothing, {finished} are finished");
        rig.settle(finished + done as u32)?;
    }
    ensure!(rig.finished() == most, "{} are finished", rig.finished());
    never_busy(&rig.tally())?;
    rig.end()
}

fn never_busy(tally: &Tally) -> Result<()> {
    let busy = tally.calls.keys().find(|name| name.contains("Busy"));
    ensure!(busy.is_none(), "the driver called {busy:?}");
    Ok(())
}
