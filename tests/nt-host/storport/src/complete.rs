//! The way of a request back: who may complete it, what the device must have let go, and what goes away with it.

use std::rc::Rc;

use host_ntos::{guest, lock, rules, sched};

use crate::codes::{perf, status};
use crate::grants::Breach;
use crate::io::{self, Outstanding, Waiting};
use crate::request::{Data, Outcome};
use crate::rules::{
    COMPLETION_STATUS, DEVICE, DMA_DIRECTION, DMA_OUTSIDE, DMA_PHYSICAL, DOUBLE_COMPLETION,
    EARLY_COMPLETION, FOREIGN_COMPLETION, OVERRUN,
};
use crate::srb;
use crate::state::{AdapterState, Callback};
use crate::timeout;

/// Completed requests that are remembered, to tell a second completion from a foreign one.
const REMEMBERED: usize = 4096;

/// A request whose requester is to be told.
pub struct Done {
    pub run: Box<dyn FnOnce(Outcome)>,
    pub outcome: Outcome,
}

/// `RequestComplete`: the miniport gives a request back.
pub fn complete(adapter: &Rc<AdapterState>, srb: usize) {
    let Some((kind, id)) = adapter
        .io
        .borrow()
        .outstanding
        .get(&srb)
        .map(|o| (o.kind, o.id))
    else {
        let retired = adapter.io.borrow().retired.contains(&srb);
        let (rule, what) = if retired {
            (DOUBLE_COMPLETION, "was completed before")
        } else {
            (FOREIGN_COMPLETION, "is no request of this adapter")
        };
        rules::violate(rule, format!("RequestComplete with {srb:#x}, which {what}"));
        return;
    };
    observe(adapter);
    check_device_let_go(adapter, srb);
    let function = match adapter.io.borrow().outstanding.get(&srb) {
        Some(o) if o.id == id => o.request.function.clone(),
        _ => return,
    };
    let result = srb::read(srb, kind, &function);
    let Some(o) = adapter.io.borrow_mut().outstanding.remove(&srb) else {
        return;
    };
    // In the dump stack there is no queue to go back to.
    let alive = adapter.dump.get().is_none();
    if alive && result.raw_status & status::MASK == status::BUSY {
        adapter.counters.borrow_mut().busy += 1;
        requeue(adapter, srb, o);
        return;
    }
    check_result(&o, &result, srb);
    if result.raw_status & status::MASK == status::SUCCESS {
        timeout::after_reset(adapter, &o);
    }
    finish(adapter, srb, o, &result);
}

/// Takes a request back that HwStartIo refused; it is sent again later.
pub fn take_back(adapter: &Rc<AdapterState>, srb: usize) {
    let Some(o) = adapter.io.borrow_mut().outstanding.remove(&srb) else {
        return;
    };
    adapter.counters.borrow_mut().busy += 1;
    requeue(adapter, srb, o);
}

/// The rings themselves must lie in memory that was mapped for the device.
pub fn observe_rings(adapter: &AdapterState) {
    let device = adapter.device.borrow();
    if device.rings().eq(adapter.rings.borrow().iter().copied()) {
        return;
    }
    let rings: Vec<_> = device.rings().collect();
    drop(device);
    for ring in &rings {
        let len = u64::from(ring.len);
        if adapter
            .grants
            .borrow()
            .check(ring.address, len, ring.device_writes)
            .is_err()
        {
            let rule = if is_physical(adapter, ring.address, len) {
                DMA_PHYSICAL
            } else {
                DMA_OUTSIDE
            };
            rules::violate(
                rule,
                format!(
                    "{len} bytes of a queue at {:#x} were not mapped for the device",
                    ring.address
                ),
            );
        }
    }
    *adapter.rings.borrow_mut() = rings;
}

/// Where the miniport sees the part of its uncached extension that the device sees at `device`.
pub fn uncached_address(adapter: &AdapterState, device: u64) -> Option<usize> {
    let uncached = adapter.uncached.borrow();
    let region = uncached.as_ref()?;
    let mut at = region.at();
    for (start, len) in region.runs() {
        if (start..start + len).contains(&device) {
            return Some(at + (device - start) as usize);
        }
        at += len as usize;
    }
    None
}

