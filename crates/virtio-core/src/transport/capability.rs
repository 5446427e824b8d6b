//! The walk along a device's PCI capabilities. // Virtio 1.3 §4.1.4
#![forbid(unsafe_code)]

use zerocopy::FromBytes;
use zerocopy::little_endian::U16;

use super::interface::DEVICE_LIMIT;
use super::{CONFIG_LEN, CapabilityError, Doorbell, Location, Locations, Msix};
use crate::spec::pci::{CAP_ID_MSIX, CAP_ID_VENDOR, Cap, CommonCfg, NotifyCap, cfg_type};

/// End of the PCI header, before which no capability lies.
const HEADER_LEN: u8 = 0x40;
/// Offset of the PCI status register; its bit 4 says that there is a capability list.
const PCI_STATUS: usize = 0x06;
const PCI_STATUS_CAPABILITIES: u16 = 1 << 4;
/// Offset of the pointer to the first capability.
const PCI_CAPABILITIES: usize = 0x34;
/// The part of the common configuration that every device has: up to `queue_device`.
const COMMON_LEN: u32 = core::mem::offset_of!(CommonCfg, queue_notif_config_data) as u32;
/// Bytes of the MSI-X capability. // PCI 3.0 §6.8.2
const MSIX_CAP_LEN: usize = 12;
/// MSI-X message control: one less than the entries of the table. // PCI 3.0 §6.8.2.3
const MSIX_TABLE_SIZE: u16 = 0x7ff;
/// MSI-X message control: MSI-X is enabled.
const MSIX_ENABLE: u16 = 1 << 15;

/// The 16 bits at a byte offset; all ones past the end, as from a device that is gone.
pub(super) fn word(bytes: &[u8], at: usize) -> u16 {
    let rest = bytes.get(at..).unwrap_or_default();
    U16::read_from_prefix(rest).map_or(u16::MAX, |(word, _)| word.get())
}

/// What the walk has found: of each type the first that can be used.
#[derive(Default)]
pub(super) struct Found {
    common: Option<Location>,
    notify: Option<(Location, u32)>,
    isr: Option<Location>,
    device: Option<Location>,
    msix: Option<Msix>,
    /// Of each structure, from type 1 on, what was wrong with the first capability that cannot be used.
    bad: [Option<CapabilityError>; 4],
}

impl Found {
    /// Walks the list in a copy of configuration space; ends on any content.
    ///
    /// Of each type the first capability counts that lies in a BAR with a length and is well-formed; shared memory, vendor data,
    /// access through configuration space and unknown types are passed over.
    pub(super) fn walk(
        config: &[u8; CONFIG_LEN],
        bar_len: impl Fn(u8) -> Option<u64>,
    ) -> Result<Self, CapabilityError> {
        if word(config, 0) == u16::MAX {
            return Err(CapabilityError::DeviceGone);
        }
        let mut found = Self::default();
        let first = config.get(PCI_CAPABILITIES).copied();
        let mut pointer = match first {
            Some(first) if word(config, PCI_STATUS) & PCI_STATUS_CAPABILITIES != 0 => first & !3,
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
            match id {
                CAP_ID_VENDOR => match found.take(pointer, rest, &bar_len) {
                    Err(error @ CapabilityError::BadPointer { .. }) => return Err(error),
                    Err(error) => found.pass_over(rest, error),
                    Ok(()) => {}
                },
                CAP_ID_MSIX if found.msix.is_none() => found.msix = Some(msix(pointer, rest)?),
                _ => {}
            }
            pointer = next & !3;
        }
        Ok(found)
    }

    /// Leaves a capability out, as a later one may do. // Virtio 1.3 §4.1.4.1
    fn pass_over(&mut self, rest: &[u8], error: CapabilityError) {
        let bad = match *rest {
            [_, _, _, cfg_type, ..] => self.bad.get_mut(usize::from(cfg_type.wrapping_sub(1))),
            _ => None,
        };
        if let Some(bad) = bad {
            bad.get_or_insert(error);
        }
    }

    /// Whether there is a common configuration, be it one that cannot be used.
    pub(super) const fn shows_common(&self) -> bool {
        let [bad_common, ..] = self.bad;
        self.common.is_some() || bad_common.is_some()
    }

    /// MSI-X.
    pub(super) const fn msix(&self) -> Option<Msix> {
        self.msix
    }

    /// Takes the capability that starts at `rest` if it is the first usable one of its type.
    fn take(
        &mut self,
        offset: u8,
        rest: &[u8],
        bar_len: impl Fn(u8) -> Option<u64>,
    ) -> Result<(), CapabilityError> {
        // Vendor data may be shorter than a virtio capability, up to the end of configuration space. // Virtio 1.3 §4.1.4.8
        let cfg_type = match *rest {
            [_, _, _, cfg_type, ..] => cfg_type,
            _ => return Err(CapabilityError::BadPointer { offset }),
        };
        // Bytes of capability, bytes of structure and alignment of structure that the type needs.
        let (cap_needed, len_needed, align, have) = match cfg_type {
            cfg_type::COMMON => (size_of::<Cap>(), COMMON_LEN, 4, self.common.is_some()),
            cfg_type::NOTIFY => (size_of::<NotifyCap>(), 2, 2, self.notify.is_some()),
            cfg_type::ISR => (size_of::<Cap>(), 1, 1, self.isr.is_some()),
            cfg_type::DEVICE => (size_of::<Cap>(), 0, 4, self.device.is_some()),
            // Virtio 1.3 §4.1.4.1: reserved types are ignored.
            _ => return Ok(()),
        };
        let Ok((cap, _)) = Cap::read_from_prefix(rest) else {
            return Err(CapabilityError::BadPointer { offset });
        };
        // Virtio 1.3 §4.1.4.1: reserved BAR values are ignored, and the first that can be supported is used.
        if cap.bar >= 6 || have {
            return Ok(());
        }
        let Some(bar_len) = bar_len(cap.bar) else {
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
                // As far as the largest `queue_notify_off` and the widest notification reach.
                let limit = u32::from(u16::MAX)
                    .saturating_mul(multiplier)
                    .saturating_add(Doorbell::WIDEST);
                location.len = location.len.min(limit);
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
    pub(super) fn complete(self) -> Result<Locations, CapabilityError> {
        let [bad_common, bad_notify, bad_isr, bad_device] = self.bad;
        let missing = |bad: Option<CapabilityError>, cfg_type| {
            bad.unwrap_or(CapabilityError::Missing { cfg_type })
        };
        let common = self.common.ok_or(missing(bad_common, cfg_type::COMMON))?;
        let (notify, notify_off_multiplier) =
            self.notify.ok_or(missing(bad_notify, cfg_type::NOTIFY))?;
        Ok(Locations {
            common,
            notify,
            notify_off_multiplier,
            isr: self.isr.ok_or(missing(bad_isr, cfg_type::ISR))?,
            device: match (self.device, bad_device) {
                // A device need not have one, but one that cannot be read is not none.
                (None, Some(error)) => return Err(error),
                (device, _) => device,
            },
            msix: self.msix,
        })
    }
}

/// What the MSI-X capability that starts at `rest` says.
fn msix(offset: u8, rest: &[u8]) -> Result<Msix, CapabilityError> {
    if rest.len() < MSIX_CAP_LEN {
        return Err(CapabilityError::BadPointer { offset });
    }
    let control = word(rest, 2);
    Ok(Msix {
        vectors: (control & MSIX_TABLE_SIZE).wrapping_add(1),
        enabled: control & MSIX_ENABLE != 0,
    })
}
