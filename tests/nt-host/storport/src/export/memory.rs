//! Memory: common buffers, addresses for the device, scatter/gather lists, unit extensions.

use std::rc::Rc;

use host_machine::ram::{Placement, Protection};
use host_ntos::abi::{Range, STOR_SCATTER_GATHER_ELEMENT, STOR_SCATTER_GATHER_LIST};
use host_ntos::export::{Call, Handler};
use host_ntos::{guest, rules};

use super::{ANY, PASSIVE, TO_DISPATCH, adapter_of};
use crate::dump;
use crate::grants::Owner;
use crate::memory::{Region, Slot};
use crate::request::Address;
use crate::rules::PARAMETER;
use crate::state::{AdapterState, Callback, DIRQL};

type Row = (&'static str, Range, &'static str, Handler);

pub const EXPORTS: &[Row] = &[
    (
        "StorPortGetUncachedExtension",
        PASSIVE,
        "nf-storport-storportgetuncachedextension: it wants the configuration of HwFindAdapter; nc-allocate_common_buffer: PASSIVE_LEVEL",
        get_uncached_extension,
    ),
    (
        "StorPortGetPhysicalAddress",
        Range { min: 0, max: DIRQL },
        "used from HwFindAdapter to HwStartIo and interrupt routines; a look-up",
        get_physical_address,
    ),
    (
        "StorPortGetVirtualAddress",
        Range { min: 0, max: DIRQL },
        "a look-up",
        get_virtual_address,
    ),
    (
        "StorPortGetScatterGatherList",
        Range { min: 0, max: DIRQL },
        "nc-storport-hw_buildio: from HwBuildIo; HwStartIo in half duplex runs at DIRQL",
        get_scatter_gather_list,
    ),
    (
        "StorPortGetLogicalUnit",
        Range { min: 0, max: DIRQL },
        "nf-storport-storportgetlogicalunit: at DISPATCH_LEVEL it acquires the interrupt lock",
        get_logical_unit,
    ),
    (
        "StorPortGetSrb",
        TO_DISPATCH,
        "ScsiPortGetSrb, for tagged requests",
        get_srb,
    ),
    ("StorPortMoveMemory", ANY, "memmove", move_memory),
    ("ScsiPortMoveMemory", ANY, "memmove", move_memory),
];

/// (HwDeviceExtension, ConfigInfo, NumberOfBytes). A second call gives the same extension again.
fn get_uncached_extension(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    adapter.require(call.name(), &[Callback::FindAdapter]);
    if let Some(region) = adapter.uncached.borrow().as_ref() {
        return region.at() as u64;
    }
    let length = call.u32(2) as usize;
    let region = if adapter.dump.get().is_some() {
        dump::uncached_extension(&adapter, length)
    } else {
        // A common buffer is contiguous for the device and begins on a page; what it holds is not documented.
        Region::page_aligned(&adapter.ram, length, Placement::Contiguous, 0xb5)
    };
    let Some(region) = region else {
        return 0;
    };
    let at = region.at();
    for (start, len) in region.runs() {
        adapter
            .grants
            .borrow_mut()
            .add(start, len, Owner::Uncached, true);
    }
    *adapter.uncached.borrow_mut() = Some(Rc::new(region));
    at as u64
}

/// (HwDeviceExtension, Srb, VirtualAddress, Length*)
fn get_physical_address(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let (srb, at, length) = (call.ptr(1), call.ptr(2), call.ptr(3));
    let (address, run) = find(&adapter, srb, at).unwrap_or((0, 0));
    if length != 0 {
        guest::write_u32(length, run.min(u32::MAX as usize) as u32);
    }
    address
}

