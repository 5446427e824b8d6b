//! The packed vioblk.sys on PCI functions of a small Linux guest, which hands them out by vfio; Linux's own driver on the same ones.
//!
//! Both do the same operations on the same device of one QEMU, and what they cost the device is counted by the same instrument:
//! QEMU's own trace of notifications in both directions.

mod archive;
mod cost;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use winpv::process::{Conversation, Run};

use super::{Context, Outcome, kernel as linux};
use crate::bench::VIOBLK;
use cost::{Cost, Trace};

/// What compiles from cold.
const BUILD_DEADLINE: Duration = Duration::from_secs(1800);
/// The longest that the guest may be silent. Without KVM its Linux takes a while to start.
const SILENCE: Duration = Duration::from_secs(600);
/// The longest that all of it may take.
const LONGEST: Duration = Duration::from_secs(1200);
/// What Linux gets, in MiB; the driver under test and its device have what follows.
const LINUX: u64 = 512;
/// What the driver under test and its device have, in MiB, as nt-host makes its guest memory.
const SHARED: u64 = 256;
/// What nobody has but the firmware, whose tables lie at the end, in MiB.
const FIRMWARE: u64 = 16;
/// The guest's clock counts instructions, four nanoseconds each: what its Linux and nt-host judge by time does not depend on what
/// else this machine does. Both processors then run in one thread; with a thread for each, QEMU 10.0.2 ended itself once while the
/// memory map changed (an assertion in `iotlb_to_section`).
const CLOCK: &str = "shift=2";
/// Linux looks whether its timer works by how much comes in a busy wait, which needs QEMU's other thread in time.
const NO_TIMER_CHECK: &str = "no_timer_check";
/// Bytes of a disk.
const DISK: u64 = 16 << 20;
/// Slot of the disk.
const SLOT: u32 = 4;
/// Requests in flight where blocks change.
const SPOILT_DEPTH: u32 = 32;
/// Where they change, and how many bytes.
const SPOILT: (u64, usize) = (8 << 20, 1 << 20);
/// What the guest says of a block that does not hold what it should.
const WRONG: &str = "should hold generation";
/// Lines of the guest's that an error quotes.
const LAST_WORDS: usize = 25;

/// The disks: two queues, and blocks of the size of an operation.
const DISKS: [Disk; 2] = [
    Disk {
        what: "each kick by itself",
        property: "ioeventfd=off",
    },
    Disk {
        what: "as QEMU has it",
        property: "ioeventfd=on",
    },
];

/// A disk and the way its kicks take in QEMU.
struct Disk {
    /// In words: whether several kicks can wake the device only once.
    what: &'static str,
    /// As QEMU calls it.
    property: &'static str,
}

/// Who drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The packed driver in nt-host, through vfio.
    Vioblk,
    /// Linux's own virtio_blk.
    Linux,
}

/// What the guest does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Random operations of any length by vioblk.sys, which is stopped and restarted in between.
    Verified,
    /// Operations of 4 KiB, as many in flight.
    Compared(Who, u32),
    /// The same on a disk of which blocks change behind the driver's back: the step has to fail.
    Spoilt(Who),
}

/// A step of the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which disk.
    disk: usize,
    work: Work,
}

impl Step {
    /// All, in their order.
    fn all() -> Vec<Self> {
        let mut steps = vec![Self {
            disk: 1,
            work: Work::Verified,
        }];
        for disk in 0..DISKS.len() {
            for depth in [1, 32] {
                for who in [Who::Vioblk, Who::Linux] {
                    let work = Work::Compared(who, depth);
                    steps.push(Self { disk, work });
                }
            }
        }
        steps.extend([Who::Vioblk, Who::Linux].map(|who| Self {
            disk: 1,
            work: Work::Spoilt(who),
        }));
        steps
    }

    /// What its test is called.
    fn name(self) -> String {
        let kicks = DISKS[self.disk].what;
        match self.work {
            Work::Verified => "verified I/O by vioblk.sys, with a restart".to_owned(),
            Work::Compared(Who::Vioblk, depth) => format!("vioblk.sys, depth {depth}, {kicks}"),
            Work::Compared(Who::Linux, depth) => format!("virtio_blk, depth {depth}, {kicks}"),
            Work::Spoilt(Who::Vioblk) => "wrong blocks are found through vioblk.sys".to_owned(),
            Work::Spoilt(Who::Linux) => "wrong blocks are found through virtio_blk".to_owned(),
        }
    }

