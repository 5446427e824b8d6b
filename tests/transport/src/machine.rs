//! The platform: configuration space, BARs of both kinds, memory that the device shares, time, interrupts.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::{Duration, Instant};

use host_machine::ram::Ram;
use test_device::memory::GuestMemory;
use test_device::qemu::{Builder, Qemu};
use test_device::{BarKind, Device, InterruptMode, Interrupts};
use virtio_core::Clock;
use virtio_core::mem::{DeviceAddress, Dma, DmaRegion};
use virtio_core::mmio::Registers;
use virtio_core::transport::{CONFIG_LEN, CapabilityError, Interface, Location, Transport};

const MIB: usize = 1 << 20;
/// Where memory is lent from, in bytes; below it lies what a PC has there.
const FIRST: u64 = MIB as u64;
/// How long an interrupt may take.
const INTERRUPT: Duration = Duration::from_secs(20);

/// Which BARs the driver has a way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Memory and I/O ports.
    All,
    /// I/O ports only, as on a machine that has no room for memory BARs.
    Ports,
    /// Memory only, as in a driver without port I/O.
    Memory,
}

/// One device on a bus, and memory.
pub struct Machine {
    bus: Rc<RefCell<Qemu>>,
    ram: Ram,
    next: Cell<u64>,
    start: Instant,
    line: bool,
    translates: bool,
}

impl Machine {
    /// Starts QEMU with the device and routes its interrupts.
    ///
    /// # Panics
    ///
    /// When QEMU does not come up.
    #[must_use]
    pub fn new(builder: &Builder, interrupts: InterruptMode) -> Self {
        let ram = Ram::new(16 * MIB, 1).unwrap();
        let mut device = builder.start(&ram).unwrap();
        device.enable_interrupts(interrupts).unwrap();
        Self {
            bus: Rc::new(RefCell::new(device)),
            ram,
            next: Cell::new(FIRST),
            start: Instant::now(),
            line: interrupts == InterruptMode::Line,
            translates: false,
        }
    }

    /// As [`Machine::new`], with the device behind an IOMMU, which is as the firmware leaves it: it translates one to one.
    ///
    /// # Panics
    ///
    /// When QEMU does not come up.
    #[must_use]
    pub fn with_iommu(builder: &Builder, interrupts: InterruptMode) -> Self {
        Self {
            translates: true,
            ..Self::new(&builder.clone().iommu(true), interrupts)
        }
    }

    /// The interface by which the device is to be driven.
    ///
    /// # Errors
    ///
    /// As [`Interface::find`].
    pub fn interface(&self, reach: Reach) -> Result<Interface, CapabilityError> {
        let config: [u8; CONFIG_LEN] =
            std::array::from_fn(|at| self.bus.borrow_mut().config_read(at as u16, 1) as u8);
        let bars = self.bus.borrow().bars();
        Interface::find(&config, |index| {
            let bar = bars.iter().find(|bar| bar.index == index)?;
            match (bar.kind, reach) {
                (BarKind::Io, Reach::Memory) | (BarKind::Memory, Reach::Ports) => None,
                _ => Some(bar.len),
            }
        })
    }

    /// The device by that interface.
    ///
    /// # Panics
    ///
    /// When its registers cannot be mapped.
    #[must_use]
    pub fn transport(&self, interface: &Interface) -> Transport<Window> {
        let map = |location| {
            Some(Window {
                bus: self.bus.clone(),
                location,
            })
        };
        Transport::new(interface, self, map).unwrap()
    }

    /// Memory of `len` bytes for driver and device, on a multiple of `align`; never lent twice.
    ///
    /// # Panics
    ///
    /// When there is no more.
    #[must_use]
    pub fn lend(&self, len: usize, align: usize) -> DmaRegion {
        let address = self.next.get().next_multiple_of(align as u64);
        self.next.set(address + len as u64);
        let base = self.ram.device_slice(address, len).expect("memory");
        let base = NonNull::new(base).expect("mapped");
        // SAFETY: the bytes are mapped as long as `self.ram`, which the tests keep longer than any region; each is lent once,
        // and the device is a process of its own.
        let region = unsafe { Dma::lend(self, base, len) };
        region.expect("memory")
    }

