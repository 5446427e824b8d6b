//! A scenario: a device, a way to use it, and what has to come of it.

use std::fs::File;
use std::path::Path;
#[cfg(target_arch = "x86_64")]
use std::sync::Arc;
#[cfg(target_arch = "x86_64")]
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use host_machine::ram::Ram;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use test_device::Device;
use test_device::image::Image;
use test_device::inproc::{Config, InProcess};
use test_device::qemu::{Builder, InjectedError, Operation};

use crate::cdb::Form;
use crate::commands::Abilities;
use crate::judge::Faults;

/// A scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name, unique in the table.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// The device.
    pub backend: Backend,
    /// What has to happen.
    pub goal: Goal,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Bytes in a block of the disk.
    pub block: u32,
    /// Bytes of the disk.
    pub size: u64,
    /// Operations of the workload.
    pub operations: u64,
    /// Bytes of an operation at most.
    pub most: usize,
    /// Requests in flight at most.
    pub depth: usize,
    /// Command forms used.
    pub forms: Vec<Form>,
    /// Whether the system remaps the device's DMA.
    pub dma_remapping: bool,
    /// Values in the driver's `Parameters\\Device` key.
    pub settings: Vec<(&'static str, u32)>,
    /// Function and device number that the adapter sits at, as in `PCI_SLOT_NUMBER`.
    pub slot: u32,
    /// Time that all of it may take.
    pub deadline: Duration,
}

/// The device of a scenario.
#[derive(Debug, Clone)]
pub enum Backend {
    /// A real one.
    Qemu(Qemu),
    /// The one in this process, with these properties.
    InProcess(Vec<(String, String)>),
    /// One of this machine's own.
    #[cfg(target_arch = "x86_64")]
    Own(Own),
}

/// A function of this machine, and physical memory for it that Linux leaves alone.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone)]
pub struct Own {
    /// The function.
    pub function: test_device::vfio::Function,
    /// Physical address of the memory.
    pub memory: u64,
    /// Told when what is compared begins and ends, with the messages so far.
    pub tell: fn(Moment, u64),
    /// Messages that the function raised to the driver under test.
    pub interrupts: Arc<AtomicU64>,
}

/// When something is counted outside of this process, see [`Goal::Compare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the first operation.
    Begins,
    /// When the last one has ended.
    Ended,
}

/// Where the disk's content is when no driver under test has it.
pub enum Medium {
    /// In a file.
    Image(Image),
    /// Behind Linux's own driver for the function.
    #[cfg(target_arch = "x86_64")]
    Own(Own),
}

impl Medium {
    /// Opens it. What another driver wrote before is seen.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(&self) -> anyhow::Result<File> {
        match self {
            Self::Image(image) => Ok(image.file().try_clone()?),
            #[cfg(target_arch = "x86_64")]
            Self::Own(own) => own.function.disk(),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Image(image) => image.path(),
            #[cfg(target_arch = "x86_64")]
            Self::Own(_) => Path::new(""),
        }
    }
}

/// A device of QEMU's.
#[derive(Debug, Clone, Default)]
pub struct Qemu {
    /// The value of `-device`.
    pub device: String,
    /// Properties of the disk behind a SCSI controller.
    pub disk: String,
    /// Put an IOMMU into the machine.
    pub iommu: bool,
    /// Put the device behind a root port, where it has power management.
    pub behind_port: bool,
    /// Open the image read-only.
    pub read_only: bool,
    /// This many sectors fail on reading, and as many others on writing.
    pub bad_sectors: usize,
}

