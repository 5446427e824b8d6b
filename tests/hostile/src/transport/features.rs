//! Feature negotiation. // Virtio 1.3 §2.2, §6

use virtio_core::spec::features::Features;
use virtio_core::transport::Interface as Found;

use super::bench::{Bench, found};
use super::{BOTH, LEGACY, MODERN, row};
use crate::{Interface, Outcome, Row, Verdict};
use Verdict::{Failed, Ignored, Kept, Refused};

const DRIVER: &str = "Virtio 1.3 §2.2.1";
const RESERVED: &str = "Virtio 1.3 §6.1";
const LEGACY_BITS: &str = "Virtio 1.3 §6.3";

pub(super) const ROWS: &[Row] = &[
    row(
        "F030",
        DRIVER,
        "the device offers every feature that there is and is not",
        Ignored,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.offered = u64::MAX);
            bench.ignored()
        },
    ),
    row(
        "F031",
        DRIVER,
        "the caller accepts a feature that is not offered",
        Refused("NotOffered"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.acknowledge().expect("honest");
            let missing = Features::from_bits_retain(1 << 5);
            bench.refused(bench.transport.accept(bench.basic() | missing))
        },
    ),
    row(
        "F032",
        DRIVER,
        "the caller accepts reserved and unimplemented features that are offered",
        Refused("NotImplemented"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.offered = u64::MAX);
            let bits: &[u32] = match interface {
                Interface::Modern => &[24, 25, 26, 27, 30, 31, 37, 41, 42, 43, 44, 49],
                Interface::Legacy => &[24, 25, 26, 30, 31],
            };
            let mut last = None;
            for bit in bits {
                bench.acknowledge().expect("honest");
                let extra = Features::from_bits_retain(1 << bit);
                let result = bench.transport.accept(bench.basic() | extra);
                assert!(result.is_err(), "bit {bit}");
                last = Some(result);
            }
            bench.refused(last.expect("some bits"))
        },
    ),
    row(
        "F033",
        "Virtio 1.3 §2.2.3",
        "the device shows the modern interface and does not offer VERSION_1",
        Failed("NotModern"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.offered &= !(1 << 32));
            let offered = bench.acknowledge().expect("no reason to fail yet");
            bench.failed(bench.transport.accept(offered & Features::IMPLEMENTED))
        },
    ),
    row(
        "F034",
        DRIVER,
        "the device withdraws a feature between offer and acceptance",
        Failed("NotOffered"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            let offered = bench.acknowledge().expect("honest");
            bench.device.with(|state| state.offered &= !(1 << 28));
            bench.failed(bench.transport.accept(offered & Features::IMPLEMENTED))
        },
    ),
    row(
        "F035",
        LEGACY_BITS,
        "a legacy device offers ANY_LAYOUT: it is accepted whatever the caller says",
        Kept,
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.offered |= 1 << 27);
            bench.acknowledge().expect("honest");
            bench.transport.accept(Features::empty()).expect("honest");
            bench
                .device
                .with(|state| assert_eq!(state.accepted, 1 << 27));
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "F036",
        "Virtio 1.3 §4.1.4.10",
        "a legacy device offers features above bit 31: they are not seen",
        Ignored,
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.offered = u64::MAX);
            let offered = bench.acknowledge().expect("honest");
            assert_eq!(offered.bits() >> 32, 0);
            bench.ignored()
        },
    ),
    row(
        "F037",
        RESERVED,
        "ACCESS_PLATFORM is offered to a driver whose addresses are not the platform's",
        Refused("NotOffered"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.offered |= 1 << 33);
            let offered = bench.acknowledge().expect("honest");
            assert!(!offered.contains(Features::ACCESS_PLATFORM));
            bench.refused(
                bench
                    .transport
                    .accept(Features::VERSION_1 | Features::ACCESS_PLATFORM),
            )
        },
    ),
    row(
        "F042",
        RESERVED,
        "ACCESS_PLATFORM is offered to a driver whose addresses are translated: it is accepted",
        Kept,
        MODERN,
        |interface| accepts_platform(Bench::new(interface).translated()),
    ),
    row(
        "F044",
        RESERVED,
        "ACCESS_PLATFORM is offered to a driver whose addresses are the platform's and physical: it is accepted",
        Kept,
        MODERN,
        |interface| accepts_platform(Bench::new(interface).untranslated()),
    ),
    row(
        "F045",
        RESERVED,
        "a device does not offer ACCESS_PLATFORM to a driver whose addresses are the platform's and physical: it is driven",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface).untranslated();
            bench.negotiate(Features::empty()).expect("honest");
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "F043",
        RESERVED,
        "addresses are translated for a device that does not offer ACCESS_PLATFORM",
        Failed("Untranslated"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface).translated();
            bench.failed(bench.negotiate(Features::empty()))
        },
    ),
    row(
        "F038",
        "Virtio 1.3 §4.1.4.3",
        "RING_RESET is offered without its register",
        Refused("NotOffered"),
        MODERN,
        |_| without_register(Features::RING_RESET, 58),
    ),
    row(
        "F039",
        "Virtio 1.3 §4.1.4.3",
        "NOTIF_CONFIG_DATA is offered without its register",
        Refused("NotOffered"),
        MODERN,
        |_| without_register(Features::NOTIF_CONFIG_DATA, 56),
    ),
    row(
        "F040",
        "Virtio 1.3 §3.1.1",
        "the device vanishes while its features are read",
        Failed("DeviceGone"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                use super::device::Place::{Common, Legacy};
                state.gone |= access.reads(Common, 4) || access.reads(Legacy, 0);
                None
            });
            bench.failed(bench.acknowledge())
        },
    ),
    row(
        "F041",
        RESERVED,
        "VERSION_1 is offered: it is accepted, with the ring features that the device offers",
        Kept,
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let untranslated = Features::IMPLEMENTED.difference(Features::ACCESS_PLATFORM);
            let ring_only = untranslated & Features::RESERVED;
            for feature in ring_only.iter_names() {
                bench
                    .negotiate(feature.1)
                    .expect("each is accepted by itself");
            }
            let wanted =
                Features::RING_PACKED | Features::ORDER_PLATFORM | Features::NOTIF_CONFIG_DATA;
            bench.device.with(|state| state.offered |= wanted.bits());
            let offered = bench.acknowledge().expect("honest");
            // §6.1: a driver should accept these three, and has to accept VERSION_1.
            bench
                .transport
                .accept(offered & Features::IMPLEMENTED)
                .expect("honest");
            let accepted = bench.device.with(|state| state.accepted);
            assert!(Features::from_bits_retain(accepted).contains(wanted | Features::VERSION_1));
            bench.judge(Outcome::Kept)
        },
    ),
];

fn accepts_platform(bench: Bench) -> Outcome {
    bench.device.with(|state| state.offered |= 1 << 33);
    let offered = bench.acknowledge().expect("honest");
    assert!(offered.contains(Features::ACCESS_PLATFORM));
    let features = offered & Features::IMPLEMENTED;
    bench.transport.accept(features).expect("honest");
    bench.judge(Outcome::Kept)
}

/// A common configuration that ends before the register of a feature.
fn without_register(feature: Features, len: u32) -> Outcome {
    let Found::Modern(mut locations) = found(Interface::Modern, 8) else {
        unreachable!("asked for the modern one");
    };
    locations.common.len = len;
    let bench = Bench::at(Interface::Modern, &Found::Modern(locations));
    bench.device.with(|state| state.offered |= feature.bits());
    let offered = bench.acknowledge().expect("honest");
    assert!(!offered.contains(feature));
    bench.refused(bench.transport.accept(Features::VERSION_1 | feature))
}