/// Where the device finds `at`, and how many bytes follow there.
fn find(adapter: &AdapterState, srb: usize, at: usize) -> Option<(u64, usize)> {
    if srb != 0 {
        let io = adapter.io.borrow();
        let Some(o) = io.outstanding.get(&srb) else {
            drop(io);
            rules::violate(
                PARAMETER,
                format!("StorPortGetPhysicalAddress: {srb:#x} is no outstanding SRB"),
            );
            return None;
        };
        let data = o.buffer.as_ref().and_then(|b| b.device_address(at));
        if let Some(found) = data.or_else(|| o.slot.sense.device_address(at)) {
            return Some(found);
        }
        let extension = extension_of(&o.slot, at);
        drop(io);
        // For an extension "this parameter must be NULL", says the page. Where DMA is remapped the SRB is needed, says StorAhci (below).
        if !adapter.options.dma_remapping {
            rules::violate(
                PARAMETER,
                format!(
                    "StorPortGetPhysicalAddress: {at:#x} is neither in the data nor in the sense buffer of SRB {srb:#x}"
                ),
            );
        }
        return extension;
    }
    if let Some(found) = adapter
        .uncached
        .borrow()
        .as_ref()
        .and_then(|r| r.device_address(at))
    {
        return Some(found);
    }
    // Microsoft's StorAhci sample (io.c): for an address in an SRB extension the SRB is needed where DMA is remapped.
    if !adapter.options.dma_remapping {
        let io = adapter.io.borrow();
        let mut all = io.outstanding.values();
        if let Some(found) = all.find_map(|o| extension_of(&o.slot, at)) {
            return Some(found);
        }
    }
    let contiguous = adapter.contiguous.borrow();
    if let Some(found) = contiguous.values().find_map(|r| r.device_address(at)) {
        return Some(found);
    }
    drop(contiguous);
    if adapter.options.dma_remapping {
        // "If the given address cannot be converted, the function returns NULL."
        return None;
    }
    resident(adapter, at)
}

fn extension_of(slot: &Slot, at: usize) -> Option<(u64, usize)> {
    slot.extension.as_ref().and_then(|e| e.device_address(at))
}

/// Resident memory has a device address where DMA is not remapped. The miniport asked for it, so the device may have it.
fn resident(adapter: &AdapterState, at: usize) -> Option<(u64, usize)> {
    let extension = adapter.extension.borrow().clone();
    if let Some(found) = extension.as_ref().and_then(|r| r.device_address(at)) {
        return Some(found);
    }
    let (address, run) = adapter.ram.device_address(at as *const u8)?;
    let known = adapter.grants.borrow().check(address, 1, false).is_ok();
    if !known {
        adapter
            .grants
            .borrow_mut()
            .add(address, run as u64, Owner::Resident, true);
    }
    Some((address, run))
}

/// (HwDeviceExtension, PhysicalAddress): only of the uncached extension and SRB extensions.
fn get_virtual_address(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let address = call.slot(1);
    let within = |region: &Region| {
        let mut at = region.at();
        for (start, len) in region.runs() {
            if address.wrapping_sub(start) < len {
                return Some(at + (address - start) as usize);
            }
            at += len as usize;
        }
        None
    };
    let uncached = adapter.uncached.borrow().clone();
    let found = uncached.as_deref().and_then(within).or_else(|| {
        adapter
            .io
            .borrow()
            .outstanding
            .values()
            .find_map(|o| o.slot.extension.as_ref().and_then(within))
    });
    if found.is_none() {
        rules::violate(
            PARAMETER,
            format!(
                "StorPortGetVirtualAddress: {address:#x} is no address of an uncached or SRB extension"
            ),
        );
    }
    found.unwrap_or(0) as u64
}

/// (HwDeviceExtension, Srb). The list is read-only for the miniport and goes away with the request.
fn get_scatter_gather_list(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let srb = call.ptr(1);
    let runs = {
        let io = adapter.io.borrow();
        match io.outstanding.get(&srb) {
            Some(o) => match &o.slot.list {
                Some(list) if list.len() > 0 && list_is_of(list, o.id) => return list.at() as u64,
                _ => o.buffer.as_ref().map(|b| b.runs()),
            },
            None => {
                drop(io);
                rules::violate(
                    PARAMETER,
                    format!("StorPortGetScatterGatherList: {srb:#x} is no outstanding SRB"),
                );
                return 0;
            }
        }
    };
    // Without data there is no list.
    let Some(runs) = runs else { return 0 };
    let breaks = adapter
        .config()
        .map_or(0, |c| c.limits.physical_breaks as usize);
    let head = STOR_SCATTER_GATHER_LIST::SIZE;
    // Lists are kept with the slot, so each has room for the longest one.
    let room = head + breaks.max(runs.len()) * STOR_SCATTER_GATHER_ELEMENT::SIZE;
    let mut kept = adapter
        .io
        .borrow_mut()
        .outstanding
        .get_mut(&srb)
        .and_then(|o| o.slot.list.take());
    if kept.as_ref().is_none_or(|list| list.len() < room) {
        kept = Region::page_aligned(&adapter.ram, room, Placement::Contiguous, 0);
    }
    let Some(list) = kept else { return 0 };
    let guarded = !adapter.options.unguarded_requests;
    if guarded {
        list.protect(Protection::ReadWrite);
    }
    let at = list.at();
    STOR_SCATTER_GATHER_LIST::NumberOfElements.set(at, runs.len() as u64);
    // "Reserved": here it says whose list this is.
    let id = adapter
        .io
        .borrow()
        .outstanding
        .get(&srb)
        .map_or(0, |o| o.id);
    STOR_SCATTER_GATHER_LIST::Reserved.set(at, id);
    for (index, (start, len)) in runs.into_iter().enumerate() {
        let element =
            STOR_SCATTER_GATHER_LIST::List.at(at) + index * STOR_SCATTER_GATHER_ELEMENT::SIZE;
        STOR_SCATTER_GATHER_ELEMENT::PhysicalAddress.set(element, start);
        STOR_SCATTER_GATHER_ELEMENT::Length.set(element, len);
        STOR_SCATTER_GATHER_ELEMENT::Reserved.set(element, 0);
    }
    if guarded {
        list.protect(Protection::Read);
    }
    if let Some(o) = adapter.io.borrow_mut().outstanding.get_mut(&srb) {
        o.slot.list = Some(list);
    }
    at as u64
}

