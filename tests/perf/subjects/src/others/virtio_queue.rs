//! virtio-queue: the driver that its tests mock. It can only add chains, each time with the same addresses and with no part
//! that the device writes; so only that is counted.

use std::hint::black_box;

use perf_marker::{begin, end, forget};
use ring_subjects::phase::PUBLISH;
use ring_subjects::{Case, REQUESTS, RING_SIZE};
use virtio_queue::mock::MockSplitQueue;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use ring_subjects::work::fail;

pub fn run(case: &Case) {
    let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)])
        .unwrap_or_else(|_| fail("no memory"));
    // It cannot go round the ring: its index runs out of the ring's end. No first round then.
    let mut queue = MockSplitQueue::new(&memory, RING_SIZE);
    for _ in 0..REQUESTS / case.depth {
        publish(&mut queue, case.depth, case.parts as u16);
    }
    black_box(&queue);
}

#[inline(never)]
fn publish(queue: &mut MockSplitQueue<'_, GuestMemoryMmap>, depth: u32, parts: u16) {
    begin::<PUBLISH>();
    for _ in 0..depth {
        forget(queue);
        if queue.add_chain(parts).is_err() {
            fail("chain refused");
        }
    }
    end::<PUBLISH>();
}
