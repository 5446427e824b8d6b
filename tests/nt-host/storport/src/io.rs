//! The way of a request to the miniport: queue, HwBuildIo, HwStartIo.
//!
//! HwBuildIo is called at DISPATCH_LEVEL without a lock on whichever CPU issues the request; then HwStartIo once, under the
//! StartIo lock unless concurrent channels were negotiated, at DISPATCH_LEVEL (full duplex) or DIRQL (half duplex).
//! MS: nc-storport-hw_buildio, nc-storport-hw_startio.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use host_ntos::lock::{self, LockKind};
use host_ntos::{rules, sched};

use crate::codes;
use crate::complete::{self, Done};
use crate::grants::Owner;
use crate::interrupt;
use crate::memory::{Buffer, SENSE_LENGTH, Slot};
use crate::request::{Data, Function, Layout, Outcome, Request};
use crate::rules::CALLBACK_RESULT;
use crate::srb::{self, Kind};
use crate::state::{AdapterState, Callback, Configured, Phase};
use crate::timeout;

/// A request that is not with the miniport.
pub struct Waiting {
    pub request: Request,
    pub submitted: Duration,
    /// Sent whatever holds the queue: resets, and what is sent to a stopped adapter.
    pub bypass: bool,
}

/// A request that is with the miniport.
pub struct Outstanding {
    /// Tells it from an earlier one at the same address.
    pub id: u64,
    pub request: Request,
    pub submitted: Duration,
    pub bypass: bool,
    pub slot: Slot,
    pub kind: Kind,
    pub buffer: Option<Buffer>,
    pub cpu: u32,
    pub channel: u32,
    pub timer: Option<sched::TimerId>,
    /// HwStartIo was called with it.
    pub started: bool,
    /// HwStartIo has returned with it.
    pub given: bool,
    /// Of a reset: what it has to end.
    pub ends: Vec<u64>,
}

/// The requests of an adapter.
pub struct Io {
    pub waiting: Vec<VecDeque<Waiting>>,
    pub outstanding: HashMap<usize, Outstanding>,
    pub done: Vec<VecDeque<Done>>,
    /// SRB addresses of completed requests, latest last.
    pub retired: VecDeque<usize>,
    next_id: u64,
    next_cpu: u32,
}

impl Io {
    /// Queues for that many CPUs.
    pub fn new(cpus: usize) -> Self {
        Self {
            waiting: (0..cpus.max(1)).map(|_| VecDeque::new()).collect(),
            outstanding: HashMap::new(),
            done: (0..cpus.max(1)).map(|_| VecDeque::new()).collect(),
            retired: VecDeque::new(),
            next_id: 0,
            next_cpu: 0,
        }
    }

