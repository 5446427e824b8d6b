//! Setting queues up: sizes, vectors, addresses. // Virtio 1.3 §4.1.5.1

use std::ptr::NonNull;

use ring_rig::slots;
use virtio_core::mem::{DeviceAddress, Dma};
use virtio_core::ring::{Queue, QueueMemory};
use virtio_core::spec::features::Features;

use super::bench::{Bench, RING, found};
use super::device::Place::{Common, Legacy};
use super::{BOTH, LEGACY, MODERN, row};
use crate::{Interface, Outcome, Row, Verdict};
use Verdict::{Failed, Harmless, Ignored, Kept, Refused};

const SIZE: &str = "Virtio 1.3 §4.1.4.3.1";
const CONFIGURE: &str = "Virtio 1.3 §4.1.5.1.3";
const FIXED: &str = "Virtio 1.3 §4.1.5.1.3.1";
const VECTOR: &str = "Virtio 1.3 §4.1.5.1.2.2";

pub(super) const ROWS: &[Row] = &[
    row(
        "T100",
        CONFIGURE,
        "a queue has size 0",
        Failed("NoQueue"),
        BOTH,
        |interface| sized(interface, 0),
    ),
    row(
        "T101",
        SIZE,
        "the size of a split queue is no power of two",
        Failed("QueueSize"),
        BOTH,
        |interface| sized(interface, 100),
    ),
    row(
        "T102",
        "Virtio 1.3 §2.7",
        "the size of a split queue is 65535",
        Failed("QueueSize"),
        BOTH,
        |interface| sized(interface, 0xffff),
    ),
    row(
        "T103",
        SIZE,
        "the size of a packed queue is no power of two, which is legal",
        Harmless,
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.queues[0].max = 39);
            let (queue, _) = bench.live(Features::RING_PACKED).expect("a legal queue");
            assert_eq!(queue.size(), 39);
            bench.judge(Outcome::Harmless)
        },
    ),
    row(
        "T104",
        "Virtio 1.3 §2.8.10.1",
        "the size of a packed queue is 32769",
        Failed("QueueSize"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.queues[0].max = 0x8001);
            bench.failed(bench.set_up(Features::RING_PACKED))
        },
    ),
    row(
        "T105",
        SIZE,
        "the size shrinks across a reset, and the driver sets up what it had",
        Failed("QueueSizeRefused"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("honest");
            bench.device.with(|state| state.queues[0].max = 32);
            let features = bench.negotiate(Features::empty()).expect("honest");
            let queue = bench.queue(RING, 64, features);
            bench.failed(bench.transport.enable_queue(0, &queue, None))
        },
    ),
    row(
        "T106",
        SIZE,
        "the size grows across a reset, and the driver sets up what it had",
        Harmless,
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("honest");
            bench.device.with(|state| state.queues[0].max = 256);
            let features = bench.negotiate(Features::empty()).expect("honest");
            let queue = bench.queue(RING, 64, features);
            bench
                .transport
                .enable_queue(0, &queue, None)
                .expect("smaller is legal");
            bench.judge(Outcome::Harmless)
        },
    ),
    row(
        "T107",
        FIXED,
        "the size of a legacy queue grows across a reset, and the driver sets up what it had",
        Failed("QueueSizeRefused"),
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("honest");
            bench.device.with(|state| state.queues[0].max = 256);
            let features = bench.negotiate(Features::empty()).expect("honest");
            let queue = bench.queue(RING, 64, features);
            bench.failed(bench.transport.enable_queue(0, &queue, None))
        },
    ),
    row(
        "T108",
        FIXED,
        "a legacy queue is larger than the driver has room for",
        Failed("QueueSizeRefused"),
        LEGACY,
        |interface| sized(interface, 128),
    ),
    row(
        "T109",
        CONFIGURE,
        "the device keeps its size whatever the driver writes",
        Failed("QueueSizeRefused"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.queues[0].max = 128);
            bench
                .device
                .lie(|_, access| access.writes(Common, 24).then_some(0));
            bench.failed(bench.set_up(Features::empty()))
        },
    ),
    row(
        "T110",
        "Virtio 1.3 §4.1.4.3",
        "num_queues says 65535, and there are three",
        Failed("NoQueue"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench
                .device
                .lie(|_, access| access.reads(Common, 18).then_some(0xffff));
            bench.negotiate(Features::empty()).expect("honest");
            assert_eq!(bench.transport.queue_count(), Ok(0xffff));
            bench.failed(bench.transport.queue_max_size(3))
        },
    ),
    row(
        "T111",
        "Virtio 1.3 §4.1.4.10",
        "a legacy device shows a queue for every index",
        Harmless,
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            bench
                .device
                .lie(|_, access| access.reads(Legacy, 12).then_some(64));
            assert_eq!(bench.transport.queue_count(), Ok(1024));
            bench.judge(Outcome::Harmless)
        },
    ),
    row(
        "T112",
        "Virtio 1.3 §4.1.4.10",
        "a legacy device does not let queues be selected that it lacks",
        Ignored,
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|_, access| {
                let beyond = access.write.is_some_and(|index| index >= 3);
                (access.writes(Legacy, 14) && beyond).then_some(0)
            });
            assert_eq!(bench.transport.queue_count(), Ok(3));
            bench.ignored()
        },
    ),
    row(
        "T113",
        SIZE,
        "a queue is enabled right after the reset",
        Failed("QueueEnabled"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|_, access| {
                (access.reads(Common, 28) || access.reads(Legacy, 8)).then_some(1)
            });
            bench.failed(bench.set_up(Features::empty()))
        },
    ),
    row(
        "T114",
        VECTOR,
        "the device maps no vector to configuration changes",
        Failed("VectorRefused"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.negotiate(Features::empty()).expect("honest");
            bench.device.lie(|_, access| {
                (access.reads(Common, 16) || access.reads(Legacy, 20)).then_some(0xffff)
            });
            bench.failed(bench.transport.set_config_vector(Some(0)))
        },
    ),
    row(
        "T115",
        VECTOR,
        "the device maps no vector to a queue: it is not enabled",
        Failed("VectorRefused"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|_, access| {
                (access.reads(Common, 26) || access.reads(Legacy, 22)).then_some(0xffff)
            });
            let result = bench.set_up(Features::empty());
            bench
                .device
                .with(|state| assert_eq!((state.queues[0].enabled, state.queues[0].page), (0, 0)));
            bench.failed(result)
        },
    ),
    row(
        "T116",
        VECTOR,
        "the device maps another vector than asked for",
        Failed("VectorRefused"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|_, access| {
                (access.reads(Common, 26) || access.reads(Legacy, 22)).then_some(2)
            });
            bench.failed(bench.set_up(Features::empty()))
        },
    ),
    row(
        "T117",
        VECTOR,
        "the caller asks for vectors that the table lacks, NO_VECTOR among them",
        Refused("NoSuchVector"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.negotiate(Features::empty()).expect("honest");
            for vector in [Some(7), None] {
                bench.transport.set_config_vector(vector).expect("there");
                let mapped = bench.device.with(|state| state.config_vector);
                assert_eq!(mapped, vector.unwrap_or(0xffff));
            }
            for vector in [8, 0x7ff, 0x800] {
                assert!(bench.transport.set_config_vector(Some(vector)).is_err());
            }
            bench.refused(bench.transport.set_config_vector(Some(0xffff)))
        },
    ),
    row(
        "T118",
        "Virtio 1.3 §4.1.4.10",
        "MSI-X is off, and the caller asks a legacy device for a vector",
        Refused("NoSuchVector"),
        LEGACY,
        |interface| {
            let bench = Bench::at(interface, &found(interface, 0));
            bench.device.with(|state| state.vectors = 0);
            bench.negotiate(Features::empty()).expect("honest");
            bench.refused(bench.transport.set_config_vector(Some(0)))
        },
    ),
    row(
        "T119",
        "Virtio 1.3 §4.1.4.3.2",
        "the device is honest: a queue is enabled after everything else is set",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.set_up(Features::empty()).expect("honest");
            let log = bench.device.log();
            let last = log
                .iter()
                .rfind(|access| access.write.is_some())
                .expect("writes");
            assert!(last.writes(Common, 28) || last.writes(Legacy, 8));
            let [desc, driver, device] = {
                let at = queue.addresses();
                [at.descriptor.get(), at.driver.get(), at.device.get()]
            };
            bench.device.with(|state| match interface {
                Interface::Modern => {
                    let [d0, d1, a0, a1, u0, u1] = state.queues[0].addresses.map(u64::from);
                    assert_eq!(
                        [d1 << 32 | d0, a1 << 32 | a0, u1 << 32 | u0],
                        [desc, driver, device]
                    );
                    assert_eq!((state.queues[0].size, state.queues[0].vector), (64, 1));
                }
                Interface::Legacy => {
                    // Virtio 1.3 §2.7.2: the device finds the parts by the size alone.
                    assert_eq!(u64::from(state.queues[0].page) * 4096, desc);
                    assert_eq!(driver, desc + 16 * 64);
                    assert_eq!(device, desc + 4096);
                }
            });
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "T120",
        "Virtio 1.3 §4.1.4.10",
        "a legacy device takes another page than it was given",
        Failed("AddressRefused"),
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            let mut written = false;
            bench.device.lie(move |_, access| {
                written |= access.writes(Legacy, 8);
                (written && access.reads(Legacy, 8)).then_some(0x1234)
            });
            bench.failed(bench.set_up(Features::empty()))
        },
    ),
    row(
        "T121",
        FIXED,
        "the caller gives a legacy device a ring above 16 TiB",
        Refused("RingMismatch"),
        LEGACY,
        |interface| placed(interface, 1 << 44),
    ),
    row(
        "T122",
        FIXED,
        "the caller gives a legacy device a ring at address 0, which means none",
        Refused("RingMismatch"),
        LEGACY,
        |interface| placed(interface, 0),
    ),
    row(
        "T123",
        "Virtio 1.3 §2.7.2",
        "the caller gives a legacy device a ring that is laid out for a modern one",
        Refused("RingMismatch"),
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            bench.negotiate(Features::empty()).expect("honest");
            let queue = bench.queue(RING, 64, Features::VERSION_1);
            bench.refused(bench.transport.enable_queue(0, &queue, None))
        },
    ),
    row(
        "T126",
        "Virtio 1.3 §2.6",
        "the caller gives the device a ring of another format than negotiated",
        Refused("RingMismatch"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            for (negotiated, made_for) in [
                (Features::RING_PACKED, Features::empty()),
                (Features::empty(), Features::RING_PACKED),
                (Features::IN_ORDER, Features::empty()),
            ] {
                bench.negotiate(negotiated).expect("honest");
                let queue = bench.queue(RING, 64, Features::VERSION_1 | made_for);
                assert!(bench.transport.enable_queue(0, &queue, None).is_err());
            }
            bench.negotiate(Features::EVENT_IDX).expect("honest");
            let queue = bench.queue(RING, 64, Features::VERSION_1);
            bench.refused(bench.transport.enable_queue(0, &queue, None))
        },
    ),
    row(
        "T124",
        "Virtio 1.3 §3.1.1",
        "the device vanishes while a queue is set up",
        Failed("DeviceGone"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                state.gone |= access.writes(Common, 22) || access.writes(Legacy, 14);
                None
            });
            bench.failed(bench.set_up(Features::empty()))
        },
    ),
    row(
        "T125",
        VECTOR,
        "the device vanishes while a vector is mapped",
        Failed("DeviceGone"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                state.gone |= access.writes(Common, 26) || access.writes(Legacy, 22);
                None
            });
            bench.failed(bench.set_up(Features::empty()))
        },
    ),
];