fn list_is_of(list: &Region, id: u64) -> bool {
    STOR_SCATTER_GATHER_LIST::Reserved.get(list.at()) == id
}

/// (HwDeviceExtension, PathId, TargetId, Lun)
fn get_logical_unit(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let address = Address {
        path: call.u8(1),
        target: call.u8(2),
        lun: call.u8(3),
    };
    let found = adapter
        .lu_extensions
        .borrow()
        .get(&address)
        .map_or(0, Region::at);
    found as u64
}

/// (DeviceExtension, PathId, TargetId, Lun, QueueTag): the outstanding request with this tag.
fn get_srb(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let address = Address {
        path: call.u8(1),
        target: call.u8(2),
        lun: call.u8(3),
    };
    let tag = call.slot(4) as u32;
    let io = adapter.io.borrow();
    let found = io
        .outstanding
        .iter()
        .find(|(_, o)| o.request.address == address && o.id as u32 == tag);
    found.map_or(0, |(&srb, _)| srb as u64)
}

/// (Destination, Source, Length)
fn move_memory(call: &Call) -> u64 {
    guest::copy(call.ptr(0), call.ptr(1), call.slot(2) as u32 as usize);
    0
}

/// ExtFunctionAllocateContiguousMemorySpecifyCacheNode and ExtFunctionAllocateDmaMemory: an allocation that the device may reach.
pub fn allocate_contiguous(adapter: &AdapterState, bytes: usize) -> Option<(usize, u64)> {
    let region = Region::page_aligned(&adapter.ram, bytes, Placement::Contiguous, 0xb5)?;
    let at = region.at();
    let runs = region.runs();
    let mut grants = adapter.grants.borrow_mut();
    runs.iter()
        .for_each(|&(start, len)| grants.add(start, len, Owner::Contiguous, true));
    adapter.contiguous.borrow_mut().insert(at, region);
    Some((at, runs.first()?.0))
}

/// Their counterparts. The length must be that of the allocation.
pub fn free_contiguous(adapter: &AdapterState, at: usize, bytes: usize) -> bool {
    let region = adapter.contiguous.borrow_mut().remove(&at);
    let Some(region) = region else {
        rules::violate(PARAMETER, format!("{at:#x} is no contiguous allocation"));
        return false;
    };
    if region.len() != bytes {
        rules::violate(
            PARAMETER,
            format!(
                "{bytes} bytes freed of a contiguous allocation of {}",
                region.len()
            ),
        );
    }
    if !region.intact() {
        rules::violate(
            crate::rules::OVERRUN,
            format!("written beyond a contiguous allocation of {bytes} bytes"),
        );
    }
    for (start, _) in region.runs() {
        adapter.grants.borrow_mut().remove(start);
    }
    true
}

/// ExtFunctionGetSystemAddress: maps the data buffer of a request.
pub fn system_address(adapter: &AdapterState, srb: usize) -> Option<usize> {
    adapter
        .io
        .borrow_mut()
        .outstanding
        .get_mut(&srb)?
        .buffer
        .as_mut()
        .map(crate::memory::Buffer::map)
}
