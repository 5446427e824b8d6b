//! StorPortExtendedFunction: functions that came with later versions of Windows, by code.
//!
//! MS: the pages of the inline wrappers in storport.h. An unknown code, or one of a newer Windows than this port driver stands for, is
//! refused with STOR_STATUS_NOT_IMPLEMENTED, as those pages say.

mod allocate;
mod perf;
mod processor;
mod timer;
mod trace;

use std::rc::Rc;

use host_ntos::abi::enums::STORPORT_FUNCTION_CODE as code;
use host_ntos::abi::{MESSAGE_INTERRUPT_INFORMATION as Message, Range, STOR_ADDR_BTL8};
use host_ntos::export::Call;
use host_ntos::{guest, inject, rules, sched};

use super::{ANY, PASSIVE, TO_DISPATCH, locks, log};
use crate::codes::{ADDRESS_BTL8, stor_status as status};
use crate::complete;
use crate::dump;
use crate::fallible;
use crate::request::Address;
use crate::rules::CALL_CONTEXT;
use crate::state::{self, AdapterState, Callback, Connection, DIRQL};

/// How a function is carried out; arguments start at slot 2.
type Function = fn(&Rc<AdapterState>, &Call) -> u32;

struct Row {
    code: u32,
    name: &'static str,
    /// The IRQL that the wrapper's page or annotation states.
    irql: Range,
    run: Function,
}

const fn row(code: u32, name: &'static str, irql: Range, run: Function) -> Row {
    Row {
        code,
        name,
        irql,
        run,
    }
}

