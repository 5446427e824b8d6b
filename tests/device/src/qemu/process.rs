//! QEMU's processes: found, checked for their version, started so that they cannot outlive us, and their last words kept.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, bail};

/// The oldest QEMU that the tests run with: Debian 12's own.
pub const OLDEST: (u32, u32) = (7, 2);

/// This version of QEMU has a property `in_order` for virtio devices, and Debian 12's own has none; those between were not tried.
pub const HAS_IN_ORDER: (u32, u32) = (10, 0);

/// The program, overridden by `WINPV_QEMU`.
pub(super) fn program() -> OsString {
    std::env::var_os("WINPV_QEMU").unwrap_or_else(|| "qemu-system-x86_64".into())
}

/// The version of the installed QEMU; asked once.
///
/// # Errors
/// QEMU is not installed, does not say its version, or is older than [`OLDEST`].
pub fn version() -> anyhow::Result<(u32, u32)> {
    static VERSION: OnceLock<Result<(u32, u32), String>> = OnceLock::new();
    VERSION
        .get_or_init(|| ask_version().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn ask_version() -> anyhow::Result<(u32, u32)> {
    let program = program();
    let output = Command::new(&program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!(
                "cannot run {}: install it with `apt-get install qemu-system-x86`",
                program.display()
            )
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = parse_version(&text).with_context(|| {
        format!(
            "{} --version says {:?}, which names no version",
            program.display(),
            text.trim()
        )
    })?;
    check_version(found)?;
    Ok(found)
}

/// The version in QEMU's `QEMU emulator version 10.0.2 (Debian …)`.
pub(super) fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split("version ").nth(1)?.split(['.', ' ', '\n', '(']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Refuses what is older than [`OLDEST`].
pub(super) fn check_version(found: (u32, u32)) -> anyhow::Result<()> {
    if found < OLDEST {
        bail!(
            "QEMU is too old: has {}.{}, needs {}.{}; install a newer qemu-system-x86 (Debian: from backports) or name one in WINPV_QEMU",
            found.0,
            found.1,
            OLDEST.0,
            OLDEST.1
        );
    }
    Ok(())
}

/// A running program of QEMU's, killed when dropped.
pub(crate) struct Process {
    child: Child,
    stderr: File,
}

impl Process {
    /// Starts `program` with `arguments`; it inherits `inherited`, which keep their numbers.
    pub(crate) fn start(
        program: &OsStr,
        arguments: &[OsString],
        inherited: Vec<OwnedFd>,
    ) -> anyhow::Result<Self> {
        let stderr =
            tempfile::tempfile().context("cannot make a temporary file for QEMU's messages")?;
        let numbers: Vec<_> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.try_clone()?);
        let prepare = move || {
            // Fires when the thread that forked ends, which is the one thread that a test host has.
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            for &number in &numbers {
                // SAFETY: the descriptors in `inherited` are open in the parent until after the fork, so also in this child,
                // and nothing here closes them.
                let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
                rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
            }
            Ok(())
        };
        // SAFETY: `prepare` runs between fork and exec; it makes two kinds of system call, and neither allocates nor locks.
        unsafe { command.pre_exec(prepare) };
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        drop(inherited);
        Ok(Self { child, stderr })
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) {
        // An error here means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Why it ended, if it did, and what it said.
    pub(crate) fn last_words(&mut self) -> String {
        let status = self.child.try_wait().ok().flatten();
        let mut text = String::new();
        let _ = self
            .stderr
            .rewind()
            .and_then(|()| self.stderr.read_to_string(&mut text));
        let text = text.trim();
        let status = status.map_or("still running".to_owned(), describe);
        if text.is_empty() {
            format!("QEMU is {status} and said nothing")
        } else {
            format!("QEMU is {status} and said:\n{text}")
        }
    }
}

fn describe(status: ExitStatus) -> String {
    format!("gone ({status})")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
