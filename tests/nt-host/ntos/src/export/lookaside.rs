//! Lookaside lists.
//!
//! Allocating and freeing are inline in the headers: they use the list head, and call through the structure's `Allocate` and `Free`.

use super::Call;
use super::table::{address_of, register as export};
use crate::abi::{
    GENERAL_LOOKASIDE, LOOKASIDE_LIST_EX, NPAGED_LOOKASIDE_LIST, SLIST_HEADER, enums,
};
use crate::{callback, guest};

/// wdm.h: the depth that the headers compare with before they keep a freed entry.
const DEPTH: u64 = 4;
/// STATUS_SUCCESS.
const SUCCESS: u64 = 0;

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    // (Lookaside, Allocate, Free, Flags, Size, Tag, Depth)
    export(k, "ExInitializeNPagedLookasideList", |c| {
        let list = NPAGED_LOOKASIDE_LIST::L.at(c.ptr(0));
        initialize(
            list,
            enums::POOL_TYPE::NonPagedPool | c.u32(3),
            c,
            (1, 2),
            (4, 5),
        )
    });
    export(k, "ExInitializePagedLookasideList", |c| {
        let list = NPAGED_LOOKASIDE_LIST::L.at(c.ptr(0));
        initialize(
            list,
            enums::POOL_TYPE::PagedPool | c.u32(3),
            c,
            (1, 2),
            (4, 5),
        )
    });
    for name in ["ExDeleteNPagedLookasideList", "ExDeletePagedLookasideList"] {
        export(k, name, |c| {
            drain(NPAGED_LOOKASIDE_LIST::L.at(c.ptr(0)), false)
        });
    }
    // (Lookaside, Allocate, Free, PoolType, Flags, Size, Tag, Depth); its routines take the list as a further argument.
    export(k, "ExInitializeLookasideListEx", |c| {
        let list = LOOKASIDE_LIST_EX::L.at(c.ptr(0));
        initialize(list, c.u32(3), c, (1, 2), (5, 6));
        SUCCESS
    });
    export(k, "ExDeleteLookasideListEx", |c| {
        drain(LOOKASIDE_LIST_EX::L.at(c.ptr(0)), true)
    });
    export(k, "ExFlushLookasideListEx", |c| {
        drain(LOOKASIDE_LIST_EX::L.at(c.ptr(0)), true)
    });
    // What the headers call when the driver gave no routine of its own; with a list there is one argument more, which pool routines ignore.
    export(k, "ExAllocateFromPagedLookasideList", |c| {
        let list = NPAGED_LOOKASIDE_LIST::L.at(c.ptr(0));
        match super::slist::pop(list) {
            0 => allocate(list),
            entry => entry,
        }
    });
    export(k, "ExFreeToPagedLookasideList", |c| {
        let list = NPAGED_LOOKASIDE_LIST::L.at(c.ptr(0));
        super::slist::push(list, c.ptr(1))
    });
}

fn initialize(
    list: usize,
    kind: u32,
    c: &Call,
    (allocate, free): (usize, usize),
    (size, tag): (usize, usize),
) -> u64 {
    guest::fill(list, GENERAL_LOOKASIDE::SIZE.min(96), 0);
    let or = |given: u64, name: &str| match given {
        0 => address_of("ntoskrnl.exe", name).unwrap_or(0) as u64,
        given => given,
    };
    GENERAL_LOOKASIDE::Depth.set(list, DEPTH);
    GENERAL_LOOKASIDE::MaximumDepth.set(list, 256);
    GENERAL_LOOKASIDE::Type.set(list, kind.into());
    GENERAL_LOOKASIDE::Tag.set(list, u64::from(c.u32(tag)));
    // wdm.h: no entry is smaller than a list entry.
    let size = c.ptr(size).max(SLIST_HEADER::SIZE);
    GENERAL_LOOKASIDE::Size.set(list, size as u64);
    GENERAL_LOOKASIDE::Allocate.set(list, or(c.arg(allocate), "ExAllocatePoolWithTag"));
    GENERAL_LOOKASIDE::Free.set(list, or(c.arg(free), "ExFreePool"));
    0
}

fn allocate(list: usize) -> u64 {
    let arguments = [
        GENERAL_LOOKASIDE::Type.get(list),
        GENERAL_LOOKASIDE::Size.get(list),
        GENERAL_LOOKASIDE::Tag.get(list),
    ];
    callback::call(
        "ALLOCATE_FUNCTION",
        GENERAL_LOOKASIDE::Allocate.get(list) as usize,
        &arguments,
    )
}

/// Frees what the list keeps.
fn drain(list: usize, with_list: bool) -> u64 {
    loop {
        let entry = super::slist::pop(list);
        if entry == 0 {
            return 0;
        }
        let free = GENERAL_LOOKASIDE::Free.get(list) as usize;
        let arguments = [entry, list as u64];
        let arguments = if with_list {
            &arguments[..]
        } else {
            &arguments[..1]
        };
        callback::call("FREE_FUNCTION", free, arguments);
    }
}
