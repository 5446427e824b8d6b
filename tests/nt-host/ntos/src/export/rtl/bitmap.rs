//! RTL_BITMAP: a count of bits and a pointer to 32-bit words (wdm.h).

use crate::export::table::register as export;
use crate::guest;

const K: &str = "ntoskrnl.exe";
/// RTL_BITMAP.SizeOfBitMap at 0, Buffer at 8.
const BUFFER: usize = 8;
const NOT_FOUND: u64 = 0xffff_ffff;

fn size(map: usize) -> u32 {
    guest::read_u32(map)
}

fn word(map: usize, bit: u32) -> usize {
    guest::read_u64(map + BUFFER) as usize + 4 * (bit / 32) as usize
}

fn get(map: usize, bit: u32) -> bool {
    guest::read_u32(word(map, bit)) >> (bit % 32) & 1 != 0
}

fn put(map: usize, first: u32, count: u32, value: bool) {
    for bit in first..first.saturating_add(count).min(size(map)) {
        let at = word(map, bit);
        let mask = 1 << (bit % 32);
        let old = guest::read_u32(at);
        guest::write_u32(at, if value { old | mask } else { old & !mask });
    }
}

/// The first run of `count` bits of `value` from `hint` on, then from the start.
fn find(map: usize, count: u32, hint: u32, value: bool) -> Option<u32> {
    let last = size(map).checked_sub(count)?;
    let fits = |first: &u32| (*first..first + count).all(|bit| get(map, bit) == value);
    (hint..=last).find(fits).or_else(|| (0..=last).find(fits))
}

pub(super) fn register() {
    export(K, "RtlInitializeBitMap", |c| {
        guest::write_u32(c.ptr(0), c.u32(2));
        guest::write_u64(c.ptr(0) + BUFFER, c.arg(1));
        0
    });
    export(K, "RtlSetBit", |c| set(c.ptr(0), c.u32(1), 1, true));
    export(K, "RtlClearBit", |c| set(c.ptr(0), c.u32(1), 1, false));
    export(K, "RtlSetBits", |c| set(c.ptr(0), c.u32(1), c.u32(2), true));
    export(K, "RtlClearBits", |c| {
        set(c.ptr(0), c.u32(1), c.u32(2), false)
    });
    export(K, "RtlSetAllBits", |c| {
        set(c.ptr(0), 0, size(c.ptr(0)), true)
    });
    export(K, "RtlClearAllBits", |c| {
        set(c.ptr(0), 0, size(c.ptr(0)), false)
    });
    export(K, "RtlTestBit", |c| get(c.ptr(0), c.u32(1)).into());
    export(K, "RtlNumberOfSetBits", |c| {
        (0..size(c.ptr(0)))
            .filter(|&bit| get(c.ptr(0), bit))
            .count() as u64
    });
    export(K, "RtlNumberOfClearBits", |c| {
        (0..size(c.ptr(0)))
            .filter(|&bit| !get(c.ptr(0), bit))
            .count() as u64
    });
    export(K, "RtlAreBitsSet", |c| {
        (c.u32(1)..c.u32(1) + c.u32(2))
            .all(|bit| get(c.ptr(0), bit))
            .into()
    });
    export(K, "RtlAreBitsClear", |c| {
        (c.u32(1)..c.u32(1) + c.u32(2))
            .all(|bit| !get(c.ptr(0), bit))
            .into()
    });
    export(K, "RtlFindSetBits", |c| {
        search(c.ptr(0), c.u32(1), c.u32(2), true, false)
    });
    export(K, "RtlFindClearBits", |c| {
        search(c.ptr(0), c.u32(1), c.u32(2), false, false)
    });
    export(K, "RtlFindClearBitsAndSet", |c| {
        search(c.ptr(0), c.u32(1), c.u32(2), false, true)
    });
    export(K, "RtlFindSetBitsAndClear", |c| {
        search(c.ptr(0), c.u32(1), c.u32(2), true, true)
    });
}

fn set(map: usize, first: u32, count: u32, value: bool) -> u64 {
    put(map, first, count, value);
    0
}

fn search(map: usize, count: u32, hint: u32, value: bool, flip: bool) -> u64 {
    let found = find(map, count, hint, value);
    if let (Some(first), true) = (found, flip) {
        put(map, first, count, !value);
    }
    found.map_or(NOT_FOUND, u64::from)
}
