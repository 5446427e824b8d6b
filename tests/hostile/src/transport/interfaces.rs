//! Which interface a device is driven by. // Virtio 1.3 §4.1.2, §4.1.5.1.1

use ring_rig::GuestMemory;
use virtio_core::transport::{Interface as Found, Location, Transport};

use super::bench::found;
use super::device::Window;
use super::space::Space;
use super::{BOTH, LEGACY, MODERN, row};
use crate::{Outcome, Row, Verdict};
use Verdict::{Failed, Kept};

const DETECTION: &str = "Virtio 1.3 §4.1.5.1.1.1";
const LAYOUT: &str = "Virtio 1.3 §4.1.4.10";

pub(super) const ROWS: &[Row] = &[
    row(
        "T050",
        DETECTION,
        "a transitional device shows both interfaces: the modern one is used",
        Kept,
        MODERN,
        |_| {
            let mut space = Space::legacy(false);
            space.structures();
            match space.outcome() {
                Outcome::Ignored => Outcome::Kept,
                other => other,
            }
        },
    ),
    row(
        "T051",
        DETECTION,
        "a transitional device shows no virtio capability: the legacy interface is used",
        Kept,
        LEGACY,
        |_| {
            for enabled in [false, true] {
                let Ok(Found::Legacy(location)) = Space::legacy(enabled).find() else {
                    return Outcome::Ignored;
                };
                assert_eq!(location.registers.bar, 0);
                let msix = location.msix.expect("MSI-X");
                assert_eq!((msix.vectors, msix.enabled), (8, enabled));
            }
            Outcome::Kept
        },
    ),
    row(
        "T052",
        "Virtio 1.3 §4.1.2.3",
        "a transitional id without virtio capability comes with revision 1",
        Failed("Missing"),
        LEGACY,
        |_| {
            let mut space = Space::legacy(false);
            space.bytes[8] = 1;
            legacy(&space)
        },
    ),
    row(
        "T053",
        "Virtio 1.3 §4.1.2",
        "a device without virtio capability has an id behind the transitional ones",
        Failed("Missing"),
        LEGACY,
        |_| {
            let mut space = Space::legacy(false);
            space.bytes[2] = 0x40;
            legacy(&space)
        },
    ),
    row(
        "T054",
        "Virtio 1.3 §4.1.2",
        "a device without virtio capability has another vendor",
        Failed("Missing"),
        LEGACY,
        |_| {
            let mut space = Space::legacy(false);
            space.bytes[0] = 0x86;
            legacy(&space)
        },
    ),
    row(
        "T055",
        LAYOUT,
        "BAR 0 of a legacy device is a memory BAR",
        Failed("LegacyBar"),
        LEGACY,
        |_| {
            let mut space = Space::legacy(false);
            space.bytes[0x10] = 0;
            legacy(&space)
        },
    ),
    row(
        "T056",
        LAYOUT,
        "BAR 0 of a legacy device cannot be reached",
        Failed("LegacyBar"),
        LEGACY,
        |_| {
            let mut space = Space::legacy(false);
            space.bars[0] = None;
            legacy(&space)
        },
    ),
    row(
        "T057",
        LAYOUT,
        "BAR 0 of a legacy device ends inside its registers",
        Failed("LegacyBar"),
        LEGACY,
        |_| {
            let mut space = Space::legacy(true);
            space.bars[0] = Some(20);
            legacy(&space)
        },
    ),
    row(
        "T058",
        LIST,
        "a legacy device has a capability list that loops",
        Failed("Loop"),
        LEGACY,
        |_| {
            let mut space = Space::legacy(false);
            space.link_to(0x40);
            legacy(&space)
        },
    ),
    row(
        "T059",
        "Virtio 1.3 §4.1.4.1",
        "a transitional device shows a malformed common configuration: it is not taken for legacy",
        Failed("OutsideBar"),
        MODERN,
        |_| {
            let mut space = Space::legacy(false);
            space.virtio(1, 4, 0x3fff_fffc, 64, &[]);
            legacy(&space)
        },
    ),
    row(
        "T060",
        "Virtio 1.3 §4.1.4",
        "a BAR is mapped shorter than the capability says",
        Failed("Map"),
        BOTH,
        |interface| {
            let device = super::device::Device::new();
            let shorter = |location: Location| {
                Some(Window {
                    device: device.clone(),
                    place: super::device::Place::Common,
                    len: location.len as usize - 1,
                })
            };
            let dma = GuestMemory::new(4096);
            let result = Transport::new(&found(interface, 8), &dma, shorter);
            assert_eq!(device.log(), [], "the device is not touched");
            match result {
                Ok(_) => Outcome::Ignored,
                Err(error) => Outcome::failed(&error),
            }
        },
    ),
];

const LIST: &str = "PCI 3.0 §6.7";

/// A device that must not be driven.
fn legacy(space: &Space) -> Outcome {
    match space.find() {
        Err(error) => Outcome::failed(&error),
        Ok(Found::Legacy(_)) => Outcome::Kept,
        Ok(_) => Outcome::Ignored,
    }
}
