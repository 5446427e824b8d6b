//! Virtqueues seen from the device's side, written from the specification: where they lie, and the chains of split ones.
//!
//! Packed ones are followed by [`ring_device`].

use crate::memory::GuestMemory;
use crate::{Violation, common};

/// Descriptor flag: another descriptor follows. // Virtio 1.3 §2.7.5
pub const DESC_NEXT: u16 = 1;
/// Descriptor flag: the device writes this part.
pub const DESC_WRITE: u16 = 2;
/// Descriptor flag: the part is a table of descriptors.
pub const DESC_INDIRECT: u16 = 4;
/// Bytes in a descriptor.
pub const DESC_LEN: u64 = 16;

/// One contiguous part of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Device address.
    pub address: u64,
    /// Length, bytes.
    pub len: u32,
    /// Whether the device writes it (otherwise reads it).
    pub device_writes: bool,
}

/// Where a queue lies and how long it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// Whether it is packed; otherwise it is split.
    pub packed: bool,
    /// Entries.
    pub size: u16,
    /// Device address of the descriptor area: the table or ring of descriptors.
    pub descriptors: u64,
    /// Device address of the driver area: the available ring, or the driver's event suppression.
    pub driver: u64,
    /// Device address of the device area: the used ring, or the device's event suppression.
    pub device: u64,
}

impl Layout {
    /// Address of `avail.flags`.
    #[must_use]
    pub fn avail_flags(&self) -> u64 {
        self.driver
    }
    /// Address of `avail.idx`.
    #[must_use]
    pub fn avail_idx(&self) -> u64 {
        self.driver + 2
    }
    /// Address of the available ring's entry for position `at`.
    #[must_use]
    pub fn avail_entry(&self, at: u16) -> u64 {
        self.driver + 4 + 2 * u64::from(at % self.size)
    }
    /// Address of `used_event`, behind the available ring.
    #[must_use]
    pub fn used_event(&self) -> u64 {
        self.driver + 4 + 2 * u64::from(self.size)
    }
    /// Address of `used.flags`.
    #[must_use]
    pub fn used_flags(&self) -> u64 {
        self.device
    }
    /// Address of `used.idx`.
    #[must_use]
    pub fn used_idx(&self) -> u64 {
        self.device + 2
    }
    /// Address of the used ring's entry for position `at`.
    #[must_use]
    pub fn used_entry(&self, at: u16) -> u64 {
        self.device + 4 + 8 * u64::from(at % self.size)
    }
    /// Address of `avail_event`, behind the used ring.
    #[must_use]
    pub fn avail_event(&self) -> u64 {
        self.device + 4 + 8 * u64::from(self.size)
    }

    /// The queue for [`ring_device`], as the driver set it up with these features.
    pub(crate) fn setup(&self, features: u64) -> ring_device::Setup {
        ring_device::Setup {
            packed: self.packed,
            size: self.size,
            descriptor: self.descriptors,
            driver: self.driver,
            device: self.device,
            indirect: features & common::INDIRECT_DESC != 0,
            event_idx: features & common::EVENT_IDX != 0,
            // In which order buffers are given back is for the device to decide, not for the one who follows.
            in_order: false,
        }
    }

    /// The three areas of the queue. // Virtio 1.3 §2.7, §2.8.10.1
    #[must_use]
    pub fn areas(&self) -> [Area; 3] {
        let size = u64::from(self.size);
        let area = |name, address, align, len, device_writes| Area {
            name,
            address,
            align,
            len,
            device_writes,
        };
        if self.packed {
            let descriptors = DESC_LEN * size;
            return [
                area("descriptor ring", self.descriptors, 16, descriptors, true),
                area("driver event suppression", self.driver, 4, 4, false),
                area("device event suppression", self.device, 4, 4, true),
            ];
        }
        [
            area(
                "descriptor table",
                self.descriptors,
                16,
                DESC_LEN * size,
                false,
            ),
            area("available ring", self.driver, 2, 6 + 2 * size, false),
            area("used ring", self.device, 4, 6 + 8 * size, true),
        ]
    }

    /// What is wrong with a queue that the driver enables like this.
    #[must_use]
    pub fn faults(&self, queue: u16, memory: &GuestMemory) -> Vec<Violation> {
        let mut faults = Vec::new();
        if self.packed && !(1..=1 << 15).contains(&self.size) {
            faults.push(Violation {
                section: "Virtio 1.3 §2.8",
                what: format!("packed queue {queue} has size {}", self.size),
            });
        }
        if !self.packed && !self.size.is_power_of_two() {
            faults.push(Violation {
                section: "Virtio 1.3 §4.1.4.3.2",
                what: format!("queue {queue} has size {}, not a power of two", self.size),
            });
        }
        let section = if self.packed {
            "Virtio 1.3 §2.8.11"
        } else {
            "Virtio 1.3 §2.7.1"
        };
        for area in self.areas() {
            let Area {
                name,
                address,
                align,
                len,
                ..
            } = area;
            if !address.is_multiple_of(align) {
                faults.push(Violation {
                    section,
                    what: format!(
                        "queue {queue}: {name} at {address:#x} is not aligned to {align}"
                    ),
                });
            }
            if !memory.contains(address, len) {
                faults.push(Violation {
                    section,
                    what: format!(
                        "queue {queue}: {name} at {address:#x}, {len} bytes, is not in memory"
                    ),
                });
            }
        }
        faults
    }
}

/// A part of a queue's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// What it is.
    pub name: &'static str,
    /// Device address.
    pub address: u64,
    /// Alignment it must have, bytes.
    pub align: u64,
    /// Length, bytes.
    pub len: u64,
    /// Whether the device writes it.
    pub device_writes: bool,
}

