//! The root port that a device may be put behind: there QEMU gives it PCI power management, and a slot whose power can be switched.

use anyhow::{Context, ensure};

use super::{Place, Qemu};
use crate::{Device as _, pci};

/// Before this version of QEMU a device in D3hot answers as in D0: the state is a number in PMCSR and nothing else.
pub const STAYS_ON_BEFORE: (u32, u32) = (10, 0);

/// Where the port is.
const PORT: Place = Place { bus: 0, slot: 3 };
/// The only place behind it.
pub(super) const DEVICE: Place = Place { bus: 1, slot: 0 };
/// What memory windows are aligned to and consist of. // PCI-to-PCI Bridge 1.2 §3.2.5
pub(super) const WINDOW: u64 = 1 << 20;

/// Primary, secondary and subordinate bus number. // PCI-to-PCI Bridge 1.2 §3.2.5
const BUSES: u16 = 0x18;
/// Memory base and limit.
const MEMORY: u16 = 0x20;
/// Slot control, in the PCI Express capability. // PCI Express 3.0 §7.8.10
const SLOT_CONTROL: u16 = 0x18;
/// Slot control, power controller control: the power is off.
const POWER_OFF: u32 = 1 << 10;
/// Slot control, power indicator control: off.
const INDICATOR_OFF: u32 = 3 << 8;
/// Slot status.
const SLOT_STATUS: u16 = 0x1a;
/// Slot status, presence detect state: there is a card in the slot. // PCI Express 3.0 §7.8.11
const PRESENT: u32 = 1 << 6;

/// QEMU's name for the port's bus.
pub(super) const BUS_NAME: &str = "behind";

/// The value of `-device`.
pub(super) fn option() -> String {
    let Place { slot, .. } = PORT;
    format!("pcie-root-port,id={BUS_NAME},bus=pcie.0,addr={slot},chassis=1,slot=1")
}

impl Qemu {
    /// The I/O APIC input of the device's INTA#. A port hands it on as its own: the device behind it is number 0.
    /// // PCI-to-PCI Bridge 1.2 §9.1
    pub(super) fn input(&self) -> u32 {
        if self.place == DEVICE {
            return PORT.line();
        }
        self.place.line()
    }

    /// Gives the port's bus its number.
    pub(super) fn number_bus(&mut self) {
        let bus = u32::from(DEVICE.bus);
        self.function_write(PORT, BUSES, 4, bus << 16 | bus << 8);
    }

    /// Has the port pass memory accesses between these addresses, and DMA.
    pub(super) fn open_window(&mut self, start: u64, end: u64) {
        let last = end.next_multiple_of(WINDOW) - WINDOW;
        let window = (last >> 16) << 16 | start >> 16;
        self.function_write(PORT, MEMORY, 4, window as u32);
        let on = pci::COMMAND_MEMORY | pci::COMMAND_MASTER;
        self.function_write(PORT, pci::COMMAND, 2, on);
    }

    /// Switches the power of the slot.
    pub(super) fn switch_slot(&mut self, on: bool) -> anyhow::Result<()> {
        let at = self.express()? + SLOT_CONTROL;
        let old = self.function_read(PORT, at, 2);
        let new = if on {
            old & !POWER_OFF
        } else {
            old | POWER_OFF
        };
        self.function_write(PORT, at, 2, new);
        let now = self.function_read(PORT, at, 2);
        ensure!(
            now & POWER_OFF == new & POWER_OFF,
            "the root port has no power controller"
        );
        Ok(())
    }

    /// Has QEMU take the device out of the slot, as it does at the end of `device_del`: when power and power indicator are off.
    pub(super) fn eject(&mut self) -> anyhow::Result<()> {
        let express = self.express()?;
        let old = self.function_read(PORT, express + SLOT_CONTROL, 2);
        let off = old | POWER_OFF | INDICATOR_OFF;
        self.function_write(PORT, express + SLOT_CONTROL, 2, off);
        let status = self.function_read(PORT, express + SLOT_STATUS, 2);
        ensure!(
            status & PRESENT == 0 && self.config_read(0, 4) == u32::MAX,
            "QEMU did not take the device out of its slot"
        );
        Ok(())
    }

    /// Where the port's PCI Express capability is.
    fn express(&mut self) -> anyhow::Result<u16> {
        let mut config = |offset, width| self.function_read(PORT, offset, width);
        pci::capability(&mut config, pci::CAP_EXPRESS)
            .context("QEMU's root port has no PCI Express capability")
    }
}