/// Follows the rings: every chain that the device was given must lie in memory that was mapped for it.
pub fn observe(adapter: &AdapterState) {
    let (chains, violations) = {
        let mut device = adapter.device.borrow_mut();
        let chains = device.refresh();
        (chains, device.take_violations())
    };
    for violation in violations {
        rules::violate(DEVICE, format!("{}: {}", violation.section, violation.what));
    }
    for chain in chains {
        let first = chain.parts.first();
        let moved = first.is_some_and(|part| uncached_address(adapter, part.address).is_some());
        adapter.counters.borrow_mut().chains += 1;
        adapter.counters.borrow_mut().moved += u64::from(moved);
        let mut owners = Vec::new();
        for part in chain.parts.iter().chain(&chain.table) {
            let len = u64::from(part.len);
            let checked = adapter
                .grants
                .borrow()
                .check(part.address, len, part.device_writes);
            match checked {
                Ok(owner) => owners.extend(owner.srb()),
                Err(breach) => report(adapter, &chain, part, breach),
            }
        }
        owners.sort_unstable();
        owners.dedup();
        adapter.chains.borrow_mut().insert(chain.number, owners);
    }
    let mut known = adapter.chains.borrow_mut();
    if known.len() > 4 * (adapter.device.borrow().outstanding().len() + 16) {
        let device = adapter.device.borrow();
        let held: std::collections::HashSet<u64> =
            device.outstanding().iter().map(|c| c.number).collect();
        known.retain(|number, _| held.contains(number));
    }
}

fn report(
    adapter: &AdapterState,
    chain: &test_device::Chain,
    part: &test_device::Part,
    breach: Breach,
) {
    let (queue, head, address, len) = (chain.queue, chain.head, part.address, part.len);
    let place = format!("queue {queue}, descriptor chain {head}: {len} bytes at {address:#x}");
    match breach {
        Breach::Direction(owner) => rules::violate(
            DMA_DIRECTION,
            format!(
                "{place} are for the device to write, but were mapped for it to read ({owner:?})"
            ),
        ),
        Breach::Outside => {
            let physical = is_physical(adapter, address, len.into());
            if physical {
                rules::violate(DMA_PHYSICAL, format!("{place}, a physical address"));
            } else {
                rules::violate(
                    DMA_OUTSIDE,
                    format!("{place} were not mapped for the device"),
                );
            }
        }
    }
}

/// Whether memory lies there by physical addresses, which no device knows.
fn is_physical(adapter: &AdapterState, address: u64, len: u64) -> bool {
    let offset = host_ntos::config().physical_offset;
    offset != 0
        && address
            .checked_sub(offset)
            .is_some_and(|device| adapter.ram.device_slice(device, len as usize).is_some())
}

fn check_device_let_go(adapter: &AdapterState, srb: usize) {
    let chains = adapter.chains.borrow();
    let device = adapter.device.borrow();
    let held = device.outstanding().iter().find(|c| {
        chains
            .get(&c.number)
            .is_some_and(|owners| owners.contains(&srb))
    });
    let Some(chain) = held else { return };
    let (queue, head) = (chain.queue, chain.head);
    drop(chains);
    rules::violate(
        EARLY_COMPLETION,
        format!(
            "SRB {srb:#x} is completed while the device still holds its chain {head} of queue {queue}"
        ),
    );
}

fn check_result(o: &Outstanding, result: &srb::Result, srb: usize) {
    let what = if result.raw_status & status::MASK == status::PENDING {
        "SRB_STATUS_PENDING".to_owned()
    } else if result.raw_status & status::MASK == status::INTERNAL_ERROR {
        // MS: ns-storport-_storage_request_block: "the Storport driver could not deliver the request to the miniport driver".
        "SRB_STATUS_INTERNAL_ERROR, which is the port driver's".to_owned()
    } else if result.raw_status & status::QUEUE_FROZEN != 0 {
        // MS: ns-storport-_storage_request_block: a miniport never sets it.
        "SRB_STATUS_QUEUE_FROZEN".to_owned()
    } else if result.transferred as usize > o.request.data.len() {
        format!(
            "{} bytes transferred of {}",
            result.transferred,
            o.request.data.len()
        )
    } else {
        return;
    };
    rules::violate(
        COMPLETION_STATUS,
        format!("SRB {srb:#x} is completed with {what}"),
    );
}

