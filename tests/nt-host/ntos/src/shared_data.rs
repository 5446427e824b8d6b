//! KUSER_SHARED_DATA: the page at a fixed kernel address that the headers read the time from.

use std::cell::RefCell;

use host_machine::mmio::{self, Access, Window};

use crate::export::{time, version};
use crate::rules;

/// wdm.h: KI_USER_SHARED_DATA of x64 and ARM64.
const ADDRESS: usize = 0xffff_f780_0000_0000;
const SIZE: usize = 0x1000;

thread_local! {
    static WINDOW: RefCell<Option<Window>> = const { RefCell::new(None) };
}

/// Answers reads of the page from now on.
pub(crate) fn boot() {
    // The old window goes first: two would answer for the same addresses.
    WINDOW.take();
    WINDOW.set(Some(mmio::claim(ADDRESS, SIZE, Box::new(access))));
}

pub(crate) fn shutdown() {
    WINDOW.take();
}

fn access(access: Access) -> u64 {
    if access.write.is_some() {
        rules::fatal(
            rules::ACCESS_VIOLATION,
            format!("write to KUSER_SHARED_DATA+{:#x}", access.offset),
        );
    }
    let bytes = (0..usize::from(access.width)).map(|i| byte(access.offset + i));
    bytes
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(byte))
}

/// One byte of the page; what is not kept here is 0.
fn byte(offset: usize) -> u8 {
    // ntddk.h: KUSER_SHARED_DATA. A KSYSTEM_TIME is 64 bits and the upper half once more.
    let times = [
        (0x8, time::interrupt()),
        (0x14, time::system()),
        (0x320, time::tick_count()),
    ];
    for (at, value) in times {
        if (at..at + 12).contains(&offset) {
            let within = offset - at;
            return (value >> (8 * if within < 8 { within } else { within - 4 })) as u8;
        }
    }
    let words = [
        (0x4, time::TICK_MULTIPLIER),
        (0x260, version::BUILD),
        (0x264, u32::from(version::PRODUCT_WORKSTATION)),
        (0x26c, version::MAJOR),
        (0x270, version::MINOR),
    ];
    for (at, value) in words {
        if (at..at + 4).contains(&offset) {
            return (value >> (8 * (offset - at))) as u8;
        }
    }
    u8::from(offset == 0x268) // ProductTypeIsValid
}

#[cfg(test)]
mod tests;
