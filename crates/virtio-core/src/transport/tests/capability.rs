//! Capability lists: what real devices have, and everything else.

use proptest::prelude::*;

use crate::transport::{CONFIG_LEN, CapabilityError, Location, Locations, Msix};

/// A configuration space that is filled capability by capability.
struct Config {
    bytes: [u8; CONFIG_LEN],
    /// Where the last capability's link lies, and where the next one goes.
    link: usize,
    next: usize,
}

impl Config {
    fn new() -> Self {
        let mut bytes = [0; CONFIG_LEN];
        bytes[..4].copy_from_slice(&[0xf4, 0x1a, 0x42, 0x10]);
        bytes[6] = 0x10;
        Self {
            bytes,
            link: 0x34,
            next: 0x40,
        }
    }

    /// Adds a capability with these bytes after id and link; returns where.
    fn any(&mut self, id: u8, body: &[u8]) -> usize {
        let at = self.next;
        self.bytes[self.link] = at as u8;
        self.bytes[at] = id;
        self.bytes[at + 2..at + 2 + body.len()].copy_from_slice(body);
        self.link = at + 1;
        self.next = (at + 2 + body.len()).next_multiple_of(4);
        at
    }

    /// Adds a virtio capability. // Virtio 1.3 §4.1.4
    fn virtio(&mut self, cfg_type: u8, bar: u8, offset: u32, len: u32, extra: &[u8]) -> usize {
        let cap_len = 16 + extra.len() as u8;
        let mut body = std::vec![cap_len, cfg_type, bar, 0, 0, 0];
        body.extend(offset.to_le_bytes());
        body.extend(len.to_le_bytes());
        body.extend(extra);
        self.any(9, &body)
    }

    /// As QEMU lays out its block device: MSI-X, access through configuration space, then the structures in BAR 4.
    fn usual() -> Self {
        let mut config = Self::new();
        config.any(0x11, &[1, 0, 1, 0, 0, 0, 1, 8, 0, 0]);
        config.virtio(5, 0, 0, 0, &[0; 4]);
        config.virtio(2, 4, 0x3000, 0x1000, &4_u32.to_le_bytes());
        config.virtio(4, 4, 0x2000, 0x1000, &[]);
        config.virtio(3, 4, 0x1000, 0x1000, &[]);
        config.virtio(1, 4, 0, 0x1000, &[]);
        config
    }

    fn find(&self) -> Result<Locations, CapabilityError> {
        Locations::find(&self.bytes, bars)
    }
}

/// BAR 1 of one page, BAR 4 of four; BAR 0 is an I/O BAR.
fn bars(bar: u8) -> Option<u64> {
    match bar {
        1 => Some(0x1000),
        4 => Some(0x4000),
        _ => None,
    }
}

fn at(offset: u32, len: u32) -> Location {
    Location {
        bar: 4,
        offset,
        len,
    }
}

#[test]
fn usual_device_is_found() {
    let want = Locations {
        common: at(0, 64),
        notify: at(0x3000, 0x1000),
        notify_off_multiplier: 4,
        isr: at(0x1000, 1),
        device: Some(at(0x2000, 0x1000)),
        msix: Some(Msix {
            vectors: 2,
            enabled: false,
        }),
    };
    assert_eq!(Config::usual().find(), Ok(want));
}

#[test]
fn first_usable_capability_of_a_type_counts() {
    // Virtio 1.3 §4.1.4.1
    let mut config = Config::new();
    config.virtio(2, 0, 0, 0x100, &4_u32.to_le_bytes()); // an I/O BAR
    config.virtio(2, 6, 0, 0x100, &4_u32.to_le_bytes()); // a reserved BAR
    config.virtio(2, 1, 0x10, 0x20, &0_u32.to_le_bytes());
    config.virtio(2, 4, 0x3000, 0x1000, &8_u32.to_le_bytes());
    config.virtio(1, 4, 0, 56, &[0xaa; 8]);
    config.virtio(1, 4, 0x800, 64, &[]);
    config.virtio(3, 4, 0x1003, 1, &[]);
    config.virtio(3, 1, 0, 1, &[]);
    let found = config.find().unwrap();
    let notify = Location {
        bar: 1,
        offset: 0x10,
        // One notification: with the multiplier 0 all queues share an address.
        len: 4,
    };
    assert_eq!((found.notify, found.notify_off_multiplier), (notify, 0));
    assert_eq!(found.common, at(0, 56));
    assert_eq!(found.isr, at(0x1003, 1));
    assert_eq!(found.device, None);
}

