//! The disk: what every routine that StorPort calls shares.
#![forbid(unsafe_code)]

use crate::config::Config;
use crate::events::{Event, Journal};
use crate::ffi::extension::RequestBox;
use crate::ffi::lock::{Once, QueueCell};
use crate::identity::{Place, Serial};
use crate::request::{List, Operation, Outcome};
use crate::ring::{Notice, Progress, Rules};
use crate::scsi::{Reply, Unit};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use nt::irql::Dispatch;
use storport::{Adapter, Dpc, Sense, Srb, SrbStatus};
use virtio_core::mmio::MmioWindow;
use virtio_core::spec::blk;
use virtio_core::transport::Transport;

/// Completions that one DPC takes before it lets others run.
const BUDGET: u32 = 128;

/// Work for the service DPC, as bits.
pub mod work {
    /// The device broke the protocol or wants a reset.
    pub const RESET: u32 = 1;
    /// The device configuration may have changed.
    pub const CONFIG: u32 = 2;
    /// The device has been removed.
    pub const REMOVED: u32 = 4;
}

/// The disk and its device.
#[derive(Debug)]
pub struct Disk {
    /// Names the adapter to StorPort.
    pub adapter: Adapter,
    /// The device's registers.
    pub transport: Transport<MmioWindow>,
    /// What requests have to obey.
    pub rules: Rules,
    /// The checked configuration; the capacity is that of the start.
    pub config: Config,
    /// Where the device is plugged in.
    pub place: Place,
    /// Descriptors of each queue.
    pub queue_size: u16,
    /// The queues.
    pub queues: &'static [QueueCell],
    /// Runs what must not run in an interrupt.
    pub service: Dpc,
    /// The DPCs can be queued.
    pub dpcs_ready: AtomicBool,
    /// Bits of [`work`].
    pub work: AtomicU32,
    /// Somebody sets the device up or down; nobody else may.
    pub in_setup: AtomicBool,
    /// StorPort stopped the adapter: the device may have no power.
    pub halted: AtomicBool,
    /// The device has been removed.
    pub gone: AtomicBool,
    /// Interrupt messages; 0: line interrupt.
    pub messages: AtomicU32,
    /// StorPort chooses an interrupt message for each request.
    pub by_message: AtomicBool,
    /// Logical blocks, which may change while the system runs.
    pub blocks: AtomicU64,
    /// The capacity changed, and the class driver does not know yet.
    pub attention: AtomicBool,
    /// A command stopped the disk.
    pub stopped: AtomicBool,
    /// The serial number, once it was asked for.
    pub serial: Once<Serial>,
    /// Keeps the event log short.
    pub journal: Journal,
    /// Step and code of a failed start (`step << 16 | code`), until it can be logged.
    pub failure: AtomicU32,
}

impl Disk {
    /// The disk as SCSI sees it now.
    pub fn unit(&self) -> Unit {
        let features = self.rules.features;
        Unit {
            block_size: self.config.block_size,
            blocks: self.blocks.load(Ordering::Relaxed),
            topology: self.config.topology,
            max_transfer: self.rules.limits.max_transfer,
            read_only: features.contains(blk::F_RO),
            write_cache: features.contains(blk::F_FLUSH),
            stopped: self.stopped.load(Ordering::Relaxed),
            place: self.place,
        }
    }

    /// Writes an entry to the event log, if it is not one of many.
    pub fn report(&self, event: Event) {
        self.journal.report(self.adapter, event);
    }

    /// Takes what the device has finished on a queue and sends what waits. The DPC of the queue.
    pub fn process(&self, at: Dispatch, index: usize) {
        let Some(cell) = self.queues.get(index) else {
            return;
        };
        let mut done = List::EMPTY;
        let (progress, notice) = cell.with(self.adapter, at, |ring| {
            ring.process(&self.rules, BUDGET, &mut done)
        });
        self.notify(notice);
        self.end_all(at, &mut done);
        match progress {
            Progress::Idle => {}
            Progress::More => self.issue(&cell.dpc, index),
            Progress::Broken(error) => {
                self.report(Event::QueueBroken {
                    queue: u16::try_from(index).unwrap_or(u16::MAX),
                    code: crate::events::code::queue(&error),
                });
                self.want(work::RESET);
            }
        }
    }

    /// Tells the device what was published. No lock is held.
    pub fn notify(&self, notice: Notice) {
        if let Some(doorbell) = notice.doorbell {
            self.transport.ring(&doorbell, notice.kick);
        }
    }

    /// Completes requests whose outcome is known. No lock is held.
    pub fn end_all(&self, at: Dispatch, requests: &mut List) {
        while let Some(request) = requests.pop_front() {
            self.end(at, request);
        }
    }

    /// Completes a request whose outcome is known: the one place where an outcome becomes an SRB status.
    pub fn end(&self, at: Dispatch, request: RequestBox) {
        let (operation, outcome, bytes, id) = (
            request.operation,
            request.outcome,
            request.bytes,
            request.id,
        );
        match (operation, outcome) {
            (Operation::Identify, Outcome::Done) => {
                return self.identified(at, request, Serial::new(&id));
            }
            // A device that knows no such request has no serial number.
            (Operation::Identify, Outcome::Failed(Sense::INVALID_OPCODE)) => {
                return self.identified(at, request, Serial::EMPTY);
            }
            (Operation::Flush { stop: true }, Outcome::Done) => {
                self.stopped.store(true, Ordering::Relaxed)
            }
            _ => {}
        }
        let Some(mut srb) = request.finish() else {
            return;
        };
        match outcome {
            Outcome::Done => {
                // The buffer may be longer than what the command moves.
                if srb.data().1 != bytes {
                    srb.set_transferred(bytes);
                }
                self.adapter.complete(srb, SrbStatus::Success);
            }
            Outcome::Failed(sense) => {
                srb.set_sense(&sense);
                self.adapter.complete_as_set(srb);
            }
            Outcome::Reset => self.adapter.complete(srb, SrbStatus::BusReset),
            Outcome::Gone => self.adapter.complete(srb, SrbStatus::NoDevice),
            Outcome::Busy => self.adapter.complete(srb, SrbStatus::Busy),
            Outcome::Invalid => self.adapter.complete(srb, SrbStatus::InvalidRequest),
        }
    }

    /// The command that wanted the serial number can be answered now.
    fn identified(&self, at: Dispatch, mut request: RequestBox, serial: Serial) {
        self.serial.set(serial);
        request.operation = Operation::None;
        self.emulate(at, request);
    }

    /// Answers a command that needs no device: success, with data.
    pub fn reply(&self, mut srb: Srb, reply: &Reply) {
        let written = crate::ffi::reply::write(&mut srb, reply.bytes());
        srb.set_transferred(written);
        self.adapter.complete(srb, SrbStatus::Success);
    }
}
