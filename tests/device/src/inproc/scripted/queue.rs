//! One queue of the scripted device.

use std::collections::VecDeque;

use ring_device::{Buffer, Memory, Queue as Ring, Setup, Violation};

use crate::inproc::{STATUS_OK, STATUS_UNSUPP};
use crate::memory::GuestMemory;
use crate::{common, plain};

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

/// A queue, once it is enabled.
#[derive(Default)]
pub(super) struct Queue {
    ring: Option<Ring>,
    areas: Vec<Area>,
    held: VecDeque<Buffer>,
}

impl Queue {
    pub(super) fn enable(
        &mut self,
        memory: &GuestMemory,
        features: u64,
        set: &plain::Queue,
    ) -> Result<(), Violation> {
        let [descriptor, driver, device] = set.addresses;
        let setup = Setup {
            packed: features & common::RING_PACKED != 0,
            size: set.size,
            descriptor,
            driver,
            device,
            indirect: features & common::INDIRECT_DESC != 0,
            event_idx: features & common::EVENT_IDX != 0,
            in_order: false,
        };
        let ring = Ring::new(setup, memory)?;
        self.areas = areas(&ring, set);
        self.ring = Some(ring);
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

    /// The ring's memory.
    pub(super) fn areas(&self) -> impl Iterator<Item = Area> {
        self.areas.iter().copied()
    }
}

/// Where the three parts of a ring lie. // Virtio 1.3 §2.7, §2.8
fn areas(ring: &Ring, set: &plain::Queue) -> Vec<Area> {
    let size = u64::from(set.size);
    // The device writes descriptors of a packed ring too.
    let (lengths, packed) = match ring {
        Ring::Split(_) => ([16 * size, 6 + 2 * size, 6 + 8 * size], false),
        Ring::Packed(_) => ([16 * size, 4, 4], true),
    };
    (0..)
        .zip(set.addresses)
        .zip(lengths)
        .map(|((number, address), len)| Area {
            address,
            len,
            device_writes: number == 2 || packed && number == 0,
        })
        .collect()
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
