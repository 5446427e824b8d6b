//! Driver and device on two processors, each asleep whenever it may be: one lost kick or interrupt, and both sleep on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ring_rig::{Device, Mode, Rig, part};
use virtio_core::ring::Armed;

/// Requests of one run.
const REQUESTS: u64 = 4_000;
/// How long nothing may happen before something was lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// A wire from one side to the other, without any ordering of its own.
#[derive(Default)]
struct Line(AtomicBool);

impl Line {
    fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Sleeps until the line is raised; whether it was in time.
    fn wait(&self) -> bool {
        let start = Instant::now();
        let mut spins = 0_u32;
        while !self.0.load(Ordering::Relaxed) {
            core::hint::spin_loop();
            spins += 1;
            if spins.is_multiple_of(256) {
                thread::yield_now();
                if start.elapsed() > PATIENCE {
                    return false;
                }
            }
        }
        self.0.store(false, Ordering::Relaxed);
        true
    }
}

/// The device's thread: takes what is there, asks to be notified, looks once more, sleeps.
fn serve(mut device: Device, kick: &Line, interrupt: &Line) {
    let mut served = 0;
    while served < REQUESTS {
        while let Some(buffer) = device.pop().unwrap() {
            device.push(buffer.id, 8).unwrap();
            served += 1;
            if device.interrupt_due().unwrap() {
                interrupt.raise();
            }
        }
        if served < REQUESTS && !device.request_notification().unwrap() {
            assert!(kick.wait(), "lost kick after {served} requests");
        }
        device.suppress_notification().unwrap();
    }
}

#[test]
#[cfg_attr(miri, ignore = "the two sides race on purpose, as over a bus")]
fn no_kick_and_no_interrupt_is_lost() {
    for mode in Mode::all().into_iter().filter(|mode| !mode.indirect) {
        // With a delayed interrupt, and with one for each.
        for (depth, delayed) in [(1, false), (3, false), (3, true)] {
            let Rig {
                mut driver,
                device,
                memory,
                ..
            } = Rig::new(mode, 8);
            let (kick, interrupt) = (Line::default(), Line::default());
            thread::scope(|scope| {
                scope.spawn(|| serve(device, &kick, &interrupt));
                let (mut added, mut done) = (0, 0);
                while done < REQUESTS {
                    while added < REQUESTS && added - done < depth {
                        let part = part(added, 8);
                        driver.add_direct(added, [part], [part]).unwrap();
                        added += 1;
                    }
                    if driver.publish().needed() {
                        kick.raise();
                    }
                    let armed = if delayed {
                        driver.arm_delayed()
                    } else {
                        driver.arm()
                    };
                    if armed == Armed::Idle {
                        assert!(
                            interrupt.wait(),
                            "{mode:?}: lost interrupt after {done} requests"
                        );
                    }
                    driver.disarm();
                    while driver.completed().unwrap().is_some() {
                        done += 1;
                    }
                }
            });
            // The memory outlives both sides.
            memory.check_guards();
        }
    }
}
