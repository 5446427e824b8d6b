//! Pool, contiguous and DMA memory, and the mapping of data buffers.

use std::rc::Rc;

use host_ntos::export::Call;
use host_ntos::{guest, pool};

use super::put;
use crate::codes::stor_status as status;
use crate::export::memory;
use crate::state::AdapterState;

/// (NumberOfBytes, Tag, BufferPointer*)
pub fn allocate_pool(_: &Rc<AdapterState>, call: &Call) -> u32 {
    let (bytes, tag, out) = (
        call.slot(2) as u32 as usize,
        call.slot(3) as u32,
        call.ptr(4),
    );
    if out == 0 {
        return status::INVALID_PARAMETER;
    }
    // A multi-character constant 'abcd' has its last character in the lowest byte, which memory holds first.
    let at = pool::alloc(tag, bytes, pool::Kind::NonPaged);
    guest::write_u64(out, at as u64);
    if at == 0 {
        status::INSUFFICIENT_RESOURCES
    } else {
        status::SUCCESS
    }
}

/// (BufferPointer)
pub fn free_pool(_: &Rc<AdapterState>, call: &Call) -> u32 {
    if call.ptr(2) == 0 {
        return status::INVALID_PARAMETER;
    }
    pool::free(call.ptr(2), None);
    status::SUCCESS
}

/// (Srb, SystemAddress*)
pub fn get_system_address(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    match memory::system_address(adapter, call.ptr(2)) {
        Some(at) => put(call.ptr(3), at as u64),
        None => status::INVALID_PARAMETER,
    }
}

/// (NumberOfBytes, Lowest, Highest, Boundary, CacheType, PreferredNode, BufferPointer*)
pub fn allocate_contiguous(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let out = call.ptr(8);
    match memory::allocate_contiguous(adapter, call.ptr(2)) {
        Some((at, _)) => put(out, at as u64),
        None => {
            put(out, 0);
            status::INSUFFICIENT_RESOURCES
        }
    }
}

/// The same with the physical address as a result behind it.
pub fn allocate_dma(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    match memory::allocate_contiguous(adapter, call.ptr(2)) {
        Some((at, address)) => {
            put(call.ptr(9), address);
            put(call.ptr(8), at as u64)
        }
        None => {
            put(call.ptr(8), 0);
            status::INSUFFICIENT_RESOURCES
        }
    }
}

/// (BaseAddress, NumberOfBytes, CacheType[, PhysicalAddress])
pub fn free_contiguous(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    if memory::free_contiguous(adapter, call.ptr(2), call.ptr(3)) {
        status::SUCCESS
    } else {
        status::INVALID_PARAMETER
    }
}
