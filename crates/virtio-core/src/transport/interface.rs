//! How a device can be driven: by which interface, and where its registers lie.
#![forbid(unsafe_code)]

use super::CapabilityError;
use super::capability::{Found, word};
use crate::spec::pci::{LEGACY_HEADER_LEN, LEGACY_MSIX_HEADER_LEN, VENDOR_ID};

/// Bytes of PCI configuration space that hold the capability list.
pub const CONFIG_LEN: usize = 256;
/// Offset of the device id. // PCI 3.0 §6.2.1
const PCI_DEVICE_ID: usize = 0x02;
/// Offset of the revision id, a byte. // PCI 3.0 §6.2.1
const PCI_REVISION: usize = 0x08;
/// Offset of the first base address register; its bit 0 says that it is for I/O ports. // PCI 3.0 §6.2.5.1
const PCI_BAR0: usize = 0x10;
const PCI_BAR_IO: u16 = 1 << 0;
/// Device ids of transitional and legacy devices. // Virtio 1.3 §4.1.2
const TRANSITIONAL_IDS: core::ops::RangeInclusive<u16> = 0x1000..=0x103f;
/// Most of the device configuration that is mapped, in bytes. // Virtio 1.3 §4.1.4: 4 KiB may be the limit
pub(super) const DEVICE_LIMIT: u32 = 4096;

/// Where a structure lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// BAR, 0 to 5.
    pub bar: u8,
    /// Offset in the BAR, in bytes.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

/// What a device says about its MSI-X interrupts. // PCI 3.0 §6.8.2.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msix {
    /// Entries of the vector table, 1 to 2048.
    pub vectors: u16,
    /// Whether MSI-X was enabled when configuration space was copied.
    pub enabled: bool,
}

/// Where the structures of a modern device lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locations {
    /// Common configuration.
    pub common: Location,
    /// Notifications.
    pub notify: Location,
    /// Distance of notify addresses, in bytes for each step of a queue's `queue_notify_off`.
    pub notify_off_multiplier: u32,
    /// ISR status.
    pub isr: Location,
    /// Device configuration, if the device has one.
    pub device: Option<Location>,
    /// MSI-X, if the device has it.
    pub msix: Option<Msix>,
}

/// Where the registers of a legacy device lie. // Virtio 1.3 §4.1.4.10
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyLocation {
    /// All of them: the start of BAR 0, in I/O space.
    pub registers: Location,
    /// MSI-X, if the device has it. While it is enabled the device configuration lies four bytes further on.
    pub msix: Option<Msix>,
}

/// The interface by which a device is to be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// That of version 1 of the specification.
    Modern(Locations),
    /// That of the versions before it.
    Legacy(LegacyLocation),
}

impl Interface {
    /// Finds the interface in a copy of the first 256 bytes of configuration space: the modern one, if there is any.
    ///
    /// `bar_len` tells the length in bytes of a BAR (0 to 5) that the driver can map, and `None` for any other. A driver
    /// that has no way to I/O ports says `None` for I/O BARs, and gets no legacy interface. A copy that is to show whether
    /// MSI-X is enabled has to be made after the platform has set the interrupts up.
    ///
    /// # Errors
    ///
    /// [`CapabilityError`] when there is neither interface, or the capability list is malformed.
    pub fn find(
        config: &[u8; CONFIG_LEN],
        bar_len: impl Fn(u8) -> Option<u64>,
    ) -> Result<Self, CapabilityError> {
        let found = Found::walk(config, &bar_len)?;
        // Virtio 1.3 §4.1.5.1.1.1: the legacy interface is for devices that show no virtio capability. A transitional one,
        // which has both, is driven by it as well when the driver has no way to the BARs of the other.
        if !found.shows_common() && is_transitional(config) {
            return legacy(config, &found, bar_len).map(Self::Legacy);
        }
        found.complete().map(Self::Modern)
    }
}

impl Locations {
    /// Finds the structures of a modern device in a copy of the first 256 bytes of configuration space.
    ///
    /// As [`Interface::find`], for a driver that drives modern and transitional devices by the modern interface only.
    ///
    /// # Errors
    ///
    /// [`CapabilityError`] for a list that is malformed or lacks a structure; the device is not to be used then.
    pub fn find(
        config: &[u8; CONFIG_LEN],
        bar_len: impl Fn(u8) -> Option<u64>,
    ) -> Result<Self, CapabilityError> {
        Found::walk(config, bar_len)?.complete()
    }
}

/// Whether the device may be a legacy one. // Virtio 1.3 §4.1.2.3: id 0x1000 to 0x103f, revision 0
fn is_transitional(config: &[u8; CONFIG_LEN]) -> bool {
    word(config, 0) == VENDOR_ID
        && TRANSITIONAL_IDS.contains(&word(config, PCI_DEVICE_ID))
        && config.get(PCI_REVISION) == Some(&0)
}

/// The legacy registers, if BAR 0 can hold them.
fn legacy(
    config: &[u8; CONFIG_LEN],
    found: &Found,
    bar_len: impl Fn(u8) -> Option<u64>,
) -> Result<LegacyLocation, CapabilityError> {
    let msix = found.msix();
    let header = match msix {
        Some(Msix { enabled: true, .. }) => LEGACY_MSIX_HEADER_LEN,
        _ => LEGACY_HEADER_LEN,
    };
    // Virtio 1.3 §4.1.4.10: in BAR 0, the first I/O region.
    let is_io = word(config, PCI_BAR0) & PCI_BAR_IO != 0;
    let len = bar_len(0).filter(|_| is_io);
    match len {
        Some(len) if len >= u64::from(header) => {
            let limit = header.saturating_add(DEVICE_LIMIT);
            Ok(LegacyLocation {
                registers: Location {
                    bar: 0,
                    offset: 0,
                    len: u32::try_from(len).unwrap_or(limit).min(limit),
                },
                msix,
            })
        }
        _ => Err(CapabilityError::LegacyBar { len }),
    }
}
