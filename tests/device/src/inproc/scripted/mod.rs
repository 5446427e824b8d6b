//! A virtio-blk device that works only when it is told to: the same PCI function, with split or packed queues.
//!
//! What a request costs the driver depends on when the device takes it, completes it and interrupts. Here whoever drives the
//! test says so, through a [`Script`]; until the script takes over, the device serves whatever it finds. It moves no
//! data: reads leave the buffer as it is, and writes go nowhere.

mod queue;
mod registers;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use host_machine::ram::Ram;

pub use self::queue::Area;
use self::registers::Registers;
use super::config::Config;
use super::function::{Function, Place};
use crate::memory::GuestMemory;
use crate::{Bar, Device, InterruptMode, Interrupts, Violation, all_ones};

/// What the device offers.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Request queues.
    pub queues: u16,
    /// Descriptors of each.
    pub queue_size: u16,
    /// Offer RING_PACKED.
    pub packed: bool,
    /// Offer INDIRECT_DESC.
    pub indirect: bool,
    /// Capacity in sectors of 512 bytes.
    pub sectors: u64,
}

/// What the device has seen of the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Reads of registers.
    pub register_reads: u64,
    /// Writes to registers, but for notifications.
    pub register_writes: u64,
    /// Notifications.
    pub kicks: u64,
    /// Interrupts that it raised.
    pub interrupts: u64,
    /// Requests completed.
    pub completed: u64,
}

struct State {
    function: Function,
    registers: Registers,
    scripted: bool,
}

/// The device, for the driver.
pub struct Scripted(Rc<RefCell<State>>);

/// The device, for the script.
#[derive(Clone)]
pub struct Script(Rc<RefCell<State>>);

impl Scripted {
    /// Makes the device with one message for each queue and one for the configuration; its memory is `ram`.
    #[must_use]
    pub fn new(shape: Shape, ram: &Ram) -> (Self, Script) {
        let mut config = Config::new(std::path::Path::new(""));
        config.queues = shape.queues;
        config.vectors = shape.queues + 1;
        let state = Rc::new(RefCell::new(State {
            function: Function::new(&config),
            registers: Registers::new(shape, GuestMemory::new(ram)),
            scripted: false,
        }));
        (Self(Rc::clone(&state)), Script(state))
    }
}

impl Script {
    /// From now on the device does nothing by itself, or again all.
    pub fn take_over(&self, scripted: bool) {
        self.0.borrow_mut().scripted = scripted;
    }

    /// Takes what the driver has made available, on all queues, and asks to be notified of more. Returns how many requests
    /// of each queue it holds then.
    pub fn take(&self) -> Vec<usize> {
        self.0.borrow_mut().registers.take()
    }

    /// Completes up to `count` of the requests that it holds of a queue, the oldest first, and interrupts if the driver wants
    /// that. Returns how many it completed.
    pub fn complete(&self, queue: usize, count: usize) -> usize {
        self.0.borrow_mut().registers.complete(queue, count)
    }

    /// What it has seen since it was made.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.0.borrow().registers.seen
    }

    /// The memory of the enabled queues' rings, by device address.
    #[must_use]
    pub fn areas(&self) -> Vec<Area> {
        self.0.borrow().registers.areas()
    }

    /// Whether the driver took RING_PACKED.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.0.borrow().registers.is_packed()
    }
}

impl State {
    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        self.registers.seen.register_reads += 1;
        match self.function.place(bar, offset) {
            Some(Place::Common(at)) => self.registers.common_read(at),
            Some(Place::Isr) => 0,
            Some(Place::Device(at)) => self.registers.device_read(at, width),
            Some(Place::Msix(at)) => self.function.table_read(at, width),
            Some(Place::Notify(_)) | None => all_ones(width),
        }
    }

    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        let place = self.function.place(bar, offset);
        if let Some(Place::Notify(_)) = place {
            self.registers.seen.kicks += 1;
            return;
        }
        self.registers.seen.register_writes += 1;
        match place {
            Some(Place::Common(at)) => self.registers.common_write(at, width, value),
            Some(Place::Msix(at)) => self.function.table_write(at, width, value),
            _ => {}
        }
    }

    fn poll(&mut self) -> Interrupts {
        if !self.scripted {
            let held = self.registers.take();
            for (queue, count) in held.into_iter().enumerate() {
                self.registers.complete(queue, count);
            }
        }
        for vector in self.registers.take_raised() {
            self.function.raise(vector);
        }
        Interrupts {
            messages: self.function.take_messages(),
            line: false,
        }
    }
}

impl Device for Scripted {
    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        self.0.borrow().function.config_read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        self.0
            .borrow_mut()
            .function
            .config_write(offset, width, value);
    }

    fn bars(&self) -> Vec<Bar> {
        self.0.borrow().function.bars()
    }

    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        self.0.borrow_mut().read(bar, offset, width)
    }

    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        self.0.borrow_mut().write(bar, offset, width, value);
    }

    fn msix_vectors(&self) -> u16 {
        self.0.borrow().function.vectors()
    }

    fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()> {
        self.0.borrow_mut().function.enable_interrupts(mode)
    }

    fn disable_interrupts(&mut self) {
        self.0.borrow_mut().function.disable_interrupts();
    }

    fn poll(&mut self, _wait: Duration) -> anyhow::Result<Interrupts> {
        Ok(self.0.borrow_mut().poll())
    }

    fn remove(&mut self) {
        self.0.borrow_mut().registers.reset();
    }

    fn take_violations(&mut self) -> Vec<Violation> {
        self.0.borrow_mut().registers.take_violations()
    }

    fn deterministic(&self) -> bool {
        true
    }
}
