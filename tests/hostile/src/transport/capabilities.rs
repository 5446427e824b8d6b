//! Capability lists. // Virtio 1.3 §4.1.4

use virtio_core::transport::{Interface, Locations};

use super::space::{Space, usual};
use super::{MODERN, row};
use crate::{Outcome, Row, Verdict};
use Verdict::{Failed, Ignored, Kept};

const LIST: &str = "PCI 3.0 §6.7";
const CAP: &str = "Virtio 1.3 §4.1.4";
const DRIVER: &str = "Virtio 1.3 §4.1.4.1";
const COMMON: &str = "Virtio 1.3 §4.1.4.3.1";
const NOTIFY: &str = "Virtio 1.3 §4.1.4.4.1";

pub(super) const ROWS: &[Row] = &[
    row(
        "T001",
        "PCI 3.0 §6.1",
        "configuration space reads all ones",
        Failed("DeviceGone"),
        MODERN,
        |_| {
            let mut space = Space::modern();
            space.bytes = [0xff; 256];
            space.outcome()
        },
    ),
    row(
        "T002",
        LIST,
        "the capability list leads back to its start",
        Failed("Loop"),
        MODERN,
        |_| {
            let mut space = Space::modern();
            space.link_to(0x40);
            space.outcome()
        },
    ),
    row(
        "T003",
        LIST,
        "a capability names itself as the next",
        Failed("Loop"),
        MODERN,
        |_| {
            let mut space = Space::new(0x1042, 1);
            let at = space.virtio(1, 4, 0, 64, &[]);
            space.link_to(at as u8);
            space.outcome()
        },
    ),
    row(
        "T004",
        LIST,
        "a link leads into the header",
        Failed("BadPointer"),
        MODERN,
        |_| {
            let mut space = Space::modern();
            space.link_to(0x3c);
            space.outcome()
        },
    ),
    row(
        "T005",
        LIST,
        "a virtio capability goes past the end of configuration space",
        Failed("BadPointer"),
        MODERN,
        |_| {
            let mut space = Space::modern();
            space.skip_to(0xf8);
            space.capability(9, &[16, 1, 4, 0, 0, 0]);
            space.outcome()
        },
    ),
    row(
        "T006",
        LIST,
        "the status register denies the capability list that is there",
        Failed("Missing"),
        MODERN,
        |_| {
            let mut space = Space::modern();
            space.bytes[6] = 0;
            space.outcome()
        },
    ),
    row(
        "T007",
        LIST,
        "the reserved low bits of every link are set",
        Ignored,
        MODERN,
        |_| {
            let mut space = Space::modern();
            let mut link = 0x34;
            loop {
                let next = space.bytes[link];
                space.bytes[link] |= 3;
                match next {
                    0 => return space.outcome(),
                    next => link = usize::from(next) + 1,
                }
            }
        },
    ),
    row(
        "T008",
        LIST,
        "every dword of configuration space is a capability of no use",
        Failed("Missing"),
        MODERN,
        |_| {
            let mut space = Space::new(0x1042, 1);
            for _ in 0..48 {
                space.capability(5, &[]);
            }
            space.outcome()
        },
    ),
    row(
        "T009",
        DRIVER,
        "capabilities of reserved types come first",
        Ignored,
        MODERN,
        |_| {
            first(|space| {
                for cfg_type in [0, 6, 7] {
                    space.virtio(cfg_type, 4, u32::MAX, u32::MAX, &[]);
                }
            })
        },
    ),
    row(
        "T010",
        DRIVER,
        "structures in reserved BARs come first",
        Ignored,
        MODERN,
        |_| {
            first(|space| {
                space.virtio(1, 6, 0, 64, &[]);
                space.virtio(2, 7, 0, 64, &[0; 4]);
                space.virtio(3, 0xff, 0, 64, &[]);
            })
        },
    ),
    row(
        "T011",
        DRIVER,
        "structures in BARs that the driver cannot map come first",
        Ignored,
        MODERN,
        |_| {
            first(|space| {
                space.virtio(1, 0, 0, 64, &[]);
                space.virtio(2, 2, 0, 64, &[0; 4]);
                space.virtio(3, 5, 0, 64, &[]);
            })
        },
    ),
    row(
        "T012",
        DRIVER,
        "a second structure of each type follows",
        Ignored,
        MODERN,
        |_| {
            let mut space = Space::new(0x1042, 1);
            space.structures();
            space.virtio(2, 1, 0, 0x100, &8_u32.to_le_bytes());
            space.virtio(4, 1, 0x100, 0x100, &[]);
            space.virtio(3, 1, 0x200, 0x100, &[]);
            space.virtio(1, 1, 0x300, 0x100, &[]);
            space.outcome()
        },
    ),
    row(
        "T013",
        DRIVER,
        "every capability is longer than specified",
        Ignored,
        MODERN,
        |_| {
            let mut space = Space::modern();
            for cfg_type in 1..=4 {
                let at = position(&space, cfg_type);
                space.bytes[at + 2] += 4;
            }
            space.outcome()
        },
    ),
    row(
        "T014",
        CAP,
        "a capability is shorter than struct virtio_pci_cap",
        Failed("TooShort"),
        MODERN,
        |_| cap_len(1, 15),
    ),
    row(
        "T015",
        CAP,
        "a capability has length 0",
        Failed("TooShort"),
        MODERN,
        |_| cap_len(3, 0),
    ),
    row(
        "T016",
        "Virtio 1.3 §4.1.4.4",
        "the notify capability has no room for its multiplier",
        Failed("TooShort"),
        MODERN,
        |_| cap_len(2, 19),
    ),
    row(
        "T017",
        CAP,
        "the length of a capability leads past configuration space",
        Failed("TooShort"),
        MODERN,
        |_| cap_len(1, 0xff),
    ),
    row(
        "T018",
        CAP,
        "a structure ends one byte behind its BAR",
        Failed("OutsideBar"),
        MODERN,
        |_| moved(1, 0x3fc4, 0x3d),
    ),
    row(
        "T019",
        CAP,
        "offset and length of a structure wrap at 4 GiB",
        Failed("OutsideBar"),
        MODERN,
        |_| moved(1, 0xffff_ffc0, 0x80),
    ),
    row(
        "T020",
        COMMON,
        "the common configuration is shorter than its fields",
        Failed("Unusable"),
        MODERN,
        |_| moved(1, 0, 55),
    ),
    row(
        "T021",
        COMMON,
        "the common configuration is not 4-byte aligned",
        Failed("Unusable"),
        MODERN,
        |_| moved(1, 2, 64),
    ),
    row(
        "T022",
        NOTIFY,
        "the notify structure is not 2-byte aligned",
        Failed("Unusable"),
        MODERN,
        |_| moved(2, 0x3001, 64),
    ),
    row(
        "T023",
        NOTIFY,
        "the notify structure has one byte",
        Failed("Unusable"),
        MODERN,
        |_| moved(2, 0x3000, 1),
    ),
    row(
        "T024",
        "Virtio 1.3 §4.1.4.5",
        "the ISR status has no byte",
        Failed("Unusable"),
        MODERN,
        |_| moved(3, 0x1000, 0),
    ),
    row(
        "T025",
        "Virtio 1.3 §4.1.4.6.1",
        "the device configuration is not 4-byte aligned",
        Failed("Unusable"),
        MODERN,
        |_| moved(4, 0x2002, 64),
    ),
    row(
        "T026",
        DRIVER,
        "a structure is unexpectedly large",
        Kept,
        MODERN,
        |_| {
            let mut space = Space::modern();
            space.bars[4] = Some(1 << 32);
            for cfg_type in [1, 2, 3, 4] {
                let at = position(&space, cfg_type);
                space.bytes[at + 12..at + 16].copy_from_slice(&0x8000_0000_u32.to_le_bytes());
            }
            // Only what the driver can use is mapped: of the notifications 65,536 words, as the multiplier is 4; for one that
            // all queues share, 4 bytes.
            for (multiplier, len) in [(4_u32, 0x4_0000), (0, 4)] {
                let at = position(&space, 2);
                space.bytes[at + 16..at + 20].copy_from_slice(&multiplier.to_le_bytes());
                let mut want = usual();
                want.notify.len = len;
                want.notify_off_multiplier = multiplier;
                let Ok(Interface::Modern(found)) = space.find() else {
                    return Outcome::Ignored;
                };
                let msix = found.msix;
                assert_eq!(found, Locations { msix, ..want });
            }
            Outcome::Kept
        },
    ),
    row(
        "T027",
        NOTIFY,
        "the notify multiplier is 1",
        Failed("NotifyMultiplier"),
        MODERN,
        |_| multiplier(1),
    ),
    row(
        "T028",
        NOTIFY,
        "the notify multiplier is no power of two",
        Failed("NotifyMultiplier"),
        MODERN,
        |_| multiplier(6),
    ),
    row(
        "T029",
        "Virtio 1.3 §4.1.4.7",
        "shared memory with 64-bit offset and length comes first",
        Ignored,
        MODERN,
        |_| {
            first(|space| {
                for id in 0..2 {
                    let at = space.virtio(8, 4, 0x1000, 0x1000, &[0xff; 8]);
                    space.bytes[at + 5] = id;
                }
            })
        },
    ),
    row(
        "T030",
        "Virtio 1.3 §4.1.4.8",
        "vendor data, shorter than a virtio capability, ends configuration space",
        Ignored,
        MODERN,
        |_| {
            let mut space = Space::modern();
            space.skip_to(0xfc);
            space.capability(9, &[4, 9]);
            space.outcome()
        },
    ),
    row(
        "T031",
        "Virtio 1.3 §4.1.4.9",
        "access through configuration space is offered first, with no BAR behind it",
        Ignored,
        MODERN,
        |_| {
            first(|space| {
                space.virtio(5, 0, u32::MAX, u32::MAX, &[0xff; 4]);
            })
        },
    ),
    row(
        "T177",
        "Virtio 1.3 §4.1.4.1",
        "each structure is named first by a capability that is too short or leads out of its BAR",
        Ignored,
        MODERN,
        |_| {
            first(|space| {
                space.virtio(1, 4, 0x3fc4, 0x40, &[]);
                space.virtio(2, 4, 0x3000, 0x1000, &[]);
                space.virtio(2, 4, 0x3000, 0x1000, &3_u32.to_le_bytes());
                space.virtio(3, 4, 0, 0, &[]);
                space.virtio(4, 4, 0x2001, 0x1000, &[]);
            })
        },
    ),
    row(
        "T032",
        NOTIFY,
        "there is no notify capability",
        Failed("Missing"),
        MODERN,
        |_| without(2),
    ),
    row(
        "T033",
        "Virtio 1.3 §4.1.4.5.1",
        "there is no ISR capability",
        Failed("Missing"),
        MODERN,
        |_| without(3),
    ),
    row(
        "T034",
        COMMON,
        "there is no common configuration, and the device is not transitional",
        Failed("Missing"),
        MODERN,
        |_| without(1),
    ),
    row(
        "T035",
        "PCI 3.0 §6.8.2",
        "the MSI-X capability goes past the end of configuration space",
        Failed("BadPointer"),
        MODERN,
        |_| {
            let mut space = Space::new(0x1042, 1);
            space.structures();
            space.skip_to(0xf8);
            space.capability(0x11, &[7, 0x80]);
            space.outcome()
        },
    ),
];