#[test]
fn other_capabilities_are_passed_over() {
    let mut config = Config::usual();
    config.virtio(8, 4, u32::MAX, u32::MAX, &[0xff; 8]); // shared memory
    config.any(9, &[4, 9]); // vendor data, shorter than a virtio capability
    config.any(0x05, &[0; 12]); // MSI
    config.virtio(7, 4, u32::MAX, u32::MAX, &[]); // reserved type
    config.virtio(0, 4, u32::MAX, u32::MAX, &[]);
    assert_eq!(config.find(), Config::usual().find());
}

#[test]
fn structure_has_to_lie_in_its_bar() {
    // In place of the usual one.
    let alone = |cfg_type, offset: u32, len: u32| {
        let mut config = Config::usual();
        let at = (0x40..0x100)
            .step_by(4)
            .find(|&at| (config.bytes[at], config.bytes[at + 3]) == (9, cfg_type));
        let at = at.expect("a capability of each type");
        config.bytes[at + 8..at + 12].copy_from_slice(&offset.to_le_bytes());
        config.bytes[at + 12..at + 16].copy_from_slice(&len.to_le_bytes());
        config.find()
    };
    // Before the usual ones.
    let first = |cfg_type, offset, len| {
        let mut config = Config::new();
        let (link, next) = (config.link, config.next);
        config.virtio(cfg_type, 4, offset, len, &4_u32.to_le_bytes());
        let first = config.bytes;
        let mut config = Config::usual();
        let shifted = 0xd8;
        assert!(config.next <= shifted);
        config.bytes[shifted..shifted + 20].copy_from_slice(&first[next..next + 20]);
        config.bytes[shifted + 1] = 0x40;
        config.bytes[link] = shifted as u8;
        config.find()
    };
    for cfg_type in 1..=4 {
        for (offset, len) in [
            (0, 0x4001),
            (0x3ffc, 8),
            (0x4000, 64),
            (0xffff_fffc, 64),
            (64, u32::MAX),
            (0xffff_fffc, u32::MAX),
        ] {
            let want = CapabilityError::OutsideBar {
                cfg_type,
                location: at(offset, len),
                bar_len: 0x4000,
            };
            assert_eq!(alone(cfg_type, offset, len), Err(want));
            assert_eq!(first(cfg_type, offset, len), Config::usual().find());
        }
    }
    // Too small for its fields, or misaligned: Virtio 1.3 §4.1.4.3.1, §4.1.4.4.1, §4.1.4.6.1
    for (cfg_type, offset, len) in [
        (1, 0, 55),
        (1, 0, 0),
        (1, 2, 64),
        (2, 0, 1),
        (2, 1, 64),
        (3, 0, 0),
        (4, 2, 64),
    ] {
        let location = at(offset, len);
        let want = CapabilityError::Unusable { cfg_type, location };
        assert_eq!(alone(cfg_type, offset, len), Err(want));
        assert_eq!(first(cfg_type, offset, len), Config::usual().find());
    }
    assert_eq!(first(1, 0x3fc0, 64).unwrap().common, at(0x3fc0, 64));
    assert_eq!(first(4, 0, 0).unwrap().device, Some(at(0, 0)));
}

#[test]
fn capability_has_to_be_as_long_as_its_type() {
    for (cfg_type, offset, cap_len) in [(2, 0x60, 16), (2, 0x60, 19), (4, 0x74, 15), (1, 0x94, 0)] {
        let mut config = Config::usual();
        assert_eq!(config.bytes[offset + 3], cfg_type);
        config.bytes[offset + 2] = cap_len;
        let want = CapabilityError::TooShort {
            offset: offset as u8,
            cfg_type,
            cap_len,
        };
        assert_eq!(config.find(), Err(want));
        // Longer than needed is fine. // Virtio 1.3 §4.1.4.1
        config.bytes[offset + 2] = 40;
        assert_eq!(config.find(), Config::usual().find());
    }
}

