//! Device configuration. // Virtio 1.3 §2.5

use virtio_core::spec::features::Features;
use virtio_core::transport::Interface as Found;

use super::bench::{Bench, found};
use super::device::{Access, Place};
use super::{BOTH, LEGACY, MODERN, row};
use crate::{Interface, Outcome, Row, Verdict};
use Verdict::{Failed, Ignored, Kept};

const DRIVER: &str = "Virtio 1.3 §2.5.1";
const LEGACY_CONFIG: &str = "Virtio 1.3 §2.5.4";

/// The honest device's bytes 0 to 7: 0, 1, 2, …
const VALUE: u64 = 0x0706_0504_0302_0100;

pub(super) const ROWS: &[Row] = &[
    row(
        "T070",
        DRIVER,
        "the generation changes at every look",
        Failed("Unstable"),
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                state.generation = state
                    .generation
                    .wrapping_add(u8::from(access.reads(Place::Common, 21)));
                None
            });
            bench.failed(read(&bench))
        },
    ),
    row(
        "T071",
        DRIVER,
        "the generation changes between the halves of a field, then settles",
        Ignored,
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            let mut changes = 3;
            bench.device.lie(move |state, access| {
                // What was read before is out of date.
                let torn = access.reads(Place::Config, 4) && changes > 0;
                torn.then(|| {
                    changes -= 1;
                    state.generation = state.generation.wrapping_add(1);
                    0xdead_beef
                })
            });
            assert_eq!(read(&bench), Ok(VALUE));
            bench.ignored()
        },
    ),
    row(
        "T072",
        DRIVER,
        "the generation is 255",
        Ignored,
        MODERN,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.generation = 0xff);
            assert_eq!(read(&bench), Ok(VALUE));
            bench.ignored()
        },
    ),
    row(
        "T073",
        LEGACY_CONFIG,
        "a value of a legacy device is another at every look",
        Failed("Unstable"),
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            let mut count = 0;
            bench.device.lie(move |_, access| {
                access.reads(Place::Legacy, 24).then(|| {
                    count += 1;
                    count
                })
            });
            bench.failed(read(&bench))
        },
    ),
    row(
        "T074",
        LEGACY_CONFIG,
        "a value of a legacy device is torn at the first look",
        Ignored,
        LEGACY,
        |interface| {
            let bench = Bench::new(interface);
            let mut looks = 0;
            bench.device.lie(move |_, access| {
                let half = access.reads(Place::Legacy, 28);
                looks += u32::from(half);
                (half && looks == 1).then_some(0xdead_beef)
            });
            assert_eq!(read(&bench), Ok(VALUE));
            bench.ignored()
        },
    ),
    row(
        "T075",
        DRIVER,
        "the configuration is shorter than a field",
        Failed("TooShort"),
        BOTH,
        |interface| {
            let mut found = found(interface, 8);
            match &mut found {
                Found::Modern(locations) => locations.device.as_mut().expect("there").len = 7,
                Found::Legacy(location) => location.registers.len = 24 + 7,
            }
            let bench = Bench::at(interface, &found);
            let last = bench.transport.read_config(|config| {
                assert_eq!(config.len(), 7);
                assert!(config.u32(4).is_err() && config.u16(6).is_err());
                assert!(config.u8(7).is_err() && config.u8(usize::MAX).is_err());
                config.u8(6)
            });
            assert_eq!(last, Ok(6));
            bench.negotiate(Features::empty()).expect("honest");
            assert!(bench.transport.write_config_u8(7, 1).is_err());
            bench.failed(read(&bench))
        },
    ),
    row(
        "T076",
        "Virtio 1.3 §4.1.4.6",
        "there is no device configuration",
        Failed("TooShort"),
        MODERN,
        |interface| {
            let mut found = found(interface, 8);
            if let Found::Modern(locations) = &mut found {
                locations.device = None;
            }
            let bench = Bench::at(interface, &found);
            bench.failed(read(&bench))
        },
    ),
    row(
        "T077",
        DRIVER,
        "the configuration is longer than the driver knows",
        Ignored,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.config.extend([0xaa; 100]));
            assert_eq!(read(&bench), Ok(VALUE));
            bench.ignored()
        },
    ),
    row(
        "T078",
        DRIVER,
        "the device vanishes while its configuration is read",
        Failed("DeviceGone"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.lie(|state, access| {
                state.gone |= access.reads(Place::Config, 4) || access.reads(Place::Legacy, 28);
                None
            });
            bench.failed(read(&bench))
        },
    ),
    row(
        "T079",
        "Virtio 1.3 §4.1.3.1",
        "the device is honest: each field is read with its own width, 64 bits as two halves",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            let value = bench.transport.read_config(|config| {
                Ok((
                    config.u64(0)?,
                    config.u32(20)?,
                    config.u16(34)?,
                    config.u8(32)?,
                ))
            });
            assert_eq!(value, Ok((VALUE, 0x1716_1514, 0x2322, 0x20)));
            let header = match interface {
                Interface::Modern => 0,
                Interface::Legacy => 24,
            };
            let in_config = |access: &Access| {
                access.place == Place::Config
                    || access.place == Place::Legacy && access.offset >= 24
            };
            let log = bench.device.log();
            let reads = log.iter().filter(|access| in_config(access));
            let reads: Vec<_> = reads
                .map(|access| (access.offset - header, access.width))
                .collect();
            let want = [(0, 4), (4, 4), (20, 4), (34, 2), (32, 1)];
            // A legacy device is read twice.
            assert_eq!(reads, want.repeat(reads.len() / want.len()));
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "T081",
        "Virtio 1.3 §4.1.3.1",
        "the device is honest: each field is written with its own width, and in no other",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.negotiate(Features::empty()).expect("honest");
            bench.device.log();
            let transport = &bench.transport;
            transport.write_config_u8(33, 0xa1).expect("there");
            transport.write_config_u16(34, 0xb2b1).expect("there");
            transport.write_config_u32(20, 0xc4c3_c2c1).expect("there");
            let header = match interface {
                Interface::Modern => 0,
                Interface::Legacy => 24,
            };
            let writes: Vec<_> = bench
                .device
                .log()
                .iter()
                .map(|access| (access.offset - header, access.width, access.write))
                .collect();
            let want = [(33, 1, 0xa1), (34, 2, 0xb2b1), (20, 4, 0xc4c3_c2c1)];
            assert_eq!(
                writes,
                want.map(|(at, width, value)| (at, width, Some(value)))
            );
            bench.device.with(|state| {
                assert_eq!(state.config[19..25], [19, 0xc1, 0xc2, 0xc3, 0xc4, 24]);
                assert_eq!(state.config[32..37], [32, 0xa1, 0xb1, 0xb2, 36]);
            });
            // Nothing is written past the end, not even a part.
            assert!(transport.write_config_u16(59, 1).is_err());
            assert!(transport.write_config_u32(57, 1).is_err());
            assert!(bench.device.log().is_empty());
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "T080",
        "Virtio 1.3 §4.1.4.10",
        "MSI-X is off: the configuration of a legacy device lies four bytes nearer",
        Kept,
        LEGACY,
        |interface| {
            let bench = Bench::at(interface, &found(interface, 0));
            bench.device.with(|state| state.vectors = 0);
            assert_eq!(read(&bench), Ok(VALUE));
            bench.negotiate(Features::empty()).expect("honest");
            bench.transport.write_config_u8(3, 0x77).expect("there");
            bench.device.with(|state| assert_eq!(state.config[3], 0x77));
            // Where the vectors would be there is configuration, and it stays as it is.
            bench
                .transport
                .set_config_vector(None)
                .expect("nothing to do");
            bench
                .device
                .with(|state| assert_eq!(state.config[..3], [0, 1, 2]));
            bench.judge(Outcome::Kept)
        },
    ),
];

fn read(bench: &Bench) -> Result<u64, virtio_core::transport::ConfigError> {
    bench.transport.read_config(|config| config.u64(0))
}
