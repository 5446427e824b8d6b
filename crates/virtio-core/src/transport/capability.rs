//! Finding the structures of a modern device: the walk along its PCI capabilities. // Virtio 1.3 §4.1.4
#![forbid(unsafe_code)]

use zerocopy::FromBytes;

use super::CapabilityError;
use crate::spec::pci::{CAP_ID_VENDOR, Cap, CommonCfg, NotifyCap, cfg_type};

/// Bytes of PCI configuration space that hold the capability list.
pub const CONFIG_LEN: usize = 256;
/// End of the PCI header, before which no capability lies.
const HEADER_LEN: u8 = 0x40;
/// Offset of the PCI status register; its bit 4 says that there is a capability list.
const PCI_STATUS: usize = 0x06;
const PCI_STATUS_CAPABILITIES: u16 = 1 << 4;
/// Offset of the pointer to the first capability.
const PCI_CAPABILITIES: usize = 0x34;
/// The part of the common configuration that every device has: up to `queue_device`.
const COMMON_LEN: u32 = core::mem::offset_of!(CommonCfg, queue_notif_config_data) as u32;
/// Most of the device configuration that is mapped, in bytes. // Virtio 1.3 §4.1.4: 4 KiB may be the limit
const DEVICE_LIMIT: u32 = 4096;

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
}

impl Locations {
    /// Finds the structures in a copy of the first 256 bytes of configuration space.
    ///
    /// `bar_len` tells the length in bytes of a BAR (0 to 5) that the driver can map, and `None` for any other, such as an
    /// I/O BAR. Of each type the first capability in such a BAR counts; shared memory, vendor data, access through
    /// configuration space and unknown types are passed over. The walk ends on any content.
    ///
    /// # Errors
    ///
    /// [`CapabilityError`] for a list that is malformed or lacks a structure; the device is not to be used then.
    pub fn find(
        config: &[u8; CONFIG_LEN],
        bar_len: impl Fn(u8) -> Option<u64>,
    ) -> Result<Self, CapabilityError> {
        let word = |at| <[u8; 2]>::read_from_prefix(config.get(at..).unwrap_or_default()).ok();
        let word = |at| word(at).map_or(u16::MAX, |(bytes, _)| u16::from_le_bytes(bytes));
        if word(0) == u16::MAX {
            return Err(CapabilityError::DeviceGone);
        }
        let mut found = Found::default();
        let first = config.get(PCI_CAPABILITIES).copied();
        let mut pointer = match first {
            Some(first) if word(PCI_STATUS) & PCI_STATUS_CAPABILITIES != 0 => first & !3,
            _ => 0,
        };
        // One bit for each dword: a walk that never comes twice to the same one ends.
        let mut passed = 0_u64;
        while pointer != 0 {
            let bit = 1_u64.unbounded_shl(u32::from(pointer).wrapping_div(4));
            if passed & bit != 0 {
                return Err(CapabilityError::Loop { offset: pointer });
            }
            passed |= bit;
            let rest = config.get(usize::from(pointer)..).unwrap_or_default();
            let [id, next, ..] = *rest else {
                return Err(CapabilityError::BadPointer { offset: pointer });
            };
            if pointer < HEADER_LEN {
                return Err(CapabilityError::BadPointer { offset: pointer });
            }
            if id == CAP_ID_VENDOR {
                found.take(pointer, rest, &bar_len)?;
            }
            pointer = next & !3;
        }
        found.complete()
    }
}

/// What the walk has found so far.
#[derive(Default)]
struct Found {
    common: Option<Location>,
    notify: Option<(Location, u32)>,
    isr: Option<Location>,
    device: Option<Location>,
}

impl Found {
    /// Takes the capability that starts at `rest` if it is the first usable one of its type.
    fn take(
        &mut self,
        offset: u8,
        rest: &[u8],
        bar_len: impl Fn(u8) -> Option<u64>,
    ) -> Result<(), CapabilityError> {
        let Ok((cap, _)) = Cap::read_from_prefix(rest) else {
            return Err(CapabilityError::BadPointer { offset });
        };
        let cfg_type = cap.cfg_type;
        // Bytes of capability, bytes of structure and alignment of structure that the type needs.
        let (cap_needed, len_needed, align, have) = match cfg_type {
            cfg_type::COMMON => (size_of::<Cap>(), COMMON_LEN, 4, self.common.is_some()),
            cfg_type::NOTIFY => (size_of::<NotifyCap>(), 2, 2, self.notify.is_some()),
            cfg_type::ISR => (size_of::<Cap>(), 1, 1, self.isr.is_some()),
            cfg_type::DEVICE => (size_of::<Cap>(), 0, 4, self.device.is_some()),
            // Virtio 1.3 §4.1.4.1: reserved types are ignored.
            _ => return Ok(()),
        };
        // Virtio 1.3 §4.1.4.1: reserved BAR values are ignored, and the first that can be supported is used.
        let Some(bar_len) = bar_len(cap.bar).filter(|_| cap.bar < 6 && !have) else {
            return Ok(());
        };
        let cap_len = cap.cap_len;
        let body = rest.get(..usize::from(cap_len)).unwrap_or_default();
        if usize::from(cap_len) < cap_needed || body.len() < cap_needed {
            return Err(CapabilityError::TooShort {
                offset,
                cfg_type,
                cap_len,
            });
        }
        let mut location = Location {
            bar: cap.bar,
            offset: cap.offset.get(),
            len: cap.length.get(),
        };
        let end = u64::from(location.offset).wrapping_add(u64::from(location.len));
        if end > bar_len {
            return Err(CapabilityError::OutsideBar {
                cfg_type,
                location,
                bar_len,
            });
        }
        if location.len < len_needed || !location.offset.is_multiple_of(align) {
            return Err(CapabilityError::Unusable { cfg_type, location });
        }
        match cfg_type {
            cfg_type::COMMON => {
                location.len = location.len.min(size_of::<CommonCfg>() as u32);
                self.common = Some(location);
            }
            cfg_type::NOTIFY => {
                let multiplier = NotifyCap::read_from_prefix(body)
                    .map_or(0, |(notify, _)| notify.notify_off_multiplier.get());
                // Virtio 1.3 §4.1.4.4.1: 0 or an even power of two.
                if multiplier != 0 && (multiplier == 1 || !multiplier.is_power_of_two()) {
                    return Err(CapabilityError::NotifyMultiplier { multiplier });
                }
                self.notify = Some((location, multiplier));
            }
            cfg_type::ISR => {
                location.len = 1;
                self.isr = Some(location);
            }
            _ => {
                location.len = location.len.min(DEVICE_LIMIT);
                self.device = Some(location);
            }
        }
        Ok(())
    }

    /// All structures, if none is missing that every device has.
    fn complete(self) -> Result<Locations, CapabilityError> {
        let missing = |cfg_type| CapabilityError::Missing { cfg_type };
        let (notify, notify_off_multiplier) = self.notify.ok_or(missing(cfg_type::NOTIFY))?;
        Ok(Locations {
            common: self.common.ok_or(missing(cfg_type::COMMON))?,
            notify,
            notify_off_multiplier,
            isr: self.isr.ok_or(missing(cfg_type::ISR))?,
            device: self.device,
        })
    }
}