/// What has to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Data moves, and the disk holds what it should.
    Move,
    /// The driver refuses the device, in good order and with an entry in the event log.
    Refuse,
    /// As [`Goal::Move`], and a second run from the same seed is identical.
    Repeat,
    /// Buses are reset under load, and nothing is lost but what was in flight.
    Reset,
    /// The device vanishes under load, and every request comes back.
    Vanish,
    /// The adapter is told to be gone by a request, then the device vanishes under load and requests alone tell of it: what the driver has
    /// ends before anything times out.
    VanishTold,
    /// Every command but plain reads and writes does what it should, and the workload finds the disk as they left it.
    Commands(Abilities),
    /// The disk grows to so many sectors while it is used.
    Grow(u64),
    /// Flushes fail: so does every write that is to reach the medium, and no other.
    FlushesFail,
    /// The disk becomes read-only while the adapter is stopped.
    Protect,
    /// The device gets other addresses while it is used, and is removed while it is stopped.
    Rebalance,
    /// The device sleeps in D3 under load, with its power and without it.
    Sleep,
    /// Requests for a reset end when the device, which takes long, has been reset.
    SlowResets,
    /// The device keeps its write cache on although a command turned it off: all writes reach the medium or fail.
    CacheStaysOn,
    /// The device leaves requests unanswered, and every one comes back all the same.
    Silent,
    /// The device asks for a reset again and again under load.
    NeedsReset,
    /// The device is given up: every request comes back, and from some time on nothing reaches it.
    GivenUp,
    /// As [`Goal::Move`], and what the driver asks of the port driver is limited to this.
    Limited(Allowed),
    /// The disk is empty: there is a unit, and no command reads or writes it.
    Empty,
    /// The machine stops under load, and the dump stack goes on with a second instance of the driver.
    Dump(DumpPlan),
    /// As [`Goal::Move`], and what vioblk counted is what was done (docs/statistics.md).
    Statistics {
        /// The queues have too little room, and the device fails a sector.
        crowded: bool,
    },
    /// vioblk counts requests whose data it copies, and no others (docs/statistics.md).
    Copied,
    /// vioblk counts each command that it refuses, on a device that knows no request (docs/statistics.md).
    Refusals,
    /// Requests that are seldom sent are answered as the standards say.
    Unusual,
    /// What the disk says of itself is what the device is, and the name that it gives is the same wherever it has a serial number, and
    /// without one the same only in the same slot.
    Described,
    /// As [`Goal::Move`] in one go, with operations that another driver can be given alike: one block each, no block twice.
    Compare,
    /// Whatever comes of it: a driver that breaks a rule gets the occasion to.
    Provoke,
}

/// What the dump stack does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpPlan {
    /// What for.
    pub mode: host_storport::DumpMode,
    /// What comes of it.
    pub end: DumpEnd,
}

/// What comes of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpEnd {
    /// It is on the disk.
    Written,
    /// The device does not stop, so it is not used.
    Refused,
    /// The device starts and answers nothing: each request ends in the dump stack's own time.
    Silent,
}

/// What a driver may ask of the port driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// `MaxNumberOfIO`.
    pub depth: u32,
    /// Concurrent channels; 0: none.
    pub channels: u32,
}

