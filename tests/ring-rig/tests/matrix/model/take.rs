//! The driver takes buffers back and asks for interrupts, and the model knows what it has to find.

use ring_rig::Rig;
use virtio_core::ring::{Armed, QueueError, Taken};

use super::{Model, Step, Until};

/// The queue was closed just now, by what a device said that lies.
fn closed_once(rig: &Rig, before: Option<QueueError>, error: QueueError, honest: bool) {
    assert!(!honest, "an honest device was taken for a liar: {error}");
    assert_eq!(
        (before, rig.driver.closed()),
        (None, Some(error)),
        "reported twice"
    );
}

pub(super) fn complete(rig: &mut Rig, model: &mut Model, honest: bool) -> usize {
    let before = rig.driver.closed();
    let done = rig.completed();
    match done {
        Err(error) => {
            closed_once(rig, before, error, honest);
            return 1;
        }
        Ok(done) if honest => {
            let want = model
                .used
                .pop_front()
                .map(|(token, _, written)| (token, written));
            assert_eq!(done, want, "{:?}", rig.mode);
            // Taking buffers moves the mark that the driver waits for.
            if done.is_some() {
                model.sleeps = None;
            }
        }
        Ok(_) => {}
    }
    0
}

pub(super) fn take_all(
    rig: &mut Rig,
    model: &mut Model,
    (budget, most, alone): (u32, usize, bool),
    honest: bool,
) -> usize {
    let before = rig.driver.closed();
    let (done, ended) = rig.take_all(budget, most, alone);
    let ended = match ended {
        Err(error) => {
            closed_once(rig, before, error, honest);
            return 1;
        }
        Ok(ended) => ended,
    };
    if !honest {
        return 0;
    }
    let limit = budget as usize;
    let used = model.used.len();
    let taken = used.min(limit).min(most);
    let want: Vec<_> = model.used.drain(..taken).collect();
    let want: Vec<_> = want
        .into_iter()
        .map(|(token, _, written)| (token, written))
        .collect();
    assert_eq!(done, want, "{:?}", rig.mode);
    let stopped = Taken::Stopped {
        by: (),
        left: budget.wrapping_sub(taken as u32),
    };
    let want = match taken {
        _ if taken == most => stopped,
        // The look that finds nothing counts, too.
        _ if taken == limit => Taken::OverBudget,
        _ => Taken::Idle,
    };
    assert_eq!(ended, want, "{:?}", rig.mode);
    match ended {
        Taken::Idle => model.sleeps = Some(Until::Next),
        // Taking buffers moves the mark that the driver waits for.
        _ if taken > 0 => model.sleeps = None,
        _ => {}
    }
    0
}

pub(super) fn arm(rig: &mut Rig, model: &mut Model, step: &Step, honest: bool) {
    let delayed = matches!(step, Step::ArmDelayed);
    let armed = if delayed {
        rig.driver.arm_delayed()
    } else {
        rig.driver.arm()
    };
    if !honest {
        return;
    }
    if !delayed {
        assert_eq!(
            armed == Armed::Idle,
            model.used.is_empty(),
            "{:?}",
            rig.mode
        );
    }
    let waiting = model.waiting();
    model.sleeps = match armed {
        Armed::WorkPending => {
            assert!(!model.used.is_empty(), "{:?}: woken for nothing", rig.mode);
            None
        }
        Armed::Idle if !delayed => Some(Until::Next),
        // All that it waits for is used already: it must not sleep, unless nothing was in flight.
        Armed::Idle if waiting.is_empty() => {
            assert!(
                model.used.is_empty(),
                "{:?}: it sleeps though all is used",
                rig.mode
            );
            Some(Until::Next)
        }
        Armed::Idle => Some(Until::All(waiting)),
    };
}
