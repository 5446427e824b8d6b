//! A PCI function of this machine, driven from user space through Linux's vfio-pci.
//!
//! Registers are reached by system calls that end in one access of that width by the kernel, and interrupts come as
//! eventfds. Nothing translates the device's addresses for us: the memory behind it has to be physical memory
//! ([`Ram::physical`](host_machine::ram::Ram::physical)), as for a driver whose DMA the system does not remap.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vfio_ioctls::{VfioContainer, VfioDevice};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use crate::{Bar, BarKind, Device, InterruptMode, Interrupts, all_ones, pci};

/// Index of the region that is configuration space. // Linux include/uapi/linux/vfio.h, VFIO_PCI_CONFIG_REGION_INDEX
const CONFIG: u32 = 7;
/// A BAR that decodes I/O ports. // Linux include/linux/ioport.h, IORESOURCE_IO
const RESOURCE_IO: u64 = 0x100;
/// How long a driver of Linux's has to take or to leave a function.
const SETTLE: Duration = Duration::from_secs(20);

/// A function of this machine's PCI bus, by its address (`0000:00:04.0`).
#[derive(Debug, Clone)]
pub struct Function(String);

impl Function {
    /// The function with this address.
    ///
    /// # Errors
    /// There is none.
    pub fn new(address: &str) -> anyhow::Result<Self> {
        let function = Self(address.to_owned());
        ensure!(
            function.folder().is_dir(),
            "there is no PCI function {address}: `ls /sys/bus/pci/devices` lists them"
        );
        Ok(function)
    }

    fn folder(&self) -> PathBuf {
        Path::new("/sys/bus/pci/devices").join(&self.0)
    }

    /// Takes the function from whatever driver of Linux's has it and gives it to `driver`.
    ///
    /// # Errors
    /// The driver is not there or does not take it in time.
    pub fn give_to(&self, driver: &str) -> anyhow::Result<()> {
        let folder = self.folder();
        let bound = folder.join("driver");
        let is_with = |driver: &str| {
            fs::read_link(&bound).is_ok_and(|link| link.file_name() == Some(driver.as_ref()))
        };
        if is_with(driver) {
            return Ok(());
        }
        if bound.exists() {
            fs::write(bound.join("unbind"), &self.0).context("unbinding")?;
        }
        fs::write(folder.join("driver_override"), driver).context("driver_override")?;
        fs::write("/sys/bus/pci/drivers_probe", &self.0).context("drivers_probe")?;
        wait_until(|| is_with(driver).then_some(()))
            .with_context(|| format!("{driver} does not take {}: is its module loaded?", self.0))
    }

    /// Gives the function to Linux's own virtio driver and names its disk.
    ///
    /// # Errors
    /// It is no virtio disk, or the disk does not appear in time.
    pub fn disk_path(&self) -> anyhow::Result<PathBuf> {
        self.give_to("virtio-pci")?;
        wait_until(|| {
            let name = self.block_device()?;
            let path = Path::new("/dev").join(name);
            path.exists().then_some(path)
        })
        .with_context(|| format!("{} has no disk", self.0))
    }

    /// As [`disk_path`](Self::disk_path), opened.
    ///
    /// # Errors
    /// As there, or it cannot be opened.
    pub fn disk(&self) -> anyhow::Result<File> {
        let path = self.disk_path()?;
        File::options()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }

    /// The name below `virtioN/block`.
    fn block_device(&self) -> Option<std::ffi::OsString> {
        let virtio = fs::read_dir(self.folder())
            .ok()?
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with("virtio"))?;
        let disks = fs::read_dir(virtio.path().join("block")).ok()?;
        Some(disks.flatten().next()?.file_name())
    }

    /// Address, length and kind of each BAR, from the lines `start end flags` of the file `resource`.
    fn bars(&self) -> anyhow::Result<Vec<Bar>> {
        let text = fs::read_to_string(self.folder().join("resource"))?;
        let mut bars = Vec::new();
        for (index, line) in (0u8..6).zip(text.lines()) {
            let numbers: Vec<u64> = line
                .split_whitespace()
                .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
                .collect();
            let [start, end, flags] = numbers[..] else {
                bail!("the resources of {} are not understood: {line:?}", self.0);
            };
            if end <= start {
                continue;
            }
            let kind = if flags & RESOURCE_IO == 0 {
                BarKind::Memory
            } else {
                BarKind::Io
            };
            bars.push(Bar {
                index,
                kind,
                address: start,
                len: end - start + 1,
            });
        }
        Ok(bars)
    }
}

