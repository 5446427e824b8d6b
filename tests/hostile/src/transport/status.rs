//! The device status, step by step. // Virtio 1.3 §2.1, §3.1

use virtio_core::Clock;
use virtio_core::spec::features::Features;
use virtio_core::spec::pci::Status;
use virtio_core::transport::How;

use super::bench::{Bench, TIMEOUT_US};
use super::{BOTH, MODERN, row};
use crate::{Interface, Outcome, Row, Verdict};
use Verdict::{Failed, Ignored, Kept, Refused};

const INIT: &str = "Virtio 1.3 §3.1.1";
const STATUS: &str = "Virtio 1.3 §2.1.1";
const RESET: &str = "Virtio 1.3 §2.4.2";

pub(super) const ROWS: &[Row] = &[
    row(
        "F001",
        INIT,
        "the device is honest: the steps come in their order, on legacy devices without FEATURES_OK (§3.1.2)",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("an honest device");
            let want: &[u32] = match interface {
                Interface::Modern => &[0, 1, 3, 11, 15],
                Interface::Legacy => &[0, 1, 3, 7],
            };
            assert_eq!(bench.statuses(), want);
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "F002",
        RESET,
        "the status never becomes 0 after a reset",
        Failed("ResetTimeout"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench
                .device
                .lie(|_, access| access.reads_status().then_some(15));
            let result = bench.reset();
            let waited = bench.clock.now_us();
            assert!((TIMEOUT_US..=TIMEOUT_US + 1000).contains(&waited));
            bench.failed(result)
        },
    ),
    row(
        "F003",
        "Virtio 1.3 §4.1.4.3.2",
        "the status becomes 0 late: the driver waits for it",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            let mut reads = 0;
            bench.device.lie(move |_, access| {
                reads += u32::from(access.reads_status());
                (access.reads_status() && reads < 50).then_some(15)
            });
            let stopped = bench.reset().expect("in time");
            assert_eq!(stopped.how(), How::Reset);
            assert_eq!(bench.statuses(), [0], "nothing else is done meanwhile");
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "F004",
        RESET,
        "the status reads all ones for ever, and nothing else does",
        Failed("ResetTimeout"),
        BOTH,
        |interface| {
            // Were it taken for gone, buffers would be given up that it can still write.
            let bench = Bench::new(interface);
            bench
                .device
                .lie(|_, access| access.reads_status().then_some(0xff));
            bench.failed(bench.reset())
        },
    ),
    row(
        "F005",
        "Virtio 1.3 §3.1.1",
        "the device vanishes while it is reset",
        Failed("DeviceGone"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                state.gone = access.status_written() == Some(0);
                None
            });
            let stopped = bench.reset().expect("what is gone has stopped");
            assert_eq!(stopped.how(), How::Gone);
            assert_eq!(bench.clock.now_us(), 0, "nothing to wait for");
            bench.failed(bench.transport.acknowledge(stopped))
        },
    ),
    row(
        "F006",
        INIT,
        "the device refuses the features: FEATURES_OK does not stay",
        Failed("FeaturesRefused"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                let refused = access.status_written() == Some(11);
                refused.then(|| {
                    state.status = 3;
                    0
                })
            });
            bench.failed(bench.negotiate(Features::empty()))
        },
    ),
    row(
        "F007",
        INIT,
        "FEATURES_OK is taken back after it was confirmed",
        Failed("StatusMismatch"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.set_up(Features::empty()).expect("so far honest");
            bench.device.with(|state| state.status &= !8);
            bench.failed(bench.transport.driver_ok())
        },
    ),
    row(
        "F008",
        STATUS,
        "DEVICE_NEEDS_RESET is set right after the reset",
        Failed("NeedsReset"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            let stopped = bench.reset().expect("stopped");
            bench.device.with(|state| state.status = 64);
            bench.failed(bench.transport.acknowledge(stopped))
        },
    ),
    row(
        "F009",
        STATUS,
        "DEVICE_NEEDS_RESET is the answer to FEATURES_OK",
        Failed("NeedsReset"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                (access.status_written() == Some(11)).then(|| {
                    state.status = 11 | 64;
                    0
                })
            });
            bench.failed(bench.negotiate(Features::empty()))
        },
    ),
    row(
        "F010",
        STATUS,
        "DEVICE_NEEDS_RESET is the answer to DRIVER_OK",
        Failed("NeedsReset"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                let written = access.status_written().filter(|status| status & 4 != 0);
                written.map(|status| {
                    state.status = status as u8 | 64;
                    0
                })
            });
            bench.failed(bench.live(Features::empty()))
        },
    ),
    row(
        "F011",
        STATUS,
        "DEVICE_NEEDS_RESET comes while requests are in flight: a reset cures it",
        Ignored,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            let (mut queue, doorbell) = bench.live(Features::empty()).expect("honest");
            bench.kick(&mut queue, &doorbell);
            bench.device.with(|state| state.status |= 64);
            let status = bench.transport.status().expect("present");
            assert!(status.contains(Status::DEVICE_NEEDS_RESET));
            let stopped = bench.reset().expect("stopped");
            assert_eq!(queue.drain(&stopped), Some(1));
            bench.ignored()
        },
    ),
    row(
        "F012",
        STATUS,
        "the device forgets ACKNOWLEDGE",
        Failed("StatusMismatch"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench
                .device
                .lie(|_, access| (access.status_written() == Some(1)).then_some(0));
            bench.failed(bench.acknowledge())
        },
    ),
    row(
        "F013",
        STATUS,
        "the device does not take DRIVER_OK",
        Failed("StatusMismatch"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|_, access| {
                let written = access.status_written().filter(|status| status & 4 != 0);
                written.map(|_| 0)
            });
            bench.failed(bench.live(Features::empty()))
        },
    ),
    row(
        "F014",
        "Virtio 1.3 §2.1",
        "the device sets FAILED, which is the driver's",
        Failed("StatusMismatch"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.acknowledge().expect("honest");
            bench.device.with(|state| state.status |= 128);
            let accepted = bench.transport.accept(bench.basic());
            bench.failed(accepted.and_then(|()| bench.transport.driver_ok()))
        },
    ),
    row(
        "F015",
        STATUS,
        "the device sets reserved status bits: the driver clears none",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                if access.status_written() == Some(1) {
                    state.status |= 16 | 32 | 1;
                    return Some(0);
                }
                None
            });
            bench.live(Features::empty()).expect("it goes on");
            let statuses = bench.statuses();
            assert!(
                statuses[2..].iter().all(|status| status & 48 == 48),
                "{statuses:?}"
            );
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "F016",
        INIT,
        "the caller goes on after it has given the device up",
        Refused("OutOfOrder"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.acknowledge().expect("honest");
            bench.transport.fail();
            bench
                .device
                .with(|state| assert_eq!(state.status & 128, 128));
            bench.refused(bench.transport.accept(bench.basic()))
        },
    ),
    row(
        "F017",
        INIT,
        "the caller accepts features twice",
        Refused("OutOfOrder"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.negotiate(Features::empty()).expect("honest");
            bench.refused(bench.transport.accept(bench.basic()))
        },
    ),
    row(
        "F018",
        INIT,
        "the caller sets a queue up before features are negotiated",
        Refused("OutOfOrder"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.acknowledge().expect("honest");
            let queue = bench.queue(super::bench::RING, 64, bench.basic());
            bench.refused(bench.transport.enable_queue(0, &queue, None))
        },
    ),
    row(
        "F019",
        INIT,
        "the caller sets DRIVER_OK before features are negotiated",
        Refused("OutOfOrder"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.acknowledge().expect("honest");
            bench.refused(bench.transport.driver_ok())
        },
    ),
    row(
        "F020",
        INIT,
        "the caller starts a device that was cut off and not reset",
        Refused("OutOfOrder"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.refused(bench.transport.acknowledge(ring_rig::stopped()))
        },
    ),
    row(
        "F021",
        "Virtio 1.3 §3.1.1",
        "the caller writes configuration before features are negotiated",
        Refused("TooEarly"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.acknowledge().expect("honest");
            bench.refused(bench.transport.write_config_u8(0, 1))
        },
    ),
];
