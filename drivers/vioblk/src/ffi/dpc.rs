//! Queueing DPCs.

use storport::{Adapter, Dpc};

/// Queues a DPC. The disk sets `dpcs_ready` only after its DPCs were initialised, and asks it before it calls this.
pub(crate) fn issue(dpc: &Dpc, adapter: Adapter, argument: usize) {
    // SAFETY: initialised, as said above. If it is queued already, it still runs after this moment.
    let _ = unsafe { dpc.issue(adapter, argument) };
}
