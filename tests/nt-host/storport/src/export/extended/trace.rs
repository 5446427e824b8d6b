//! StorPortEtwEvent2: what a miniport tells event tracing. MS: nf-storport-storportetwevent2

use std::rc::Rc;

use host_ntos::export::Call;
use host_ntos::guest;

use crate::codes::stor_status as status;
use crate::events::Trace;
use crate::state::AdapterState;

/// STORPORT_ETW_MAX_DESCRIPTION_LENGTH and STORPORT_ETW_MAX_PARAM_NAME_LENGTH before Windows 10 2004, without the NUL. // storport.h
const DESCRIPTION: usize = 32;
const NAME: usize = 16;
/// StorportEtwLevelMax, StorportEtwEventOpcodeSend and StorportEtwEventOpcodeReceive. // storport.h
const LEVELS: u64 = 5;
const SEND: u64 = 9;
const RECEIVE: u64 = 240;

/// A text of at most so many characters; none at NULL.
fn text(at: usize, most: usize) -> Result<Option<String>, u32> {
    if at == 0 {
        return Ok(None);
    }
    let text = guest::wide_string(at, most + 1);
    if text.len() > most {
        return Err(status::INVALID_PARAMETER);
    }
    String::from_utf16(&text)
        .map(Some)
        .map_err(|_| status::INVALID_PARAMETER)
}

/// (Address*, EventId, EventDescription, EventKeywords, EventLevel, EventOpcode, Srb*, Name1, Value1, Name2, Value2)
pub fn event2(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    match read(call) {
        Ok(trace) => {
            adapter.traces.borrow_mut().push(trace);
            status::SUCCESS
        }
        Err(code) => code,
    }
}

fn read(call: &Call) -> Result<Trace, u32> {
    let description = text(call.ptr(4), DESCRIPTION)?.ok_or(status::INVALID_PARAMETER)?;
    let level = call.slot(6) & 0xffff_ffff;
    let opcode = call.slot(7) & 0xffff_ffff;
    if level > LEVELS || (opcode > SEND && opcode != RECEIVE) {
        return Err(status::INVALID_PARAMETER);
    }
    let mut parameters = Vec::new();
    for at in [9, 11] {
        // "If NULL or an empty string, parameter N will be ignored." // storport.h
        if let Some(name) = text(call.ptr(at), NAME)?
            && !name.is_empty()
        {
            parameters.push((name, call.slot(at + 1)));
        }
    }
    Ok(Trace {
        id: call.slot(3) as u32,
        level: level as u32,
        description,
        parameters,
    })
}
