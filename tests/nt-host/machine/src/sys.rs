//! The few system calls on mappings, each with its one safety argument.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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

/// A shared mapping of a file from its start, at an address of the system's choice.
pub fn map_file(file: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let fd = file.as_raw_fd();
    // SAFETY: without MAP_FIXED the mapping replaces nothing.
    address(unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            READ_WRITE,
            libc::MAP_SHARED,
            fd,
            0,
        )
    })
}

/// Replaces pages by a shared mapping of part of a file.
///
/// # Safety
/// `at..at + len` must be whole pages that the caller owns and that nothing refers to.
pub unsafe fn map_file_at(
    at: usize,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<()> {
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
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
    let local = libc::iovec {
        iov_base: out.as_mut_ptr().cast(),
        iov_len: out.len(),
    };
    // The kernel copies whole pieces only, so a page boundary is a boundary of pieces.
    let first = out.len().min(PAGE - at % PAGE);
    let remote = [
        libc::iovec {
            iov_base: at as *mut _,
            iov_len: first,
        },
        libc::iovec {
            iov_base: (at + first) as *mut _,
            iov_len: out.len() - first,
        },
    ];
    // SAFETY: getpid has no conditions.
    let pid = unsafe { libc::getpid() };
    // SAFETY: the local vector is `out`; the kernel checks the remote one.
    let n = unsafe { libc::process_vm_readv(pid, &raw const local, 1, remote.as_ptr(), 2, 0) };
    usize::try_from(n).unwrap_or(0)
}
