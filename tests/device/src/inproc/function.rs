//! The PCI function of the in-process device: configuration space, BARs, capabilities and interrupt delivery.

use anyhow::ensure;

use super::Config;
use crate::{Bar, BarKind, InterruptMode, common, pci};

/// The BAR with virtio's structures, where QEMU has it too.
const VIRTIO_BAR: u8 = 4;
const VIRTIO_BAR_ADDRESS: u64 = 0xe000_0000;
const VIRTIO_BAR_LEN: u64 = 0x8000;
/// The BAR with the MSI-X table.
const MSIX_BAR: u8 = 1;
const MSIX_BAR_ADDRESS: u64 = 0xe001_0000;

const COMMON_AT: u64 = 0x0000;
const ISR_AT: u64 = 0x1000;
const DEVICE_AT: u64 = 0x2000;
const NOTIFY_AT: u64 = 0x3000;
const NOTIFY_LEN: u64 = VIRTIO_BAR_LEN - NOTIFY_AT;
/// Bytes between notification registers.
pub(crate) const NOTIFY_MULTIPLIER: u32 = 4;

/// What an address in a BAR means, with the offset inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Common(u64),
    Isr,
    Device(u64),
    Notify(u64),
    Msix(u64),
}

/// One MSI-X table entry. // PCI 3.0 §6.8.2
#[derive(Debug, Clone, Copy)]
struct Vector {
    address: u64,
    data: u32,
    masked: bool,
    pending: bool,
}

/// A vector that nobody has set. // PCI 3.0 §6.8.2.9
const NEW_VECTOR: Vector = Vector {
    address: 0,
    data: 0,
    masked: true,
    pending: false,
};

/// The function.
pub(crate) struct Function {
    config: [u8; 256],
    /// Bits of configuration space that a write changes.
    writable: [u8; 256],
    bars: Vec<Bar>,
    msix_capability: u16,
    /// 0: none, and the function is in D0 always.
    power_capability: u16,
    vectors: Vec<Vector>,
    device_len: u64,
    raised: Vec<u16>,
}

impl Function {
    pub(crate) fn new(config: &Config) -> Self {
        let mut function = Self {
            config: [0; 256],
            writable: [0; 256],
            bars: vec![Bar {
                index: VIRTIO_BAR,
                kind: BarKind::Memory,
                address: VIRTIO_BAR_ADDRESS,
                len: VIRTIO_BAR_LEN,
            }],
            msix_capability: 0,
            power_capability: 0,
            vectors: vec![NEW_VECTOR; config.vectors.into()],
            device_len: config.config_len.into(),
            raised: Vec::new(),
        };
        function.lay_out(config);
        for &(place, byte) in &config.pci {
            function.put(place.into(), &[byte]);
        }
        function
    }

