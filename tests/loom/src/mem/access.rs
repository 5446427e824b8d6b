//! Shared memory as loom sees it: the stand-in for virtio-core's file of the same name.
//!
//! Bytes lie in real memory. Beside each two bytes stands a loom cell, by which loom proves that a plain access is ordered
//! against every other one; what is accessed atomically is a loom atomic as well, which decides what a load returns.
//! A word that loom knows as an atomic may be written plainly too, as long as no atomic access of it is concurrent.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize};

use crate::sync::Ordering;

/// An atomic of one of the widths that rings use.
enum Value {
    Two(AtomicU16),
    Four(AtomicU32),
}

/// A word that is accessed atomically.
struct Word {
    value: Value,
    /// Stored to before each access, and never loaded, so that it orders nothing.
    ///
    /// loom looks for another order of two accesses only if nothing but the last access to an atomic lies between them, so
    /// that a thread's load followed by its store hides a load of the other thread before both. Two stores by two threads
    /// are never hidden from each other.
    turn: AtomicUsize,
}

impl Word {
    fn new(value: Value) -> Self {
        Self {
            value,
            turn: AtomicUsize::new(0),
        }
    }
}

/// The memory that driver and device share in this execution.
struct Arena {
    /// Address of the first byte.
    base: usize,
    /// One for each two bytes.
    cells: Vec<Rc<UnsafeCell<()>>>,
    /// Where an atomic starts, if the last write was atomic.
    words: Vec<Option<Rc<Word>>>,
}

thread_local! {
    /// loom runs all threads of a model on one thread of the system, one execution after the other.
    static ARENA: RefCell<Option<Arena>> = const { RefCell::new(None) };
}

/// Makes `len` zeroed bytes at `base` the memory of this execution.
///
/// To be called before any thread is spawned, so that all see the memory's first state.
pub fn share(base: NonNull<u8>, len: usize) {
    let units = len.div_ceil(2);
    let arena = Arena {
        base: base.addr().get(),
        cells: (0..units).map(|_| Rc::new(UnsafeCell::new(()))).collect(),
        words: (0..units).map(|_| None).collect(),
    };
    ARENA.set(Some(arena));
}

/// Forgets the memory of this execution.
pub fn unshare() {
    ARENA.set(None);
}

/// The units of two bytes that `len` bytes at `at` lie in.
fn units(arena: &Arena, at: usize, len: usize) -> std::ops::Range<usize> {
    let offset = at.checked_sub(arena.base).expect("before shared memory");
    let range = offset / 2..(offset + len).div_ceil(2);
    assert!(range.end <= arena.cells.len(), "past shared memory");
    range
}

fn with_arena<V>(run: impl FnOnce(&mut Arena) -> V) -> V {
    ARENA.with_borrow_mut(|arena| run(arena.as_mut().expect("no shared memory")))
}

/// The cells of some bytes. No borrow is held while loom runs, as it may switch threads then.
fn cells(at: usize, len: usize) -> Vec<Rc<UnsafeCell<()>>> {
    with_arena(|arena| arena.cells[units(arena, at, len)].to_vec())
}

/// The atomic at `at`; made of the bytes there if the last write was plain.
fn word(at: usize, len: usize, make: impl FnOnce() -> Value) -> Rc<Word> {
    for cell in cells(at, len) {
        // Atomic accesses may be concurrent with each other, not with a plain write.
        cell.with(|_| ());
    }
    let word = with_arena(|arena| {
        let unit = units(arena, at, len).start;
        let word = arena.words[unit].get_or_insert_with(|| Rc::new(Word::new(make())));
        Rc::clone(word)
    });
    word.turn.store(0, Ordering::Relaxed);
    word
}

/// Reads a value, each byte once.
///
/// # Safety
///
/// `at` is aligned and valid for reads of a `T`, and whatever bytes lie there are a `T`.
pub(crate) unsafe fn read<T>(at: NonNull<T>) -> T {
    for cell in cells(at.addr().get(), size_of::<T>()) {
        cell.with(|_| ());
    }
    // SAFETY: by the caller's promise.
    unsafe { at.read_volatile() }
}

/// Writes a value, each byte once.
///
/// # Safety
///
/// `at` is aligned and valid for writes of a `T`.
pub(crate) unsafe fn write<T>(at: NonNull<T>, value: T) {
    let address = at.addr().get();
    for cell in cells(address, size_of::<T>()) {
        cell.with_mut(|_| ());
    }
    with_arena(|arena| {
        let range = units(arena, address, size_of::<T>());
        arena.words[range].fill(None);
    });
    // SAFETY: by the caller's promise.
    unsafe { at.write_volatile(value) };
}

/// Implements load and store of one width.
macro_rules! width {
    ($load:ident, $store:ident, $type:ty, $atomic:ident, $variant:ident) => {
        /// Loads a word.
        ///
        /// # Safety
        ///
        /// `at` is aligned and valid for reads.
        pub(crate) unsafe fn $load(at: NonNull<$type>, order: Ordering) -> $type {
            // SAFETY: by the caller's promise.
            let make = || Value::$variant($atomic::new(unsafe { at.read_volatile() }));
            match &word(at.addr().get(), size_of::<$type>(), make).value {
                Value::$variant(word) => word.load(order),
                _ => panic!("one word, accessed by two widths"),
            }
        }

        /// Stores a word.
        ///
        /// # Safety
        ///
        /// `at` is aligned and valid for writes.
        pub(crate) unsafe fn $store(at: NonNull<$type>, value: $type, order: Ordering) {
            // SAFETY: by the caller's promise.
            let make = || Value::$variant($atomic::new(unsafe { at.read_volatile() }));
            match &word(at.addr().get(), size_of::<$type>(), make).value {
                Value::$variant(word) => word.store(value, order),
                _ => panic!("one word, accessed by two widths"),
            }
            // loom switches threads only before an operation: nothing comes between the store and this.
            // SAFETY: by the caller's promise.
            unsafe { at.write_volatile(value) };
        }
    };
}
width!(load16, store16, u16, AtomicU16, Two);
width!(load32, store32, u32, AtomicU32, Four);
