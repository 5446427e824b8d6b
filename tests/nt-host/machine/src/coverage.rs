//! Which instructions of a driver were executed, without changing what it does: one-shot breakpoints.
//!
//! A map is a file with one byte for each byte of the driver in memory. Whoever makes it marks the starts of instructions with
//! [`AWAITED`]; the first execution of such an instruction turns the mark into [`EXECUTED`]. Processes that share a map add to it,
//! and an instruction that one of them has executed costs the next ones nothing.
//!
//! A breakpoint replaces the first byte of its instruction and is taken out by the signal that it causes, before anything else
//! happens: on the signal's own stack, with no change to registers. x64 only.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use crate::image::LoadError;
use crate::ram::PAGE;
use crate::sys;

/// Mark of an instruction that has not been executed.
pub const AWAITED: u8 = b'i';
/// Mark of an instruction that has been executed.
pub const EXECUTED: u8 = b'x';

/// `int3`.
const BREAKPOINT: u8 = 0xcc;

/// An image with breakpoints.
struct Armed {
    base: usize,
    /// What stands below the breakpoints, by offset; nothing where there is none.
    original: Vec<Option<u8>>,
    map: Rc<File>,
}

thread_local! {
    static MAP: RefCell<Option<Rc<File>>> = const { RefCell::new(None) };
    static IMAGES: RefCell<Vec<Armed>> = const { RefCell::new(Vec::new()) };
}

/// Records in this map what images execute that this thread loads from now on.
pub fn record(map: File) {
    MAP.set(Some(Rc::new(map)));
}

/// Puts breakpoints into the bytes of an image that is about to be mapped at `base`.
pub(crate) fn arm(base: usize, mut memory: Vec<u8>, name: &str) -> Result<Vec<u8>, LoadError> {
    let Some(map) = MAP.with_borrow(Clone::clone) else {
        return Ok(memory);
    };
    let marks = read(&map, memory.len()).map_err(|error| LoadError::Coverage {
        name: name.into(),
        reason: error.to_string(),
    })?;
    let original = memory.iter_mut().zip(marks).map(|(byte, mark)| {
        // A breakpoint of the driver's own stays what it is.
        (mark == AWAITED && *byte != BREAKPOINT).then(|| std::mem::replace(byte, BREAKPOINT))
    });
    let armed = Armed {
        base,
        original: original.collect(),
        map,
    };
    IMAGES.with_borrow_mut(|images| images.push(armed));
    Ok(memory)
}

fn read(map: &File, len: usize) -> io::Result<Vec<u8>> {
    let mut marks = vec![0; len];
    if map.metadata()?.len() != len as u64 {
        return Err(io::Error::other("it was made for another driver"));
    }
    map.read_exact_at(&mut marks, 0)?;
    Ok(marks)
}

/// Forgets an image.
pub(crate) fn forget(base: usize) {
    let _ = IMAGES.try_with(|images| images.borrow_mut().retain(|image| image.base != base));
}

/// Takes a breakpoint out, whose instruction can then be executed. False: there is none at this address.
///
/// Called by a signal handler: only system calls, and only while driver code runs, which borrows nothing here.
pub(crate) fn executed(pc: usize) -> bool {
    IMAGES.with(|images| {
        let Ok(mut images) = images.try_borrow_mut() else {
            return false;
        };
        images.iter_mut().any(|image| image.take_out(pc))
    })
}

impl Armed {
    fn take_out(&mut self, pc: usize) -> bool {
        let offset = pc.wrapping_sub(self.base);
        let Some(byte) = self.original.get_mut(offset).and_then(Option::take) else {
            return false;
        };
        let page = pc & !(PAGE - 1);
        // SAFETY: a page of the image's code, to which nothing in the host refers.
        unsafe { sys::protect(page, PAGE, sys::READ_WRITE) };
        // SAFETY: within that page, which is writable now; the one thread that executes it is here.
        unsafe { (pc as *mut u8).write(byte) };
        // SAFETY: as above. Code is what a loader maps so: marks elsewhere are never executed.
        unsafe { sys::protect(page, PAGE, sys::READ | sys::EXECUTE) };
        // A map that cannot be written shows the instruction as not executed, which no test takes for good.
        let _ = self.map.write_all_at(&[EXECUTED], offset as u64);
        true
    }
}