/// A descriptor chain, followed to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// The buffer, in order.
    pub parts: Vec<Part>,
    /// The indirect table, if there is one.
    pub table: Option<Part>,
    /// Descriptors of the queue's own table that the chain takes.
    pub descriptors: Vec<u16>,
}

/// What [`ring_device`] says of a packed queue.
pub(crate) fn broken(queue: u16, found: &ring_device::Violation) -> Violation {
    use ring_device::Violation as Rule;
    let section = match found {
        Rule::Size { .. } => "Virtio 1.3 §2.8",
        Rule::Misaligned { .. } => "Virtio 1.3 §2.8.11",
        Rule::NotZero { .. } => "Virtio 1.3 §2.8.13",
        Rule::DescriptorInUse { .. } | Rule::Changed { .. } => "Virtio 1.3 §2.8.16",
        Rule::Overrun { .. }
        | Rule::ChainTooLong { .. }
        | Rule::PartialChain { .. }
        | Rule::ReadableAfterWritable => "Virtio 1.3 §2.8.17",
        Rule::IndirectNotNegotiated | Rule::IndirectInChain | Rule::Flags { .. } => {
            "Virtio 1.3 §2.8.19"
        }
        Rule::TableLength { .. } => "Virtio 1.3 §2.8.7",
        Rule::IdInUse { .. } => "Virtio 1.3 §2.8.21.1",
        Rule::EventSuppression { .. } => "Virtio 1.3 §2.8.14",
        Rule::Unreachable(_)
        | Rule::IndexOutOfTable { .. }
        | Rule::TooManyBytes
        | Rule::EmptyPart
        | Rule::OutOfOrder { .. }
        | Rule::NotHeld { .. } => "Virtio 1.3 §2.8.4",
    };
    Violation {
        section,
        what: format!("packed queue {queue}: {found}"),
    }
}

impl From<&ring_device::Part> for Part {
    fn from(part: &ring_device::Part) -> Self {
        Self {
            address: part.address,
            len: part.len,
            device_writes: part.writable,
        }
    }
}

impl From<&ring_device::Buffer> for Walk {
    fn from(buffer: &ring_device::Buffer) -> Self {
        Self {
            parts: buffer.parts.iter().map(Part::from).collect(),
            table: buffer.table.map(|(address, len)| Part {
                address,
                len,
                device_writes: false,
            }),
            // In a packed ring they have no names.
            descriptors: Vec::new(),
        }
    }
}

/// Follows the chain that starts at `head`. Where its buffers lie is not judged: a device that touches them does that, and whoever
/// knows what memory the driver may use.
///
/// # Errors
/// The first rule that the chain breaks.
pub fn walk(
    memory: &GuestMemory,
    layout: &Layout,
    head: u16,
    indirect: bool,
) -> Result<Walk, Violation> {
    let broken = |section, what: &str| Violation {
        section,
        what: format!("descriptor chain {head}: {what}"),
    };
    let mut walk = Walk::default();
    let mut total = 0;
    let (mut table, mut entries, mut index) =
        (layout.descriptors, u64::from(layout.size), u64::from(head));
    loop {
        if index >= entries {
            return Err(broken(
                "Virtio 1.3 §2.7.5",
                &format!("index {index} of {entries}"),
            ));
        }
        let mut bytes = [0; DESC_LEN as usize];
        if !memory.read(table + index * DESC_LEN, &mut bytes) {
            return Err(broken(
                "Virtio 1.3 §2.7.5",
                &format!("table at {table:#x} is not in memory"),
            ));
        }
        let [
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            a6,
            a7,
            l0,
            l1,
            l2,
            l3,
            f0,
            f1,
            n0,
            n1,
        ] = bytes;
        let part = Part {
            address: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            device_writes: u16::from_le_bytes([f0, f1]) & DESC_WRITE != 0,
        };
        let flags = u16::from_le_bytes([f0, f1]);
        let next = u16::from_le_bytes([n0, n1]);
        if walk.table.is_none() {
            walk.descriptors.push(index as u16);
        }
        if flags & DESC_INDIRECT != 0 {
            if !indirect {
                return Err(broken(
                    "Virtio 1.3 §2.7.5.3.1",
                    "an indirect descriptor, which was not negotiated",
                ));
            }
            if walk.table.is_some() {
                return Err(broken(
                    "Virtio 1.3 §2.7.5.3.1",
                    "an indirect descriptor in an indirect table",
                ));
            }
            if flags & DESC_NEXT != 0 {
                return Err(broken(
                    "Virtio 1.3 §2.7.5.3.1",
                    "INDIRECT together with NEXT",
                ));
            }
            if part.len == 0 || !u64::from(part.len).is_multiple_of(DESC_LEN) {
                return Err(broken(
                    "Virtio 1.3 §2.7.5.3",
                    &format!("an indirect table of {} bytes", part.len),
                ));
            }
            walk.table = Some(Part {
                device_writes: false,
                ..part
            });
            (table, entries, index) = (part.address, u64::from(part.len) / DESC_LEN, 0);
            continue;
        }
        if !part.device_writes && walk.parts.last().is_some_and(|last| last.device_writes) {
            return Err(broken(
                "Virtio 1.3 §2.7.4.2",
                "a device-readable part after a device-writable one",
            ));
        }
        total += u64::from(part.len);
        walk.parts.push(part);
        if walk.parts.len() > usize::from(layout.size) {
            return Err(broken(
                "Virtio 1.3 §2.7.5.3.1",
                &format!("longer than the queue's size of {}", layout.size),
            ));
        }
        if total > 1 << 32 {
            return Err(broken("Virtio 1.3 §2.7.5.2", "longer than 2^32 bytes"));
        }
        if flags & DESC_NEXT == 0 {
            return Ok(walk);
        }
        index = next.into();
    }
}
