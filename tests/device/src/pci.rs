//! PCI configuration space, as far as a bus driver needs it: capabilities, BARs and where virtio's structures lie.

use crate::{Bar, BarKind, Device};

/// Command register. // PCI 3.0 §6.2.2
pub const COMMAND: u16 = 0x04;
/// Command: I/O space decoding.
pub const COMMAND_IO: u32 = 1 << 0;
/// Command: memory space decoding.
pub const COMMAND_MEMORY: u32 = 1 << 1;
/// Command: bus mastering.
pub const COMMAND_MASTER: u32 = 1 << 2;
/// Command: INTx disable.
pub const COMMAND_INTX_DISABLE: u32 = 1 << 10;
/// Status register.
pub const STATUS: u16 = 0x06;
/// Status: a capability list exists.
pub const STATUS_CAPABILITIES: u32 = 1 << 4;
/// First base address register.
pub const BAR0: u16 = 0x10;
/// Capability list pointer.
pub const CAPABILITIES: u16 = 0x34;
/// Capability id: vendor specific, virtio's structures. // Virtio 1.3 §4.1.4
pub const CAP_VENDOR: u8 = 0x09;
/// Capability id: MSI-X. // PCI 3.0 §6.8.2
pub const CAP_MSIX: u8 = 0x11;
/// Capability id: power management. // PCI Power Management 1.2 §3.2
pub const CAP_POWER: u8 = 0x01;
/// Power management: control and status, PMCSR. // PCI Power Management 1.2 §3.2.4
pub const POWER_CONTROL: u16 = 4;
/// PMCSR: the state, 0 to 3; 3 is D3hot.
pub const POWER_STATE: u32 = 3;
/// PMCSR: a wake-up has been signalled; writing 1 clears it.
pub const POWER_EVENT: u32 = 1 << 15;
/// Capability id: PCI Express.
pub const CAP_EXPRESS: u8 = 0x10;
/// PCI Express: device control. // PCI Express 3.0 §7.8.4
pub const EXPRESS_DEVICE_CONTROL: u16 = 8;
/// PCI Express: link control. // PCI Express 3.0 §7.8.7
pub const EXPRESS_LINK_CONTROL: u16 = 0x10;
/// MSI-X message control: enable.
pub const MSIX_ENABLE: u32 = 1 << 15;
/// MSI-X message control: all vectors masked.
pub const MSIX_MASK_ALL: u32 = 1 << 14;

/// Configuration space that can be read.
pub trait Config {
    /// Reads `width` bytes at `offset`.
    fn read(&mut self, offset: u16, width: u8) -> u32;
}

impl<F: FnMut(u16, u8) -> u32> Config for F {
    fn read(&mut self, offset: u16, width: u8) -> u32 {
        self(offset, width)
    }
}

/// The capabilities of a function as (id, offset), in list order; ends on any input.
pub fn capabilities(config: &mut impl Config) -> Vec<(u8, u16)> {
    let mut found = Vec::new();
    if config.read(STATUS, 2) & STATUS_CAPABILITIES == 0 {
        return found;
    }
    let mut at = (config.read(CAPABILITIES, 1) & 0xfc) as u16;
    // 48 capabilities fill the 192 bytes that there are: a longer list is a loop.
    while at >= 0x40 && found.len() < 48 {
        found.push((config.read(at, 1) as u8, at));
        at = (config.read(at + 1, 1) & 0xfc) as u16;
    }
    found
}

/// Where the first capability with this id is.
pub fn capability(config: &mut impl Config, id: u8) -> Option<u16> {
    let all = capabilities(config);
    all.into_iter()
        .find(|found| found.0 == id)
        .map(|found| found.1)
}

/// A part of a BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// BAR index.
    pub bar: u8,
    /// Offset in it, bytes.
    pub offset: u64,
    /// Length, bytes.
    pub len: u64,
}

impl Region {
    /// The offset inside this region of an access to `bar` at `offset`.
    #[must_use]
    pub fn locate(&self, bar: u8, offset: u64) -> Option<u64> {
        let inside = offset.checked_sub(self.offset)?;
        (bar == self.bar && inside < self.len).then_some(inside)
    }
}

/// Where a modern virtio function keeps its structures. // Virtio 1.3 §4.1.4
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VirtioRegions {
    /// Common configuration.
    pub common: Region,
    /// Notifications.
    pub notify: Region,
    /// Bytes between the notification registers of consecutive `queue_notify_off`.
    pub notify_multiplier: u32,
    /// ISR status.
    pub isr: Region,
    /// Device-specific configuration.
    pub device: Region,
}

