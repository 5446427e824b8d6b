//! A plan: a device with faults, calls that fail, and what is done with the disk meanwhile. Its name says all of it.

use std::fmt;

use anyhow::{Context, Result, bail};
use host_ntos::inject::Fault;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use test_device::inproc::{Lie, RING_LIES, What};

use super::cycles;

/// Bytes of the disk.
pub const SIZE: u64 = 1 << 20;

/// What is done with the adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many operations, and these acts while they are under way.
    Work(u64, Vec<Act>),
    /// One of each command that is no transfer.
    Commands,
    /// ScsiStopAdapter and ScsiRestartAdapter, with an interrupt in between if there is one.
    Restart(Option<u16>),
    /// The units go to D3 and come back to D0, and with `power=on` the function does too.
    Sleep,
    /// The device is taken away under load of so many operations. The last step.
    Vanish(u64),
}

/// What happens under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// HwResetBus.
    ResetBus,
    /// SRB_FUNCTION_RESET_LOGICAL_UNIT.
    ResetUnit,
    /// An interrupt that the device did not raise.
    Interrupt(u16),
    /// A scan of the bus.
    Rescan,
}

/// How strictly a plan is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Requests may fail if they say so properly.
    Anything,
    /// Only the requests whose calls failed may fail: so many.
    AtMost(u64),
    /// Requests that a reset cut off may fail.
    Reset,
    /// As the row of the hostile table says.
    Row(super::rows::Verdict),
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it is called on the command line.
    pub name: String,
    /// Of every choice.
    pub seed: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Properties of the device, without its lies.
    pub device: Vec<(String, String)>,
    /// Whether DMA is remapped: the device's addresses are others than the physical ones.
    pub remapped: bool,
    /// Its lies.
    pub lies: Vec<Lie>,
    /// Calls that fail.
    pub calls: Vec<Fault>,
    /// What is done.
    pub steps: Vec<Step>,
    /// How it is judged.
    pub judgement: Judgement,
}

impl Plan {
    /// The plan of this name: `plan:SEED`, `pair:SEED`, `call:FUNCTION:N`, `access:LIE:N`, `shared:LIE:N` (the same with
    /// one interrupt message for all, which comes at each register access), `again:LIE:N` (at some later ones, too), `line:LIE:N` (with a line interrupt of
    /// which StorPort does not say that it is one), `cycle:KIND:SEED`, `cpus:CPUS:QUEUES:VECTORS`,
    /// `field:OFFSET:VALUE:N` or `row:ID`; and `packed:NAME`, the same on packed rings. The ring of a `plan` or `pair` is a matter of chance, and whether its
    /// DMA is remapped.
    ///
    /// # Errors
    /// There is no such plan.
    pub fn named(name: &str) -> Result<Self> {
        let (kind, rest) = name.split_once(':').context("a plan is called KIND:…")?;
        let mut plan = match kind {
            "plan" => Self::random(rest.parse()?).any_ring().any_dma(),
            "pair" => Self::pair(rest.parse()?)?.any_ring().any_dma(),
            "packed" => match rest.split_once(':') {
                Some(("plan", seed)) => Self::random(seed.parse()?).packed().any_dma(),
                Some(("pair", seed)) => Self::pair(seed.parse()?)?.packed().any_dma(),
                Some(("row", id)) => super::rows::packed(id)?,
                // Short rings, so that both laps are seen.
                _ => {
                    let mut plan = Self::named(rest)?.packed();
                    plan.device.extend(parse("queue-size=24"));
                    plan
                }
            },
            "call" => {
                let (call, nth) = rest.split_once(':').context("call:FUNCTION:N")?;
                let fault = Fault {
                    call: call.to_owned(),
                    nth: nth.parse()?,
                };
                Self::calls(vec![fault])
            }
            "access" | "shared" | "again" | "line" => {
                let (lie, nth) = rest.split_once(':').context("access:LIE:N")?;
                let mut plan = Self::whole_life();
                plan.lies = vec![Lie::parse(&format!("{lie}@{nth}"))?];
                match kind {
                    "shared" => {
                        plan.device.extend(parse("vectors=1"));
                        plan.lies.push(Lie::parse("interrupt=0@1x0")?);
                    }
                    // While the first is being dealt with.
                    "again" => {
                        let then = nth.parse::<u64>()? + 9;
                        plan.lies.push(Lie::parse(&format!("{lie}@{then}x5"))?);
                    }
                    "line" => {
                        plan.device.extend(parse("vectors=0 reset-reads=3"));
                        plan.calls.push(Fault {
                            call: "GetMessageInterruptInformation".to_owned(),
                            nth: 1,
                        });
                    }
                    _ => {}
                }
                plan
            }
            "cycle" => cycles::plan(rest)?,
            "cpus" => {
                let numbers: Vec<&str> = rest.split(':').collect();
                let [cpus, queues, vectors] = numbers[..] else {
                    bail!("cpus:CPUS:QUEUES:VECTORS");
                };
                Self::processors(cpus.parse()?, queues, vectors)
            }
            "row" => super::rows::plan(rest)?,
            "field" => super::fields::plan(rest)?,
            _ => bail!("no plans are called {kind:?}"),
        };
        name.clone_into(&mut plan.name);
        Ok(plan)
    }

