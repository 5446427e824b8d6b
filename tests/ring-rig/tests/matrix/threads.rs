//! Driver and device on two processors, each asleep whenever it may be: one lost kick or interrupt, and both sleep on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ring_device::Memory;
use ring_rig::{Device, GuestMemory, Mode, Rig, part};
use virtio_core::ring::{Armed, Queue};

/// Requests of one run.
const REQUESTS: u64 = 2_000;
/// How long nothing may happen before something was lost.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// The liar's thread: writes over the ring, mostly what a device might write, until it is told to stop.
fn scribble(memory: &GuestMemory, start: u64, len: u64, seed: u64, started: &Line, stop: &Line) {
    /// Ids, indices, flags of either lap with and without WRITE, and nonsense.
    const VALUES: [u16; 12] = [
        0, 1, 2, 3, 4, 7, 0x80, 0x8000, 0x8080, 0x8082, 0x0200, 0xffff,
    ];
    let mut state = seed | 1;
    for written in 0_u64.. {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = start + state % len / 2 * 2;
        let value = VALUES[(state >> 32) as usize % VALUES.len()];
        memory.store_u16(at, value).unwrap();
        if written == 100 {
            started.raise();
        }
        if stop.0.load(Ordering::Relaxed) {
            break;
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "the two sides race on purpose, as over a bus")]
fn memory_that_changes_while_it_is_read_loses_no_token() {
    let mut closed = 0;
    for (seed, mode) in (1..).zip(Mode::judged()) {
        let mut rig = Rig::new(mode, 8);
        let len = Queue::<u64>::layout(8, mode.features()).unwrap().len() as u64;
        let start = rig.driver.addresses().descriptor.get();
        let memory = rig.memory.clone();
        let mut token = 0;
        for round in 0..20 {
            let (started, stop) = (Line::default(), Line::default());
            let seed = ((seed << 8) | round) << 20;
            thread::scope(|scope| {
                scope.spawn(|| scribble(&memory, start, len, seed, &started, &stop));
                assert!(started.wait(), "the liar does not start");
                // The rig asserts that no token comes back that was not in the queue.
                for _ in 0..2_000 {
                    let _ = rig.add(token, &[part(1, 16)], &[part(2, 512)]);
                    token += 1;
                    let _ = rig.driver.publish();
                    let _ = rig.driver.arm();
                    if rig.completed().is_err() {
                        closed += 1;
                        break;
                    }
                }
                stop.raise();
            });
            // And here that none is missing.
            rig.rebuild(mode, 8);
        }
        let _ = rig.end();
    }
    assert!(closed > 0, "no lie was ever seen");
}
