//! Device registers: memory whose every access is a call.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::ram::PAGE;
use crate::sys;

/// Addresses from here on are the kernel's: no process can map them.
pub(crate) const KERNEL: usize = 1 << 63;

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
/// It must not be suspended while another fiber accesses the same window.
pub type Handler = Box<dyn FnMut(Access) -> u64>;

/// A range of addresses whose accesses go to a handler. Dropping it unmaps them.
pub struct Window {
    va: usize,
    len: usize,
    /// The pages around and under it are ours.
    mapped: bool,
}

struct Entry {
    va: usize,
    len: usize,
    handler: Rc<RefCell<Handler>>,
}

thread_local! {
    static WINDOWS: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
    static TRAPS: Cell<u64> = const { Cell::new(0) };
}

impl Window {
    /// Its first address, at the start of a page.
    pub fn va(&self) -> *mut u8 {
        self.va as *mut u8
    }

    /// Its length in bytes. An access beyond is a fault, even within the last page.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let entry = WINDOWS.try_with(|windows| {
            let mut windows = windows.borrow_mut();
            let index = windows.iter().position(|entry| entry.va == self.va)?;
            Some(windows.swap_remove(index))
        });
        drop(entry);
        if self.mapped {
            // SAFETY: mapped by `map` with these guard pages; what still points there is to fault.
            unsafe { sys::unmap(self.va - PAGE, sys::pages(self.len) + 2 * PAGE) };
        }
    }
}

/// Maps a window of `len` bytes between two guard pages.
///
/// # Panics
/// If address space is short.
pub fn map(len: usize, handler: Handler) -> Window {
    crate::context::current();
    let va =
        sys::map(sys::pages(len) + 2 * PAGE, sys::NONE).expect("address space for a window") + PAGE;
    open(va, len, true, handler)
}

/// A window at addresses that belong to the kernel, where no process can have memory: a driver's code may have
/// such an address built in. Only plain loads and stores of it are carried out.
///
/// # Panics
/// If the addresses are not the kernel's.
pub fn claim(va: usize, len: usize, handler: Handler) -> Window {
    assert!(
        va >= KERNEL && va.checked_add(len).is_some(),
        "{va:#x} is no address of the kernel"
    );
    crate::context::current();
    open(va, len, false, handler)
}

fn open(va: usize, len: usize, mapped: bool, handler: Handler) -> Window {
    let handler = Rc::new(RefCell::new(handler));
    WINDOWS.with_borrow_mut(|windows| windows.push(Entry { va, len, handler }));
    Window { va, len, mapped }
}

/// Accesses a window from host code without a trap: what an import such as a register read should use.
/// `None` if not all `width` bytes are in one window of this thread.
pub fn access(va: usize, width: u8, write: Option<u64>) -> Option<u64> {
    let (offset, handler) = WINDOWS.with_borrow(|windows| {
        let entry = windows
            .iter()
            .find(|entry| entry.contains(va, width as usize))?;
        Some((va - entry.va, entry.handler.clone()))
    })?;
    let mask = mask(width);
    let value = (handler.borrow_mut())(Access {
        offset,
        width,
        write: write.map(|value| value & mask),
    });
    Some(value & mask)
}

/// How many accesses were trapped on this thread.
pub fn traps() -> u64 {
    TRAPS.get()
}

pub(crate) fn count_trap() {
    TRAPS.set(TRAPS.get() + 1);
}

/// Whether `len` bytes there are all in one window. Safe to ask in a signal handler.
pub(crate) fn contains(va: usize, len: usize) -> bool {
    WINDOWS
        .try_with(|windows| {
            windows
                .try_borrow()
                .is_ok_and(|windows| windows.iter().any(|entry| entry.contains(va, len)))
        })
        .unwrap_or(false)
}

impl Entry {
    fn contains(&self, va: usize, len: usize) -> bool {
        va >= self.va && va - self.va < self.len && self.len - (va - self.va) >= len
    }
}

/// The bits of a value of `width` bytes.
pub(crate) fn mask(width: u8) -> u64 {
    if width >= 8 {
        u64::MAX
    } else {
        (1 << (8 * width)) - 1
    }
}