/// Queue 0 has this size after a reset, and the driver has room for 64.
fn sized(interface: Interface, size: u16) -> Outcome {
    let bench = Bench::new(interface);
    bench.device.with(|state| state.queues[0].max = size);
    bench.failed(bench.set_up(Features::empty()))
}

/// Says that any memory lies at this address.
struct Elsewhere(u64);

// SAFETY: no device ever looks there: the queue is never enabled.
unsafe impl Dma for Elsewhere {
    fn translates(&self) -> bool {
        false
    }

    fn locate(&self, _: NonNull<u8>, _: usize) -> Option<DeviceAddress> {
        // SAFETY: as above.
        Some(unsafe { Self::given(self.0) })
    }
}

/// A legacy ring that the device would find at this address.
fn placed(interface: Interface, address: u64) -> Outcome {
    let bench = Bench::new(interface);
    bench.negotiate(Features::empty()).expect("honest");
    let layout = Queue::<u64>::layout(64, Features::empty()).expect("a size");
    let base: NonNull<u8> = bench.memory.base();
    // SAFETY: the memory outlives the queue and has no other user.
    let ring = unsafe { Elsewhere(address).lend(base, layout.len()) }.expect("an address");
    let memory = QueueMemory {
        ring,
        slots: slots(64),
    };
    let queue = Queue::<u64>::new(64, Features::empty(), memory).expect("aligned");
    let result = bench.transport.enable_queue(0, &queue, None);
    bench
        .device
        .with(|state| assert_eq!(state.queues[0].page, 0));
    bench.refused(result)
}