#[test]
fn notify_multiplier_is_an_even_power_of_two() {
    // Virtio 1.3 §4.1.4.4.1
    for multiplier in [0, 1, 2, 3, 4, 6, 0x1000, 0x8000_0000, u32::MAX] {
        let mut config = Config::usual();
        config.bytes[0x70..0x74].copy_from_slice(&multiplier.to_le_bytes());
        let found = config.find().map(|found| found.notify_off_multiplier);
        let good = multiplier == 0 || multiplier > 1 && multiplier.is_power_of_two();
        let bad = Err(CapabilityError::NotifyMultiplier { multiplier });
        assert_eq!(found, if good { Ok(multiplier) } else { bad });
    }
}

#[test]
fn list_that_loops_or_leaves_is_an_error() {
    let usual = Config::usual().find().unwrap();
    let pointers = [0x34, 0x41, 0x4d, 0x61, 0x75, 0x85, 0x95];
    for link in pointers {
        for target in (0..=255_u8).step_by(4) {
            let mut config = Config::usual();
            config.bytes[link] = target;
            // The two lowest bits are reserved in PCI and mean nothing.
            for low in 0..4 {
                config.bytes[link] = target | low;
                match config.find() {
                    // A link may skip what a device need not have, and nothing else.
                    Ok(found) => {
                        let device = usual.device.filter(|_| found.device.is_some());
                        let msix = usual.msix.filter(|_| found.msix.is_some());
                        let want = Locations {
                            device,
                            msix,
                            ..usual
                        };
                        assert_eq!(found, want);
                    }
                    Err(CapabilityError::BadPointer { offset }) => {
                        assert!((1..0x40).contains(&offset) || offset > 0xf0);
                    }
                    Err(
                        CapabilityError::Loop { .. }
                        | CapabilityError::Missing { .. }
                        | CapabilityError::TooShort { .. },
                    ) => {}
                    Err(other) => panic!("link {link:#x} to {target:#x}: {other}"),
                }
            }
        }
    }
    let mut config = Config::usual();
    config.bytes[config.link] = 0x40;
    let want = CapabilityError::Loop { offset: 0x40 };
    assert_eq!(config.find(), Err(want));
    let mut config = Config::usual();
    config.bytes[0x41] = 0x40;
    assert_eq!(config.find(), Err(want));
}

#[test]
fn missing_structures_are_named() {
    let missing = |cfg_type| Err(CapabilityError::Missing { cfg_type });
    // A legacy device has no virtio capability; one without a list has none at all.
    assert_eq!(Config::new().find(), missing(1));
    let mut config = Config::usual();
    config.bytes[6] = 0;
    assert_eq!(config.find(), missing(1));
    for (offset, cfg_type) in [(0x60, 2), (0x84, 3), (0x94, 1)] {
        let mut config = Config::usual();
        config.bytes[offset + 3] = 0x77;
        assert_eq!(config.find(), missing(cfg_type));
    }
    assert_eq!(
        Locations::find(&[0xff; CONFIG_LEN], bars),
        Err(CapabilityError::DeviceGone)
    );
}

/// Whatever was found can be mapped and holds what it has to.
fn sound(found: &Locations) {
    let structures = [
        (Some(found.common), 56),
        (Some(found.notify), 2),
        (Some(found.isr), 1),
        (found.device, 0),
    ];
    for (location, least) in structures {
        if let Some(location) = location {
            let end = u64::from(location.offset) + u64::from(location.len);
            assert!(end <= bars(location.bar).unwrap());
            assert!(location.len >= least);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 10 } else { 4000 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn walk_ends_on_random_bytes(bytes in prop::collection::vec(any::<u8>(), CONFIG_LEN)) {
        let mut bytes = <[u8; CONFIG_LEN]>::try_from(bytes).unwrap();
        bytes[6] |= 0x10;
        if let Ok(found) = Locations::find(&bytes, bars) {
            sound(&found);
        }
    }

    #[test]
    fn walk_ends_on_a_damaged_list(damage in prop::collection::vec((any::<u8>(), any::<u8>()), 0..12)) {
        let mut config = Config::usual();
        for (at, byte) in damage {
            config.bytes[usize::from(at)] = byte;
        }
        if let Ok(found) = config.find() {
            sound(&found);
        }
    }
}