    fn put(&mut self, at: u16, bytes: &[u8]) {
        let at = usize::from(at);
        self.config[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn lay_out(&mut self, config: &Config) {
        // Vendor, device 0x1040 + 2, revision 1, subsystem ids at least 0x40. // Virtio 1.3 §4.1.2.1
        self.put(0x00, &0x1af4u16.to_le_bytes());
        self.put(0x02, &0x1042u16.to_le_bytes());
        self.put(
            pci::STATUS,
            &(pci::STATUS_CAPABILITIES as u16).to_le_bytes(),
        );
        // Class: mass storage, SCSI, as QEMU's virtio-blk-pci has it.
        self.put(0x08, &[1, 0, 0, 1]);
        self.put(0x2c, &0x1af4u16.to_le_bytes());
        self.put(0x2e, &0x1100u16.to_le_bytes());
        self.put(0x3d, &[1]);
        self.writable[0x3c] = 0xff;
        let command =
            pci::COMMAND_IO | pci::COMMAND_MEMORY | pci::COMMAND_MASTER | pci::COMMAND_INTX_DISABLE;
        self.writable[0x04..0x06].copy_from_slice(&(command as u16).to_le_bytes());
        // A 64-bit prefetchable memory BAR takes two registers.
        self.bar(VIRTIO_BAR, VIRTIO_BAR_ADDRESS | 0xc, VIRTIO_BAR_LEN, true);

        let mut at = 0x40;
        let mut last = pci::CAPABILITIES;
        let mut link = |function: &mut Self, len: u16| {
            let here = at;
            function.put(last, &[here as u8]);
            last = here + 1;
            at = (here + len).next_multiple_of(4);
            here
        };
        if config.vectors > 0 {
            let len = (u64::from(config.vectors) * 16)
                .next_power_of_two()
                .max(4096);
            let here = link(self, 12);
            self.msix_capability = here;
            self.put(here, &[pci::CAP_MSIX]);
            self.put(here + 2, &(config.vectors - 1).to_le_bytes());
            self.writable[usize::from(here) + 3] = 0xc0;
            self.put(here + 4, &u32::from(MSIX_BAR).to_le_bytes());
            // The pending bits follow the table; nobody reads them, but the capability must name a place.
            self.put(here + 8, &(len as u32 | u32::from(MSIX_BAR)).to_le_bytes());
            self.bar(MSIX_BAR, MSIX_BAR_ADDRESS, 2 * len, false);
            self.bars.push(Bar {
                index: MSIX_BAR,
                kind: BarKind::Memory,
                address: MSIX_BAR_ADDRESS,
                len: 2 * len,
            });
        }
        if config.power {
            // Version 3, neither D1 nor D2; what is lost in D3hot is not kept (No_Soft_Reset). // PCI Power Management 1.2 §3.2.3
            let here = link(self, 8);
            self.power_capability = here;
            self.put(here, &[pci::CAP_POWER]);
            self.put(here + 2, &[3]);
            self.writable[usize::from(here + pci::POWER_CONTROL)] = pci::POWER_STATE as u8;
        }
        let structures = [
            (1, COMMON_AT, common::LEN),
            (3, ISR_AT, 1),
            (4, DEVICE_AT, self.device_len),
            (2, NOTIFY_AT, NOTIFY_LEN),
        ];
        for (kind, offset, len) in structures {
            let size: u16 = if kind == 2 { 20 } else { 16 };
            let here = link(self, size);
            self.put(here, &[pci::CAP_VENDOR]);
            self.put(here + 2, &[size as u8, kind, VIRTIO_BAR]);
            self.put(here + 8, &(offset as u32).to_le_bytes());
            self.put(here + 12, &(len as u32).to_le_bytes());
            if kind == 2 {
                self.put(here + 16, &config.notify_multiplier.to_le_bytes());
            }
        }
    }

    fn bar(&mut self, index: u8, value: u64, len: u64, wide: bool) {
        let at = pci::BAR0 + 4 * u16::from(index);
        let bytes = if wide { 8 } else { 4 };
        self.put(at, &value.to_le_bytes()[..bytes]);
        let mask = (!(len - 1)).to_le_bytes();
        self.writable[usize::from(at)..usize::from(at) + bytes].copy_from_slice(&mask[..bytes]);
    }

    pub(crate) fn config_read(&self, offset: u16, width: u8) -> u32 {
        let mut value = 0;
        for at in (0..u16::from(width)).rev() {
            let byte = self
                .config
                .get(usize::from(offset + at))
                .copied()
                .unwrap_or(0);
            value = value << 8 | u32::from(byte);
        }
        value
    }

    /// Whether the function is in D0.
    pub(crate) fn awake(&self) -> bool {
        let control = self.power_capability + pci::POWER_CONTROL;
        self.power_capability == 0 || self.config_read(control, 2) & pci::POWER_STATE == 0
    }

    /// Forgets all that was written to it, as when its power comes or on the way from D3hot to D0. // PCI Power Management 1.2 §5.4.1
    pub(crate) fn forget(&mut self) {
        for (cell, mask) in self.config.iter_mut().zip(self.writable) {
            *cell &= !mask;
        }
        self.vectors.fill(NEW_VECTOR);
        self.raised.clear();
    }

    /// Whether this woke the function up, which has forgotten everything then.
    pub(crate) fn config_write(&mut self, offset: u16, width: u8, value: u32) -> bool {
        let asleep = !self.awake();
        self.write_bytes(offset, width, value);
        let woken = asleep && self.awake();
        if woken {
            self.forget();
        }
        woken
    }

    fn write_bytes(&mut self, offset: u16, width: u8, value: u32) {
        for (at, byte) in (offset..).zip(&value.to_le_bytes()[..usize::from(width.min(4))]) {
            let at = usize::from(at);
            if let (Some(cell), Some(mask)) = (self.config.get_mut(at), self.writable.get(at)) {
                *cell = *cell & !mask | byte & mask;
            }
        }
        self.deliver_pending();
    }

    /// Where the bus driver has put them. The one that is 64 bits wide lies below 4 GiB all the same.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let placed = |bar: &Bar| Bar {
            address: u64::from(self.config_read(pci::BAR0 + 4 * u16::from(bar.index), 4) & !0xf),
            ..*bar
        };
        self.bars.iter().map(placed).collect()
    }

    pub(crate) fn vectors(&self) -> u16 {
        self.vectors.len() as u16
    }

