//! Opening and closing a queue to requests.
#![forbid(unsafe_code)]

use super::{RequestQueue, Ring};
use virtio_core::ring::Queue;
use virtio_core::spec::features::Features;
use virtio_core::transport::Doorbell;

impl Ring {
    /// Stops giving requests to the device.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Lets requests wait for the queue to open, whatever became of the last ones.
    pub fn revive(&mut self) {
        self.ended = None;
    }

    /// Sets an empty queue up in the memory of the last one; `enable` shows it to the device.
    pub fn set_up<E>(
        &mut self,
        size: u16,
        features: Features,
        enable: impl FnOnce(&RequestQueue) -> Result<Doorbell, E>,
    ) -> Option<Result<(), E>> {
        // Looked at first, as a queue that cannot be made would take its memory with it.
        let layout = RequestQueue::layout(size, features).ok()?;
        let memory = self.memory.take_if(|memory| {
            memory.ring.len() >= layout.len()
                && memory.ring.is_aligned_to(layout.align())
                && memory.slots.len() >= usize::from(size)
        })?;
        let queue = self.queue.insert(Queue::new(size, features, memory).ok()?);
        self.counters.restart();
        Some(enable(queue).map(|doorbell| self.doorbell = Some(doorbell)))
    }

    /// Lets requests through to the device, which is live now. False: a request waits for another reset, as it came after all that
    /// this one ends was taken out, and others may have waited in another queue when it came.
    pub fn open(&mut self) -> bool {
        self.open = !self.wish;
        self.ended = None;
        self.open
    }
}
