//! Device registers: memory whose every access is a call.

/// One access to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Bytes from the start of the window.
    pub offset: usize,
    /// Bytes: 1, 2, 4 or 8.
    pub width: u8,
    /// The value if it is a write. A read's answer is cut to the width.
    pub write: Option<u64>,
}

/// What answers accesses. It runs outside the signal handler, on the current fiber's host stack.
pub type Handler = Box<dyn FnMut(Access) -> u64>;

/// A range of addresses whose accesses go to a handler. Dropping it unmaps them.
pub struct Window {
    va: usize,
    len: usize,
}

impl Window {
    /// Its first address.
    pub fn va(&self) -> *mut u8 {
        self.va as *mut u8
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a window has a page at least.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Maps a window of `len` bytes (rounded up to pages), at least.
pub fn map(len: usize, handler: Handler) -> Window {
    let _ = (len, handler);
    unimplemented!()
}

/// Accesses a window from host code without a trap: what an import such as a register read should use.
/// `None` if the address is in no window of this thread.
pub fn access(va: usize, width: u8, write: Option<u64>) -> Option<u64> {
    let _ = (va, width, write);
    unimplemented!()
}

/// How many accesses of driver code were trapped on this thread.
pub fn traps() -> u64 {
    0
}