    /// Everything that an adapter lives through, in short, on a device that does it all.
    pub fn whole_life() -> Self {
        let properties = "queues=2 vectors=3 discard=2048:4:8 write-zeroes=2048:2:1 lifetime=3 config-wce=on pace=8";
        Self {
            name: String::new(),
            seed: 1,
            cpus: 2,
            device: parse(properties),
            remapped: false,
            lies: Vec::new(),
            calls: Vec::new(),
            steps: vec![
                Step::Work(16, vec![]),
                Step::Commands,
                Step::Work(8, vec![Act::ResetBus]),
                Step::Restart(None),
                Step::Sleep,
                Step::Work(8, vec![Act::ResetUnit]),
            ],
            judgement: Judgement::Anything,
        }
    }

    /// The whole life with failing calls.
    pub fn calls(calls: Vec<Fault>) -> Self {
        Self {
            judgement: Judgement::AtMost(calls.len() as u64),
            calls,
            ..Self::whole_life()
        }
    }

    /// Two calls that fail, at random.
    fn pair(seed: u64) -> Result<Self> {
        let known = super::enumerate::calls()?;
        let mut random = Dice::new(seed);
        let calls = (0..2)
            .filter_map(|_| {
                known
                    .get(random.below(known.len() as u64) as usize)
                    .cloned()
            })
            .collect();
        let mut plan = Self::calls(calls);
        plan.seed = seed;
        Ok(plan)
    }

    /// The same on packed rings, with their forms of the lies.
    #[must_use]
    pub fn packed(mut self) -> Self {
        self.device.extend(parse("packed=on"));
        for lie in &mut self.lies {
            if let What::Ring(what) = &mut lie.what {
                *what = what.packed();
            }
        }
        self
    }

    /// On rings of one or the other kind, by a dice of its own: all else of a seed is what it was when there were split ones only.
    fn any_ring(self) -> Self {
        let mut dice = Dice::new(self.seed ^ 0x7ac_0ed0_0000_0000);
        if dice.below(2) == 0 {
            return self;
        }
        let mut plan = self.packed();
        let size = plan.device.iter_mut().find(|(key, _)| key == "queue-size");
        // Only a split ring's has to be a power of two. // Virtio 1.3 §2.8.10.1
        if let Some((_, size)) = size.filter(|_| dice.below(3) == 0) {
            *size = size.parse().map_or(0, |size: u32| size - 1).to_string();
        }
        if dice.below(4) == 0 {
            plan.device.extend(parse("in-order=on"));
        }
        plan
    }

    /// On a machine that remaps DMA, or on one that does not, by a dice of its own as well.
    fn any_dma(mut self) -> Self {
        let mut dice = Dice::new(self.seed ^ 0xd3a_0000_0000_0000);
        if dice.below(2) == 0 {
            self.remapped = true;
            // Only such a device uses translated addresses. // Virtio 1.3 §6.1
            self.device.extend(parse("access-platform=on"));
        }
        self
    }

    fn processors(cpus: u32, queues: &str, vectors: &str) -> Self {
        let device = parse(&format!("queues={queues} vectors={vectors}"));
        Self {
            cpus,
            device,
            steps: vec![
                Step::Work(100, vec![Act::ResetBus]),
                Step::Restart(None),
                Step::Work(100, vec![Act::Interrupt(0), Act::ResetUnit]),
            ],
            judgement: Judgement::Reset,
            ..Self::whole_life()
        }
    }

    /// A random plan.
    fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut plan = Self::whole_life();
        plan.seed = seed;
        plan.cpus = dice.one(&[1, 2, 2, 3, 4, 64]);
        plan.device = device(&mut dice);
        plan.lies = (0..dice.below(4)).map(|_| lie(&mut dice)).collect();
        if dice.below(3) == 0 {
            let call = dice.one(&super::enumerate::NAMES);
            let nth = 1 + dice.below(dice_bound(call));
            plan.calls.push(Fault {
                call: call.to_owned(),
                nth,
            });
        }
        plan.steps = (0..1 + dice.below(4)).map(|_| step(&mut dice)).collect();
        if dice.below(4) == 0 {
            plan.steps.push(Step::Vanish(1 + dice.below(30)));
        }
        let mut dice = Dice::new(seed ^ 0xca11_0000_0000_0000);
        if dice.below(8) == 0 {
            let call = dice.one(&super::enumerate::MORE_NAMES).to_owned();
            let nth = 1 + dice.below(8);
            plan.calls.push(Fault { call, nth });
        }
        plan
    }
}