impl Scenario {
    /// The memory that driver and device share, of `len` bytes.
    ///
    /// # Errors
    /// What the system says when there is none.
    pub fn memory(&self, len: usize, seed: u64) -> anyhow::Result<Ram> {
        match &self.backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Own(own) => Ram::physical(own.memory, len, seed),
            _ => Ram::new(len, seed),
        }
        .context("cannot make guest memory")
    }

    /// The disk's medium.
    ///
    /// # Errors
    /// There is no space for it.
    pub fn medium(&self) -> anyhow::Result<Medium> {
        match &self.backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Own(own) => Ok(Medium::Own(own.clone())),
            _ => Image::new(self.size)
                .map(Medium::Image)
                .context("cannot make the disk image"),
        }
    }

    /// Makes the device on `ram`, with this medium.
    ///
    /// # Errors
    /// QEMU does not start, a property is not known, or Linux does not hand out its own device.
    pub fn device(&self, ram: &Ram, medium: &Medium, seed: u64) -> anyhow::Result<Box<dyn Device>> {
        let image = medium.path();
        match &self.backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Own(own) => {
                let interrupts = Arc::clone(&own.interrupts);
                let device = test_device::vfio::Vfio::open(&own.function, interrupts)?;
                Ok(Box::new(device))
            }
            Backend::Qemu(qemu) => {
                let errors = bad_sectors(qemu.bad_sectors, self.size, seed);
                let mut properties = qemu.device.clone();
                // An older one refuses the property, and never offers the feature.
                if test_device::qemu::version()? < test_device::qemu::HAS_IN_ORDER {
                    properties = properties.replace(",in_order=on", "");
                }
                let device = Builder::new(&properties)
                    .disk(&qemu.disk)
                    .image(image)
                    .read_only(qemu.read_only)
                    .iommu(qemu.iommu)
                    .behind_port(qemu.behind_port)
                    .errors(&errors)
                    .start(ram)?;
                Ok(Box::new(device))
            }
            Backend::InProcess(properties) => {
                let config = in_process(properties, image, seed)?;
                Ok(Box::new(InProcess::new(&config, ram)?))
            }
        }
    }

    /// Tells whoever counts from outside.
    pub fn tell(&self, moment: Moment) {
        match &self.backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Own(own) => {
                // Relaxed: what the messages led to has come to its end.
                let messages = own.interrupts.load(std::sync::atomic::Ordering::Relaxed);
                (own.tell)(moment, messages);
            }
            // Nobody does.
            Backend::Qemu(_) | Backend::InProcess(_) => {
                let _ = moment;
            }
        }
    }

    /// The properties of the device in this process.
    ///
    /// # Errors
    /// The device is another one, or a property is not known.
    pub fn properties(&self, seed: u64) -> anyhow::Result<Config> {
        match &self.backend {
            Backend::InProcess(properties) => in_process(properties, Path::new(""), seed),
            _ => anyhow::bail!("{} has a device outside of this process", self.name),
        }
    }

    /// What fails on this device, in blocks.
    ///
    /// # Errors
    /// A property of the in-process device is not known.
    pub fn faults(&self, seed: u64) -> anyhow::Result<Faults> {
        let block = u64::from(self.block) / 512;
        let mut faults = Faults::default();
        match &self.backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Own(_) => {}
            Backend::Qemu(qemu) => {
                faults.write_protected = qemu.read_only;
                for error in bad_sectors(qemu.bad_sectors, self.size, seed) {
                    let bad = match error.operation {
                        Operation::Read => &mut faults.bad_reads,
                        _ => &mut faults.bad_writes,
                    };
                    bad.extend(error.sector.map(|sector| sector / block));
                }
            }
            Backend::InProcess(properties) => {
                let config = in_process(properties, Path::new(""), seed)?;
                faults.write_protected = config.read_only;
                for fault in &config.faults {
                    if let test_device::inproc::When::Sector(sector) = fault.when {
                        faults.bad_reads.push(sector / block);
                        faults.bad_writes.push(sector / block);
                    }
                }
            }
        }
        Ok(faults)
    }
}

fn in_process(properties: &[(String, String)], image: &Path, seed: u64) -> anyhow::Result<Config> {
    let mut config = Config::new(image);
    config.seed = seed;
    for (key, value) in properties {
        config.set(key, value)?;
    }
    Ok(config)
}

/// `count` errors on reading and as many on writing, of both kinds that the host's file system has, from the seed.
fn bad_sectors(count: usize, size: u64, seed: u64) -> Vec<InjectedError> {
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;
    let mut random = Pcg64Mcg::seed_from_u64(seed ^ 0xbad);
    (0..2 * count)
        .map(|at| {
            let operation = if at < count {
                Operation::Read
            } else {
                Operation::Write
            };
            let full = operation == Operation::Write && at % 2 == 0;
            InjectedError {
                operation,
                sector: Some(random.next_u64() % (size / 512)),
                errno: if full { ENOSPC } else { EIO },
                once: false,
            }
        })
        .collect()
}
