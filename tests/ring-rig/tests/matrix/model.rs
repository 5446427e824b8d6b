//! Random histories against a model: an honest device gets and gives exactly what the model says, a lying one loses nothing.

use std::collections::VecDeque;

use proptest::prelude::*;
use ring_device::Buffer;
use ring_rig::{Mode, Rig, part};
use virtio_core::ring::{AddError, Queue};

mod take;
use take::{arm, complete, take_all};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Add {
        readable: usize,
        writable: usize,
    },
    Publish,
    /// The device takes one chain.
    Pop,
    /// The device uses the chain at this place of those that it holds, or with IN_ORDER the oldest.
    Finish {
        which: usize,
        written: u32,
    },
    /// With IN_ORDER the device uses so many at once.
    FinishBatch {
        count: usize,
        written: u32,
    },
    Complete,
    /// All that an interrupt takes, up to a budget, or until so many buffers were taken.
    TakeAll {
        budget: u32,
        most: usize,
        alone: bool,
    },
    Arm,
    ArmDelayed,
    Disarm,
    Listen,
    Mute,
    /// The device is stopped, the queue drained and set up again in this mode and size.
    Rebuild {
        mode: usize,
        size: usize,
    },
    /// A lying device writes this somewhere in the ring.
    Scribble {
        at: u64,
        value: u16,
    },
    /// A lying device uses what it likes.
    Invent {
        id: u16,
        written: u32,
        ahead: u16,
    },
}

fn honest() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..5_usize, 0..5_usize).prop_map(|(readable, writable)| Step::Add { readable, writable }),
        4 => Just(Step::Publish),
        6 => Just(Step::Pop),
        5 => (any::<usize>(), any::<u32>()).prop_map(|(which, written)| Step::Finish { which, written }),
        2 => (1..6_usize, any::<u32>()).prop_map(|(count, written)| Step::FinishBatch { count, written }),
        6 => Just(Step::Complete),
        3 => (0..6_u32, 1..5_usize, any::<bool>()).prop_map(|(budget, most, alone)| Step::TakeAll { budget, most, alone }),
        2 => Just(Step::Arm),
        2 => Just(Step::ArmDelayed),
        1 => Just(Step::Disarm),
        1 => Just(Step::Listen),
        1 => Just(Step::Mute),
    ]
}

fn rebuilding() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => honest(),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(mode, size)| Step::Rebuild { mode, size }),
    ]
}

fn lying() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => rebuilding(),
        2 => (0..1024_u64, any::<u16>()).prop_map(|(at, value)| Step::Scribble { at, value }),
        1 => (0..20_u16, 0..2000_u32, 0..4_u16)
            .prop_map(|(id, written, ahead)| Step::Invent { id, written, ahead }),
    ]
}

/// Small sizes, where positions meet soon.
const SIZES: [u16; 7] = [1, 2, 3, 4, 5, 7, 8];

/// Any mode with a size that it allows.
fn pick(mode: usize, size: usize) -> (Mode, u16) {
    let modes = Mode::judged();
    let mode = modes[mode % modes.len()];
    let size = SIZES[size % SIZES.len()];
    (
        mode,
        if mode.packed {
            size
        } else {
            size.next_power_of_two()
        },
    )
}

/// What the ring has to be like.
#[derive(Default)]
struct Model {
    /// Token, descriptors taken, bytes that may be written.
    added: VecDeque<(u64, u16, u32)>,
    published: VecDeque<(u64, u16, u32)>,
    /// In the device's hands.
    held: VecDeque<(Buffer, (u64, u16, u32))>,
    /// Used and not yet taken: token, descriptors, bytes written.
    used: VecDeque<(u64, u16, u32)>,
    /// The driver sleeps.
    sleeps: Option<Until>,
}

/// When a sleeping driver has to have been woken.
enum Until {
    /// At the next used buffer.
    Next,
    /// When all of these are used.
    All(Vec<u64>),
}

impl Model {
    fn descriptors(&self) -> u16 {
        let held = self.held.iter().map(|(_, chain)| chain);
        let all = self.added.iter().chain(&self.published).chain(held);
        all.chain(&self.used).map(|chain| chain.1).sum()
    }

    fn in_flight(&self) -> usize {
        self.published.len() + self.held.len() + self.used.len()
    }

    /// Tokens that are published and not used.
    fn waiting(&self) -> Vec<u64> {
        let held = self.held.iter().map(|(_, chain)| chain);
        self.published
            .iter()
            .chain(held)
            .map(|chain| chain.0)
            .collect()
    }

