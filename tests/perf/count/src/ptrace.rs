//! The kernel's side: one function for each request that the tracer makes.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::ptr;

use libc::{c_int, c_void, pid_t, user_regs_struct};

use crate::CountError;

/// What waiting for the child brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It ended by itself.
    Exited(i32),
    /// It was killed.
    Killed(i32),
    /// It stands still, before the signal is delivered to it.
    Stopped(i32),
}

/// A child that stands still, or is awaited.
#[derive(Clone, Copy, Debug)]
pub struct Child(pub pid_t);

impl Child {
    /// Waits until the child stops or ends.
    pub fn wait(self) -> Result<Event, CountError> {
        let mut status: c_int = 0;
        loop {
            // SAFETY: `status` is writable for the call.
            let pid = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) };
            if pid == self.0 {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(failed("waitpid", error));
            }
        }
        Ok(if libc::WIFEXITED(status) {
            Event::Exited(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Event::Killed(libc::WTERMSIG(status))
        } else {
            Event::Stopped(libc::WSTOPSIG(status))
        })
    }

    /// Has the kernel kill the child when its tracer ends.
    pub fn tie(self) -> Result<(), CountError> {
        let options = libc::PTRACE_O_EXITKILL as usize;
        self.request("PTRACE_SETOPTIONS", libc::PTRACE_SETOPTIONS, options)
    }

    /// Lets it run, with a signal or 0.
    pub fn go(self, signal: i32) -> Result<(), CountError> {
        self.request("PTRACE_CONT", libc::PTRACE_CONT, signal as usize)
    }

    /// Lets it run one instruction, with a signal or 0.
    pub fn step(self, signal: i32) -> Result<(), CountError> {
        self.request(
            "PTRACE_SINGLESTEP",
            libc::PTRACE_SINGLESTEP,
            signal as usize,
        )
    }

    /// Its registers.
    pub fn registers(self) -> Result<user_regs_struct, CountError> {
        let mut registers = MaybeUninit::<user_regs_struct>::uninit();
        let at = registers.as_mut_ptr().cast::<c_void>();
        // SAFETY: the request writes one `user_regs_struct` to `at`.
        let result =
            unsafe { libc::ptrace(libc::PTRACE_GETREGS, self.0, ptr::null_mut::<c_void>(), at) };
        if result == -1 {
            return Err(last("PTRACE_GETREGS"));
        }
        // SAFETY: every register is an integer, and the kernel has written them all.
        Ok(unsafe { registers.assume_init() })
    }

    /// Sets its registers.
    pub fn set_registers(self, registers: &user_regs_struct) -> Result<(), CountError> {
        let at = ptr::from_ref(registers).cast_mut().cast::<c_void>();
        // SAFETY: the request only reads one `user_regs_struct` from `at`.
        let result =
            unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.0, ptr::null_mut::<c_void>(), at) };
        if result == -1 {
            return Err(last("PTRACE_SETREGS"));
        }
        Ok(())
    }

    /// Reads memory at `at`; returns how many bytes could be read.
    pub fn read(self, at: u64, buffer: &mut [u8]) -> usize {
        let local = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let remote = libc::iovec {
            iov_base: ptr::without_provenance_mut(at as usize),
            iov_len: buffer.len(),
        };
        // SAFETY: both vectors have one element, and the local one is writable for its length.
        let read =
            unsafe { libc::process_vm_readv(self.0, &raw const local, 1, &raw const remote, 1, 0) };
        match usize::try_from(read) {
            Ok(read) if read > 0 => read,
            // Code that may only be executed.
            _ => std::fs::File::open(format!("/proc/{}/mem", self.0))
                .and_then(|memory| memory.read_at(buffer, at))
                .unwrap_or(0),
        }
    }

    /// Keeps the child on the processor that this thread runs on, and this thread too: each step switches between the
    /// two, and to another processor that takes several times as long. Only speed depends on it, so errors do not matter.
    pub fn share_processor(self) -> Pinned {
        let len = size_of::<libc::cpu_set_t>();
        // SAFETY: zero is a valid set.
        let mut before: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is writable for its length.
        let got = unsafe { libc::sched_getaffinity(0, len, &raw mut before) };
        // SAFETY: plain system call.
        let here = usize::try_from(unsafe { libc::sched_getcpu() });
        let (0, Ok(here)) = (got, here) else {
            return Pinned(None);
        };
        // SAFETY: zero is a valid set.
        let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the number comes from the kernel; a set has room for it, or the call does nothing.
        unsafe { libc::CPU_SET(here, &mut one) };
        for thread in [0, self.0] {
            // SAFETY: the set is readable for its length.
            unsafe { libc::sched_setaffinity(thread, len, &raw const one) };
        }
        Pinned(Some(before))
    }

    /// Kills it and takes its remains away.
    pub fn kill(self) {
        // SAFETY: plain system call; the child is ours and has not been waited for to its end.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        while let Ok(Event::Stopped(_)) = self.wait() {}
    }

    /// A request whose answer is only whether it was done.
    fn request(self, call: &'static str, request: u32, data: usize) -> Result<(), CountError> {
        // SAFETY: these requests take a number as data and touch no memory of ours.
        let result = unsafe {
            libc::ptrace(
                request,
                self.0,
                ptr::null_mut::<c_void>(),
                ptr::without_provenance_mut::<c_void>(data),
            )
        };
        if result == -1 {
            return Err(last(call));
        }
        Ok(())
    }
}

/// Lets the thread go where it could go before, when dropped.
pub struct Pinned(Option<libc::cpu_set_t>);

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: the set is readable for its length.
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), before) };
        }
    }
}

fn last(call: &'static str) -> CountError {
    failed(call, io::Error::last_os_error())
}

fn failed(call: &'static str, error: io::Error) -> CountError {
    CountError::Trace { call, error }
}
