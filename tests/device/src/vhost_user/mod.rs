//! A real disk without QEMU's machine: qemu-storage-daemon behind a PCI function that this process plays.
//!
//! Configuration space, registers and MSI-X are answered here; rings and data are the daemon's, in shared memory, with an eventfd
//! each way for every queue. So a request costs no more than what it costs any user of the daemon, and [`Link`] is there for
//! such a user as well.

mod daemon;
mod link;
mod message;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use host_machine::ram::Ram;

pub use self::daemon::{Daemon, Medium};
pub use self::link::{CONFIG_LEN, Counts, Link, Ring};
use crate::inproc::{Config, Function, NOTIFY_MULTIPLIER, Place};
use crate::plain::{self, Asked, NO_VECTOR, Plain};
use crate::{Bar, Device, InterruptMode, Interrupts, all_ones, common};

/// Descriptors of each queue, as many as QEMU's virtio-blk-pci has.
pub const QUEUE_SIZE: u16 = 256;

/// The device.
pub struct VhostUser {
    daemon: Rc<RefCell<Daemon>>,
    ram: Ram,
    /// None once it was removed.
    link: Option<Link>,
    counts: Rc<Counts>,
    function: Function,
    common: Plain,
    ready: Vec<u16>,
    failure: Option<String>,
}

impl VhostUser {
    /// Connects to the daemon; the device's memory is `ram`.
    ///
    /// # Errors
    /// The daemon is gone or does not agree.
    pub fn new(daemon: &Rc<RefCell<Daemon>>, ram: &Ram) -> anyhow::Result<Self> {
        let counts = Rc::new(Counts::default());
        let link = connect(daemon, ram, &counts)?;
        let mut config = Config::new(std::path::Path::new(""));
        config.vectors = link.queues() + 1;
        config.config_len = CONFIG_LEN as u16;
        Ok(Self {
            daemon: Rc::clone(daemon),
            ram: ram.clone(),
            function: Function::new(&config),
            common: Plain::new(link.offered(), link.queues(), QUEUE_SIZE),
            link: Some(link),
            counts,
            ready: Vec::new(),
            failure: None,
        })
    }

    /// What goes over the queues' eventfds.
    #[must_use]
    pub fn counts(&self) -> Rc<Counts> {
        Rc::clone(&self.counts)
    }

    /// Remembers what went wrong; [`Device::poll`] tells.
    fn attempt<T>(&mut self, f: impl FnOnce(&mut Self) -> anyhow::Result<T>) -> Option<T> {
        if self.link.is_none() || self.failure.is_some() {
            return None;
        }
        match f(self) {
            Ok(value) => Some(value),
            Err(error) => {
                let words = self.daemon.borrow_mut().last_words();
                self.failure = Some(format!("{error:#}; {words}"));
                None
            }
        }
    }

    fn link(&mut self) -> anyhow::Result<&mut Link> {
        self.link.as_mut().context("the device was removed")
    }

    fn common_write(&mut self, at: u64, width: u8, value: u64) {
        match self.common.write(at, width, value) {
            Asked::Nothing | Asked::Enable(_) => {}
            Asked::Reset => {
                self.attempt(Self::reset);
            }
            Asked::Status => {
                self.attempt(Self::status);
            }
        }
    }

    /// Lets the daemon finish and forget: it answers a new connection once it has given back all of the old one's requests.
    fn reset(&mut self) -> anyhow::Result<()> {
        if self.link()?.is_started() {
            self.link = None;
            self.link = Some(connect(&self.daemon, &self.ram, &self.counts)?);
        }
        Ok(())
    }

    fn status(&mut self) -> anyhow::Result<()> {
        let offered = self.link()?.offered();
        if self.common.features & !offered != 0 {
            self.common.status &= !common::FEATURES_OK;
        }
        if !self.common.running() || self.link()?.is_started() {
            return Ok(());
        }
        let rings: Vec<_> = (0..)
            .zip(&self.common.queues)
            .filter(|(_, queue)| queue.enabled)
            .map(|(number, queue)| {
                let [descriptor, driver, device] = queue.addresses;
                Ring {
                    queue: number,
                    size: queue.size,
                    descriptor,
                    driver,
                    device,
                }
            })
            .collect();
        let features = self.common.features;
        self.link()?.start(features, &rings)
    }
}

fn connect(daemon: &RefCell<Daemon>, ram: &Ram, counts: &Rc<Counts>) -> anyhow::Result<Link> {
    let mut daemon = daemon.borrow_mut();
    let socket = daemon.connect()?;
    Link::open(socket, ram, Rc::clone(counts)).with_context(|| daemon.last_words())
}

impl Device for VhostUser {
    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        if self.link.is_none() {
            return all_ones(width) as u32;
        }
        self.function.config_read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        if self.link.is_some() {
            self.function.config_write(offset, width, value);
        }
    }

    fn bars(&self) -> Vec<Bar> {
        self.function.bars()
    }

    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        if self.link.is_none() {
            return all_ones(width);
        }
        match self.function.place(bar, offset) {
            Some(Place::Common(at)) => self.common.read(at),
            // No interrupt but MSI-X messages.
            Some(Place::Isr) => 0,
            Some(Place::Device(at)) => self
                .attempt(|this| this.link()?.config())
                .map_or(all_ones(width), |fields| plain::field(&fields, at, width)),
            Some(Place::Msix(at)) => self.function.table_read(at, width),
            Some(Place::Notify(_)) | None => all_ones(width),
        }
    }

    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        if self.link.is_none() {
            return;
        }
        match self.function.place(bar, offset) {
            Some(Place::Common(at)) => self.common_write(at, width, value),
            Some(Place::Msix(at)) => self.function.table_write(at, width, value),
            Some(Place::Notify(at)) => {
                let queue = (at / u64::from(NOTIFY_MULTIPLIER)) as u16;
                self.attempt(|this| this.link()?.kick(queue));
            }
            Some(Place::Device(at)) => {
                let bytes = value.to_le_bytes();
                let bytes = bytes.get(..usize::from(width)).unwrap_or_default().to_vec();
                self.attempt(|this| this.link()?.set_config(at as u32, &bytes));
            }
            Some(Place::Isr) | None => {}
        }
    }

    fn msix_vectors(&self) -> u16 {
        self.function.vectors()
    }

    fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()> {
        if mode == InterruptMode::Line {
            anyhow::bail!("this device has no INTA# line; run the driver with MSI-X");
        }
        self.function.enable_interrupts(mode)
    }

    fn disable_interrupts(&mut self) {
        self.function.disable_interrupts();
    }

    fn poll(&mut self, wait: Duration) -> anyhow::Result<Interrupts> {
        let mut ready = std::mem::take(&mut self.ready);
        self.attempt(|this| this.link()?.wait(wait, &mut ready));
        for queue in ready.drain(..) {
            let vector = self.common.queues.get(usize::from(queue));
            match vector.map_or(NO_VECTOR, |queue| queue.vector) {
                NO_VECTOR => {}
                vector => self.function.raise(vector),
            }
        }
        self.ready = ready;
        match &self.failure {
            Some(failure) if self.link.is_some() => Err(anyhow::Error::msg(failure.clone())),
            _ => Ok(Interrupts {
                messages: self.function.take_messages(),
                line: false,
            }),
        }
    }

    fn remove(&mut self) {
        // With the daemon's answer to a new connection it has let go of the memory.
        self.attempt(Self::reset);
        self.link = None;
    }
}
