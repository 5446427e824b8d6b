//! The driver in the dump stack: it writes crash dumps and the hibernation file, and reads the latter back.
//!
//! MS: "Restrictions on Miniport Drivers that Manage the Boot Drive". Windows loads a second instance, which takes the device as
//! it is, with requests of the first one in flight: HwFindAdapter resets it, as always, and HwInitialize once more. From then on
//! there is one small queue, no interrupt and no DPC; HwInterrupt is polled and ends what is done.
#![forbid(unsafe_code)]

use crate::disk::{Disk, work};
use crate::ffi::extension::RequestBox;
use crate::limits::{Limits, PAGE};
use core::sync::atomic::Ordering;
use nt::irql::Dispatch;
use storport::{Carver, FindAdapter, SrbStatus};

/// Most descriptors of the queue: room for 244 KiB a request.
pub const DUMP_QUEUE_SIZE: u16 = 64;

/// Bytes of the uncached extension, for any device.
pub const UNCACHED: u32 = 20 << 10;

/// Bytes that a miniport may take in all.
pub const MEMORY: usize = 32 << 10;

/// HwFindAdapter for [`storport::Dump::MarkMemory`]: all that the stack would need is its memory. The device is not touched: it
/// still belongs to the other instance.
pub fn mark(find: &mut FindAdapter<'_>) {
    let config = find.config();
    // HwFindAdapter has to set these two (MS: nc-storport-hw_find_adapter); the least that any disk takes.
    config.MaximumTransferLength = PAGE;
    config.NumberOfPhysicalBreaks = 2;
    config.NumberOfBuses = 1;
    let _ = uncached(find);
}

/// Takes the uncached extension and marks it.
pub fn uncached(find: &mut FindAdapter<'_>) -> Option<Carver> {
    let uncached = find.uncached(UNCACHED)?;
    find.mark_dump_memory(uncached.start(), uncached.left());
    Some(uncached)
}

impl Disk {
    /// How much the device has finished in the dump stack, which has one queue.
    pub fn finished(&self, at: Dispatch) -> u64 {
        let queue = self.queues.first();
        queue.map_or(0, |cell| cell.with(at, |ring| ring.counters().completed()))
    }

    /// HwInterrupt in the dump stack, once the queue was looked at, which had finished `before`. Whether it has finished more.
    pub fn polled(&self, at: Dispatch, before: u64) -> bool {
        let finished = self.finished(at) != before;
        if finished {
            // A device without messages may have raised its line all the same.
            let _ = self.transport.isr();
        } else {
            // Nobody else looks whether it is there, and well, or what became of a late reset.
            if self.late.load(Ordering::Relaxed) != 0 {
                self.work.fetch_or(work::LOOK, Ordering::Relaxed);
            }
            self.service(at);
        }
        finished
    }

    /// Says what the instance in the dump stack will take.
    pub fn dump_pointers(&self, mut request: RequestBox) {
        let size = self.queue_size.min(DUMP_QUEUE_SIZE);
        let limits = Limits::new(&self.rules.config, size);
        let most = limits.map_or(PAGE, |limits| limits.max_transfer);
        let srb = request.srb.as_mut();
        let status = if srb.is_some_and(|srb| srb.set_dump_pointers(most)) {
            SrbStatus::Success
        } else {
            SrbStatus::InvalidRequest
        };
        self.complete(request, status);
    }
}