    /// The device has used the chain held at `which`.
    fn finish(&mut self, which: usize, written: u32) {
        if let Some((_, (token, count, _))) = self.held.remove(which) {
            self.used.push_back((token, count, written));
        }
    }
}

/// Runs a history; returns how often a queue was closed on the way.
fn run(first: (usize, usize), steps: &[Step], honest: bool) -> usize {
    let (mode, size) = pick(first.0, first.1);
    let mut rig = Rig::new(mode, 8);
    rig.rebuild(mode, size);
    let mut model = Model::default();
    let (mut next, mut closed) = (0, 0);
    for step in steps {
        match *step {
            Step::Rebuild { mode, size } => {
                let (mode, size) = pick(mode, size);
                rig.rebuild(mode, size);
                model = Model::default();
            }
            Step::Add { readable, writable } => {
                add(&mut rig, &mut model, next, readable, writable, honest);
                next += 1;
            }
            Step::Publish if honest => {
                let any = !model.added.is_empty();
                let kick = rig.publish();
                assert!(any || !kick, "a kick for nothing");
                model.published.append(&mut model.added);
            }
            Step::Publish => {
                let _ = rig.driver.publish();
            }
            Step::Pop => pop(&mut rig, &mut model, honest),
            Step::Finish { which, written } if !model.held.is_empty() => {
                let which = if rig.mode.in_order {
                    0
                } else {
                    which % model.held.len()
                };
                let (id, room) = (model.held[which].0.id, model.held[which].1.2);
                let written = written % (room + 1);
                if rig.device.push(id, written).is_ok() || honest {
                    model.finish(which, written);
                }
                wake(&mut rig, &mut model, honest);
            }
            Step::FinishBatch { count, written } if rig.mode.in_order && !model.held.is_empty() => {
                let last = count.min(model.held.len()) - 1;
                let written = written % (model.held[last].1.2 + 1);
                let used = rig.device.push_batch(model.held[last].0.id, written);
                assert!(used.is_ok() || !honest, "{used:?}");
                for at in 0..=last {
                    let room = model.held[0].1.2;
                    model.finish(0, if at == last { written } else { room });
                }
                wake(&mut rig, &mut model, honest);
            }
            Step::Finish { .. } | Step::FinishBatch { .. } => {}
            Step::Complete => closed += complete(&mut rig, &mut model, honest),
            Step::TakeAll {
                budget,
                most,
                alone,
            } => {
                closed += take_all(&mut rig, &mut model, (budget, most, alone), honest);
            }
            Step::Arm | Step::ArmDelayed => arm(&mut rig, &mut model, step, honest),
            Step::Disarm => {
                rig.driver.disarm();
                model.sleeps = None;
            }
            Step::Listen => {
                let pending = rig.device.request_notification();
                if honest {
                    assert_eq!(pending, Ok(!model.published.is_empty()));
                }
            }
            Step::Mute => rig.device.suppress_notification().unwrap(),
            Step::Scribble { at, value } => {
                let layout = Queue::<u64>::layout(rig.size(), rig.mode.features()).unwrap();
                let (start, len) = (rig.driver.addresses().descriptor.get(), layout.len() as u64);
                rig.poke16(start + at % len / 2 * 2, value);
            }
            Step::Invent { id, written, ahead } => invent(&rig, id, written, ahead),
        }
        assert!(rig.driver.free() <= rig.size());
        if honest {
            assert_eq!(
                rig.driver.free(),
                rig.size() - model.descriptors(),
                "{:?}",
                rig.mode
            );
            assert_eq!(
                usize::from(rig.driver.in_flight()),
                model.in_flight(),
                "{:?}",
                rig.mode
            );
        }
    }
    if honest {
        settle(&mut rig, &mut model);
    }
    let _ = rig.end();
    closed
}

fn add(
    rig: &mut Rig,
    model: &mut Model,
    token: u64,
    readable: usize,
    writable: usize,
    honest: bool,
) {
    let parts: Vec<_> = (0..readable + writable)
        .map(|n| part(token + n as u64, 64))
        .collect();
    let free = rig.driver.free();
    let added = rig.add(token, &parts[..readable], &parts[readable..]);
    if let Err(rejected) = &added {
        assert_eq!((rejected.token, rig.driver.free()), (token, free));
    }
    if !honest {
        return;
    }
    let count = if rig.mode.indirect { 1 } else { parts.len() };
    let want = if parts.is_empty() {
        Err(AddError::EmptyChain)
    } else if parts.len() > usize::from(rig.size()) {
        Err(AddError::ChainTooLong {
            parts: parts.len(),
            max: rig.size(),
        })
    } else if count > usize::from(free) {
        Err(AddError::Full)
    } else {
        Ok(())
    };
    assert_eq!(
        added.map_err(|rejected| rejected.error),
        want,
        "{:?}",
        rig.mode
    );
    if want.is_ok() {
        model
            .added
            .push_back((token, count as u16, 64 * writable as u32));
    }
}

