//! Resetting one queue. // Virtio 1.3 §2.6.1

use virtio_core::ring::Queue;
use virtio_core::spec::features::Features;
use virtio_core::transport::{QueueStopped, TransportError};

use super::bench::{Bench, OTHER_RING, TIMEOUT_US};
use super::device::Place::Common;
use super::{LEGACY, MODERN, row};
use crate::{Outcome, Row, Verdict};
use Verdict::{Failed, Kept, Refused};

const RESET: &str = "Virtio 1.3 §2.6.1.1.2";
const REGISTER: &str = "Virtio 1.3 §4.1.4.3.2";
const AGAIN: &str = "Virtio 1.3 §2.6.1.2.2";

pub(super) const ROWS: &[Row] = &[
    row(
        "T140",
        RESET,
        "the device is honest: a queue is reset, emptied, and set up anew with another size",
        Kept,
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (mut queue, doorbell) = bench.live(Features::RING_RESET).expect("honest");
            bench.kick(&mut queue, &doorbell);
            let stopped = reset(&bench, &queue).expect("honest");
            assert_eq!(stopped.index(), 0);
            assert_eq!(queue.drain(&stopped), Some(1));
            assert_eq!(queue.drain(&stopped), None);
            let features = Features::VERSION_1 | Features::RING_RESET;
            let mut queue = bench.queue(OTHER_RING, 16, features);
            let doorbell = bench
                .transport
                .enable_queue_again(stopped, &queue, Some(2))
                .expect("honest");
            assert_eq!(bench.kick(&mut queue, &doorbell).len(), 1);
            bench.device.with(|state| {
                let queue = state.queues[0];
                assert_eq!((queue.size, queue.vector, queue.enabled), (16, 2, 1));
            });
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "T141",
        REGISTER,
        "queue_reset never reads 0 again",
        Failed("QueueResetTimeout"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::RING_RESET).expect("honest");
            bench
                .device
                .lie(|_, access| access.reads(Common, 58).then_some(1));
            bench.failed(reset(&bench, &queue))
        },
    ),
    row(
        "T142",
        REGISTER,
        "queue_reset reads 0 while the queue stays enabled",
        Failed("QueueResetTimeout"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::RING_RESET).expect("honest");
            bench
                .device
                .lie(|_, access| access.reads(Common, 28).then_some(1));
            bench.failed(reset(&bench, &queue))
        },
    ),
    row(
        "T143",
        RESET,
        "the reset of a queue takes long: the driver waits for it",
        Kept,
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::RING_RESET).expect("honest");
            let mut reads = 0;
            bench.device.lie(move |_, access| {
                reads += u32::from(access.reads(Common, 58));
                (access.reads(Common, 58) && reads < 50).then_some(1)
            });
            let stopped = reset(&bench, &queue).expect("in time");
            assert_eq!(stopped.index(), 0);
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "T144",
        RESET,
        "the device vanishes while a queue is reset",
        Failed("DeviceGone"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::RING_RESET).expect("honest");
            bench.device.lie(|state, access| {
                state.gone |= access.writes(Common, 58);
                None
            });
            bench.failed(reset(&bench, &queue))
        },
    ),
    row(
        "T145",
        REGISTER,
        "the caller resets a queue without RING_RESET",
        Refused("NotNegotiated"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::empty()).expect("honest");
            bench.refused(reset(&bench, &queue))
        },
    ),
    row(
        "T146",
        "Virtio 1.3 §4.1.4.10",
        "the caller resets a queue of a legacy device",
        Refused("NotNegotiated"),
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::empty()).expect("honest");
            bench.refused(reset(&bench, &queue))
        },
    ),
    row(
        "T147",
        "Virtio 1.3 §3.1.1",
        "the caller resets a queue before the device is live",
        Refused("OutOfOrder"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.set_up(Features::RING_RESET).expect("honest");
            bench.refused(reset(&bench, &queue))
        },
    ),
    row(
        "T148",
        RESET,
        "the device has another ring at the index than the caller says",
        Failed("QueueNotEnabled"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::RING_RESET).expect("honest");
            let other = bench.queue(OTHER_RING, 64, Features::VERSION_1);
            let result = reset(&bench, &other);
            bench
                .device
                .with(|state| assert_eq!(state.queues[0].enabled, 1));
            bench.failed(result)
        },
    ),
    row(
        "T149",
        RESET,
        "the device denies that the queue is enabled",
        Failed("QueueNotEnabled"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::RING_RESET).expect("honest");
            bench
                .device
                .lie(|_, access| access.reads(Common, 28).then_some(0));
            bench.failed(reset(&bench, &queue))
        },
    ),
    row(
        "T150",
        RESET,
        "the caller empties one queue by the proof for another: it keeps its buffers",
        Kept,
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, doorbell) = bench.live(Features::RING_RESET).expect("honest");
            let mut other = bench.queue(OTHER_RING, 64, Features::VERSION_1);
            bench.kick(&mut other, &doorbell);
            let stopped = reset(&bench, &queue).expect("honest");
            assert_eq!(other.drain(&stopped), None);
            assert_eq!((other.in_flight(), other.closed()), (1, None));
            assert!(other.into_memory(&stopped).is_err());
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "T151",
        AGAIN,
        "the size shrinks while a queue is reset, and the driver sets up what it had",
        Failed("QueueSizeRefused"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::RING_RESET).expect("honest");
            let stopped = reset(&bench, &queue).expect("honest");
            bench.device.with(|state| state.queues[0].size = 32);
            let queue = bench.queue(OTHER_RING, 64, Features::VERSION_1);
            bench.failed(bench.transport.enable_queue_again(stopped, &queue, None))
        },
    ),
    row(
        "T152",
        AGAIN,
        "the caller enables a queue that was reset and keeps the proof",
        Refused("OutOfOrder"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let (queue, _) = bench.live(Features::RING_RESET).expect("honest");
            let _stopped = reset(&bench, &queue).expect("honest");
            bench.refused(bench.transport.enable_queue(0, &queue, None))
        },
    ),
];

fn reset(bench: &Bench, queue: &Queue<'_, u64>) -> Result<QueueStopped, TransportError> {
    bench
        .transport
        .reset_queue(0, queue, &bench.clock, TIMEOUT_US)
}
