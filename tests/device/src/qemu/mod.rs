//! A real virtio device: QEMU run as a device server and driven over its qtest socket.
//!
//! The machine's only CPU is parked in a `hlt` loop, so nothing but the driver under test touches the device. Guest
//! memory is the file behind [`host_machine::ram::Ram`], shared with QEMU. Debian's QEMU has no qtest accelerator, but the qtest socket works
//! with TCG as well.

pub(crate) mod builder;
mod doorbell;
mod port;
pub(crate) mod process;
mod qtest;
#[cfg(test)]
mod tests;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

pub use self::builder::{Builder, InjectedError, Operation};
use self::doorbell::Doorbell;
pub use self::port::STAYS_ON_BEFORE;
pub use self::process::{HAS_IN_ORDER, OLDEST, version};
use self::qtest::Session;
use crate::{Bar, BarKind, Device, InterruptMode, Interrupts, all_ones, pci};

/// Where PCIEXBAR puts configuration space.
const ECAM: u64 = 0xb000_0000;
/// Where memory BARs are assigned, below the chipset's registers at 4 GiB − 20 MiB.
const MEMORY_BARS: u64 = 0xe000_0000;
/// Where I/O BARs are assigned, above every port of the chipset.
const IO_BARS: u64 = 0xc000;
/// The device under test, unless it is behind a port.
const DEVICE: Place = Place { bus: 0, slot: 4 };
/// The ivshmem device.
const DOORBELL: Place = Place { bus: 0, slot: 5 };
/// More RAM would be split around the hole below 4 GiB and no longer be linear in its file.
const MOST_RAM: usize = 2 << 30;

/// Where a function 0 is in the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    bus: u8,
    slot: u8,
}

impl Place {
    /// The I/O APIC input of its INTA#, on bus 0: q35 routes pin p of slot s below 25 to input 16 + 4 + (s + p) mod 4.
    const fn line(self) -> u32 {
        16 + 4 + (self.slot as u32) % 4
    }
}

/// A device in a running QEMU.
pub struct Qemu {
    place: Place,
    session: Session,
    doorbell: Doorbell,
    doorbell_address: u64,
    bars: Vec<Bar>,
    msix: Option<pci::Msix>,
    line: bool,
    intercepted: bool,
    failure: Option<String>,
    removed: bool,
}

impl Qemu {
    fn set_up(mut session: Session, doorbell: Doorbell, behind_port: bool) -> anyhow::Result<Self> {
        // PCIEXBAR of the q35 host bridge: base, 256 MiB, enabled. // Intel 3 Series datasheet, register 60h
        for (register, value) in [(0x64u64, 0), (0x60, ECAM | 1)] {
            session.ask(&format!("outl 0xcf8 {:#x}", 0x8000_0000 | register))?;
            session.ask(&format!("outl 0xcfc {value:#x}"))?;
        }
        doorbell.watch(session.as_fd())?;
        let mut qemu = Self {
            place: if behind_port { port::DEVICE } else { DEVICE },
            session,
            doorbell,
            doorbell_address: 0,
            bars: Vec::new(),
            msix: None,
            line: false,
            intercepted: false,
            failure: None,
            removed: false,
        };
        let mut next = (MEMORY_BARS, IO_BARS);
        let theirs = qemu.assign_bars(DOORBELL, &mut next);
        if behind_port {
            qemu.number_bus();
            next.0 = next.0.next_multiple_of(port::WINDOW);
        }
        let start = next.0;
        qemu.bars = qemu.assign_bars(qemu.place, &mut next);
        if behind_port {
            qemu.open_window(start, next.0);
        }
        qemu.msix = pci::msix(&mut |offset, width| qemu.config_read(offset, width));
        qemu.doorbell_address = pci::bar(&theirs, 0)
            .context("QEMU's ivshmem-doorbell has no BAR 0")?
            .address
            + doorbell::REGISTER;
        qemu.function_write(DOORBELL, pci::COMMAND, 2, pci::COMMAND_MEMORY);
        match qemu.failure.take() {
            None => Ok(qemu),
            Some(failure) => Err(anyhow::Error::msg(failure)),
        }
    }

