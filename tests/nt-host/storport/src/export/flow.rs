//! Busy and ready, pause and resume, queue depth.
//!
//! Each acts from then on: requests that are with the miniport stay there. `Timeout` is in seconds.

use std::rc::Rc;
use std::time::Duration;

use host_ntos::export::{Call, Handler};
use host_ntos::sched;

use super::{FALSE, TRUE, adapter_of};
use crate::io;
use crate::request::Address;
use crate::state::AdapterState;

pub const EXPORTS: &[(&str, Handler)] = &[
    ("StorPortBusy", |c| {
        with(c, |a| a.flow.borrow_mut().set_busy(None, c.u32(1)))
    }),
    ("StorPortReady", |c| {
        with(c, |a| a.flow.borrow_mut().set_ready(None))
    }),
    ("StorPortDeviceBusy", |c| {
        with(c, |a| {
            a.flow.borrow_mut().set_busy(Some(address(c)), c.u32(4))
        })
    }),
    ("StorPortDeviceReady", |c| {
        with(c, |a| a.flow.borrow_mut().set_ready(Some(address(c))))
    }),
    ("StorPortPause", |c| with(c, |a| pause(a, None, c.u32(1)))),
    ("StorPortResume", |c| {
        with(c, |a| a.flow.borrow_mut().set_paused(None, None))
    }),
    ("StorPortPauseDevice", |c| {
        with(c, |a| pause(a, Some(address(c)), c.u32(4)))
    }),
    ("StorPortResumeDevice", |c| {
        with(c, |a| {
            a.flow.borrow_mut().set_paused(Some(address(c)), None)
        })
    }),
    ("StorPortSetDeviceQueueDepth", |c| {
        let fine =
            adapter_of(c).is_some_and(|a| a.flow.borrow_mut().set_depth(address(c), c.u32(4)));
        if fine { TRUE } else { FALSE }
    }),
    ("StorPortCompleteRequest", complete_request),
];

/// PathId, TargetId and Lun as arguments 1 to 3.
fn address(call: &Call) -> Address {
    Address {
        path: call.u8(1),
        target: call.u8(2),
        lun: call.u8(3),
    }
}

fn with(call: &Call, f: impl FnOnce(&Rc<AdapterState>)) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return FALSE;
    };
    f(&adapter);
    io::kick_all(&adapter);
    TRUE
}

fn pause(adapter: &Rc<AdapterState>, unit: Option<Address>, seconds: u32) {
    let after = Duration::from_secs(seconds.into());
    adapter
        .flow
        .borrow_mut()
        .set_paused(unit, Some(sched::now() + after));
    // Nothing else would look at the queue when the pause is over.
    let this = Rc::clone(adapter);
    sched::timer(after, sched::cpu(), Box::new(move || io::kick_all(&this)));
}

/// (HwDeviceExtension, PathId, TargetId, Lun, SrbStatus): completes what is outstanding; `SP_UNTAGGED` means all.
fn complete_request(call: &Call) -> u64 {
    use crate::codes::UNTAGGED;
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let (path, target, lun, status) = (call.u8(1), call.u8(2), call.u8(3), call.u8(4));
    let matches = |wanted: u8, is: u8| wanted == UNTAGGED || wanted == is;
    let mut srbs: Vec<(u64, usize, crate::srb::Kind)> = adapter
        .io
        .borrow()
        .outstanding
        .iter()
        .filter(|(_, o)| {
            let at = o.request.address;
            matches(path, at.path) && matches(target, at.target) && matches(lun, at.lun)
        })
        .map(|(&srb, o)| (o.id, srb, o.kind))
        .collect();
    srbs.sort_unstable_by_key(|(id, ..)| *id);
    for (_, srb, kind) in srbs {
        crate::srb::set_status(srb, kind, status);
        crate::complete::complete(&adapter, srb);
    }
    0
}
