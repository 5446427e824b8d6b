//! What tests of several modules share.
#![expect(
    unsafe_code,
    reason = "lending memory is the caller's side of the contract"
)]

use core::ptr::NonNull;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::vec::Vec;

use crate::mem::{DeviceAddress, DmaRegion};

/// What lies in memory at first.
const FILL: u8 = 0xcc;
const PAGE: usize = 4096;

/// Memory that starts on a page for the processor: plain heap, so that Miri follows every access.
pub(crate) struct Memory {
    base: NonNull<u8>,
    start: u64,
    layout: Layout,
}

impl Memory {
    /// `len` bytes, which the device sees at `start`.
    pub(crate) fn new(start: u64, len: usize) -> Self {
        let layout = Layout::from_size_align(len, PAGE).unwrap();
        assert_ne!(len, 0);
        // SAFETY: the length is not 0.
        let base = unsafe { alloc(layout) };
        let Some(base) = NonNull::new(base) else {
            handle_alloc_error(layout)
        };
        // SAFETY: `len` bytes were just allocated.
        unsafe { base.write_bytes(FILL, len) };
        Self {
            base,
            start,
            layout,
        }
    }

    fn at(&self, address: u64, len: usize) -> NonNull<u8> {
        let offset = (address - self.start) as usize;
        assert!(offset + len <= self.layout.size());
        // SAFETY: just checked.
        unsafe { self.base.add(offset) }
    }

    /// A region for the driver; the caller keeps the memory for longer.
    pub(crate) fn region(&self, address: u64, len: usize) -> DmaRegion {
        // SAFETY: `at` vouches for `len` bytes; no reference into them is ever made, and the device side runs on the same
        // thread.
        unsafe { DmaRegion::new(self.at(address, len), DeviceAddress(address), len) }
    }

    /// The bytes at an address of the device.
    pub(crate) fn bytes(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = std::vec![0; len];
        let to = NonNull::from(&mut bytes[..]).cast();
        // SAFETY: `at` vouches for the source, and the target was just made.
        unsafe { self.at(address, len).copy_to_nonoverlapping(to, len) };
        bytes
    }

    /// Writes bytes as the device does.
    pub(crate) fn poke(&self, address: u64, bytes: &[u8]) {
        let from = NonNull::from(bytes).cast();
        let to = self.at(address, bytes.len());
        // SAFETY: `at` vouches for the target, which no slice lies in.
        unsafe { to.copy_from_nonoverlapping(from, bytes.len()) };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; regions are not used after this (contract of `region`).
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}
