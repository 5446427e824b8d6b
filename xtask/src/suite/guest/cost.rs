//! What a driver cost the device: counted in QEMU's trace, judged, and put side by side.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use super::{DISKS, Step, StepResult, Who, Work};

/// Operations of a comparison, as the guest does them.
const OPERATIONS: u64 = 1000;

/// Messages that may have been under way when counting began.
const UNDER_WAY: u64 = 4;

/// QEMU: a queue is looked at because the driver notified it. // QEMU hw/virtio/trace-events
const KICK: &str = "virtio_queue_notify ";

/// QEMU: a queue's messages to the driver. With ioeventfd they take another way, and the second event tells of those that were sent
/// after several had been put together.
const MESSAGES: [&str; 2] = ["virtio_notify ", "virtio_notify_irqfd_deferred_fn "];

/// Counts, since the start or of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations that ended.
    pub operations: u64,
    /// Notifications by the driver that reached the device.
    pub kicks: u64,
    /// Messages that the device sent.
    pub interrupts: u64,
    /// Those of them that arrived in the guest, which counts them itself.
    pub arrived: u64,
}

impl Cost {
    /// What came since then.
    pub fn since(self, before: Cost) -> Cost {
        Cost {
            operations: self.operations,
            kicks: self.kicks.saturating_sub(before.kicks),
            interrupts: self.interrupts.saturating_sub(before.interrupts),
            arrived: self.arrived.saturating_sub(before.arrived),
        }
    }

    /// Nothing is lost, something was counted, and no operation costs more than a kick and a message. How many fewer is nobody's
    /// failure.
    pub fn judge(self, work: Work) -> Result<()> {
        match work {
            Work::Verified => {
                ensure!(self.operations > 0, "no operation ended");
                return Ok(());
            }
            Work::Spoilt(_) => bail!("blocks were changed, and nobody noticed"),
            Work::Compared(..) => {}
        }
        ensure!(
            self.operations == OPERATIONS,
            "{} of {OPERATIONS} operations ended",
            self.operations
        );
        ensure!(
            self.kicks > 0 && self.interrupts > 0 && self.arrived > 0,
            "nothing went through the device: {self:?}"
        );
        ensure!(
            self.kicks <= self.operations,
            "{} kicks for {} operations",
            self.kicks,
            self.operations
        );
        ensure!(
            self.interrupts <= self.operations,
            "{} interrupts for {} operations",
            self.interrupts,
            self.operations
        );
        ensure!(
            self.arrived <= self.interrupts + UNDER_WAY,
            "the device sent {} messages, and {} arrived",
            self.interrupts,
            self.arrived
        );
        Ok(())
    }

    fn each(self, count: u64) -> String {
        format!("{:.3}", count as f64 / self.operations as f64)
    }
}

/// The file in which QEMU tells of notifications.
pub struct Trace(PathBuf);

impl Trace {
    /// In this file.
    pub fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// What makes QEMU write it.
    pub fn arguments(&self) -> Vec<String> {
        let file = self.0.display().to_string();
        [
            "-trace",
            "virtio_queue_notify",
            "-trace",
            "virtio_notify*",
            "-D",
            &file,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Counts since QEMU started.
    pub fn count(&self, arrived: u64) -> Result<Cost> {
        let text = fs::read_to_string(&self.0).context("QEMU's trace")?;
        Ok(count(&text, arrived))
    }
}

fn count(trace: &str, arrived: u64) -> Cost {
    let lines = |event: &str| trace.lines().filter(|line| line.starts_with(event)).count() as u64;
    Cost {
        operations: 0,
        kicks: lines(KICK),
        interrupts: MESSAGES.into_iter().map(lines).sum(),
        arrived,
    }
}

/// What the two drivers cost, side by side, as a table in Markdown.
pub fn table(found: &[(Step, StepResult)]) -> String {
    let mut lines = vec![
        "| kicks reach the device | in flight | kicks, vioblk.sys | kicks, Linux | interrupts, vioblk.sys | interrupts, Linux | arrived, vioblk.sys | arrived, Linux |".to_owned(),
        "|---|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for (step, ours) in found {
        let Work::Compared(Who::Vioblk, depth) = step.work else {
            continue;
        };
        let other = Step {
            work: Work::Compared(Who::Linux, depth),
            ..*step
        };
        let theirs = found.iter().find(|(step, _)| *step == other);
        let both = [Some(ours), theirs.map(|(_, result)| result)];
        let cell = |count: fn(Cost) -> u64| {
            both.map(|result| match result {
                Some(Ok(cost)) => cost.each(count(*cost)),
                _ => "failed".to_owned(),
            })
            .join(" | ")
        };
        lines.push(format!(
            "| {} | {depth} | {} | {} | {} |",
            DISKS[step.disk].what,
            cell(|cost| cost.kicks),
            cell(|cost| cost.interrupts),
            cell(|cost| cost.arrived)
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests;