    /// What lies at `offset` of `bar`; nothing while memory decoding is off, or the function in D3.
    pub(crate) fn place(&self, bar: u8, offset: u64) -> Option<Place> {
        if u32::from(self.config[0x04]) & pci::COMMAND_MEMORY == 0 || !self.awake() {
            return None;
        }
        if bar == MSIX_BAR {
            return (offset < self.vectors.len() as u64 * 16).then_some(Place::Msix(offset));
        }
        let inside = |at: u64, len: u64| offset.checked_sub(at).filter(|&inside| inside < len);
        if bar != VIRTIO_BAR {
            None
        } else if let Some(at) = inside(COMMON_AT, common::LEN) {
            Some(Place::Common(at))
        } else if inside(ISR_AT, 1).is_some() {
            Some(Place::Isr)
        } else if let Some(at) = inside(DEVICE_AT, self.device_len) {
            Some(Place::Device(at))
        } else {
            inside(NOTIFY_AT, NOTIFY_LEN).map(Place::Notify)
        }
    }

    pub(crate) fn table_read(&self, at: u64, _width: u8) -> u64 {
        let Some(vector) = self.vectors.get(at as usize / 16) else {
            return 0;
        };
        match at % 16 {
            0 => vector.address & 0xffff_ffff,
            4 => vector.address >> 32,
            8 => vector.data.into(),
            _ => vector.masked.into(),
        }
    }

    pub(crate) fn table_write(&mut self, at: u64, width: u8, value: u64) {
        let Some(vector) = self.vectors.get_mut(at as usize / 16) else {
            return;
        };
        match at % 16 {
            at @ (0 | 4) => vector.address = common::merge(vector.address, at, width, value),
            8 => vector.data = value as u32,
            _ => vector.masked = value & 1 != 0,
        }
        self.deliver_pending();
    }

    pub(crate) fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()> {
        self.raised.clear();
        let on = pci::COMMAND_MEMORY | pci::COMMAND_MASTER;
        match mode {
            InterruptMode::Messages(count) => {
                ensure!(
                    usize::from(count) <= self.vectors.len() && count > 0,
                    "{count} messages asked for, the device has {}",
                    self.vectors.len()
                );
                for (number, vector) in self.vectors.iter_mut().enumerate() {
                    *vector = Vector {
                        // The local APIC's window; the data says which message it is.
                        address: 0xfee0_0000,
                        data: number as u32,
                        masked: number >= usize::from(count),
                        pending: false,
                    };
                }
                self.config_write(self.msix_capability + 2, 2, pci::MSIX_ENABLE);
                self.config_write(pci::COMMAND, 2, on | pci::COMMAND_INTX_DISABLE);
            }
            InterruptMode::Line => {
                if !self.vectors.is_empty() {
                    self.config_write(self.msix_capability + 2, 2, 0);
                }
                self.config_write(pci::COMMAND, 2, on);
            }
        }
        Ok(())
    }

    pub(crate) fn disable_interrupts(&mut self) {
        if !self.vectors.is_empty() {
            self.config_write(self.msix_capability + 2, 2, 0);
        }
        let command = self.config_read(pci::COMMAND, 2);
        self.config_write(pci::COMMAND, 2, command | pci::COMMAND_INTX_DISABLE);
        self.raised.clear();
    }

    pub(crate) fn bus_master(&self) -> bool {
        self.awake() && self.config_read(pci::COMMAND, 2) & pci::COMMAND_MASTER != 0
    }

    fn control(&self) -> u32 {
        if self.vectors.is_empty() {
            return 0;
        }
        self.config_read(self.msix_capability + 2, 2)
    }

    pub(crate) fn msix_enabled(&self) -> bool {
        self.control() & pci::MSIX_ENABLE != 0
    }

    /// Sends message `vector`, or remembers it while it is masked.
    pub(crate) fn raise(&mut self, vector: u16) {
        if let Some(vector) = self.vectors.get_mut(usize::from(vector)) {
            vector.pending = true;
        }
        self.deliver_pending();
    }

    fn deliver_pending(&mut self) {
        let control = self.control();
        let masked = control & pci::MSIX_ENABLE == 0 || control & pci::MSIX_MASK_ALL != 0;
        if masked || !self.awake() {
            return;
        }
        for vector in &mut self.vectors {
            if vector.pending && !vector.masked {
                vector.pending = false;
                self.raised.push(vector.data as u16);
            }
        }
    }

    /// The messages sent since the last call, each once, ascending.
    pub(crate) fn take_messages(&mut self) -> Vec<u16> {
        let mut messages = std::mem::take(&mut self.raised);
        messages.sort_unstable();
        messages.dedup();
        messages
    }

    /// The level of INTA#, given the ISR status. // PCI 3.0 §6.8.2: none while MSI-X is enabled
    pub(crate) fn line(&self, isr: u8) -> bool {
        let off = self.config_read(pci::COMMAND, 2) & pci::COMMAND_INTX_DISABLE != 0;
        isr != 0 && !off && !self.msix_enabled() && self.awake()
    }
}
