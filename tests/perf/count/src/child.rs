//! Starting the child that is counted, by fork or as a program.

use std::io;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr;

use libc::{c_void, pid_t};

use crate::ptrace::{Child, Event};
use crate::tracer::Tracer;
use crate::{CountError, Limits, Report};

/// Code with which a forked child ends after a panic.
const PANICKED: i32 = 101;

/// Keeps glibc's string functions to those that every x86-64 processor has; other C libraries ignore it.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX2_Usable,-AVX,-ERMS,-FSRM,\
-SSSE3,-SSE4_1,-SSE4_2,-Fast_Unaligned_Copy,-AVX_Fast_Unaligned_Load:\
glibc.cpu.x86_rep_movsb_threshold=0x7fffffff:glibc.cpu.x86_rep_stosb_threshold=0x7fffffff";

/// Counts the marked stretches of `work`, which runs in a forked child.
///
/// The child has the caller's memory as it is now, but only the calling thread. What it changes is lost with it; a panic in
/// it is an error here, and its message stands on standard error. Counts repeat within one process; from one process to
/// the next, code whose path depends on addresses may differ (see [`count_program`]).
///
/// # Errors
///
/// [`CountError`].
pub fn count(limits: Limits, work: impl FnOnce()) -> Result<Report, CountError> {
    // SAFETY: the child runs only what follows, on the one thread that it has.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(CountError::Start(io::Error::last_os_error())),
        0 => {
            let code = match prepare(seconds(&limits)) {
                Ok(()) => {
                    // SAFETY: plain system call; the tracer awaits this stop.
                    unsafe { libc::raise(libc::SIGSTOP) };
                    match catch_unwind(AssertUnwindSafe(work)) {
                        Ok(()) => 0,
                        Err(_) => PANICKED,
                    }
                }
                Err(_) => PANICKED,
            };
            // SAFETY: ends the child without running what the parent has registered for its own exit.
            unsafe { libc::_exit(code) }
        }
        pid => follow(pid, limits),
    }
}

/// Counts the marked stretches of a program.
///
/// It runs without address space randomisation, with nothing on standard input and output, standard error being the
/// caller's, and with an environment that is the same everywhere.
///
/// # Errors
///
/// [`CountError`].
pub fn count_program(
    limits: Limits,
    program: &Path,
    arguments: &[&str],
) -> Result<Report, CountError> {
    let seconds = seconds(&limits);
    let mut command = Command::new(program);
    command
        // The program's path is on its stack: a longer one would move the stack.
        .arg0("counted")
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("GLIBC_TUNABLES", TUNABLES)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // SAFETY: `prepare` makes system calls only.
    unsafe { command.pre_exec(move || prepare(seconds)) };
    let child = command.spawn().map_err(CountError::Start)?;
    let pid = pid_t::try_from(child.id())
        .map_err(|_| CountError::Start(io::ErrorKind::InvalidData.into()))?;
    follow(pid, limits)
}

/// In the child: makes it traced, mortal, and the same each time.
fn prepare(seconds: u32) -> io::Result<()> {
    // SAFETY: plain system call.
    let personality = unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) };
    if personality == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain system call; the alarm's signal goes to the tracer first.
    unsafe { libc::alarm(seconds) };
    // SAFETY: the request has no operands.
    let traced = unsafe {
        libc::ptrace(
            libc::PTRACE_TRACEME,
            0,
            ptr::null_mut::<c_void>(),
            ptr::null_mut::<c_void>(),
        )
    };
    if traced == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Awaits the child's first stop, and follows it to its end.
fn follow(pid: pid_t, limits: Limits) -> Result<Report, CountError> {
    let child = Child(pid);
    let result = match child.wait()? {
        Event::Stopped(_) => {
            let _pinned = child.share_processor();
            child.tie().and_then(|()| Tracer::new(child, limits).run())
        }
        Event::Exited(_) | Event::Killed(_) => {
            return Err(CountError::Trace {
                call: "PTRACE_TRACEME",
                error: io::ErrorKind::PermissionDenied.into(),
            });
        }
    };
    if !matches!(
        result,
        Ok(_) | Err(CountError::Exit { .. } | CountError::Signal { .. })
    ) {
        child.kill();
    }
    result
}

/// The deadline in whole seconds, at least one.
pub fn seconds(limits: &Limits) -> u32 {
    let seconds = limits.deadline.as_secs_f64().ceil().max(1.0);
    seconds as u32
}