const FUNCTIONS: &[Row] = &[
    row(
        code::ExtFunctionAllocatePool,
        "AllocatePool",
        TO_DISPATCH,
        allocate::allocate_pool,
    ),
    row(
        code::ExtFunctionFreePool,
        "FreePool",
        TO_DISPATCH,
        allocate::free_pool,
    ),
    row(
        code::ExtFunctionGetSystemAddress,
        "GetSystemAddress",
        TO_DISPATCH,
        allocate::get_system_address,
    ),
    row(
        code::ExtFunctionAcquireMSISpinLock,
        "AcquireMSISpinLock",
        ANY,
        |a, c| locks::acquire_msi(a, c.slot(2) as u32, c.ptr(3)),
    ),
    row(
        code::ExtFunctionReleaseMSISpinLock,
        "ReleaseMSISpinLock",
        ANY,
        |a, c| locks::release_msi(a, c.slot(2) as u32, c.slot(3) as u32),
    ),
    row(
        code::ExtFunctionGetMessageInterruptInformation,
        "GetMessageInterruptInformation",
        ANY,
        message_information,
    ),
    row(
        code::ExtFunctionInitializePerformanceOptimizations,
        "InitializePerformanceOptimizations",
        ANY,
        perf::initialize,
    ),
    row(
        code::ExtFunctionGetStartIoPerformanceParameters,
        "GetStartIoPerformanceParameters",
        ANY,
        perf::start_io,
    ),
    row(
        code::ExtFunctionLogSystemEvent,
        "LogSystemEvent",
        TO_DISPATCH,
        |a, c| log::log_system_event(a, c.ptr(2), c.ptr(3)),
    ),
    row(
        code::ExtFunctionMiniportEtwEvent2,
        "MiniportEtwEvent2",
        TO_DISPATCH,
        trace::event2,
    ),
    row(
        code::ExtFunctionGetCurrentProcessorNumber,
        "GetCurrentProcessorNumber",
        TO_DISPATCH,
        processor::number,
    ),
    row(
        code::ExtFunctionGetActiveGroupCount,
        "GetActiveGroupCount",
        TO_DISPATCH,
        processor::groups,
    ),
    row(
        code::ExtFunctionGetGroupAffinity,
        "GetGroupAffinity",
        TO_DISPATCH,
        processor::group_affinity,
    ),
    row(
        code::ExtFunctionGetActiveNodeCount,
        "GetActiveNodeCount",
        TO_DISPATCH,
        processor::nodes,
    ),
    row(
        code::ExtFunctionGetHighestNodeNumber,
        "GetHighestNodeNumber",
        TO_DISPATCH,
        processor::highest_node,
    ),
    row(
        code::ExtFunctionGetNodeAffinity,
        "GetNodeAffinity",
        TO_DISPATCH,
        processor::node_affinity,
    ),
    row(
        code::ExtFunctionGetProcessorIndexFromNumber,
        "GetProcessorIndexFromNumber",
        ANY,
        processor::index_of,
    ),
    row(
        code::ExtFunctionGetCurrentProcessorIndex,
        "GetCurrentProcessorIndex",
        TO_DISPATCH,
        processor::index,
    ),
    row(
        code::ExtFunctionGetProcessorCount,
        "GetProcessorCount",
        TO_DISPATCH,
        processor::count,
    ),
    row(
        code::ExtFunctionGetCurrentIrql,
        "GetCurrentIrql",
        ANY,
        |_, c| {
            guest::write_u8(c.ptr(2), sched::irql());
            status::SUCCESS
        },
    ),
    row(
        code::ExtFunctionAllocateContiguousMemorySpecifyCacheNode,
        "AllocateContiguousMemorySpecifyCacheNode",
        TO_DISPATCH,
        allocate::allocate_contiguous,
    ),
    row(
        code::ExtFunctionFreeContiguousMemorySpecifyCache,
        "FreeContiguousMemorySpecifyCache",
        TO_DISPATCH,
        allocate::free_contiguous,
    ),
    row(
        code::ExtFunctionAllocateDmaMemory,
        "AllocateDmaMemory",
        TO_DISPATCH,
        allocate::allocate_dma,
    ),
    row(
        code::ExtFunctionFreeDmaMemory,
        "FreeDmaMemory",
        TO_DISPATCH,
        allocate::free_contiguous,
    ),
    row(
        code::ExtFunctionInitializeWorker,
        "InitializeWorker",
        TO_DISPATCH,
        timer::initialize_worker,
    ),
    row(
        code::ExtFunctionQueueWorkItem,
        "QueueWorkItem",
        TO_DISPATCH,
        timer::queue_work_item,
    ),
    row(
        code::ExtFunctionFreeWorker,
        "FreeWorker",
        TO_DISPATCH,
        timer::free_worker,
    ),
    row(
        code::ExtFunctionInitializeTimer,
        "InitializeTimer",
        TO_DISPATCH,
        timer::initialize,
    ),
    row(
        code::ExtFunctionRequestTimer,
        "RequestTimer",
        ANY,
        timer::request,
    ),
    row(
        code::ExtFunctionFreeTimer,
        "FreeTimer",
        TO_DISPATCH,
        timer::free,
    ),
    row(
        code::ExtFunctionGetRequestInfo,
        "GetRequestInfo",
        ANY,
        request_info,
    ),
    row(
        code::ExtFunctionGetSystemPortNumber,
        "GetSystemPortNumber",
        ANY,
        port_number,
    ),
    row(
        code::ExtFunctionSetUnitAttributes,
        "SetUnitAttributes",
        ANY,
        set_unit_attributes,
    ),
    row(
        code::ExtFunctionQueryPerformanceCounter,
        "QueryPerformanceCounter",
        ANY,
        performance_counter,
    ),
    row(
        code::ExtFunctionSetAdapterBusType,
        "SetAdapterBusType",
        PASSIVE,
        |a, _| {
            if a.callback() == Some(Callback::FindAdapter) {
                status::SUCCESS
            } else {
                status::UNSUCCESSFUL
            }
        },
    ),
    row(
        code::ExtFunctionUpdateAdapterMaxIO,
        "UpdateAdapterMaxIO",
        Range { min: 0, max: DIRQL },
        update_max_io,
    ),
    row(
        code::ExtFunctionDelayExecution,
        "DelayExecution",
        TO_DISPATCH,
        timer::delay,
    ),
    row(
        code::ExtFunctionAcquireSpinLock,
        "AcquireSpinLockEx",
        Range { min: 0, max: DIRQL },
        |a, c| locks::acquire(a, c.slot(2) as u32, c.ptr(3), c.ptr(4)),
    ),
    row(code::ExtFunctionCancelDpc, "CancelDpc", ANY, |a, c| {
        if c.ptr(2) == 0 || c.ptr(3) == 0 || !a.dpcs.borrow().contains_key(&c.ptr(2)) {
            return status::INVALID_PARAMETER;
        }
        guest::write_u8(c.ptr(3), sched::remove_dpc(c.ptr(2)).into());
        status::SUCCESS
    }),
    row(
        code::ExtFunctionCurrentOsInstallationUpgrade,
        "IsCurrentOsInstallationUpgrade",
        PASSIVE,
        |_, c| {
            guest::write_u8(c.ptr(2), 0);
            status::SUCCESS
        },
    ),
    row(
        code::ExtFunctionGetMessageInterruptIDFromProcessorIndex,
        "GetMessageInterruptIDFromProcessorIndex",
        ANY,
        message_of_processor,
    ),
    row(
        code::ExtFunctionMarkDumpMemory,
        "MarkDumpMemory",
        ANY,
        mark_dump_memory,
    ),
];

