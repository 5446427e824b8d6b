//! A virtio-blk device in this process, for what QEMU cannot present and for runs that repeat from a seed.
//!
//! It is written byte by byte from the specification and is strict: where the specification says what a driver must do
//! and it does not, a [`Violation`] is recorded. It works only when polled, and its seed decides how much it does per
//! poll and in which order it completes.

mod blk;
mod config;
mod function;
mod liar;
mod lies;
mod queue;
mod registers;
pub mod scripted;

use std::time::Duration;

use host_machine::ram::Ram;

pub use self::config::{Config, Fault, Ranges, STATUS_IOERR, STATUS_OK, STATUS_UNSUPP, Used, When};
pub(crate) use self::function::{Function, NOTIFY_MULTIPLIER, Place};
pub use self::lies::{Fill, Lie, PACKED_LIES, RING_LIES, RingLie, What};
use self::registers::Registers;
use crate::memory::GuestMemory;
use crate::{Bar, Device, Field, InterruptMode, Interrupts, Violation, all_ones};

/// The device.
pub struct InProcess {
    function: Function,
    registers: Registers,
    removed: bool,
    /// Its slot has no power.
    dark: bool,
}

impl InProcess {
    /// Makes the device; its memory is `ram`.
    ///
    /// # Errors
    /// The image cannot be opened.
    pub fn new(config: &Config, ram: &Ram) -> anyhow::Result<Self> {
        Ok(Self {
            function: Function::new(config),
            registers: Registers::new(config, GuestMemory::new(ram))?,
            removed: false,
            dark: false,
        })
    }

    /// Requests taken so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.registers.requests()
    }

    /// Does what lies are due at a register access.
    fn act(&mut self) {
        self.removed |= self.registers.is_gone();
        for what in self.registers.access() {
            match what {
                What::Vanish => self.removed = true,
                What::Interrupt(message) => self.function.raise(message),
                _ => {}
            }
        }
    }

    /// Whether nobody answers.
    fn silent(&self) -> bool {
        self.removed || self.dark
    }

    /// Hands what the virtio side raised to the function's interrupt logic.
    fn forward(&mut self) {
        for vector in self.registers.take_raised() {
            self.function.raise(vector);
        }
    }
}

impl Device for InProcess {
    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        if self.silent() {
            return all_ones(width) as u32;
        }
        self.function.config_read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        if !self.silent() && self.function.config_write(offset, width, value) {
            self.registers.forget();
        }
    }

    fn bars(&self) -> Vec<Bar> {
        self.function.bars()
    }

    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        self.act();
        if self.silent() {
            return all_ones(width);
        }
        match self.function.place(bar, offset) {
            Some(Place::Common(at)) => self.registers.common_read(at, width),
            Some(Place::Isr) => self.registers.isr_read(),
            Some(Place::Device(at)) => self.registers.device_read(at, width),
            Some(Place::Msix(at)) => self.function.table_read(at, width),
            Some(Place::Notify(_)) => 0,
            None => all_ones(width),
        }
    }

    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        self.act();
        if self.silent() {
            return;
        }
        match self.function.place(bar, offset) {
            Some(Place::Common(at)) => self.registers.common_write(at, width, value),
            Some(Place::Device(at)) => self.registers.device_write(at, width, value),
            Some(Place::Msix(at)) => self.function.table_write(at, width, value),
            Some(Place::Notify(at)) => self.registers.notify(at, width, value),
            Some(Place::Isr) | None => {}
        }
    }

    fn msix_vectors(&self) -> u16 {
        self.function.vectors()
    }

    fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()> {
        self.function.enable_interrupts(mode)
    }

    fn disable_interrupts(&mut self) {
        self.function.disable_interrupts();
    }

    fn poll(&mut self, wait: Duration) -> anyhow::Result<Interrupts> {
        if self.silent() {
            return Ok(Interrupts::default());
        }
        loop {
            let works = self.function.bus_master();
            let over = works && self.registers.work(self.function.msix_enabled());
            self.forward();
            let found = Interrupts {
                messages: self.function.take_messages(),
                line: self.function.line(self.registers.isr()),
            };
            // A caller that is ready to wait has nothing else to do: time passes for the device until it has something to say.
            let idle = !works || self.registers.idle();
            if wait.is_zero() || idle || over || !found.is_empty() {
                return Ok(found);
            }
        }
    }

    fn set_power(&mut self, on: bool) -> anyhow::Result<()> {
        self.dark = !on;
        self.function.forget();
        self.registers.forget();
        Ok(())
    }

    fn remove(&mut self) {
        self.removed = true;
    }

    fn take_violations(&mut self) -> Vec<Violation> {
        self.registers.take_violations()
    }

    fn rest(&mut self, polls: u64) -> bool {
        if self.silent() {
            return true;
        }
        let works = self.function.bus_master();
        if self.function.line(self.registers.isr()) || works && !self.registers.idle() {
            return false;
        }
        if works {
            self.registers.rest(polls);
        }
        true
    }

    fn deterministic(&self) -> bool {
        true
    }

    fn works_when_polled(&self) -> bool {
        true
    }

    fn accesses(&self) -> u64 {
        self.registers.liar().accesses()
    }

    fn fields_read(&self) -> Vec<(Field, u64)> {
        self.registers.liar().fields()
    }

    fn told(&self) -> Vec<(String, u64)> {
        self.registers.told()
    }
}
