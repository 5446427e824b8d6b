//! Control flow guard: which addresses an image may call.

use crate::arch;

/// Call targets of one image. Assembly reads the first three fields.
#[repr(C)]
pub struct Targets {
    /// Where the image lies.
    pub base: usize,
    /// Bytes from there.
    pub size: usize,
    /// A bit for each of these bytes: whether it starts a call target.
    pub bits: *const u64,
    words: Vec<u64>,
}

impl Targets {
    /// The targets at these offsets, all below `size`.
    pub fn new(base: usize, size: usize, offsets: &[usize]) -> Targets {
        let mut words = vec![0_u64; size / 64 + 1];
        for &offset in offsets {
            words[offset / 64] |= 1 << (offset % 64);
        }
        Targets {
            base,
            size,
            bits: words.as_ptr(),
            words,
        }
    }

    /// Whether the address is one of them.
    pub fn contain(&self, address: usize) -> bool {
        let offset = address.wrapping_sub(self.base);
        offset < self.size && self.words[offset / 64] >> (offset % 64) & 1 != 0
    }
}

/// Called for targets outside the calling image: an import, or a function of another image.
pub extern "efiapi" fn slow_check(target: usize) -> u64 {
    let valid = arch::stubs::is_stub(target) || super::registry::is_call_target(target);
    u64::from(valid)
}
