//! The virtio side of the scripted device: as much as a driver that keeps to the rules needs.

use super::queue::{Area, Queue};
use super::{Seen, Shape};
use crate::memory::GuestMemory;
use crate::plain::{self, Asked, NO_VECTOR, Plain};
use crate::{Violation, common};

// Feature bits. // Virtio 1.3 §5.2.3
const SEG_MAX: u64 = 1 << 2;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const MQ: u64 = 1 << 12;

/// Segments of a request at most, besides header and status.
const SEGMENTS: u32 = 126;

pub(super) struct Registers {
    memory: GuestMemory,
    fields: [u8; 96],
    common: Plain,
    queues: Vec<Queue>,
    raised: Vec<u16>,
    violations: Vec<Violation>,
    pub seen: Seen,
}

impl Registers {
    pub(super) fn new(shape: Shape, memory: GuestMemory) -> Self {
        let mut offered = SEG_MAX | BLK_SIZE | FLUSH | common::EVENT_IDX | common::VERSION_1;
        if shape.queues > 1 {
            offered |= MQ;
        }
        if shape.indirect {
            offered |= common::INDIRECT_DESC;
        }
        if shape.packed {
            offered |= common::RING_PACKED;
        }
        // struct virtio_blk_config. // Virtio 1.3 §5.2.4
        let mut fields = [0; 96];
        fields[0..8].copy_from_slice(&shape.sectors.to_le_bytes());
        fields[12..16].copy_from_slice(&SEGMENTS.to_le_bytes());
        fields[20..24].copy_from_slice(&512u32.to_le_bytes());
        fields[34..36].copy_from_slice(&shape.queues.to_le_bytes());
        let mut registers = Self {
            memory,
            fields,
            common: Plain::new(offered, shape.queues, shape.queue_size),
            queues: Vec::new(),
            raised: Vec::new(),
            violations: Vec::new(),
            seen: Seen::default(),
        };
        registers.reset();
        registers
    }

    pub(super) fn reset(&mut self) {
        self.queues = self
            .common
            .queues
            .iter()
            .map(|_| Queue::default())
            .collect();
        self.raised.clear();
    }

    pub(super) fn is_packed(&self) -> bool {
        self.common.features & common::RING_PACKED != 0
    }

    pub(super) fn take_raised(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.raised)
    }

    pub(super) fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    pub(super) fn areas(&self) -> Vec<Area> {
        self.queues.iter().flat_map(Queue::areas).collect()
    }

    pub(super) fn take(&mut self) -> Vec<usize> {
        let running = self.common.running();
        let (memory, violations) = (&self.memory, &mut self.violations);
        let held = self.queues.iter_mut().map(|queue| {
            if !running {
                return 0;
            }
            queue.take(memory).unwrap_or_else(|found| {
                violations.push(violation(&found));
                0
            })
        });
        held.collect()
    }

    pub(super) fn complete(&mut self, number: usize, count: usize) -> usize {
        let Some(queue) = self.queues.get_mut(number) else {
            return 0;
        };
        match queue.complete(&self.memory, count) {
            Ok((count, interrupt)) => {
                self.seen.completed += count as u64;
                let vector = self.common.queues[number].vector;
                if interrupt && vector != NO_VECTOR {
                    self.seen.interrupts += 1;
                    self.raised.push(vector);
                }
                count
            }
            Err(found) => {
                self.violations.push(violation(&found));
                0
            }
        }
    }

    pub(super) fn device_read(&self, at: u64, width: u8) -> u64 {
        plain::field(&self.fields, at, width)
    }

    pub(super) fn common_read(&self, at: u64) -> u64 {
        self.common.read(at)
    }

    pub(super) fn common_write(&mut self, at: u64, width: u8, value: u64) {
        match self.common.write(at, width, value) {
            Asked::Nothing | Asked::Status => {}
            Asked::Reset => self.reset(),
            Asked::Enable(number) => {
                let set = &self.common.queues[number];
                let queue = &mut self.queues[number];
                if let Err(found) = queue.enable(&self.memory, self.common.features, set) {
                    self.violations.push(violation(&found));
                }
            }
        }
    }
}

fn violation(found: &ring_device::Violation) -> Violation {
    Violation {
        section: "Virtio 1.3 §2.6",
        what: found.to_string(),
    }
}