/// (FunctionCode, HwDeviceExtension, ...)
pub fn extended(call: &Call) -> u64 {
    let wanted = call.u32(0);
    let row = FUNCTIONS.iter().find(|row| row.code == wanted);
    let name = row.map_or("unknown", |row| row.name);
    let Some(adapter) = state::adapter(call.ptr(1), name) else {
        return status::INVALID_PARAMETER.into();
    };
    let counted = match row {
        Some(row) => format!("StorPortExtendedFunction/{}", row.name),
        None => format!("StorPortExtendedFunction/refused {wanted}"),
    };
    adapter.counters.borrow_mut().call(&counted);
    complete::observe(&adapter);
    let Some(row) = row else {
        return status::NOT_IMPLEMENTED.into();
    };
    if !dump::judge_call(&adapter, row.name) {
        rules::check_irql(row.name, row.irql);
    }
    if fallible::extended(row.name) && inject::due(row.name) {
        return status::NOT_IMPLEMENTED.into();
    }
    (row.run)(&adapter, call).into()
}

/// Writes a pointer result if there is a place for it.
fn put(at: usize, value: u64) -> u32 {
    if at == 0 {
        return status::INVALID_PARAMETER;
    }
    guest::write_u64(at, value);
    status::SUCCESS
}

/// (MessageId, InterruptInfo*). "It should not be called from inside the HwMSInterruptRoutine."
fn message_information(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let (id, out) = (call.slot(2) as u32, call.ptr(3));
    if adapter.callback() == Some(Callback::Interrupt) {
        rules::violate(
            CALL_CONTEXT,
            "StorPortGetMSIInfo called in the interrupt routine".into(),
        );
    }
    let count = match adapter.connection.get() {
        Connection::Messages { count, .. } => count,
        _ => return status::INVALID_DEVICE_REQUEST,
    };
    let Some(id) = u16::try_from(id).ok().filter(|&id| id < count && out != 0) else {
        return status::INVALID_PARAMETER;
    };
    Message::MessageId.set(out, id.into());
    Message::MessageData.set(out, u64::from(id) + 0x50);
    // Where local APICs listen; the device's table is the bus driver's.
    Message::MessageAddress.set(
        out,
        0xfee0_0000 | u64::from(crate::interrupt::cpu_of(id)) << 12,
    );
    Message::InterruptVector.set(out, u64::from(id) + 0x50);
    Message::InterruptLevel.set(out, DIRQL.into());
    // Latched.
    Message::InterruptMode.set(out, 1);
    status::SUCCESS
}

