//! Queueing DPCs. The disk says that they may run only after they were initialised, and asks itself before it calls these.

use crate::ffi::lock::QueueCell;
use core::ptr::{from_ref, null};
use storport::{Adapter, Dpc};

/// Queues the DPC of a queue, which is given the queue.
#[inline(always)] // part of an interrupt
pub(crate) fn issue_queue(cell: &'static QueueCell, adapter: Adapter) {
    // SAFETY: initialised, as said above.
    unsafe { cell.dpc.issue(adapter, from_ref(cell).cast()) };
}

/// Queues the service DPC.
pub(crate) fn issue_service(service: &Dpc, adapter: Adapter) {
    // SAFETY: initialised, as said above.
    unsafe { service.issue(adapter, null()) };
}