    /// The device's view of memory.
    #[must_use]
    pub fn memory(&self) -> GuestMemory {
        GuestMemory::new(&self.ram)
    }

    /// Whether the device interrupts by its line.
    #[must_use]
    pub const fn line(&self) -> bool {
        self.line
    }

    /// Waits for an interrupt.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[must_use]
    pub fn interrupt(&self) -> Interrupts {
        let deadline = Instant::now() + INTERRUPT;
        loop {
            let found = self.poll(Duration::from_millis(100));
            if !found.is_empty() {
                return found;
            }
            assert!(Instant::now() < deadline, "no interrupt");
        }
    }

    /// The interrupts that have come within `wait`.
    ///
    /// # Panics
    ///
    /// When QEMU has died.
    #[must_use]
    pub fn poll(&self, wait: Duration) -> Interrupts {
        self.bus.borrow_mut().poll(wait).unwrap()
    }

    /// Takes the device away.
    pub fn remove(&self) {
        self.bus.borrow_mut().remove();
    }
}

impl Clock for Machine {
    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn wait_us(&self, us: u32) {
        std::thread::sleep(Duration::from_micros(us.into()));
    }
}

impl Machine {
    /// An address in the guest's memory, or one that QEMU refuses.
    #[must_use]
    pub fn at(address: u64) -> DeviceAddress {
        // SAFETY: QEMU sees the guest's memory from 0 on, or through an IOMMU that shows it there, and nothing else.
        unsafe { Self::given(address) }
    }
}

// SAFETY: `Ram` knows where in its one file, which is all of the guest's memory, a byte lies; it never moves.
unsafe impl Dma for Machine {
    fn translates(&self) -> bool {
        self.translates
    }

    fn locate(&self, base: NonNull<u8>, len: usize) -> Option<DeviceAddress> {
        let start = self.ram.device_slice(0, self.ram.len())?.addr();
        let address = base.addr().get().checked_sub(start)? as u64;
        self.ram.device_slice(address, len)?;
        Some(Self::at(address))
    }
}

/// A part of a BAR, in memory or in I/O space.
#[derive(Clone)]
pub struct Window {
    bus: Rc<RefCell<Qemu>>,
    location: Location,
}

impl Window {
    fn at(&self, offset: usize, width: u8) -> u64 {
        let end = offset + usize::from(width);
        assert!(end <= self.location.len as usize, "{offset} of {width}");
        let at = u64::from(self.location.offset) + offset as u64;
        assert!(at.is_multiple_of(width.into()), "{at} is not aligned");
        at
    }

    fn read(&self, offset: usize, width: u8) -> u64 {
        let at = self.at(offset, width);
        self.bus.borrow_mut().read(self.location.bar, at, width)
    }

    fn write(&self, offset: usize, width: u8, value: u32) {
        let at = self.at(offset, width);
        let mut bus = self.bus.borrow_mut();
        bus.write(self.location.bar, at, width, value.into());
    }
}

impl Registers for Window {
    fn len(&self) -> usize {
        self.location.len as usize
    }
    fn read8(&self, offset: usize) -> u8 {
        self.read(offset, 1) as u8
    }
    fn read16(&self, offset: usize) -> u16 {
        self.read(offset, 2) as u16
    }
    fn read32(&self, offset: usize) -> u32 {
        self.read(offset, 4) as u32
    }
    fn write8(&self, offset: usize, value: u8) {
        self.write(offset, 1, value.into());
    }
    fn write16(&self, offset: usize, value: u16) {
        self.write(offset, 2, value.into());
    }
    fn write32(&self, offset: usize, value: u32) {
        self.write(offset, 4, value);
    }
}
