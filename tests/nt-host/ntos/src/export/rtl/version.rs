//! Which Windows this is: Windows 10, version 1607, the oldest that the drivers promise to support.

use crate::export::table::register as export;
use crate::guest;

const K: &str = "ntoskrnl.exe";
pub(crate) const MAJOR: u32 = 10;
pub(crate) const MINOR: u32 = 0;
pub(crate) const BUILD: u32 = 14393;
/// sdkddkver.h: NTDDI_WIN10_RS1.
const NTDDI: u32 = 0x0a00_0002;
/// STATUS_REVISION_MISMATCH, STATUS_INVALID_PARAMETER.
const MISMATCH: u64 = 0xc000_0059;
const INVALID_PARAMETER: u64 = 0xc000_000d;

/// RTL_OSVERSIONINFOW and its extended form (wdm.h): size, major, minor, build, platform, 128 units, then in the Ex form
/// service pack major and minor, suite mask, product type.
const PLAIN: u32 = 276;
const EXTENDED: u32 = 284;
const PLATFORM_NT: u32 = 2;
pub(crate) const PRODUCT_WORKSTATION: u8 = 1;

pub(super) fn register() {
    export(K, "RtlGetVersion", |c| {
        let info = c.ptr(0);
        let size = guest::read_u32(info);
        if size != PLAIN && size != EXTENDED {
            return INVALID_PARAMETER;
        }
        for (at, value) in [(4, MAJOR), (8, MINOR), (12, BUILD), (16, PLATFORM_NT)] {
            guest::write_u32(info + at, value);
        }
        guest::fill(info + 20, size as usize - 20, 0);
        if size == EXTENDED {
            guest::write_u8(info + 282, PRODUCT_WORKSTATION);
        }
        0
    });
    export(K, "PsGetVersion", |c| {
        for (index, value) in [MAJOR, MINOR, BUILD].into_iter().enumerate() {
            if c.ptr(index) != 0 {
                guest::write_u32(c.ptr(index), value);
            }
        }
        0
    });
    export(K, "RtlIsNtDdiVersionAvailable", |c| {
        // nf-wdm-rtlisntddiversionavailable: the running version is the same or later.
        u64::from(c.u32(0) <= NTDDI)
    });
    export(K, "VerSetConditionMask", |c| {
        // winnt.h: three bits of condition for each bit of the type mask.
        let (mask, kind, condition) = (c.arg(0), c.u32(1), u64::from(c.u8(2) & 7));
        if kind == 0 {
            0
        } else {
            mask | condition << (3 * (31 - kind.leading_zeros()))
        }
    });
    export(K, "RtlVerifyVersionInfo", |c| {
        verify(c.ptr(0), c.u32(1), c.arg(2))
    });
}

/// winnt.h: VER_MINORVERSION 1, VER_MAJORVERSION 2, VER_BUILDNUMBER 4; VER_EQUAL 1 to VER_LESS_EQUAL 5.
fn verify(info: usize, kinds: u32, conditions: u64) -> u64 {
    let condition = |bit: u32| conditions >> (3 * bit) & 7;
    let values = [(1, 4, MAJOR), (0, 8, MINOR), (2, 12, BUILD)];
    // The first of major, minor, build that differs decides, as for one number.
    for (bit, offset, ours) in values {
        if kinds & 1 << bit == 0 {
            continue;
        }
        let wanted = guest::read_u32(info + offset);
        let holds = match condition(bit) {
            1 => ours == wanted,
            2 => ours > wanted,
            3 => ours >= wanted,
            4 => ours < wanted,
            5 => ours <= wanted,
            _ => return INVALID_PARAMETER,
        };
        if ours != wanted {
            return if holds { 0 } else { MISMATCH };
        }
        if !holds && kinds >> (bit + 1) == 0 {
            return MISMATCH;
        }
    }
    0
}
