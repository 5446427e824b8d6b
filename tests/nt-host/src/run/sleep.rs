//! The device sleeps in D3 in the middle of a workload, again and again.

use anyhow::{Context, Result, ensure};
use host_storport::{Adapter, Address, Sleep};
use test_device::pci::{self, VirtioRegions};
use test_device::{Device, qemu};

use super::Session;
use crate::workload::Workload;

/// Sleeps, every other one without power.
const SLEEPS: u64 = 8;

impl Session<'_> {
    /// Nothing may fail, as no requester hears of it: "Storport ensures that there are no uncompleted requests" before
    /// ScsiStopAdapter, and keeps what comes then. MS: ne-storport-scsi_adapter_control_type
    pub(super) fn sleep(&mut self, adapter: &Adapter, address: Address) -> Result<()> {
        let between = self.scenario.operations / (SLEEPS + 1);
        // As long as it takes.
        let task = self.task(adapter, u64::MAX, 2)?;
        let workload = Workload::start(adapter, address, self.take_disk()?, task);
        let mut result = Ok(());
        for turn in 1..=SLEEPS {
            result = self
                .until(&workload, workload.finished() + between)
                .and_then(|()| self.sleep_once(adapter, turn))
                .with_context(|| format!("sleep {turn}"));
            if result.is_err() {
                break;
            }
        }
        if result.is_ok() {
            result = self.until(&workload, workload.finished() + between);
        }
        workload.stop();
        let drained = match &result {
            Ok(()) => adapter.drain(self.scenario.deadline),
            // Whatever state it is in.
            Err(_) => Ok(()),
        };
        self.put_back(workload.finish());
        result?;
        drained.context("the workload did not come to its end")
    }

    fn sleep_once(&mut self, adapter: &Adapter, turn: u64) -> Result<()> {
        let sleep = if turn.is_multiple_of(2) {
            Sleep::Cold
        } else {
            Sleep::Hot
        };
        let regions = adapter
            .device(|device| pci::virtio_regions(&mut |at, width| device.config_read(at, width)))
            .context("the device is no modern one")?;
        adapter.stop().context("the adapter was not stopped")?;
        ensure!(
            adapter.outstanding() == 0 && adapter.queued() > 0,
            "{} requests are with the driver and {} wait",
            adapter.outstanding(),
            adapter.queued()
        );
        ensure!(
            answer(adapter, regions),
            "the device is off before it is put to sleep"
        );
        let asleep = adapter.power_down(sleep).context("no way into D3")?;
        let off = !answer(adapter, regions);
        // Not one that ignores its own registers.
        let hollow = sleep == Sleep::Hot && qemu::version()? < qemu::STAYS_ON_BEFORE;
        ensure!(off || hollow, "the device answers in {sleep:?} D3");
        // A line may have another device on it, and a message may be on its way still.
        for message in 0..2 {
            adapter.interrupt(message)?;
        }
        let lost = adapter.power_up(&asleep).context("no way back to D0")?;
        ensure!(
            lost || sleep == Sleep::Hot,
            "a device without power kept its addresses"
        );
        ensure!(answer(adapter, regions), "the device is off in D0");
        self.verdict.notes.push(format!(
            "{sleep:?}: {}, configuration {}, {} requests waited",
            if off { "off" } else { "on" },
            if lost { "lost" } else { "kept" },
            adapter.queued()
        ));
        adapter.restart().context("the adapter was not restarted")
    }
}

/// Whether the registers answer while the function is told to decode addresses: in D3 it must not.
fn answer(adapter: &Adapter, regions: VirtioRegions) -> bool {
    adapter.device(|observed| {
        // Not through the observer, for which this is no driver.
        let device = observed.device();
        let command = device.config_read(pci::COMMAND, 2);
        device.config_write(pci::COMMAND, 2, command | pci::COMMAND_MEMORY);
        let answer = regions.answer(device);
        device.config_write(pci::COMMAND, 2, command);
        answer
    })
}
