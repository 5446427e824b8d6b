//! The same thing again and again, with data verified throughout.

use anyhow::{Context, Result, bail};
use test_device::inproc::{Lie, What};

use super::plan::{Act, Judgement, Plan, SIZE, Step, parse};

/// Cycles of one plan.
pub const AT_ONCE: u64 = 20;

/// What is repeated.
pub const KINDS: [&str; 5] = ["restart", "power", "vanish", "reset", "resize"];

/// The plan `KIND:SEED`: [`AT_ONCE`] cycles of KIND, or one for a kind that can be had once only.
pub fn plan(text: &str) -> Result<Plan> {
    let (kind, seed) = text.split_once(':').context("cycle:KIND:SEED")?;
    let seed: u64 = seed.parse()?;
    let mut plan = Plan {
        seed,
        device: parse("queues=2 vectors=3 discard=2048:4:8"),
        steps: Vec::new(),
        judgement: Judgement::Reset,
        ..Plan::whole_life()
    };
    let work = |acts: &[Act]| Step::Work(12, acts.to_vec());
    for _ in 0..AT_ONCE {
        match kind {
            "restart" => plan.steps.extend([work(&[]), Step::Restart(None)]),
            "power" => plan.steps.extend([work(&[]), Step::Sleep]),
            "reset" => plan.steps.push(work(&[Act::ResetBus, Act::ResetUnit])),
            "resize" => plan.steps.push(work(&[])),
            "vanish" => {
                // One device vanishes once.
                plan.steps = vec![work(&[]), Step::Vanish(1 + seed % 40)];
                return Ok(plan);
            }
            _ => bail!("there are no cycles of {kind:?}, but of {KINDS:?}"),
        }
    }
    if kind == "power" {
        plan.device.extend(parse("power=on"));
    }
    if kind == "resize" {
        // Larger and back, while the workload stays where the disk always is.
        let sectors = SIZE / 512;
        plan.lies = (0..AT_ONCE)
            .map(|turn| Lie {
                what: What::Grow(sectors + 64 * ((turn + 1) % 2)),
                at: 11 * (turn + 1) + seed % 7,
                times: 1,
            })
            .collect();
    }
    Ok(plan)
}
