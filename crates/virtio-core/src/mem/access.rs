//! Every access of this crate to memory that it shares with a device: plain ones are volatile, ordered ones atomic.
//!
//! A word that carries order is only ever reached through the atomic functions while the device may look at it.

use core::ptr::NonNull;

use crate::sync::{AtomicU16, AtomicU32, Ordering};

/// Reads a value, each byte once.
///
/// # Safety
///
/// `at` is aligned and valid for reads of a `T`, and whatever bytes lie there are a `T`.
#[inline(always)]
pub(super) unsafe fn read<T>(at: NonNull<T>) -> T {
    // SAFETY: by the caller's promise.
    unsafe { at.read_volatile() }
}

/// Writes a value, each byte once.
///
/// # Safety
///
/// `at` is aligned and valid for writes of a `T`, and no other code of this processor's side accesses it meanwhile.
#[inline(always)]
pub(super) unsafe fn write<T>(at: NonNull<T>, value: T) {
    // SAFETY: by the caller's promise.
    unsafe { at.write_volatile(value) };
}

/// Loads a word.
///
/// # Safety
///
/// `at` is aligned and valid for reads and writes.
#[inline(always)]
pub(super) unsafe fn load16(at: NonNull<u16>, order: Ordering) -> u16 {
    // SAFETY: by the caller's promise; the processor's side stores such words by atomics, or where nobody can look yet.
    let word = unsafe { AtomicU16::from_ptr(at.as_ptr()) };
    word.load(order)
}

/// Stores a word.
///
/// # Safety
///
/// `at` is aligned and valid for reads and writes.
#[inline(always)]
pub(super) unsafe fn store16(at: NonNull<u16>, value: u16, order: Ordering) {
    // SAFETY: by the caller's promise; the processor's side accesses such words by atomics, or where nobody can look yet.
    let word = unsafe { AtomicU16::from_ptr(at.as_ptr()) };
    word.store(value, order);
}

/// Loads two words that belong together.
///
/// # Safety
///
/// `at` is aligned and valid for reads and writes.
#[inline(always)]
pub(super) unsafe fn load32(at: NonNull<u32>, order: Ordering) -> u32 {
    // SAFETY: by the caller's promise; the processor's side stores such words by atomics, or where nobody can look yet.
    let word = unsafe { AtomicU32::from_ptr(at.as_ptr()) };
    word.load(order)
}

/// Stores two words that belong together.
///
/// # Safety
///
/// `at` is aligned and valid for reads and writes.
#[inline(always)]
pub(super) unsafe fn store32(at: NonNull<u32>, value: u32, order: Ordering) {
    // SAFETY: by the caller's promise; the processor's side accesses such words by atomics, or where nobody can look yet.
    let word = unsafe { AtomicU32::from_ptr(at.as_ptr()) };
    word.store(value, order);
}

/// Writes fields of a wire type one after the other, each as one integer of its width.
///
/// The pointer leads to such a structure, inside the ring and aligned to the widest field.
macro_rules! write_fields {
    ($at:expr, $value:expr, $type:ident { $($field:ident: $width:ty),+ }) => {{
        let at = $at.cast::<u8>();
        let value: $type = $value;
        $(
            // SAFETY: the field lies in the structure that the pointer leads to.
            let field = unsafe { at.add(core::mem::offset_of!($type, $field)) };
            let bits = <$width>::from_ne_bytes(value.$field.to_bytes());
            // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
            unsafe { access::write(field.cast::<$width>(), bits) };
        )+
    }};
}
pub(super) use write_fields;
