//! Queues: sizes, vectors, addresses, notify addresses.

use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::device::{Access, Device, Fault, Structure, start};
use crate::mem::DeviceAddress;
use crate::ring::{Kick, Layout, Part, Queue, QueueMemory, Slot};
use crate::spec::features::Features;
use crate::testing::region;
use crate::transport::{Doorbell, TransportError};

/// Above 4 GiB, so that both halves of an address count.
const RING: u64 = 0x1_2345_0000;

/// A queue of 64 descriptors, and what `test` wants to know of it.
fn with_queue<V>(test: impl FnOnce(&mut Queue<'_, u32>) -> V) -> V {
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(RING), 0x1_0000)]).unwrap();
    let mut slots = [const { Slot::EMPTY }; 64];
    let memory = QueueMemory {
        ring: region(&memory, RING, Layout::split(64).unwrap().len()),
        slots: &mut slots,
    };
    test(&mut Queue::new(64, Features::VERSION_1, memory).unwrap())
}

#[test]
fn queue_is_given_to_the_device_in_order() {
    let device = Device::new();
    let transport = device.negotiated();
    assert_eq!(transport.queue_count(), Ok(3));
    assert_eq!(transport.queue_max_size(2), Ok(256));
    let addresses = with_queue(|queue| {
        transport.enable_queue(2, queue, Some(5)).unwrap();
        queue.addresses()
    });
    let queue = device.0.borrow().queues[2];
    assert_eq!((queue.size, queue.vector, queue.enabled), (64, 5, 1));
    let halves = [addresses.descriptor, addresses.driver, addresses.device]
        .map(|DeviceAddress(address)| [address as u32, (address >> 32) as u32]);
    assert_eq!(queue.addresses, *halves.as_flattened());
    assert_eq!(queue.addresses[1], 1, "the upper half");
    let writes = device.common_writes();
    assert_eq!(writes.last(), Some(&(28, 1)), "enabled last");
    // Only a reset undoes it.
    let error = with_queue(|queue| transport.enable_queue(2, queue, None)).unwrap_err();
    assert_eq!(error, TransportError::QueueEnabled { queue: 2 });
}

#[test]
fn notification_is_one_write_of_the_queue_index() {
    let device = Device::new();
    device.0.borrow_mut().queues[2].notify_off = 9;
    let transport = device.negotiated();
    with_queue(|queue| {
        let doorbell = transport.enable_queue(2, queue, None).unwrap();
        device.log();
        transport.ring(&doorbell, Kick::NONE);
        assert_eq!(device.log(), []);
        let part = Part::new(DeviceAddress(RING), 1);
        queue.add_direct(1, [part], []).unwrap();
        transport.ring(&doorbell, queue.publish());
        let want = Access {
            structure: Structure::Notify,
            offset: 36,
            width: 2,
            write: Some(2),
        };
        assert_eq!(device.log(), [want]);
    });
}

#[test]
fn notify_address_stays_inside_the_structure() {
    // Offset, multiplier, length of the structure, whether that fits.
    let cases = [
        (0, 0, 2, true),
        (0xffff, 0, 2, true),
        (0, 4, 1, false),
        (1, 4, 6, true),
        (1, 4, 5, false),
        (0xffff, 0x8000_0000, 0x1000, false),
        (0x3ff, 4, 0x1000, true),
        (0x400, 4, 0x1000, false),
    ];
    for (notify_off, multiplier, len, fits) in cases {
        let device = Device::new();
        device.0.borrow_mut().queues[0].notify_off = notify_off;
        let mut locations = Device::locations();
        locations.notify_off_multiplier = multiplier;
        locations.notify.len = len;
        let transport = device.transport_at(&locations);
        start(&transport);
        transport.accept(Features::VERSION_1).unwrap();
        let result = with_queue(|queue| transport.enable_queue(0, queue, None));
        let offset = u64::from(notify_off) * u64::from(multiplier);
        if fits {
            let offset = offset as usize;
            assert_eq!(result, Ok(Doorbell::new(offset, 0, false)));
        } else {
            let want = TransportError::NotifyOutside {
                queue: 0,
                offset,
                len: len as usize,
            };
            assert_eq!(result, Err(want));
            assert_eq!(device.0.borrow().queues[0].enabled, 0);
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let device = Device::new();
    let transport = device.negotiated();
    let no_queue = TransportError::NoQueue { queue: 3 };
    assert_eq!(transport.queue_max_size(3), Err(no_queue));
    for size in [0, 3, 100, 0x8001, 0xffff] {
        device.0.borrow_mut().queues[1].size = size;
        let want = match size {
            0 => TransportError::NoQueue { queue: 1 },
            size => TransportError::QueueSize { queue: 1, size },
        };
        assert_eq!(transport.queue_max_size(1), Err(want));
        let enabled = with_queue(|queue| transport.enable_queue(1, queue, None));
        assert_eq!(enabled, Err(want));
    }
    // Larger than the device takes, or than it lets itself be told.
    device.0.borrow_mut().queues[1].size = 32;
    let want = TransportError::QueueSizeRefused {
        queue: 1,
        size: 64,
        device: 32,
    };
    let enabled = with_queue(|queue| transport.enable_queue(1, queue, None));
    assert_eq!(enabled, Err(want));
    let device = Device::with(Fault::FixedSize);
    let want = TransportError::QueueSizeRefused {
        queue: 1,
        size: 64,
        device: 256,
    };
    let enabled = with_queue(|queue| device.negotiated().enable_queue(1, queue, None));
    assert_eq!(enabled, Err(want));
    assert_eq!(device.0.borrow().queues[1].enabled, 0);
}

#[test]
fn vectors_are_read_back() {
    let device = Device::new();
    let transport = device.negotiated();
    transport.set_config_vector(Some(0)).unwrap();
    assert_eq!(device.0.borrow().config_vector, 0);
    transport.set_config_vector(None).unwrap();
    assert_eq!(device.0.borrow().config_vector, 0xffff);

    let device = Device::with(Fault::NoVectors);
    let transport = device.negotiated();
    let refused = |vector| TransportError::VectorRefused {
        vector,
        read: 0xffff,
    };
    assert_eq!(transport.set_config_vector(Some(1)), Err(refused(1)));
    let enabled = with_queue(|queue| transport.enable_queue(0, queue, Some(2)));
    assert_eq!(enabled, Err(refused(2)));
    // The table has 8 vectors, and NO_VECTOR is none, although it reads back as written.
    for vector in [8, 0x800, 0xffff] {
        let none = TransportError::NoSuchVector { vector, vectors: 8 };
        assert_eq!(transport.set_config_vector(Some(vector)), Err(none));
    }
    with_queue(|queue| transport.enable_queue(0, queue, None)).unwrap();
}