fn pop(rig: &mut Rig, model: &mut Model, honest: bool) {
    if !honest {
        // What a lie has done to the ring is not the driver's fault.
        if let Ok(Some(buffer)) = rig.device.pop() {
            let room = u32::try_from(buffer.writable_bytes()).unwrap_or(0);
            model.held.push_back((buffer, (0, 0, room)));
        }
        return;
    }
    let buffer = rig.pop();
    assert_eq!(
        buffer.is_some(),
        !model.published.is_empty(),
        "{:?}",
        rig.mode
    );
    if let (Some(buffer), Some(chain)) = (buffer, model.published.pop_front()) {
        assert_eq!(buffer.parts[0].address, part(chain.0, 1).address.get());
        assert_eq!(buffer.writable_bytes(), u64::from(chain.2));
        model.held.push_back((buffer, chain));
    }
}

/// The device decides about an interrupt; a driver that sleeps must be woken in time.
fn wake(rig: &mut Rig, model: &mut Model, honest: bool) {
    let due = rig.device.interrupt_due();
    if !honest {
        return;
    }
    let due = due.unwrap();
    if due {
        model.sleeps = None;
    }
    let lost = match &model.sleeps {
        None => false,
        Some(Until::Next) => true,
        Some(Until::All(tokens)) => {
            let waiting = model.waiting();
            tokens.iter().all(|token| !waiting.contains(token))
        }
    };
    assert!(!lost, "{:?}: lost interrupt", rig.mode);
}

/// Uses any id where the device stands or a little ahead, with any length.
fn invent(rig: &Rig, id: u16, written: u32, ahead: u16) {
    match rig.device.queue() {
        ring_device::Queue::Packed(queue) => {
            let (place, wrap) = queue.next_used();
            let place = place + ahead;
            let wrap = wrap == (place < rig.size());
            let flags = ring_device::Packed::used_flags(wrap) | (2 * (id % 2));
            queue
                .write_used(&rig.memory, place, id, written, flags)
                .unwrap();
        }
        ring_device::Queue::Split(queue) => {
            let at = queue.used_address(queue.next_used());
            rig.poke(at, &u32::from(id).to_le_bytes());
            rig.poke(at + 4, &written.to_le_bytes());
            rig.poke16(
                queue.used_idx_address(),
                queue.next_used().wrapping_add(ahead),
            );
        }
    }
}

/// The device finishes everything, and everything is free again.
fn settle(rig: &mut Rig, model: &mut Model) {
    let _ = rig.publish();
    model.published.append(&mut model.added);
    while !model.published.is_empty() {
        pop(rig, model, true);
    }
    while let Some((buffer, _)) = model.held.front() {
        rig.finish(buffer.id, 0);
        model.finish(0, 0);
    }
    while !model.used.is_empty() {
        complete(rig, model, true);
    }
    assert_eq!(rig.completed(), Ok(None));
    assert!(rig.inside().is_empty());
    assert_eq!((rig.driver.free(), rig.driver.in_flight()), (rig.size(), 0));
}

/// Histories; fewer where each step is interpreted.
const CASES: u32 = if cfg!(miri) { 6 } else { 3000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn honest_device_gets_and_gives_everything(
        first in any::<(usize, usize)>(),
        steps in prop::collection::vec(rebuilding(), 0..300),
    ) {
        prop_assert_eq!(run(first, &steps, true), 0);
    }

    #[test]
    fn lying_device_loses_no_token(
        first in any::<(usize, usize)>(),
        steps in prop::collection::vec(lying(), 0..300),
    ) {
        run(first, &steps, false);
    }
}

#[test]
fn lie_closes_the_queue_and_the_next_one_works() {
    // Without this the property above could hold because no lie ever matters.
    let count = Mode::judged().len();
    for mode in 0..count {
        let mut steps = Vec::new();
        for mode in [mode, mode + 3] {
            // Where the driver looks next: in a split ring that takes the index as well.
            let ahead = u16::from(!pick(mode, 6).0.packed);
            let (id, written) = (19, 0);
            steps.extend([
                Step::Rebuild { mode, size: 6 },
                Step::Add {
                    readable: 1,
                    writable: 1,
                },
                Step::Publish,
                Step::Invent { id, written, ahead },
                Step::Complete,
                Step::Complete,
            ]);
        }
        assert_eq!(run((0, 6), &steps, false), 2);
    }
}
