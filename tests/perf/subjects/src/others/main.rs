//! The rings of others, doing the work of one case.

mod hyperlight;
mod virtio_driver;
mod virtio_drivers;
mod virtio_queue;

use ring_subjects::Implementation;
use ring_subjects::memory::Arena;
use ring_subjects::work::{self, fail};

fn main() {
    let case = work::case();
    let arena = &mut Arena::for_program();
    match case.implementation {
        Implementation::VirtioCore => fail("ours is the other program"),
        Implementation::VirtioDrivers => {
            let queue = virtio_drivers::Theirs::new(arena, case.mode);
            work::run(&case, arena, queue);
        }
        Implementation::VirtioDriver => {
            let queue = virtio_driver::Theirs::new(arena, case.mode);
            work::run(&case, arena, queue);
        }
        Implementation::Hyperlight => {
            let queue = hyperlight::Theirs::new(arena, case.mode);
            work::run(&case, arena, queue);
        }
        Implementation::VirtioQueueMock => virtio_queue::run(&case),
    }
}
