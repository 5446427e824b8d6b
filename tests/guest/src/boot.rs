//! Process 1: file systems, modules, the steps one after the other, power off.

use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};

/// A step that takes longer is ended.
const DEADLINE: Duration = Duration::from_secs(240);

/// Everything. Does not come back: the machine is switched off.
pub fn run() -> anyhow::Result<()> {
    if let Err(error) = set_up().and_then(|()| all_steps()) {
        println!("FAILED guest: {error:#}");
    }
    println!("@off");
    rustix::fs::sync();
    reboot(RebootCommand::PowerOff)?;
    Ok(())
}

fn set_up() -> anyhow::Result<()> {
    for (kind, at) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tmpfs", "/tmp"),
    ] {
        fs::create_dir_all(at)?;
        mount(kind, at, kind, MountFlags::empty(), None)
            .with_context(|| format!("mounting {at}"))?;
    }
    // In the order in which they need each other; whoever made the archive has resolved that.
    let modules = fs::read_to_string("/modules/order").context("/modules/order")?;
    for name in modules.lines() {
        let file = File::open(format!("/modules/{name}")).with_context(|| name.to_owned())?;
        match finit_module(&file, c"", 0) {
            // Built into this kernel, or loaded already.
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("loading {name}")),
        }
    }
    Ok(())
}

/// The steps that the file /steps names, a line each.
fn all_steps() -> anyhow::Result<()> {
    let steps = fs::read_to_string("/steps").context("/steps")?;
    for line in steps.lines() {
        println!("@step {line}");
        if let Err(error) = step(line) {
            println!("FAILED {line}: {error:#}");
        }
    }
    Ok(())
}

fn step(line: &str) -> anyhow::Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .args(line.split_whitespace())
        .spawn()?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{status}");
            return Ok(());
        }
        if start.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("not done after {DEADLINE:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}