    /// Sizes and assigns every BAR of a function.
    fn assign_bars(&mut self, place: Place, next: &mut (u64, u64)) -> Vec<Bar> {
        let mut bars = Vec::new();
        let mut index = 0;
        while index < 6 {
            let at = pci::BAR0 + 4 * u16::from(index);
            let mut size = |at| {
                self.function_write(place, at, 4, u32::MAX);
                self.function_read(place, at, 4)
            };
            let low = size(at);
            let high = if low & 7 == 4 { size(at + 4) } else { 0 };
            let Some((kind, len, wide)) = pci::decode_bar(low, high) else {
                index += 1;
                continue;
            };
            let next = match kind {
                BarKind::Memory => &mut next.0,
                BarKind::Io => &mut next.1,
            };
            let address = next.next_multiple_of(len);
            *next = address + len;
            self.function_write(place, at, 4, address as u32);
            if wide {
                self.function_write(place, at + 4, 4, (address >> 32) as u32);
            }
            bars.push(Bar {
                index,
                kind,
                address,
                len,
            });
            index += if wide { 2 } else { 1 };
        }
        bars
    }

    /// Asks for a number; all ones once anything has gone wrong, which [`Device::poll`] reports.
    fn ask(&mut self, command: &str, width: u8) -> u64 {
        if self.removed || self.failure.is_some() {
            return all_ones(width);
        }
        match self.session.value(command) {
            Ok(value) => value & all_ones(width),
            Err(error) => {
                self.failure = Some(format!("{error:#}"));
                all_ones(width)
            }
        }
    }

    fn post(&mut self, command: &str) {
        if self.removed || self.failure.is_some() {
            return;
        }
        if let Err(error) = self.session.post(command) {
            self.failure = Some(format!("{error:#}"));
        }
    }

    fn function_read(&mut self, place: Place, offset: u16, width: u8) -> u32 {
        let address = configuration(place, offset);
        self.ask(&format!("read{} {address:#x}", suffix(width)), width) as u32
    }

    fn function_write(&mut self, place: Place, offset: u16, width: u8, value: u32) {
        let address = configuration(place, offset);
        self.post(&format!("write{} {address:#x} {value:#x}", suffix(width)));
    }

    fn command(&mut self, set: u32, clear: u32) {
        let command = self.config_read(pci::COMMAND, 2);
        self.config_write(pci::COMMAND, 2, (command | set) & !clear);
    }

    /// A failure since the last call, as an error.
    fn check(&mut self) -> anyhow::Result<()> {
        match &self.failure {
            Some(failure) if !self.removed => Err(anyhow::Error::msg(failure.clone())),
            _ => Ok(()),
        }
    }

    /// What QEMU has said on its error output so far: warnings, and why it calls the guest broken.
    pub fn messages(&mut self) -> String {
        self.session.last_words()
    }
}

/// Where configuration space shows a register.
fn configuration(place: Place, offset: u16) -> u64 {
    ECAM + (u64::from(place.bus) << 20) + (u64::from(place.slot) << 15) + u64::from(offset)
}

/// The letter that qtest and string instructions name a width by.
fn suffix(width: u8) -> char {
    match width {
        1 => 'b',
        2 => 'w',
        4 => 'l',
        _ => 'q',
    }
}