fn finish(adapter: &Rc<AdapterState>, srb: usize, o: Outstanding, result: &srb::Result) {
    let sense = (result.raw_status & status::AUTOSENSE_VALID != 0).then(|| {
        guest::bytes(
            o.slot.sense.at(),
            usize::from(result.sense_length).min(o.slot.sense.len()),
        )
    });
    let data = match (&o.request.data, &o.buffer) {
        (Data::In(_) | Data::Both(_), Some(buffer)) => buffer.contents(&adapter.ram),
        _ => Vec::new(),
    };
    let outcome = Outcome {
        raw_status: result.raw_status,
        scsi_status: result.scsi_status,
        sense,
        transferred: result.transferred,
        data,
        latency: sched::now().saturating_sub(o.submitted),
    };
    {
        let mut counters = adapter.counters.borrow_mut();
        counters.completed += 1;
        // SPC-4 §4.5.6
        if outcome.sense_code().is_some_and(|(key, ..)| key == 6) {
            counters.attentions += 1;
        }
        if outcome.is_success() {
            counters.bytes += u64::from(outcome.transferred);
        }
    }
    let cpu = if adapter.perf.get().flags & perf::DPC_REDIRECTION != 0 {
        o.cpu
    } else {
        sched::cpu()
    };
    let run = reclaim(adapter, srb, o).request.on_complete;
    tell(adapter, cpu, Done { run, outcome });
    io::kick_all(adapter);
}

/// A request that is sent again: Windows gives it a new SRB extension (MS: nc-storport-hw_startio, SRB_STATUS_BUSY).
fn requeue(adapter: &Rc<AdapterState>, srb: usize, o: Outstanding) {
    let cpu = o.cpu;
    let Waiting {
        request,
        submitted,
        bypass,
    } = reclaim(adapter, srb, o);
    if let Some(queue) = adapter.io.borrow_mut().waiting.get_mut(cpu as usize) {
        queue.push_front(Waiting {
            request,
            submitted,
            bypass,
        });
    }
    // With nothing outstanding no completion would look at the queue again; and a busy adapter is not asked at once.
    let this = Rc::clone(adapter);
    sched::timer(
        std::time::Duration::from_millis(1),
        cpu,
        Box::new(move || io::kick(&this, cpu)),
    );
}

/// Takes everything that was lent for a request back.
fn reclaim(adapter: &Rc<AdapterState>, srb: usize, o: Outstanding) -> Waiting {
    if let Some(timer) = o.timer {
        sched::cancel_timer(timer);
    }
    if !adapter.options.unguarded_requests {
        if let Some(part) = o.slot.overrun() {
            rules::violate(
                OVERRUN,
                format!("the miniport wrote beyond the {part} of SRB {srb:#x}"),
            );
        }
        if o.buffer
            .as_ref()
            .is_some_and(crate::memory::Buffer::overrun)
        {
            rules::violate(
                OVERRUN,
                format!("something was written beside the data buffer of SRB {srb:#x}"),
            );
        }
        count_extension(adapter, &o);
    }
    io::revoke(adapter, &o.slot, o.buffer.as_ref());
    {
        let mut io = adapter.io.borrow_mut();
        io.retired.push_back(srb);
        if io.retired.len() > REMEMBERED {
            io.retired.pop_front();
        }
    }
    adapter.flow.borrow_mut().completed(o.request.address);
    adapter.slots.borrow_mut().give(o.slot);
    if let Some(buffer) = o.buffer {
        adapter.buffers.borrow_mut().give(buffer);
    }
    Waiting {
        request: o.request,
        submitted: o.submitted,
        bypass: o.bypass,
    }
}

fn count_extension(adapter: &AdapterState, o: &Outstanding) {
    let written = o.slot.extension.as_ref().map_or(0, crate::memory::written);
    let mut counters = adapter.counters.borrow_mut();
    counters.extension_bytes_written += written as u64;
    counters.max_extension_bytes_written = counters.max_extension_bytes_written.max(written);
}

/// Tells the requester at DISPATCH_LEVEL, after the callback that completed the request has gone on.
pub fn tell(adapter: &Rc<AdapterState>, cpu: u32, done: Done) {
    if adapter.dump.get().is_some() {
        // No DPC runs there.
        (done.run)(done.outcome);
        return;
    }
    if adapter.options.told_at_once
        && adapter.callback() == Some(Callback::Dpc)
        && lock::none_held()
    {
        let before = adapter.telling.replace(true);
        (done.run)(done.outcome);
        adapter.telling.set(before);
        return;
    }
    if let Some(queue) = adapter.io.borrow_mut().done.get_mut(cpu as usize) {
        queue.push_back(done);
    }
    let this = Rc::clone(adapter);
    sched::queue_dpc(
        cpu,
        adapter.keys.completion(cpu),
        Box::new(move || tell_all(&this, cpu)),
    );
}

fn tell_all(adapter: &AdapterState, cpu: u32) {
    loop {
        let next = adapter
            .io
            .borrow_mut()
            .done
            .get_mut(cpu as usize)
            .and_then(std::collections::VecDeque::pop_front);
        let Some(done) = next else { return };
        (done.run)(done.outcome);
    }
}
