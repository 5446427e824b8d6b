//! The event log and debug output.

use std::rc::Rc;

use host_ntos::abi::{Range, STOR_LOG_EVENT_DETAILS as Details};
use host_ntos::export::{Arguments, Call, Handler, debug_line, format_narrow};
use host_ntos::{guest, sched};

use super::{ANY, adapter_of};
use crate::codes::stor_status;
use crate::events::{Event, Source};
use crate::request::Address;
use crate::state::{AdapterState, DIRQL};

type Row = (&'static str, Range, &'static str, Handler);

pub const EXPORTS: &[Row] = &[
    (
        "StorPortLogError",
        Range { min: 0, max: DIRQL },
        "its counterpart ScsiPortLogError is called from interrupt routines; StorPort defers the record",
        log_error,
    ),
    (
        "StorPortDebugPrint",
        ANY,
        "nf-wdm-dbgprint, narrow text: IRQL <= DIRQL",
        debug_print,
    ),
];

/// (HwDeviceExtension, Srb, PathId, TargetId, Lun, ErrorCode, UniqueId)
fn log_error(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    adapter.events.borrow_mut().push(Event {
        when: sched::now(),
        source: Source::LogError,
        code: call.u32(5),
        unique_id: call.u32(6),
        address: Address {
            path: call.u8(2),
            target: call.u8(3),
            lun: call.u8(4),
        },
        strings: Vec::new(),
        data: Vec::new(),
    });
    0
}

/// (DebugPrintLevel, DebugMessage, ...): every level is shown.
fn debug_print(call: &Call) -> u64 {
    let format = guest::c_string(call.ptr(1), 4096);
    let text = format_narrow(&format, Arguments::at(call.slot_address(2)));
    debug_line(&String::from_utf8_lossy(&text));
    0
}

/// `STOR_CURRENT_LOG_INTERFACE_REVISION`.
const REVISION: u32 = 0x100;
/// Dump data and strings together (MS: ns-storport-_stor_log_event_details).
const ROOM: usize = 150;

/// StorPortLogSystemEvent: (LogDetails, MaximumSize*).
pub fn log_system_event(adapter: &Rc<AdapterState>, details: usize, maximum: usize) -> u32 {
    if sched::irql() > sched::DISPATCH {
        return stor_status::INVALID_IRQL;
    }
    if details == 0 {
        return stor_status::INVALID_PARAMETER;
    }
    let get = |field: host_ntos::abi::Field| field.get(details) as u32;
    // The low byte tells compatible revisions apart.
    if get(Details::InterfaceRevision) & !0xff != REVISION {
        Details::InterfaceRevision.set(details, REVISION.into());
        return stor_status::UNSUPPORTED_VERSION;
    }
    if (get(Details::Size) as usize) < Details::SIZE || get(Details::EventAssociation) > 2 {
        return stor_status::INVALID_PARAMETER;
    }
    let count = get(Details::StringCount) as usize;
    let list = Details::StringList.get(details) as usize;
    let strings: Vec<Vec<u16>> = (0..count.min(ROOM))
        .map(|index| guest::wide_string(guest::read_u64(list + index * 8) as usize, ROOM))
        .collect();
    let length = get(Details::DumpDataSize) as usize;
    let text: usize = strings.iter().map(|s| (s.len() + 1) * 2).sum();
    if length + text > ROOM {
        if maximum != 0 {
            guest::write_u32(maximum, ROOM as u32);
        }
        return stor_status::INVALID_BUFFER_SIZE;
    }
    let data = match length {
        0 => Vec::new(),
        _ => guest::bytes(Details::DumpData.get(details) as usize, length),
    };
    adapter.events.borrow_mut().push(Event {
        when: sched::now(),
        source: Source::LogSystemEvent,
        code: get(Details::ErrorCode),
        unique_id: get(Details::UniqueId),
        address: Address {
            path: get(Details::PathId) as u8,
            target: get(Details::TargetId) as u8,
            lun: get(Details::LunId) as u8,
        },
        strings: strings
            .iter()
            .map(|s| String::from_utf16_lossy(s))
            .collect(),
        data,
    });
    stor_status::SUCCESS
}