/// Most calls of a function after which one still comes in a short life.
fn dice_bound(call: &str) -> u64 {
    if [
        "GetPhysicalAddress",
        "ScatterGather",
        "PerformanceParameters",
    ]
    .iter()
    .any(|often| call.contains(often))
    {
        60
    } else {
        4
    }
}

fn device(dice: &mut Dice) -> Vec<(String, String)> {
    let queues = dice.one(&[1, 1, 2, 3, 4, 8]);
    let vectors = dice.one(&[0, 1, 2, 3, queues + 1]);
    let size = dice.one(&[4, 8, 16, 64, 128, 256]);
    let mut text = format!("queues={queues} vectors={vectors} queue-size={size}");
    let mut maybe = |one_in, property: &str| {
        if dice.below(one_in) == 0 {
            text.push(' ');
            text.push_str(property);
        }
    };
    maybe(3, "event-idx=off");
    maybe(3, "indirect=off");
    maybe(4, "flush=off");
    maybe(3, "config-wce=on");
    maybe(3, "discard=2048:4:8");
    maybe(3, "write-zeroes=64:2:1");
    maybe(3, "lifetime=7");
    maybe(6, "size-max=4096");
    maybe(6, "seg-max=2");
    maybe(8, "read-only=on");
    maybe(8, "fail-every=7");
    maybe(8, "hang=2");
    maybe(8, "needs-reset-every=9");
    maybe(8, "reset-reads=3");
    let pace = dice.one(&[1, 4, 16]);
    text.push_str(&format!(" pace={pace}"));
    parse(&text)
}

fn lie(dice: &mut Dice) -> Lie {
    let access = 1 + dice.below(300);
    let vector = dice.below(5) as u16;
    let (what, at) = match dice.below(16) {
        0 => (What::Vanish, access),
        1 => (What::NeedsReset, access),
        2..5 => (What::Interrupt(vector), access),
        5 => (
            What::Resize(dice.one(&[0, 1, 2048, 4096, u64::MAX])),
            access,
        ),
        6 => (What::Generation, 1 + dice.below(20)),
        7 => {
            let register = dice.one(&[0x04, 0x0c, 0x10, 0x12, 0x14, 0x15, 0x18, 0x1a, 0x1c, 0x1e]);
            let any = dice.next();
            let value = dice.one(&[0, 1, 0x40, 0x80, 0xff, 0xffff, 0xffff_ffff, any]);
            (What::Common(register, value), 1 + dice.below(12))
        }
        8 => {
            let any = dice.next() as u8;
            let value = dice.one(&[0, 1, 0xff, any]);
            (What::Field(dice.below(96), value), 1 + dice.below(3))
        }
        _ => {
            let (_, lie) = RING_LIES[dice.below(RING_LIES.len() as u64) as usize];
            (What::Ring(lie), 1 + dice.below(60))
        }
    };
    let times = dice.one(&[1, 1, 1, 2, 5, 0]);
    // A device that vanished, or that is another one each time, stays so; interrupts for ever would be all that happens.
    let times = match what {
        What::Interrupt(_) | What::NeedsReset | What::Resize(_) => times.clamp(1, 5),
        _ => times,
    };
    Lie { what, at, times }
}

fn step(dice: &mut Dice) -> Step {
    let operations = 1 + dice.below(30);
    match dice.below(10) {
        0..6 => {
            let acts = (0..dice.below(3))
                .map(|_| match dice.below(4) {
                    0 => Act::ResetBus,
                    1 => Act::ResetUnit,
                    2 => Act::Interrupt(dice.below(5) as u16),
                    _ => Act::Rescan,
                })
                .collect();
            Step::Work(operations, acts)
        }
        6 => Step::Commands,
        7 => Step::Sleep,
        8 => Step::Restart(Some(dice.below(5) as u16)),
        _ => Step::Restart(None),
    }
}

/// Random numbers from a seed.
struct Dice(Pcg64Mcg);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed ^ 0x50a4_0000_0000))
    }

    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// `key=value` pairs between spaces.
pub fn parse(properties: &str) -> Vec<(String, String)> {
    properties
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} CPUs;", self.name, self.cpus)?;
        for (key, value) in &self.device {
            write!(f, " {key}={value}")?;
        }
        if self.remapped {
            write!(f, " (DMA is remapped)")?;
        }
        for lie in &self.lies {
            write!(f, " lie={lie}")?;
        }
        for fault in &self.calls {
            write!(f, "; {} fails at call {}", fault.call, fault.nth)?;
        }
        write!(f, "; {:?}", self.steps)
    }
}

#[cfg(test)]
mod tests;