    /// Its line in the file /steps of the guest.
    fn line(self) -> String {
        let memory = LINUX << 20;
        let (name, depth) = match self.work {
            Work::Verified => ("verified", String::new()),
            Work::Compared(Who::Vioblk, depth) => ("vioblk", depth.to_string()),
            Work::Compared(Who::Linux, depth) => ("linux", depth.to_string()),
            Work::Spoilt(Who::Vioblk) => ("vioblk", SPOILT_DEPTH.to_string()),
            Work::Spoilt(Who::Linux) => ("linux", SPOILT_DEPTH.to_string()),
        };
        format!("{name} 0000:00:{SLOT:02x}.0 {memory:x} {depth}\n")
    }
}

/// What came of a step.
pub type StepResult = std::result::Result<Cost, String>;

/// What came of all.
pub struct Found {
    /// Version of the guest's Linux.
    kernel: String,
    /// Each step that began.
    steps: Vec<(Step, StepResult)>,
}

impl Found {
    /// What the two drivers cost the device, as a table in Markdown.
    pub fn table(&self) -> String {
        cost::table(&self.steps)
    }

    /// What failed, by step.
    pub fn wrong(&self) -> Vec<String> {
        let began = |wanted: &Step| self.steps.iter().any(|(step, _)| step == wanted);
        let missing = Step::all().into_iter().filter(|step| !began(step));
        let missing = missing.map(|step| format!("{}: did not begin", step.name()));
        let failed = self.steps.iter().filter_map(|(step, result)| {
            let problem = result.as_ref().err()?;
            Some(format!("{}: {problem}", step.name()))
        });
        failed.chain(missing).collect()
    }

    /// What ran, in a sentence.
    pub fn machine(&self) -> Result<String> {
        let said = Run::new("qemu-system-x86_64").arg("--version").ok()?.stdout;
        let qemu = said.lines().next().unwrap_or_default();
        Ok(format!(
            "{qemu}, TCG, two processors; Linux {} as the guest.\n",
            self.kernel
        ))
    }
}

/// As a step of `cargo xtask test`.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let found = run(&context.dist.join(VIOBLK))?;
    println!("per operation of 4 KiB:\n{}", found.table());
    let mut outcomes: Vec<Outcome> = found
        .steps
        .iter()
        .map(|(step, result)| Outcome {
            name: step.name(),
            result: result.as_ref().map(drop).map_err(String::clone),
        })
        .collect();
    outcomes.push(Outcome::of("the guests came to their ends", || {
        let (ran, steps) = (found.steps.len(), Step::all().len());
        ensure!(ran == steps, "{ran} of {steps} steps ran");
        Ok(())
    }));
    Ok(outcomes)
}

/// Boots a guest with this vioblk.sys for each disk, both at once.
pub fn run(sys: &Path) -> Result<Found> {
    let kernel = archive::Kernel::newest()?;
    let init = build()?;
    let guest = |disk| {
        let steps: Vec<Step> = Step::all()
            .into_iter()
            .filter(|step| step.disk == disk)
            .collect();
        let results = boot(sys, &kernel, &init, disk, &steps)?;
        anyhow::Ok(steps.into_iter().zip(results).collect::<Vec<_>>())
    };
    let guest = &guest;
    let results = thread::scope(|scope| {
        let started: Vec<_> = (0..DISKS.len())
            .map(|disk| scope.spawn(move || guest(disk)))
            .collect();
        let ended = started.into_iter().map(|guest| guest.join());
        ended.collect::<Vec<_>>()
    });
    let mut steps = Vec::new();
    for result in results {
        steps.extend(result.map_err(|_| anyhow!("what listens to a guest panicked"))??);
    }
    Ok(Found {
        kernel: kernel.version(),
        steps,
    })
}

/// Boots a guest with one disk; the result of each step that began.
fn boot(
    sys: &Path,
    kernel: &archive::Kernel,
    init: &Path,
    disk: usize,
    steps: &[Step],
) -> Result<Vec<StepResult>> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path();
    let initrd = folder.join("initrd");
    let lines: String = steps.iter().copied().map(Step::line).collect();
    archive::write(&initrd, kernel, init, sys, &lines)?;
    File::create(image(folder))?.set_len(DISK)?;
    let unpacked = folder.join("kernel");
    linux::unpack(&kernel.image, &unpacked)?;
    let trace = Trace::new(folder.join("trace"));
    let guest = qemu(folder, &unpacked, &initrd, &trace, &DISKS[disk]).start()?;
    Listener::new(folder, guest, trace, steps).listen()
}

/// Builds the guest's one program, of what most has been compiled for the unit tests.
fn build() -> Result<PathBuf> {
    Run::new("cargo")
        .dir(winpv::root())
        .args(["build", "--quiet", "--package", "guest"])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .deadline(BUILD_DEADLINE)
        .ok()?;
    Ok(winpv::target_dir().join("debug/guest"))
}

/// The file behind the disk.
fn image(folder: &Path) -> PathBuf {
    folder.join("disk.raw")
}

