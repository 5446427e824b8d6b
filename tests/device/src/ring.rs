//! Split virtqueues seen from the device's side, written from the specification.

use crate::Violation;
use crate::memory::GuestMemory;

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
    /// Entries.
    pub size: u16,
    /// Device address of the descriptor table.
    pub descriptors: u64,
    /// Device address of the available ring.
    pub driver: u64,
    /// Device address of the used ring.
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

    /// The three areas of the queue. // Virtio 1.3 §2.7
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
        if !self.size.is_power_of_two() {
            faults.push(Violation {
                section: "Virtio 1.3 §4.1.4.3.2",
                what: format!("queue {queue} has size {}, not a power of two", self.size),
            });
        }
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
                    section: "Virtio 1.3 §2.7.1",
                    what: format!(
                        "queue {queue}: {name} at {address:#x} is not aligned to {align}"
                    ),
                });
            }
            if !memory.contains(address, len) {
                faults.push(Violation {
                    section: "Virtio 1.3 §2.7.1",
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
