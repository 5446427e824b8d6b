//! Where a driver says that it waits for another processor by a loop of its own.
//!
//! Virtual processors take turns on one Linux thread, so such a loop would never see what it waits for. The hint that it gives the
//! processor (x64 `pause`, ARM64 `isb` or `yield`) becomes an undefined instruction of the same length, whose trap lets others run:
//! what hypervisors have `pause` itself do (Intel calls it PAUSE-loop exiting).
//!
//! Everything in an executable section is taken for code from its first byte on, as our linker lays it out. Data between functions could
//! be mistaken for a hint.

use super::Section;
use crate::arch;

/// Replaces all hints in an image that is about to be mapped. Returns their offsets in order.
pub fn arm(memory: &mut [u8], sections: &[Section]) -> Vec<usize> {
    let mut found = Vec::new();
    for section in sections.iter().filter(|section| section.executable) {
        let end = section.rva.saturating_add(section.size).min(memory.len());
        let Some(code) = memory.get_mut(section.rva..end) else {
            continue;
        };
        for at in arch::hints(code) {
            code[at..at + arch::UNDEFINED.len()].copy_from_slice(&arch::UNDEFINED);
            found.push(section.rva + at);
        }
    }
    found.sort_unstable();
    found
}