/// (Srb, STOR_REQUEST_INFO*): version 1 at offset 0, what is known of the request behind it (storport.h).
fn request_info(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let (srb, out) = (call.ptr(2), call.ptr(3));
    if srb == 0 || out == 0 {
        return status::INVALID_PARAMETER;
    }
    if guest::read_u16(out) != 1 {
        return status::UNSUPPORTED_VERSION;
    }
    let io = adapter.io.borrow();
    let Some(o) = io.outstanding.get(&srb) else {
        return status::INVALID_PARAMETER;
    };
    let (len, write) = (
        o.request.data.len(),
        matches!(o.request.data, crate::request::Data::Out(_)),
    );
    drop(io);
    // PriorityHint: normal; Flags; Key; Length; IsWriteRequest.
    for (offset, value) in [(4, 2), (8, 0), (12, 0), (16, len as u32)] {
        guest::write_u32(out + offset, value);
    }
    guest::write_u8(out + 20, write.into());
    status::SUCCESS
}

fn address_at(at: usize) -> Option<Address> {
    if at == 0 || STOR_ADDR_BTL8::Type.get(at) != u64::from(ADDRESS_BTL8) {
        return None;
    }
    Some(Address {
        path: STOR_ADDR_BTL8::Path.get(at) as u8,
        target: STOR_ADDR_BTL8::Target.get(at) as u8,
        lun: STOR_ADDR_BTL8::Lun.get(at) as u8,
    })
}

/// (Address*)
fn port_number(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    if address_at(call.ptr(2)).is_none() {
        return status::INVALID_PARAMETER;
    }
    STOR_ADDR_BTL8::Port.set(call.ptr(2), adapter.number.into());
    status::SUCCESS
}

/// Bits of STOR_UNIT_ATTRIBUTES that have a meaning.
const UNIT_ATTRIBUTES: u32 = 0xf;

/// (Address*, STOR_UNIT_ATTRIBUTES by value)
fn set_unit_attributes(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let attributes = call.slot(3) as u32;
    match address_at(call.ptr(2)) {
        Some(address) if attributes & !UNIT_ATTRIBUTES == 0 => {
            adapter
                .unit_attributes
                .borrow_mut()
                .insert(address, attributes);
            status::SUCCESS
        }
        _ => status::INVALID_PARAMETER,
    }
}

/// (PerformanceFrequency* or NULL, PerformanceCounter*): 10 MHz, as Windows 10 has it.
fn performance_counter(_: &Rc<AdapterState>, call: &Call) -> u32 {
    if call.ptr(3) == 0 {
        return status::INVALID_PARAMETER;
    }
    if call.ptr(2) != 0 {
        guest::write_u64(call.ptr(2), 10_000_000);
    }
    put(call.ptr(3), (sched::now().as_nanos() / 100) as u64)
}

/// (MaxIoCount): only during HwInitialize and the passive initialisation.
fn update_max_io(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let count = call.slot(2) as u32;
    match adapter.callback() {
        Some(Callback::Initialize | Callback::PassiveInitialize) if count > 0 => {
            adapter.flow.borrow_mut().max = count;
            status::SUCCESS
        }
        Some(Callback::Initialize | Callback::PassiveInitialize) => status::INVALID_PARAMETER,
        _ => status::INVALID_DEVICE_REQUEST,
    }
}

/// (Address, Length, Flags): "must only be called by a miniport driver in its DriverEntry or HwStorFindAdapter routines".
fn mark_dump_memory(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    const PHYSICAL_ADDRESS: u32 = 1;
    let (address, length, flags) = (call.ptr(2), call.ptr(3), call.slot(4) as u32);
    adapter.require("StorPortMarkDumpMemory", &[Callback::FindAdapter]);
    if flags & !PHYSICAL_ADDRESS != 0 {
        return status::INVALID_PARAMETER;
    }
    if flags == 0 {
        adapter.marked.borrow_mut().push((address, length));
    }
    status::SUCCESS
}

/// (ProcessorIndex, MessageInterruptID*)
fn message_of_processor(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let index = call.slot(2) as u32;
    if index >= sched::cpus() || call.ptr(3) == 0 {
        return status::INVALID_PARAMETER;
    }
    match perf::message_for(adapter, index) {
        Some(message) => {
            guest::write_u32(call.ptr(3), message);
            status::SUCCESS
        }
        None => status::UNSUCCESSFUL,
    }
}
