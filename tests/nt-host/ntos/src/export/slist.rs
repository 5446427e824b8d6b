//! Sequenced singly linked lists, and lists under a spin lock.
//!
//! Only one virtual CPU runs at a time, so plain reads and writes are atomic for the driver. The headers keep depth and sequence
//! where `SLIST_HEADER` has them; a driver's own view of a header is limited to ExQueryDepthSList.

use super::table::{register as export, register_pure};
use crate::abi::SLIST_HEADER;
use crate::lock::{self, LockKind};
use crate::{guest, rules, sched};

/// Depth in bits 0 to 15 and sequence above it; the next entry in the upper half with four low bits of its own (wdm.h: HeaderX64, HeaderArm64).
const DEPTH: u64 = 0xffff;
const SEQUENCE_STEP: u64 = 0x1_0000;
const REGION: usize = 8;

/// The lock that the ExInterlocked list routines take.
const LIST_LOCK: LockKind = LockKind {
    name: "interlocked list's KSPIN_LOCK",
    rank: None,
    irql: sched::HIGH,
};

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    register_pure(k, "InitializeSListHead", |c| {
        check(c.ptr(0));
        guest::fill(c.ptr(0), SLIST_HEADER::SIZE, 0);
        0
    });
    export(k, "ExpInterlockedPushEntrySList", |c| {
        push(c.ptr(0), c.ptr(1))
    });
    export(k, "ExpInterlockedPopEntrySList", |c| pop(c.ptr(0)));
    export(k, "ExpInterlockedFlushSList", |c| {
        let first = first(c.ptr(0));
        set(c.ptr(0), 0, 0);
        first as u64
    });
    export(k, "ExQueryDepthSList", |c| {
        guest::read_u64(c.ptr(0)) & DEPTH
    });
    export(k, "ExInterlockedInsertHeadList", |c| {
        under_lock(c.ptr(2), || {
            let (head, entry) = (c.ptr(0), c.ptr(1));
            let next = guest::read_u64(head) as usize;
            link(head, entry, next);
            if next == head { 0 } else { next as u64 }
        })
    });
    export(k, "ExInterlockedInsertTailList", |c| {
        under_lock(c.ptr(2), || {
            let (head, entry) = (c.ptr(0), c.ptr(1));
            let last = guest::read_u64(head + 8) as usize;
            link(last, entry, head);
            if last == head { 0 } else { last as u64 }
        })
    });
    export(k, "ExInterlockedRemoveHeadList", |c| {
        under_lock(c.ptr(1), || {
            let head = c.ptr(0);
            let entry = guest::read_u64(head) as usize;
            if entry == head {
                return 0;
            }
            let next = guest::read_u64(entry) as usize;
            guest::write_u64(head, next as u64);
            guest::write_u64(next + 8, head as u64);
            entry as u64
        })
    });
    export(k, "ExInterlockedAddLargeInteger", |c| {
        under_lock(c.ptr(2), || {
            let old = guest::read_u64(c.ptr(0));
            guest::write_u64(c.ptr(0), old.wrapping_add(c.arg(1)));
            old
        })
    });
}

/// Puts `entry` between two list entries.
fn link(before: usize, entry: usize, after: usize) {
    guest::write_u64(entry, after as u64);
    guest::write_u64(entry + 8, before as u64);
    guest::write_u64(before, entry as u64);
    guest::write_u64(after + 8, entry as u64);
}

/// nf-wdm-exinterlockedinserttaillist: callable at any IRQL, and the lock must be used by nothing else.
fn under_lock(key: usize, f: impl FnOnce() -> u64) -> u64 {
    let old = lock::acquire(key, LIST_LOCK);
    let result = f();
    lock::release(key, old);
    result
}

fn check(header: usize) {
    if !header.is_multiple_of(SLIST_HEADER::ALIGN) {
        rules::violate(
            rules::BAD_ARGUMENT,
            format!("an SLIST_HEADER is not aligned to {}", SLIST_HEADER::ALIGN),
        );
    }
}

fn first(header: usize) -> usize {
    (guest::read_u64(header + REGION) & !0xf) as usize
}

fn set(header: usize, first: usize, depth: u64) {
    let sequence = (guest::read_u64(header) & !DEPTH).wrapping_add(SEQUENCE_STEP);
    guest::write_u64(header, sequence | depth & DEPTH);
    guest::write_u64(header + REGION, first as u64);
}

pub(super) fn push(header: usize, entry: usize) -> u64 {
    check(header);
    if !entry.is_multiple_of(SLIST_HEADER::ALIGN) {
        rules::violate(
            rules::BAD_ARGUMENT,
            "an SLIST_ENTRY is not aligned to 16".to_owned(),
        );
    }
    let next = first(header);
    guest::write_u64(entry, next as u64);
    set(header, entry, (guest::read_u64(header) & DEPTH) + 1);
    next as u64
}

pub(super) fn pop(header: usize) -> u64 {
    let entry = first(header);
    if entry != 0 {
        let next = guest::read_u64(entry) as usize;
        set(
            header,
            next,
            (guest::read_u64(header) & DEPTH).saturating_sub(1),
        );
    }
    entry as u64
}
