//! The kernel pool: each allocation ends at a guard page, and freed memory is taken away.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;

use host_machine::ram::{Block, PAGE, Placement, Ram};
use serde::Serialize;

use crate::{context, export, guest, lock, rules, sched};

/// What new memory holds.
const FRESH: u8 = 0xcd;
/// What lies between an allocation and the edge of its pages.
const EDGE: u8 = 0xa5;
/// wdm.h: MEMORY_ALLOCATION_ALIGNMENT of the 64-bit architectures.
const ALIGNMENT: usize = 16;
/// Freed allocations whose place is remembered, to name later uses.
const REMEMBERED: usize = 65536;

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// Resident, not executable.
    NonPaged,
    /// May be paged out: allocated, freed and touched only below DISPATCH_LEVEL.
    Paged,
}

/// Memory that was never freed.
#[derive(Clone, Debug, Serialize)]
pub struct Leak {
    /// The tag as text, first character first.
    pub tag: String,
    /// Bytes asked for.
    pub len: usize,
    /// Who allocated it.
    pub who: String,
}

struct Live {
    block: Block,
    len: usize,
    tag: u32,
    /// The driver's call, 0 when the host itself allocated.
    caller: usize,
}

struct Freed {
    len: usize,
    tag: u32,
    caller: usize,
}

#[derive(Default)]
struct State {
    ram: Option<Ram>,
    /// By the address that was given out.
    live: BTreeMap<usize, Live>,
    /// By the same address; addresses are never used again.
    freed: BTreeMap<usize, Freed>,
    fail: Option<u64>,
    allocations: u64,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(f)
}

pub(crate) fn boot(ram: Ram) {
    STATE.replace(State {
        ram: Some(ram),
        ..State::default()
    });
}

pub(crate) fn shutdown() {
    STATE.take();
}

/// The tag as it is written in source and shown by debuggers.
#[must_use]
pub fn tag_text(tag: u32) -> String {
    tag.to_le_bytes()
        .iter()
        .map(|&b| {
            if b.is_ascii_graphic() || b == b' ' {
                b as char
            } else {
                '.'
            }
        })
        .collect()
}

