//! The device side of the tests: PCI functions that a driver under test can be put on.
//!
//! Three kinds of thing live here, all behind [`Device`]: QEMU's own device models ([`qemu`]), a minimal
//! virtio-blk in this process ([`inproc`]) for what QEMU cannot present, and an observer ([`Observed`]) that
//! sits in front of either and follows the rings in memory. On x86-64 there is a function of this very
//! machine as well, for runs inside a virtual one. None of them uses virtio-core: every offset here is
//! written from the specification a second time, so that a wrong one cannot agree with itself.

use std::time::Duration;

mod common;
pub mod image;
pub mod inproc;
pub mod memory;
pub mod observe;
pub mod pci;
mod plain;
pub mod qemu;
pub mod ring;
#[cfg(target_arch = "x86_64")]
pub mod vfio;
pub mod vhost_user;

pub use observe::{Chain, Observed, Part};

/// One PCI function as its bus driver and its function driver see it.
///
/// Accesses never fail: once a device has been removed or its process is gone, reads give all ones and writes are
/// dropped, as on a real bus; [`Device::poll`] then tells why.
pub trait Device {
    /// Reads `width` (1, 2 or 4) bytes of configuration space.
    fn config_read(&mut self, offset: u16, width: u8) -> u32;
    /// Writes `width` (1, 2 or 4) bytes of configuration space.
    fn config_write(&mut self, offset: u16, width: u8, value: u32);
    /// The base address registers that exist, with the bus addresses assigned to them.
    fn bars(&self) -> Vec<Bar>;
    /// Reads `width` (1, 2, 4 or 8) bytes at `offset` of the BAR with index `bar`.
    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64;
    /// Writes `width` (1, 2, 4 or 8) bytes at `offset` of the BAR with index `bar`.
    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64);
    /// How many MSI-X vectors the function has; 0 if it has no MSI-X capability.
    fn msix_vectors(&self) -> u16;
    /// What the bus driver does when it starts the function: routes interrupts and turns on decoding and bus mastering.
    ///
    /// # Errors
    /// More messages asked for than [`Device::msix_vectors`], or a device that does not answer.
    fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()>;
    /// Undoes [`Device::enable_interrupts`]: MSI-X off, line masked. Interrupts not yet polled are dropped.
    fn disable_interrupts(&mut self);
    /// Lets the device run and takes the interrupts that it raised, waiting at most `wait` for the first.
    ///
    /// With a wait of zero it never blocks. A device in this process does a seeded amount of work per call and never
    /// really waits.
    ///
    /// # Errors
    /// The device is gone although nobody removed it (QEMU died, or did not answer in time).
    fn poll(&mut self, wait: Duration) -> anyhow::Result<Interrupts>;
    /// Switches the power of the device's slot: without it there is nothing in configuration space, and with it again the device is
    /// as new.
    ///
    /// # Errors
    /// The slot has no such switch.
    fn set_power(&mut self, on: bool) -> anyhow::Result<()> {
        let _ = on;
        anyhow::bail!("the device has no slot whose power can be switched")
    }
    /// Takes the device away without warning. Its DMA has stopped when this returns.
    fn remove(&mut self);
    /// What the driver did that the specification forbids, as far as this device noticed; taken out by the call.
    fn take_violations(&mut self) -> Vec<Violation> {
        Vec::new()
    }
    /// Whether nothing comes of polling until the driver acts. If so, the device is from now on as if it had been polled so many
    /// times.
    fn rest(&mut self, polls: u64) -> bool {
        let _ = polls;
        false
    }
    /// Whether two runs from one seed are identical: true for a device in this process, false for a real one.
    fn deterministic(&self) -> bool {
        false
    }
    /// Whether the device uses memory only while [`Device::poll`] runs.
    fn works_when_polled(&self) -> bool {
        false
    }
    /// The fields of the device configuration that the driver has read, and how often each; of a device outside of this process
    /// nobody knows.
    fn fields_read(&self) -> Vec<(Field, u64)> {
        Vec::new()
    }
    /// Register accesses so far, as the device's lies count them; 0 for a device outside of this process.
    fn accesses(&self) -> u64 {
        0
    }
    /// What the device was told to do wrong at some time, and how often it has: a lie whose time never came has shown nothing.
    fn told(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// A field of the device configuration, as a driver reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// Where it begins.
    pub at: u64,
    /// Its bytes.
    pub width: u8,
}

/// A base address register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Index of the (first) register, 0 to 5.
    pub index: u8,
    /// The address space it decodes.
    pub kind: BarKind,
    /// Assigned bus address.
    pub address: u64,
    /// Length in bytes, a power of two.
    pub len: u64,
}

/// The address space of a [`Bar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarKind {
    /// Memory space.
    Memory,
    /// I/O port space.
    Io,
}

/// How a function is to interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptMode {
    /// MSI-X with this many messages: table entry n raises message n.
    Messages(u16),
    /// The INTA# line.
    Line,
}

/// What [`Device::poll`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interrupts {
    /// Messages raised since the last poll, each at most once, ascending.
    pub messages: Vec<u16>,
    /// Whether the line is asserted now (a level, not an event).
    pub line: bool,
}

impl Interrupts {
    /// Nothing raised and no line asserted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && !self.line
    }
}

/// A rule of the specification that the driver broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The place in the specification, like `Virtio 1.3 §2.7.5.3.1`.
    pub section: &'static str,
    /// What the driver did.
    pub what: String,
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        (**self).config_read(offset, width)
    }
    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        (**self).config_write(offset, width, value);
    }
    fn bars(&self) -> Vec<Bar> {
        (**self).bars()
    }
    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        (**self).read(bar, offset, width)
    }
    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        (**self).write(bar, offset, width, value);
    }
    fn msix_vectors(&self) -> u16 {
        (**self).msix_vectors()
    }
    fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()> {
        (**self).enable_interrupts(mode)
    }
    fn disable_interrupts(&mut self) {
        (**self).disable_interrupts();
    }
    fn poll(&mut self, wait: Duration) -> anyhow::Result<Interrupts> {
        (**self).poll(wait)
    }
    fn set_power(&mut self, on: bool) -> anyhow::Result<()> {
        (**self).set_power(on)
    }
    fn remove(&mut self) {
        (**self).remove();
    }
    fn take_violations(&mut self) -> Vec<Violation> {
        (**self).take_violations()
    }
    fn rest(&mut self, polls: u64) -> bool {
        (**self).rest(polls)
    }
    fn deterministic(&self) -> bool {
        (**self).deterministic()
    }
    fn works_when_polled(&self) -> bool {
        (**self).works_when_polled()
    }
    fn fields_read(&self) -> Vec<(Field, u64)> {
        (**self).fields_read()
    }
    fn accesses(&self) -> u64 {
        (**self).accesses()
    }
    fn told(&self) -> Vec<(String, u64)> {
        (**self).told()
    }
}

/// All ones in `width` bytes: what a read gives when nothing answers.
#[must_use]
pub(crate) fn all_ones(width: u8) -> u64 {
    match width {
        1 => 0xff,
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}
