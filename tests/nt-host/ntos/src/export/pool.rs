//! The pool routines, and contiguous memory.

use std::cell::RefCell;
use std::collections::BTreeMap;

use host_machine::ram::{Block, Placement};

use super::table::register as export;
use crate::pool::{self, Kind};
use crate::{abi, guest, kernel, rules};

/// wdm.h: ExAllocatePool and ExFreePool use this tag.
const NO_TAG: u32 = u32::from_le_bytes(*b"None");
/// wdm.h: POOL_FLAG_*.
const FLAG_UNINITIALIZED: u64 = 0x2;
const FLAG_RAISE_ON_FAILURE: u64 = 0x20;
const FLAG_NON_PAGED: u64 = 0x40;
const FLAG_NON_PAGED_EXECUTE: u64 = 0x80;
const FLAG_PAGED: u64 = 0x100;
/// wdm.h: POOL_TYPE bits.
const TYPE_PAGED: u32 = abi::enums::POOL_TYPE::PagedPool;
const TYPE_RAISE_ON_FAILURE: u32 = 16;

thread_local! {
    static CONTIGUOUS: RefCell<BTreeMap<usize, Block>> = const { RefCell::new(BTreeMap::new()) };
}

pub(super) fn register() {
    CONTIGUOUS.take();
    let k = "ntoskrnl.exe";
    export(k, "ExAllocatePool", |c| by_type(c.u32(0), c.ptr(1), NO_TAG));
    for name in [
        "ExAllocatePoolWithTag",
        "ExAllocatePoolWithTagPriority",
        "ExAllocatePoolWithQuotaTag",
    ] {
        export(k, name, |c| by_type(c.u32(0), c.ptr(1), c.u32(2)));
    }
    // nf-wdm-exallocatepool2, nf-wdm-exallocatepool3
    export(k, "ExAllocatePool2", |c| {
        by_flags(c.arg(0), c.ptr(1), c.u32(2))
    });
    export(k, "ExAllocatePool3", |c| {
        by_flags(c.arg(0), c.ptr(1), c.u32(2))
    });
    export(k, "ExFreePool", |c| free(c.ptr(0), None));
    export(k, "ExFreePoolWithTag", |c| free(c.ptr(0), Some(c.u32(1))));
    export(k, "ExFreePool2", |c| free(c.ptr(0), Some(c.u32(1))));
    for name in [
        "MmAllocateContiguousMemory",
        "MmAllocateContiguousMemorySpecifyCache",
        "MmAllocateContiguousMemorySpecifyCacheNode",
        "MmAllocateContiguousNodeMemory",
    ] {
        export(k, name, |c| contiguous(c.ptr(0)));
    }
    for name in [
        "MmFreeContiguousMemory",
        "MmFreeContiguousMemorySpecifyCache",
    ] {
        export(k, name, |c| free_contiguous(c.ptr(0)));
    }
}

fn by_type(kind: u32, len: usize, tag: u32) -> u64 {
    let pool = if kind & 1 == TYPE_PAGED {
        Kind::Paged
    } else {
        Kind::NonPaged
    };
    let address = pool::alloc(tag, len, pool);
    if address == 0 && kind & TYPE_RAISE_ON_FAILURE != 0 {
        rules::fatal(
            rules::BUGCHECK,
            "an allocation that raises on failure failed".to_owned(),
        );
    }
    address as u64
}

fn by_flags(flags: u64, len: usize, tag: u32) -> u64 {
    let kinds = flags & (FLAG_NON_PAGED | FLAG_NON_PAGED_EXECUTE | FLAG_PAGED);
    if kinds.count_ones() != 1 {
        rules::violate(
            rules::BAD_ARGUMENT,
            format!("flags {flags:#x} name not exactly one pool"),
        );
        return 0;
    }
    let pool = if kinds == FLAG_PAGED {
        Kind::Paged
    } else {
        Kind::NonPaged
    };
    let address = pool::alloc(tag, len, pool);
    if address == 0 && flags & FLAG_RAISE_ON_FAILURE != 0 {
        rules::fatal(
            rules::BUGCHECK,
            "an allocation that raises on failure failed".to_owned(),
        );
    }
    if address != 0 && flags & FLAG_UNINITIALIZED == 0 {
        guest::fill(address, len, 0);
    }
    address as u64
}

fn free(address: usize, tag: Option<u32>) -> u64 {
    pool::free(address, tag);
    0
}

/// The device addresses of this memory are all below 4 GiB, so every limit that a driver states is kept but those under the size of RAM.
fn contiguous(len: usize) -> u64 {
    let Some(block) = kernel::ram().alloc(len, Placement::Contiguous) else {
        return 0;
    };
    let address = block.va() as usize;
    CONTIGUOUS.with_borrow_mut(|blocks| blocks.insert(address, block));
    address as u64
}

fn free_contiguous(address: usize) -> u64 {
    if CONTIGUOUS
        .with_borrow_mut(|blocks| blocks.remove(&address))
        .is_none()
    {
        rules::violate(
            rules::POOL_BAD_FREE,
            "no contiguous allocation begins at this address".to_owned(),
        );
    }
    0
}