/// `len` bytes aligned to 16 (to a page when `len` is a page or more), filled with a pattern, or 0 when there is none.
///
/// The allocation is charged to whatever driver code runs now. `tag` is in memory order (`u32::from_le_bytes(*b"Vblk")`).
#[must_use]
pub fn alloc(tag: u32, len: usize, kind: Kind) -> usize {
    let level = sched::irql();
    if kind == Kind::Paged && level >= sched::DISPATCH {
        rules::violate(
            rules::IRQL_OF_CALL,
            format!("paged pool allocated at IRQL {level}"),
        );
    }
    if len == 0 {
        rules::violate(rules::POOL_ZERO, format!("tag '{}'", tag_text(tag)));
    }
    // nf-wdm-exallocatepoolwithtag: each character of the tag lies between 0x20 and 0x7e.
    if !tag
        .to_le_bytes()
        .iter()
        .all(|byte| (0x20..=0x7e).contains(byte))
    {
        rules::violate(rules::POOL_TAG, format!("allocated with tag {tag:#010x}"));
    }
    let Some(ram) = with(|s| {
        s.allocations += 1;
        match &mut s.fail {
            Some(1) => {
                s.fail = None;
                return None;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        s.ram.clone()
    }) else {
        return 0;
    };
    let Some(block) = ram.alloc(len.max(1), Placement::Random) else {
        return 0;
    };
    let start = block.va() as usize;
    let end = start + block.len();
    // nf-wdm-exallocatepoolwithtag: a page or more is page-aligned. Less ends at the guard page.
    let address = if len >= PAGE {
        start
    } else {
        (end - len.max(1)) & !(ALIGNMENT - 1)
    };
    guest::fill(start, block.len(), EDGE);
    guest::fill(address, len, FRESH);
    let caller = context::caller().unwrap_or(0);
    with(|s| {
        s.live.insert(
            address,
            Live {
                block,
                len,
                tag,
                caller,
            },
        )
    });
    address
}

/// Frees what [`alloc`] gave; with a tag it must be the same. A wrong address or a second free is a violation.
pub fn free(address: usize, tag: Option<u32>) {
    let Some(live) = with(|s| s.live.remove(&address)) else {
        let (rule, what) = describe_wrong_free(address);
        rules::violate(rule, what);
        return;
    };
    // ExFreePool takes any tag; with a tag of 0 ExFreePoolWithTag does so too (nf-wdm-exfreepoolwithtag).
    if let Some(tag) = tag.filter(|&tag| tag != 0 && tag != live.tag) {
        rules::violate(
            rules::POOL_TAG,
            format!(
                "allocated as '{}', freed as '{}'",
                tag_text(live.tag),
                tag_text(tag)
            ),
        );
    }
    check_edges(address, &live);
    let in_use = [
        (sched::dpc_within(address, live.len), "queued DPC"),
        (export::timer_within(address, live.len), "running timer"),
    ];
    for (_, object) in in_use.iter().filter(|(found, _)| found.is_some()) {
        let name = tag_text(live.tag);
        rules::violate(
            rules::OBJECT_IN_USE,
            format!("'{name}' of {} bytes holds a {object}", live.len),
        );
    }
    lock::forget_within(address, live.len);
    let caller = context::caller().unwrap_or(0);
    let freed = Freed {
        len: live.len,
        tag: live.tag,
        caller,
    };
    with(|s| {
        s.freed.insert(address, freed);
        if s.freed.len() > REMEMBERED {
            s.freed.pop_first();
        }
    });
    // Dropping the block takes the memory away.
    drop(live);
}

fn check_edges(address: usize, live: &Live) {
    let start = live.block.va() as usize;
    let behind = address + live.len;
    let before = guest::bytes(start, address - start);
    let after = guest::bytes(behind, start + live.block.len() - behind);
    let name = tag_text(live.tag);
    if let Some(at) = before.iter().rposition(|&byte| byte != EDGE) {
        let distance = before.len() - at;
        rules::violate(
            rules::POOL_OVERRUN,
            format!(
                "'{name}' of {} bytes: written {distance} bytes before it",
                live.len
            ),
        );
    }
    if let Some(at) = after.iter().position(|&byte| byte != EDGE) {
        rules::violate(
            rules::POOL_OVERRUN,
            format!(
                "'{name}' of {} bytes: written {at} bytes behind its end",
                live.len
            ),
        );
    }
}

fn describe_wrong_free(address: usize) -> (rules::Rule, String) {
    with(|s| {
        if let Some(freed) = s.freed.get(&address) {
            let (name, place) = (tag_text(freed.tag), rules::describe(freed.caller));
            return (
                rules::POOL_DOUBLE_FREE,
                format!("'{name}' of {} bytes was freed at {place}", freed.len),
            );
        }
        match s.holding(address) {
            Some((start, live)) => (
                rules::POOL_BAD_FREE,
                format!(
                    "{} bytes into '{}' of {} bytes",
                    address - start,
                    tag_text(live.tag),
                    live.len
                ),
            ),
            None => (
                rules::POOL_BAD_FREE,
                "an address that no allocation returned".to_owned(),
            ),
        }
    })
}

/// The tag and length of the live allocation that holds `address`.
#[must_use]
pub fn find(address: usize) -> Option<(u32, usize)> {
    with(|s| s.holding(address).map(|(_, live)| (live.tag, live.len)))
}

/// What a fault at `address` has to do with the pool.
pub(crate) fn explain(address: usize) -> Option<(rules::Rule, String)> {
    with(|s| {
        if let Some((start, freed)) = s.freed.range(..=address).next_back()
            && address < (start + freed.len).next_multiple_of(PAGE)
        {
            let (name, place) = (tag_text(freed.tag), rules::describe(freed.caller));
            return Some((
                rules::POOL_USE_AFTER_FREE,
                format!(
                    "{} bytes into '{name}' of {} bytes, freed at {place}",
                    address - start,
                    freed.len
                ),
            ));
        }
        s.live.iter().find_map(|(start, live)| {
            let pages = live.block.va() as usize;
            let end = pages + live.block.len();
            let near = (pages - PAGE..end + PAGE).contains(&address);
            near.then(|| {
                let offset = address.wrapping_sub(*start).cast_signed();
                let what = format!(
                    "offset {offset} of '{}' of {} bytes",
                    tag_text(live.tag),
                    live.len
                );
                (rules::POOL_OVERRUN, what)
            })
        })
    })
}

/// What is allocated now.
#[must_use]
pub fn live() -> Vec<Leak> {
    with(|s| {
        s.live
            .values()
            .map(|live| Leak {
                tag: tag_text(live.tag),
                len: live.len,
                who: rules::describe(live.caller),
            })
            .collect()
    })
}

/// Records [`crate::rules`] violations for everything that is still allocated: called when the driver was unloaded.
pub fn check_leaks() {
    let leaks: Vec<(usize, String)> = with(|s| {
        s.live
            .values()
            .map(|live| {
                (
                    live.caller,
                    format!(
                        "'{}' of {} bytes was never freed",
                        tag_text(live.tag),
                        live.len
                    ),
                )
            })
            .collect()
    });
    for (caller, what) in leaks {
        rules::violate_at(rules::POOL_LEAK, caller, what);
    }
}

/// Makes the `nth` allocation from now (1 = the next) fail, once; `None` makes all succeed.
pub fn fail_nth(nth: Option<u64>) {
    with(|s| s.fail = nth.filter(|&nth| nth > 0));
}

/// How many allocations were asked for so far.
#[must_use]
pub fn allocations() -> u64 {
    with(|s| s.allocations)
}

impl State {
    fn holding(&self, address: usize) -> Option<(usize, &Live)> {
        let (start, live) = self.live.range(..=address).next_back()?;
        (address - start < live.len).then_some((*start, live))
    }
}