    /// Requests in any queue.
    pub fn queued(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    /// Completed requests whose requester was not told yet.
    pub fn untold(&self) -> usize {
        self.done.iter().map(VecDeque::len).sum()
    }
}

/// Puts a request into the queue of its CPU.
pub fn submit(adapter: &Rc<AdapterState>, request: Request, bypass: bool) {
    let cpu = {
        let mut io = adapter.io.borrow_mut();
        let cpus = io.waiting.len() as u32;
        let cpu = match adapter.telling.get() {
            true => sched::cpu(),
            false => request.cpu.unwrap_or(io.next_cpu) % cpus,
        };
        io.next_cpu = (cpu + 1) % cpus;
        let waiting = Waiting {
            request,
            submitted: sched::now(),
            bypass,
        };
        if let Some(queue) = io.waiting.get_mut(cpu as usize) {
            queue.push_back(waiting);
        }
        cpu
    };
    if adapter.telling.get() {
        dispatch(adapter, cpu);
    } else {
        kick(adapter, cpu);
    }
}

/// Has a CPU look at its queue.
pub fn kick(adapter: &Rc<AdapterState>, cpu: u32) {
    let this = Rc::clone(adapter);
    sched::queue_dpc(
        cpu,
        adapter.keys.dispatch(cpu),
        Box::new(move || dispatch(&this, cpu)),
    );
}

/// Has every CPU with queued requests look at them.
pub fn kick_all(adapter: &Rc<AdapterState>) {
    let cpus: Vec<u32> = {
        let io = adapter.io.borrow();
        (0..)
            .zip(&io.waiting)
            .filter(|(_, queue)| !queue.is_empty())
            .map(|(cpu, _)| cpu)
            .collect()
    };
    cpus.into_iter().for_each(|cpu| kick(adapter, cpu));
}

/// Sends what may be sent from this CPU's queue. Runs at DISPATCH_LEVEL.
fn dispatch(adapter: &Rc<AdapterState>, cpu: u32) {
    while let Some(waiting) = next(adapter, cpu) {
        send(adapter, cpu, waiting);
    }
}

/// Takes the first request of the queue that nothing holds back, and counts it as sent.
fn next(adapter: &AdapterState, cpu: u32) -> Option<Waiting> {
    let now = sched::now();
    let mut io = adapter.io.borrow_mut();
    let mut flow = adapter.flow.borrow_mut();
    let queue = io.waiting.get_mut(cpu as usize)?;
    let running = adapter.phase.get() == Phase::Running;
    let at = queue
        .iter()
        .position(|w| w.bypass || (running && flow.open(w.request.address, now)))?;
    let waiting = queue.remove(at)?;
    flow.sent(waiting.request.address);
    Some(waiting)
}

/// Ends everything that waits, because the device is gone.
pub fn fail_queued(adapter: &Rc<AdapterState>) {
    let waiting: Vec<(u32, Waiting)> = {
        let mut io = adapter.io.borrow_mut();
        (0..)
            .zip(&mut io.waiting)
            .flat_map(|(cpu, queue)| queue.drain(..).map(move |w| (cpu, w)))
            .collect()
    };
    for (cpu, waiting) in waiting {
        answer(adapter, cpu, waiting, codes::status::NO_DEVICE);
    }
}

/// Gives a request that cannot be sent back to its requester.
fn refuse(adapter: &Rc<AdapterState>, cpu: u32, waiting: Waiting, status: u8) {
    adapter.flow.borrow_mut().completed(waiting.request.address);
    answer(adapter, cpu, waiting, status);
}

fn answer(adapter: &Rc<AdapterState>, cpu: u32, waiting: Waiting, status: u8) {
    let outcome = Outcome {
        raw_status: status,
        scsi_status: 0,
        sense: None,
        transferred: 0,
        data: Vec::new(),
        latency: sched::now().saturating_sub(waiting.submitted),
    };
    complete::tell(
        adapter,
        cpu,
        Done {
            run: waiting.request.on_complete,
            outcome,
        },
    );
}

fn send(adapter: &Rc<AdapterState>, cpu: u32, waiting: Waiting) {
    let Some(config) = adapter.config() else {
        return refuse(adapter, cpu, waiting, codes::status::NO_DEVICE);
    };
    let Some((srb, id)) = prepare(adapter, cpu, &config, waiting) else {
        return;
    };
    let init = adapter.init();
    let extension = adapter.extension_at() as u64;
    if init.hw_build_io != 0 {
        adapter.counters.borrow_mut().build_io += 1;
        let args = [extension, srb as u64];
        let go = adapter.call(Callback::BuildIo, "HW_BUILDIO", init.hw_build_io, &args) as u8 != 0;
        if !go {
            // The miniport completes it, or has done so.
            return;
        }
        if !is_outstanding(adapter, srb, id) {
            rules::violate(
                CALLBACK_RESULT,
                format!(
                    "HwBuildIo completed SRB {srb:#x} and returned TRUE, which asks for HwStartIo with it"
                ),
            );
            return;
        }
    }
    start(adapter, srb, id, &config);
}

/// Calls HwStartIo under the locks it is documented to be called with.
fn start(adapter: &Rc<AdapterState>, srb: usize, id: u64, config: &Configured) {
    let perf = adapter.perf.get();
    let (key, name) = if perf.channels == 0 {
        (adapter.keys.start_io(), "StartIoLock")
    } else {
        // A channel is one of the concurrent calls that were negotiated.
        (
            adapter.keys.channel(sched::cpu() % perf.channels),
            "channel",
        )
    };
    let irql = lock::acquire(
        key,
        LockKind {
            name,
            rank: None,
            irql: sched::DISPATCH,
        },
    );
    let raised = config.half_duplex.then(|| interrupt::lock_all(adapter));
    // Another CPU may have completed it while this one waited for the lock.
    let mine = with_outstanding(adapter, srb, id, |o| o.started = true).is_some();
    let result = mine.then(|| {
        timeout::before_reset(adapter, srb);
        adapter.counters.borrow_mut().start_io += 1;
        let args = [adapter.extension_at() as u64, srb as u64];
        adapter.call(
            Callback::StartIo,
            "HW_STARTIO",
            adapter.init().hw_start_io,
            &args,
        ) as u8
            != 0
    });
    with_outstanding(adapter, srb, id, |o| o.given = true);
    if let Some(irql) = raised {
        interrupt::unlock_all(adapter, irql);
    }
    lock::release(key, irql);
    if result == Some(false) && is_outstanding(adapter, srb, id) {
        // FALSE: "not successfully initiated". The request is the port driver's again and is tried later.
        complete::take_back(adapter, srb);
    }
}

/// Whether the request with this identity is with the miniport.
pub fn is_outstanding(adapter: &AdapterState, srb: usize, id: u64) -> bool {
    adapter
        .io
        .borrow()
        .outstanding
        .get(&srb)
        .is_some_and(|o| o.id == id)
}

fn with_outstanding<R>(
    adapter: &AdapterState,
    srb: usize,
    id: u64,
    f: impl FnOnce(&mut Outstanding) -> R,
) -> Option<R> {
    adapter
        .io
        .borrow_mut()
        .outstanding
        .get_mut(&srb)
        .filter(|o| o.id == id)
        .map(f)
}

/// Lends memory, writes the SRB, maps the data for the device and arms the timeout, which the dump stack keeps itself.
pub fn prepare(
    adapter: &Rc<AdapterState>,
    cpu: u32,
    config: &Configured,
    waiting: Waiting,
) -> Option<(usize, u64)> {
    let Some(slot) = take_slot(adapter) else {
        refuse(adapter, cpu, waiting, codes::status::BUSY);
        return None;
    };
    let buffer = match data_buffer(adapter, config, &waiting.request) {
        Ok(buffer) => buffer,
        Err(status) => {
            adapter.slots.borrow_mut().give(slot);
            refuse(adapter, cpu, waiting, status);
            return None;
        }
    };
    let srb = slot.srb_at(srb::size(config.kind, &waiting.request.function));
    let (id, channel) = {
        let mut io = adapter.io.borrow_mut();
        io.next_id += 1;
        (
            io.next_id,
            cpu.checked_rem(adapter.perf.get().channels).unwrap_or(0),
        )
    };
    srb::write(
        srb,
        &srb::Contents {
            kind: config.kind,
            function: &waiting.request.function,
            data: &waiting.request.data,
            address: waiting.request.address,
            port: adapter.number as u16,
            flags: waiting.request.flags,
            timeout_seconds: waiting.request.timeout.as_secs_f64().ceil() as u32,
            tag: id as u32,
            buffer: buffer.as_ref().and_then(Buffer::va).unwrap_or(0),
            extension: slot.extension.as_ref().map_or(0, |e| e.at()),
            sense: slot.sense.at(),
            sense_length: SENSE_LENGTH as u8,
        },
    );
    grant(adapter, srb, &slot, buffer.as_ref(), &waiting.request.data);
    let alive = adapter.dump.get().is_none();
    let timer = alive.then(|| timeout::arm(adapter, srb, id, waiting.request.timeout, cpu));
    let outstanding = Outstanding {
        id,
        request: waiting.request,
        submitted: waiting.submitted,
        bypass: waiting.bypass,
        slot,
        kind: config.kind,
        buffer,
        cpu,
        channel,
        timer,
        started: false,
        given: false,
        ends: Vec::new(),
    };
    let count = {
        let mut io = adapter.io.borrow_mut();
        io.retired.retain(|&old| old != srb);
        io.outstanding.insert(srb, outstanding);
        io.outstanding.len()
    };
    let mut counters = adapter.counters.borrow_mut();
    counters.max_outstanding = counters.max_outstanding.max(count);
    Some((srb, id))
}

fn take_slot(adapter: &AdapterState) -> Option<Slot> {
    // Opening a slot only touches memory of the host's own, so the borrow is harmless.
    adapter.slots.borrow_mut().take(&adapter.ram)
}

fn grant(adapter: &AdapterState, srb: usize, slot: &Slot, buffer: Option<&Buffer>, data: &Data) {
    let mut grants = adapter.grants.borrow_mut();
    for (start, len) in slot.extension.iter().flat_map(|e| e.runs()) {
        grants.add(start, len, Owner::Extension(srb), true);
    }
    for (start, len) in slot.sense.runs() {
        grants.add(start, len, Owner::Sense(srb), true);
    }
    let writable = !matches!(data, Data::Out(_));
    for (start, len) in buffer.iter().flat_map(|b| b.runs()) {
        grants.add(start, len, Owner::Data(srb), writable);
    }
}

/// Takes the grants of a request back.
pub fn revoke(adapter: &AdapterState, slot: &Slot, buffer: Option<&Buffer>) {
    let mut grants = adapter.grants.borrow_mut();
    let extension = slot.extension.iter().flat_map(|e| e.runs());
    let data = buffer.iter().flat_map(|b| b.runs());
    for (start, _) in extension.chain(slot.sense.runs()).chain(data) {
        grants.remove(start);
    }
}

/// Whether the miniport sees the buffer (MS: ns-storport-_port_configuration_information, MapBuffers).
fn is_mapped(config: &Configured, function: &Function) -> bool {
    match function {
        Function::IoControl => true,
        Function::Other(code) if *code == codes::function::WMI => true,
        Function::ExecuteScsi(cdb) if codes::is_read_write(cdb) => {
            config.map_buffers == codes::map::ALL_INCLUDING_READ_WRITE
        }
        _ => config.map_buffers != codes::map::NO_BUFFERS,
    }
}

/// Bytes of a buffer at most that is looked over for what was written beside it: answers that a miniport makes itself are shorter.
const GUARDED: usize = 4096;

/// The data buffer of a request: aligned as the miniport demands, in at most as many pieces as it promised to take.
fn data_buffer(
    adapter: &AdapterState,
    config: &Configured,
    request: &Request,
) -> Result<Option<Buffer>, u8> {
    let len = request.data.len();
    if len == 0 {
        return Ok(None);
    }
    let mapped = is_mapped(config, &request.function);
    let limits = &config.limits;
    if len as u64 > u64::from(limits.maximum_transfer_length) {
        return Err(codes::status::INVALID_REQUEST);
    }
    let unit = limits.alignment_mask as usize + 1;
    let offset = match request.page_offset {
        Some(offset) => offset,
        None => sched::random((4096 / unit.clamp(1, 4096)) as u32) as usize * unit,
    };
    // As chosen first; then from the start of a page, which needs one piece fewer; then in one run.
    let tries = [
        (offset, request.layout),
        (0, request.layout),
        (0, Layout::Contiguous),
    ];
    for (offset, layout) in tries
        .iter()
        .take(if request.page_offset.is_some() { 1 } else { 3 })
    {
        let mut buffer = adapter
            .buffers
            .borrow_mut()
            .take(&adapter.ram, len, *offset, *layout, mapped)
            .ok_or(codes::status::BUSY)?;
        if buffer.runs().len() as u64 <= u64::from(limits.physical_breaks) {
            match &request.data {
                Data::Out(bytes) | Data::Both(bytes) => buffer.fill(&adapter.ram, bytes),
                // Longer ones are the device's to fill.
                _ if len <= GUARDED && !adapter.options.unguarded_requests => buffer.guard(),
                _ => {}
            }
            return Ok(Some(buffer));
        }
        adapter.buffers.borrow_mut().give(buffer);
    }
    Err(codes::status::INVALID_REQUEST)
}