/// A machine with an IOMMU, without which Linux hands out no device. The disk bypasses it (no `iommu_platform`):
/// nt-host does not remap DMA there, so what the driver hands the disk are physical addresses.
fn qemu(folder: &Path, kernel: &Path, initrd: &Path, trace: &Trace, disk: &Disk) -> Run {
    let memory = LINUX + SHARED + FIRMWARE;
    Run::new("qemu-system-x86_64")
        .args(["-machine", "q35", "-accel", "tcg", "-icount", CLOCK])
        .args(["-cpu", "max", "-smp", "2"])
        .args(["-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-serial", "stdio", "-device", "intel-iommu,intremap=on"])
        .args(["-m", &format!("{memory}M")])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        .arg("-append")
        .arg(format!(
            "console=ttyS0 quiet panic=-1 intel_iommu=on mem={LINUX}M {NO_TIMER_CHECK}"
        ))
        .args(trace.arguments())
        .arg("-drive")
        .arg(format!(
            "if=none,id=disk,format=raw,file={}",
            image(folder).display()
        ))
        .arg("-device")
        .arg(format!(
            "virtio-blk-pci,drive=disk,addr={SLOT:#x},disable-legacy=on,num-queues=2,\
             logical_block_size=4096,physical_block_size=4096,{}",
            disk.property
        ))
        .deadline(SILENCE)
}

/// What listens to the guest's console.
struct Listener<'a> {
    folder: &'a Path,
    guest: Conversation,
    trace: Trace,
    /// What it is to do.
    plan: &'a [Step],
    /// What was heard since the step began.
    said: Vec<String>,
    steps: Vec<StepResult>,
    /// What was counted when the step's work began.
    before: Cost,
    /// What was counted of the step's work.
    cost: Cost,
}

impl<'a> Listener<'a> {
    fn new(folder: &'a Path, guest: Conversation, trace: Trace, plan: &'a [Step]) -> Self {
        Self {
            folder,
            guest,
            trace,
            plan,
            said: Vec::new(),
            steps: Vec::new(),
            before: Cost::default(),
            cost: Cost::default(),
        }
    }

    /// To the guest's end; the result of each step that began.
    fn listen(mut self) -> Result<Vec<StepResult>> {
        let start = Instant::now();
        loop {
            ensure!(
                start.elapsed() < LONGEST,
                "the guest is not done after {LONGEST:?}\n{}",
                self.last_words()
            );
            let line = match self.guest.hear() {
                Ok(line) => line.trim().to_owned(),
                Err(error) => bail!("{error:#}\n{}", self.last_words()),
            };
            self.said.push(line.clone());
            if line == "@off" {
                return Ok(self.steps);
            }
            self.take(&line)?;
        }
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("@step") => {
                self.steps
                    .push(Err("the step came to no result".to_owned()));
                (self.before, self.cost) = (Cost::default(), Cost::default());
                self.said.clear();
            }
            Some("@begin") => {
                self.before = self.trace.count(number(words.next())?)?;
                if let Work::Spoilt(_) = self.step()?.work {
                    let (at, len) = SPOILT;
                    let file = image(self.folder);
                    let file = File::options().write(true).open(file)?;
                    file.write_all_at(&vec![0x5a; len], at)?;
                }
                self.guest.say("")?;
            }
            Some("@end") => {
                self.cost = self.trace.count(number(words.next())?)?.since(self.before);
                self.guest.say("")?;
            }
            Some("@operations") => {
                let operations = number(words.next())?;
                let cost = Cost {
                    operations,
                    ..self.cost
                };
                let judged = cost.judge(self.step()?.work);
                self.came(judged.map(|()| cost).map_err(|error| format!("{error:#}")));
            }
            Some("FAILED") if self.steps.is_empty() => bail!("{}", self.last_words()),
            Some("FAILED") => {
                let words = self.last_words();
                let spoilt = matches!(self.step()?.work, Work::Spoilt(_));
                self.came(match spoilt && words.contains(WRONG) {
                    true => Ok(self.cost),
                    false => Err(words),
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// What is under way.
    fn step(&self) -> Result<Step> {
        let step = self.steps.len().checked_sub(1);
        let step = step.and_then(|at| self.plan.get(at).copied());
        step.context("the guest tells of a step that there is not")
    }

    /// Notes what came of it.
    fn came(&mut self, result: StepResult) {
        if let Some(last) = self.steps.last_mut() {
            *last = result;
        }
    }

    fn last_words(&self) -> String {
        let from = self.said.len().saturating_sub(LAST_WORDS);
        format!("the guest said last:\n{}", self.said[from..].join("\n"))
    }
}

fn number(word: Option<&str>) -> Result<u64> {
    Ok(word.context("a number is missing")?.parse()?)
}
