//! PCI configuration space that is filled capability by capability.

use virtio_core::transport::{CapabilityError, Interface, Location, Locations};

use crate::Outcome;

/// A configuration space, and BARs behind it.
#[derive(Clone)]
pub(super) struct Space {
    pub(super) bytes: [u8; 256],
    /// Length of each BAR that the driver can map.
    pub(super) bars: [Option<u64>; 6],
    /// Where the last capability's link lies, and where the next capability goes.
    link: usize,
    next: usize,
}

impl Space {
    /// A block device with this id and revision, without capabilities. BAR 4 has 16 KiB, BAR 1 has 4 KiB.
    pub(super) fn new(device: u16, revision: u8) -> Self {
        let mut bytes = [0; 256];
        bytes[..2].copy_from_slice(&0x1af4_u16.to_le_bytes());
        bytes[2..4].copy_from_slice(&device.to_le_bytes());
        bytes[6] = 0x10;
        bytes[8] = revision;
        Self {
            bytes,
            bars: [None, Some(0x1000), None, None, Some(0x4000), None],
            link: 0x34,
            next: 0x40,
        }
    }

    /// As QEMU shows a modern block device: MSI-X, then the structures in BAR 4.
    pub(super) fn modern() -> Self {
        let mut space = Self::new(0x1042, 1);
        space.msix(false);
        space.structures();
        space
    }

    /// The four structures of a modern device, where [`usual`] says.
    pub(super) fn structures(&mut self) {
        self.virtio(2, 4, 0x3000, 0x1000, &4_u32.to_le_bytes());
        self.virtio(4, 4, 0x2000, 0x1000, &[]);
        self.virtio(3, 4, 0x1000, 0x1000, &[]);
        self.virtio(1, 4, 0, 0x1000, &[]);
    }

    /// As QEMU shows a legacy block device: BAR 0 for I/O ports, and MSI-X.
    pub(super) fn legacy(msix_enabled: bool) -> Self {
        let mut space = Self::new(0x1001, 0);
        space.bytes[0x10] = 1;
        space.bars[0] = Some(0x80);
        space.msix(msix_enabled);
        space
    }

    /// MSI-X with 8 vectors. // PCI 3.0 §6.8.2
    fn msix(&mut self, enabled: bool) {
        let control = if enabled { 0x80 } else { 0 };
        self.capability(0x11, &[7, control, 1, 0, 0, 0, 1, 8, 0, 0]);
    }

    /// Adds a capability with these bytes after id and link; returns where.
    pub(super) fn capability(&mut self, id: u8, body: &[u8]) -> usize {
        let at = self.next;
        self.bytes[self.link] = at as u8;
        self.bytes[at] = id;
        self.bytes[at + 2..at + 2 + body.len()].copy_from_slice(body);
        self.link = at + 1;
        self.next = (at + 2 + body.len()).next_multiple_of(4);
        at
    }

    /// Adds a virtio capability; returns where. // Virtio 1.3 §4.1.4
    pub(super) fn virtio(
        &mut self,
        cfg_type: u8,
        bar: u8,
        offset: u32,
        len: u32,
        extra: &[u8],
    ) -> usize {
        let mut body = vec![16 + extra.len() as u8, cfg_type, bar, 0, 0, 0];
        body.extend(offset.to_le_bytes());
        body.extend(len.to_le_bytes());
        body.extend(extra);
        self.capability(9, &body)
    }

    /// The next capability goes here.
    pub(super) fn skip_to(&mut self, at: usize) {
        assert!(self.next <= at);
        self.next = at;
    }

    /// The last capability links to `at`.
    pub(super) fn link_to(&mut self, at: u8) {
        self.bytes[self.link] = at;
    }

    pub(super) fn find(&self) -> Result<Interface, CapabilityError> {
        Interface::find(&self.bytes, |bar| {
            self.bars.get(usize::from(bar)).copied().flatten()
        })
    }

    /// What comes of the lie: an error, or that the usual structures were found in spite of it.
    pub(super) fn outcome(&self) -> Outcome {
        match self.find() {
            Err(error) => Outcome::failed(&error),
            Ok(Interface::Modern(found)) => {
                let msix = found.msix;
                assert_eq!(found, Locations { msix, ..usual() });
                Outcome::Ignored
            }
            Ok(other) => panic!("the device is modern, and yet {other:?}"),
        }
    }
}

/// What the driver finds in [`Space::modern`].
pub(super) fn usual() -> Locations {
    let at = |offset, len| Location {
        bar: 4,
        offset,
        len,
    };
    Locations {
        common: at(0, 64),
        notify: at(0x3000, 0x1000),
        notify_off_multiplier: 4,
        isr: at(0x1000, 1),
        device: Some(at(0x2000, 0x1000)),
        msix: None,
    }
}