/// Asks until there is an answer or time is up.
fn wait_until<T>(mut answer: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + SETTLE;
    loop {
        if let Some(answer) = answer() {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "not within {SETTLE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A function under vfio-pci. Dropping it leaves the function with vfio-pci, reset.
pub struct Vfio {
    device: VfioDevice,
    bars: Vec<Bar>,
    msix: Option<pci::Msix>,
    events: Vec<EventFd>,
    interrupts: Arc<AtomicU64>,
    removed: bool,
}

impl Vfio {
    /// Takes a function over; adds each message that it raises to `interrupts`.
    ///
    /// # Errors
    /// vfio-pci does not get it, or there is no IOMMU, without which Linux does not hand out devices.
    pub fn open(function: &Function, interrupts: Arc<AtomicU64>) -> anyhow::Result<Self> {
        function.give_to("vfio-pci")?;
        let container = Arc::new(VfioContainer::new(None).context("cannot open /dev/vfio/vfio")?);
        let device = VfioDevice::new(&function.folder(), container, true)
            .with_context(|| format!("vfio does not hand out {}", function.0))?;
        let mut vfio = Self {
            device,
            bars: function.bars()?,
            msix: None,
            events: Vec::new(),
            interrupts,
            removed: false,
        };
        vfio.msix = pci::msix(&mut |offset, width| vfio.config_read(offset, width));
        Ok(vfio)
    }

    fn region_read(&self, region: u32, offset: u64, width: u8) -> u64 {
        let mut bytes = [0xff; 8];
        let Some(part) = bytes.get_mut(..usize::from(width)) else {
            return u64::MAX;
        };
        if !self.removed {
            self.device.region_read(region, part, offset);
        }
        u64::from_le_bytes(bytes) & all_ones(width)
    }

    fn region_write(&self, region: u32, offset: u64, width: u8, value: u64) {
        if let Some(part) = value.to_le_bytes().get(..usize::from(width))
            && !self.removed
        {
            self.device.region_write(region, part, offset);
        }
    }

    fn command(&mut self, set: u32, clear: u32) {
        let command = self.config_read(pci::COMMAND, 2);
        self.config_write(pci::COMMAND, 2, (command | set) & !clear);
    }

    /// The messages whose eventfd was signalled since the last look.
    fn raised(&self) -> anyhow::Result<Vec<u16>> {
        let mut raised = Vec::new();
        for (message, event) in (0u16..).zip(&self.events) {
            match event.read() {
                Ok(count) => {
                    // Relaxed: a statistic, read after the device is gone.
                    self.interrupts.fetch_add(count, Ordering::Relaxed);
                    raised.push(message);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("an eventfd"),
            }
        }
        Ok(raised)
    }
}

impl Device for Vfio {
    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        self.region_read(CONFIG, offset.into(), width) as u32
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        self.region_write(CONFIG, offset.into(), width, value.into());
    }

    fn bars(&self) -> Vec<Bar> {
        self.bars.clone()
    }

    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        self.region_read(bar.into(), offset, width)
    }

    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        self.region_write(bar.into(), offset, width, value);
    }

    fn msix_vectors(&self) -> u16 {
        self.msix.map_or(0, |msix| msix.vectors)
    }

    fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()> {
        let InterruptMode::Messages(count) = mode else {
            bail!("the INTA# line is not passed on by this back end; run the driver with MSI-X");
        };
        ensure!(
            count <= self.msix_vectors(),
            "{count} messages asked for, the device has {}",
            self.msix_vectors()
        );
        self.command(pci::COMMAND_MEMORY | pci::COMMAND_MASTER, 0);
        self.events = (0..count)
            .map(|_| EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK))
            .collect::<Result<_, _>>()?;
        let events = self.events.iter().collect();
        self.device
            .enable_msix(events)
            .context("vfio does not turn MSI-X on")
    }

    fn disable_interrupts(&mut self) {
        if !self.events.is_empty() && !self.removed {
            // Closing the device does the same, should this fail.
            let _ = self.device.disable_msix();
        }
        self.events.clear();
    }

    fn poll(&mut self, wait: Duration) -> anyhow::Result<Interrupts> {
        let mut found = Interrupts::default();
        if self.removed {
            return Ok(found);
        }
        found.messages = self.raised()?;
        if found.is_empty() && !wait.is_zero() {
            let descriptors: Vec<BorrowedFd<'_>> = self
                .events
                .iter()
                // SAFETY: each is open as long as its EventFd, which outlives this call.
                .map(|event| unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) })
                .collect();
            let mut polled: Vec<_> = descriptors
                .iter()
                .map(|descriptor| PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN))
                .collect();
            let wait = Timespec::try_from(wait).context("a wait beyond the clock")?;
            match poll(&mut polled, Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("waiting for an interrupt"),
            }
            found.messages = self.raised()?;
        }
        Ok(found)
    }

    fn remove(&mut self) {
        self.disable_interrupts();
        self.device.reset();
        self.removed = true;
    }
}