/// A device with the usual capabilities, after others that `add` puts first.
fn first(add: impl FnOnce(&mut Space)) -> Outcome {
    let mut space = Space::new(0x1042, 1);
    add(&mut space);
    space.structures();
    space.outcome()
}

/// Where the capability of a type lies.
fn position(space: &Space, cfg_type: u8) -> usize {
    let mut at = usize::from(space.bytes[0x34]);
    while (space.bytes[at], space.bytes[at + 3]) != (9, cfg_type) {
        at = usize::from(space.bytes[at + 1]);
    }
    at
}

/// The capability of a type has this length.
fn cap_len(cfg_type: u8, len: u8) -> Outcome {
    let mut space = Space::modern();
    let at = position(&space, cfg_type);
    space.bytes[at + 2] = len;
    space.outcome()
}

/// The structure of a type lies elsewhere.
fn moved(cfg_type: u8, offset: u32, len: u32) -> Outcome {
    let mut space = Space::modern();
    let at = position(&space, cfg_type);
    space.bytes[at + 8..at + 12].copy_from_slice(&offset.to_le_bytes());
    space.bytes[at + 12..at + 16].copy_from_slice(&len.to_le_bytes());
    space.outcome()
}

fn multiplier(multiplier: u32) -> Outcome {
    assert_eq!(usual().notify_off_multiplier, 4);
    let mut space = Space::modern();
    let at = position(&space, 2);
    space.bytes[at + 16..at + 20].copy_from_slice(&multiplier.to_le_bytes());
    space.outcome()
}

/// A type is not there.
fn without(cfg_type: u8) -> Outcome {
    let mut space = Space::modern();
    let at = position(&space, cfg_type);
    space.bytes[at + 3] = 0x77;
    space.outcome()
}
