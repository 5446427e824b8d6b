//! The bus driver's part of a sleep: the function goes to D3 by its own PCI registers, perhaps loses its power, and comes back.
//!
//! MS: "PCI power management and device drivers". Turning a device off: its driver is done with it ([`crate::control::stop`]), then the
//! PCI driver saves the configuration, disables interrupts and BARs, and writes D3 to the power management registers. Turning it on: the
//! PCI driver writes D0 and restores the configuration, then the device's driver goes on ([`crate::control::restart`]). MS: "Device
//! Low-Power States": power may be taken from a device in D3hot without its driver being told; what it knew is the driver's to restore.

use test_device::{Device, pci};

use crate::adapter::Failure;
use crate::interrupt;
use crate::state::{AdapterState, Phase};

/// How deep a function sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleep {
    /// D3hot: with power.
    Hot,
    /// D3cold: without.
    Cold,
}

/// A function in D3, with what the bus driver saved of it.
#[derive(Debug)]
pub struct Asleep {
    sleep: Sleep,
    /// PMCSR.
    control: u16,
    /// Register, bytes and value.
    saved: Vec<(u16, u8, u32)>,
}

/// Cache line size and what follows it; BARs; interrupt line. COMMAND comes last, when the BARs are right. // PCI 3.0 §6.1
const HEADER: [u16; 8] = [0x0c, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x3c];

fn wrong(what: impl Into<String>) -> Failure {
    Failure::State(what.into())
}

/// Puts the function of a stopped adapter to sleep.
pub fn down(adapter: &AdapterState, sleep: Sleep) -> Result<Asleep, Failure> {
    if adapter.phase.get() != Phase::Stopped {
        return Err(wrong("not stopped: its function has to stay in D0"));
    }
    let mut device = adapter.device.borrow_mut();
    let mut config = |offset, width| device.config_read(offset, width);
    let power = pci::capability(&mut config, pci::CAP_POWER)
        .ok_or_else(|| wrong("on a function without PCI power management"))?;
    let control = power + pci::POWER_CONTROL;
    let express = pci::capability(&mut config, pci::CAP_EXPRESS);
    let links = [pci::EXPRESS_DEVICE_CONTROL, pci::EXPRESS_LINK_CONTROL];
    let saved = HEADER
        .map(|at| (at, 4))
        .into_iter()
        .chain(
            express
                .into_iter()
                .flat_map(|at| links.map(|link| (at + link, 2))),
        )
        .chain([(pci::COMMAND, 2)])
        .map(|(at, width)| (at, width, config(at, width)))
        .collect();
    device.disable_interrupts();
    device.config_write(pci::COMMAND, 2, 0);
    set_state(&mut *device, control, pci::POWER_STATE)?;
    if sleep == Sleep::Cold {
        device
            .set_power(false)
            .map_err(|error| wrong(format!("not to be switched off: {error:#}")))?;
    }
    Ok(Asleep {
        sleep,
        control,
        saved,
    })
}

/// Wakes it up. Whether it had lost its configuration.
pub fn up(adapter: &AdapterState, asleep: &Asleep) -> Result<bool, Failure> {
    let lost = {
        let mut device = adapter.device.borrow_mut();
        if asleep.sleep == Sleep::Cold {
            device
                .set_power(true)
                .map_err(|error| wrong(format!("not to be switched on: {error:#}")))?;
        }
        set_state(&mut *device, asleep.control, 0)?;
        let bars = |at: u16| (pci::BAR0..pci::BAR0 + 24).contains(&at);
        let mut lost = false;
        for &(at, width, value) in &asleep.saved {
            lost |= bars(at) && device.config_read(at, width) != value;
            device.config_write(at, width, value);
        }
        lost
    };
    let messages = interrupt::route(adapter).map_err(|error| wrong(format!("{error:#}")))?;
    let before = adapter.config().map_or(0, |config| config.limits.messages);
    if messages != before {
        return Err(wrong(format!(
            "with {messages} interrupt messages where it had {before}"
        )));
    }
    Ok(lost)
}

/// Writes a state to PMCSR, and sees it there.
fn set_state(device: &mut dyn Device, control: u16, state: u32) -> Result<(), Failure> {
    let old = device.config_read(control, 2);
    let kept = old & !(pci::POWER_STATE | pci::POWER_EVENT);
    device.config_write(control, 2, kept | state);
    let now = device.config_read(control, 2) & pci::POWER_STATE;
    if now != state {
        return Err(wrong(format!("in D{now}, not in D{state}")));
    }
    Ok(())
}