impl Device for Qemu {
    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        self.function_read(self.place, offset, width)
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        self.function_write(self.place, offset, width, value);
    }

    fn bars(&self) -> Vec<Bar> {
        self.bars.clone()
    }

    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        let Some(bar) = pci::bar(&self.bars, bar) else {
            return all_ones(width);
        };
        let address = bar.address + offset;
        let letter = suffix(width);
        match bar.kind {
            BarKind::Memory => self.ask(&format!("read{letter} {address:#x}"), width),
            BarKind::Io => self.ask(&format!("in{letter} {address:#x}"), width),
        }
    }

    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        let Some(bar) = pci::bar(&self.bars, bar) else {
            return;
        };
        let address = bar.address + offset;
        let letter = suffix(width);
        match bar.kind {
            BarKind::Memory => self.post(&format!("write{letter} {address:#x} {value:#x}")),
            BarKind::Io => self.post(&format!("out{letter} {address:#x} {value:#x}")),
        }
    }

    fn msix_vectors(&self) -> u16 {
        self.msix.map_or(0, |msix| msix.vectors)
    }

    fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()> {
        self.doorbell.clear()?;
        let on = pci::COMMAND_IO | pci::COMMAND_MEMORY | pci::COMMAND_MASTER;
        match mode {
            InterruptMode::Messages(count) => {
                let msix = self.msix.context("the device has no MSI-X capability")?;
                ensure!(
                    count <= msix.vectors && count <= self.doorbell.vectors(),
                    "{count} messages asked for, the device has {} and {} are wired",
                    msix.vectors,
                    self.doorbell.vectors()
                );
                self.command(on | pci::COMMAND_INTX_DISABLE, 0);
                self.config_write(
                    msix.capability + 2,
                    2,
                    pci::MSIX_ENABLE | pci::MSIX_MASK_ALL,
                );
                for vector in 0..msix.vectors {
                    let entry = msix.table.offset + u64::from(vector) * 16;
                    let (address, data, mask) = if vector < count {
                        (self.doorbell_address, doorbell::value(vector), 0)
                    } else {
                        (0, 0, 1)
                    };
                    self.write(msix.table.bar, entry, 4, address & 0xffff_ffff);
                    self.write(msix.table.bar, entry + 4, 4, address >> 32);
                    self.write(msix.table.bar, entry + 8, 4, data.into());
                    self.write(msix.table.bar, entry + 12, 4, mask);
                }
                self.config_write(msix.capability + 2, 2, pci::MSIX_ENABLE);
            }
            InterruptMode::Line => {
                if let Some(msix) = self.msix {
                    self.config_write(msix.capability + 2, 2, 0);
                }
                if !self.intercepted {
                    self.session.ask("irq_intercept_in /machine/q35/ioapic")?;
                    self.intercepted = true;
                }
                self.command(on, pci::COMMAND_INTX_DISABLE);
                self.line = true;
            }
        }
        // A reply to a read says that the writes before it have been carried out.
        self.config_read(pci::COMMAND, 2);
        self.check()
    }

    fn disable_interrupts(&mut self) {
        if let Some(msix) = self.msix {
            self.config_write(msix.capability + 2, 2, 0);
        }
        self.command(pci::COMMAND_INTX_DISABLE, 0);
        self.line = false;
        if let Err(error) = self.doorbell.clear() {
            self.failure.get_or_insert(format!("{error:#}"));
        }
    }

    fn poll(&mut self, wait: Duration) -> anyhow::Result<Interrupts> {
        let mut found = Interrupts::default();
        if self.removed {
            return Ok(found);
        }
        self.check()?;
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.doorbell.poll(left, &mut found.messages)?
                && let Err(error) = self.session.take_in()
            {
                self.failure = Some(format!("{error:#}"));
                return self.check().map(|()| found);
            }
            found.line = self.line && self.session.line_asserted(self.input());
            if !found.is_empty() || Instant::now() >= deadline {
                return Ok(found);
            }
        }
    }

    fn set_power(&mut self, on: bool) -> anyhow::Result<()> {
        ensure!(
            self.place == port::DEVICE,
            "only a device behind a port has a slot whose power can be switched"
        );
        self.switch_slot(on)?;
        self.check()
    }

    fn remove(&mut self) {
        if self.place == port::DEVICE {
            // QEMU lives on, and answers for the place where the device was. `Device::poll` tells what went wrong.
            if let Err(error) = self.eject() {
                self.failure.get_or_insert(format!("{error:#}"));
            }
            return;
        }
        // With its process gone, nothing can write guest memory any more.
        self.session.kill();
        self.removed = true;
    }
}
