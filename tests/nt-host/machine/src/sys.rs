//! The few system calls on mappings, each with its one safety argument.

#[cfg(target_arch = "x86_64")]
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
#[cfg(target_arch = "x86_64")]
use std::os::unix::fs::FileExt;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use crate::ram::PAGE;

/// No access.
pub const NONE: i32 = libc::PROT_NONE;
/// Read.
pub const READ: i32 = libc::PROT_READ;
/// Read and write.
pub const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
/// Execute.
pub const EXECUTE: i32 = libc::PROT_EXEC;

/// Rounds up to whole pages, at least one.
pub fn pages(len: usize) -> usize {
    len.max(1).next_multiple_of(PAGE)
}

fn address(p: *mut libc::c_void) -> io::Result<usize> {
    if p == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(p as usize)
    }
}

/// New private memory at an address of the system's choice.
pub fn map(len: usize, protection: i32) -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: without MAP_FIXED the mapping replaces nothing.
    address(unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) })
}

/// A shared mapping of a part of a file, at an address of the system's choice.
pub fn map_file(file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize> {
    let fd = file.as_raw_fd();
    // SAFETY: without MAP_FIXED the mapping replaces nothing.
    address(unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            READ_WRITE,
            libc::MAP_SHARED,
            fd,
            offset as libc::off_t,
        )
    })
}

/// Replaces pages by a shared mapping of part of a file, ready for use: most blocks are filled at once, and a fault for each page
/// would cost more than the mapping.
///
/// # Safety
/// `at..at + len` must be whole pages that the caller owns and that nothing refers to.
pub unsafe fn map_file_at(
    at: usize,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<()> {
    let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE;
    // SAFETY: the caller owns the pages that are replaced.
    let p = unsafe {
        libc::mmap(
            at as *mut _,
            len,
            READ_WRITE,
            flags,
            file.as_raw_fd(),
            offset as libc::off_t,
        )
    };
    address(p).map(drop)
}

/// Replaces pages by nothing, keeping their addresses out of use.
///
/// # Safety
/// `at..at + len` must be whole pages that the caller owns and that nothing refers to.
pub unsafe fn reserve_at(at: usize, len: usize) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: the caller owns the pages that are replaced.
    address(unsafe { libc::mmap(at as *mut _, len, NONE, flags, -1, 0) }).map(drop)
}

/// Changes what may be done with pages.
///
/// # Panics
/// If the system refuses: with pages of ours only because there are too many mappings.
///
/// # Safety
/// `at..at + len` must be whole pages that the caller owns; a reference into them must not be invalidated.
pub unsafe fn protect(at: usize, len: usize, protection: i32) {
    // SAFETY: the caller owns the pages.
    let failed = unsafe { libc::mprotect(at as *mut _, len, protection) } != 0;
    assert!(
        !failed,
        "mprotect of {len:#x} bytes at {at:#x}: {}",
        io::Error::last_os_error()
    );
}

/// Takes pages away.
///
/// # Safety
/// `at..at + len` must be whole pages that the caller owns and that nothing refers to.
pub unsafe fn unmap(at: usize, len: usize) {
    // SAFETY: the caller owns the pages.
    let failed = unsafe { libc::munmap(at as *mut _, len) } != 0;
    debug_assert!(!failed, "munmap: {}", io::Error::last_os_error());
}

/// New memory that holds this code, executable and not writable, for as long as the process runs.
pub fn map_code(code: &[u8]) -> usize {
    let len = pages(code.len());
    let at = map(len, READ_WRITE).expect("memory for code");
    // SAFETY: the pages were just mapped and are at least as long.
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), at as *mut u8, code.len()) };
    // SAFETY: nothing refers to them yet.
    unsafe { protect(at, len, READ | EXECUTE) };
    crate::arch::synchronise_code(at, len);
    at
}

/// Copies from an address that may not be readable; returns how many bytes were.
#[cfg(target_arch = "x86_64")]
pub fn peek(at: usize, out: &mut [u8]) -> usize {
    static MEMORY: OnceLock<File> = OnceLock::new();
    let memory = MEMORY.get_or_init(|| File::open("/proc/self/mem").expect("/proc is mounted"));
    memory.read_at(out, at as u64).unwrap_or(0)
}
