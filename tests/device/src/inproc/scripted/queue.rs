//! One queue of the scripted device.

use std::collections::VecDeque;

use ring_device::{Buffer, Memory, Queue as Ring, Setup, Unreachable, Violation};

use crate::common;
use crate::inproc::queue::NO_VECTOR;
use crate::inproc::{STATUS_OK, STATUS_UNSUPP};
use crate::memory::GuestMemory;

const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;

/// Memory of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Device address.
    pub address: u64,
    /// Bytes.
    pub len: u64,
    /// Whether the device writes it.
    pub device_writes: bool,
}

impl Memory for GuestMemory {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Unreachable> {
        let done = GuestMemory::read(self, address, to);
        done.then_some(()).ok_or(Unreachable { address })
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Unreachable> {
        let done = GuestMemory::write(self, address, from);
        done.then_some(()).ok_or(Unreachable { address })
    }

    fn load_u16(&self, address: u64) -> Result<u16, Unreachable> {
        GuestMemory::load_u16(self, address).ok_or(Unreachable { address })
    }

    fn store_u16(&self, address: u64, value: u16) -> Result<(), Unreachable> {
        let done = GuestMemory::store_u16(self, address, value);
        done.then_some(()).ok_or(Unreachable { address })
    }
}

/// A queue.
pub(super) struct Queue {
    pub size: u16,
    /// Device addresses of descriptors, driver area and device area.
    pub addresses: [u64; 3],
    pub vector: u16,
    ring: Option<Ring>,
    held: VecDeque<Buffer>,
}

impl Queue {
    pub(super) fn new(size: u16) -> Self {
        Self {
            size,
            addresses: [0; 3],
            vector: NO_VECTOR,
            ring: None,
            held: VecDeque::new(),
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.ring.is_some()
    }

    pub(super) fn enable(&mut self, memory: &GuestMemory, features: u64) -> Result<(), Violation> {
        let [descriptor, driver, device] = self.addresses;
        let setup = Setup {
            packed: features & common::RING_PACKED != 0,
            size: self.size,
            descriptor,
            driver,
            device,
            indirect: features & common::INDIRECT_DESC != 0,
            event_idx: features & common::EVENT_IDX != 0,
            in_order: false,
        };
        self.ring = Some(Ring::new(setup, memory)?);
        Ok(())
    }

    /// Takes all that is available. Returns how many requests it holds then.
    pub(super) fn take(&mut self, memory: &GuestMemory) -> Result<usize, Violation> {
        let Some(ring) = &mut self.ring else {
            return Ok(0);
        };
        loop {
            while let Some(buffer) = ring.pop(memory)? {
                self.held.push_back(buffer);
            }
            if !ring.request_notification(memory)? {
                return Ok(self.held.len());
            }
        }
    }

    /// Completes the oldest requests. Returns how many, and whether the driver wants an interrupt.
    pub(super) fn complete(
        &mut self,
        memory: &GuestMemory,
        count: usize,
    ) -> Result<(usize, bool), Violation> {
        let Some(ring) = &mut self.ring else {
            return Ok((0, false));
        };
        let count = count.min(self.held.len());
        for buffer in self.held.drain(..count) {
            let written = serve(memory, &buffer)?;
            ring.push(memory, buffer.id, written)?;
        }
        let due = count > 0 && ring.interrupt_due(memory)?;
        Ok((count, due))
    }

    /// The ring's memory. // Virtio 1.3 §2.7, §2.8
    pub(super) fn areas(&self) -> impl Iterator<Item = Area> {
        let size = u64::from(self.size);
        let lengths = match &self.ring {
            Some(Ring::Split(_)) => [16 * size, 6 + 2 * size, 6 + 8 * size],
            Some(Ring::Packed(_)) => [16 * size, 4, 4],
            None => [0; 3],
        };
        // The device writes descriptors of a packed ring too.
        let packed = matches!(self.ring, Some(Ring::Packed(_)));
        (0..)
            .zip(self.addresses)
            .zip(lengths)
            .filter(|(_, len)| *len > 0)
            .map(move |((number, address), len)| Area {
                address,
                len,
                device_writes: number == 2 || packed && number == 0,
            })
    }
}

/// Answers a request without moving its data. Returns the bytes that count as written. // Virtio 1.3 §5.2.6
fn serve(memory: &GuestMemory, buffer: &Buffer) -> Result<u32, Violation> {
    let (Some(header), Some(last)) = (buffer.parts.first(), buffer.parts.last()) else {
        return Ok(0);
    };
    let kind = memory.read_u32(header.address).unwrap_or(u32::MAX);
    let known = matches!(kind, TYPE_IN | TYPE_OUT | TYPE_FLUSH);
    let status = if known { STATUS_OK } else { STATUS_UNSUPP };
    Memory::write(memory, last.address, &[status])?;
    let written = if kind == TYPE_IN {
        buffer.writable_bytes()
    } else {
        1
    };
    Ok(u32::try_from(written).unwrap_or(u32::MAX))
}