impl VirtioRegions {
    /// Whether the registers answer: one keeps what is written to it, which is left at 0.
    pub fn answer(&self, device: &mut dyn Device) -> bool {
        // The common configuration's first, device_feature_select. // Virtio 1.3 §4.1.4.3
        let Region { bar, offset, .. } = self.common;
        [1, 0].into_iter().all(|value| {
            device.write(bar, offset, 4, value);
            device.read(bar, offset, 4) == value
        })
    }
}

/// Finds virtio's structures; none if one of the four is missing.
pub fn virtio_regions(config: &mut impl Config) -> Option<VirtioRegions> {
    usable_regions(config, |_, _| true)
}

/// Finds the first of each of virtio's structures that a driver can use with these BARs; none if one of the four is missing.
pub fn virtio_regions_in(config: &mut impl Config, bars: &[Bar]) -> Option<VirtioRegions> {
    usable_regions(config, |kind, region| {
        let end = region.offset + region.len;
        // struct virtio_pci_common_cfg up to queue_device. // Virtio 1.3 §4.1.4.3
        let least = if kind == 1 { 0x38 } else { 1 };
        region.len >= least && bar(bars, region.bar).is_some_and(|bar| end <= bar.len)
    })
}

fn usable_regions(
    config: &mut impl Config,
    usable: impl Fn(u32, &Region) -> bool,
) -> Option<VirtioRegions> {
    // struct virtio_pci_notify_cap. // Virtio 1.3 §4.1.4.4
    const NOTIFY_CAP_LEN: u32 = 20;
    let (mut common, mut notify, mut isr, mut device) = (None, None, None, None);
    for (id, at) in capabilities(config) {
        if id != CAP_VENDOR {
            continue;
        }
        // struct virtio_pci_cap: vndr, next, len, cfg_type, bar, id, padding[2], offset, length.
        let region = Region {
            bar: config.read(at + 4, 1) as u8,
            offset: config.read(at + 8, 4).into(),
            len: config.read(at + 12, 4).into(),
        };
        let kind = config.read(at + 3, 1);
        if !usable(kind, &region) {
            continue;
        }
        match kind {
            1 => common = common.or(Some(region)),
            2 if config.read(at + 2, 1) < NOTIFY_CAP_LEN => {}
            2 => notify = notify.or_else(|| Some((region, config.read(at + 16, 4)))),
            3 => isr = isr.or(Some(region)),
            4 => device = device.or(Some(region)),
            _ => {}
        }
    }
    let (notify, notify_multiplier) = notify?;
    Some(VirtioRegions {
        common: common?,
        notify,
        notify_multiplier,
        isr: isr?,
        device: device?,
    })
}

/// The MSI-X capability and where its table lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msix {
    /// Offset of the capability in configuration space.
    pub capability: u16,
    /// Vectors in the table.
    pub vectors: u16,
    /// The table.
    pub table: Region,
}

/// Finds the MSI-X capability.
pub fn msix(config: &mut impl Config) -> Option<Msix> {
    let at = capability(config, CAP_MSIX)?;
    let vectors = (config.read(at + 2, 2) & 0x7ff) as u16 + 1;
    let table = config.read(at + 4, 4);
    Some(Msix {
        capability: at,
        vectors,
        table: Region {
            bar: (table & 7) as u8,
            offset: (table & !7).into(),
            len: u64::from(vectors) * 16,
        },
    })
}

/// Decodes what a BAR reads after all ones were written to it: kind, length and whether it takes two registers.
#[must_use]
pub fn decode_bar(low: u32, high: u32) -> Option<(BarKind, u64, bool)> {
    if low == 0 {
        return None;
    }
    if low & 1 != 0 {
        // The upper half of an I/O BAR may be hardwired to zero.
        let len = (!(low & !3) & 0xffff) + 1;
        return Some((BarKind::Io, len.into(), false));
    }
    let wide = low & 6 == 4;
    let high = if wide { high } else { u32::MAX };
    let mask = u64::from(high) << 32 | u64::from(low & !0xf);
    Some((BarKind::Memory, (!mask).wrapping_add(1), wide))
}

/// The BAR of `bars` that has this index.
#[must_use]
pub fn bar(bars: &[Bar], index: u8) -> Option<Bar> {
    bars.iter().copied().find(|bar| bar.index == index)
}
