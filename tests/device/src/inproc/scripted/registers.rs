//! The registers of the scripted device: as much of virtio-pci as a driver that keeps to the rules needs.

use super::queue::{Area, Queue};
use super::{Seen, Shape};
use crate::inproc::queue::NO_VECTOR;
use crate::memory::GuestMemory;
use crate::{Violation, common};

// Feature bits. // Virtio 1.3 §5.2.3
const SEG_MAX: u64 = 1 << 2;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const MQ: u64 = 1 << 12;

/// Segments of a request at most, besides header and status.
const SEGMENTS: u32 = 126;

pub(super) struct Registers {
    shape: Shape,
    memory: GuestMemory,
    fields: [u8; 96],
    offered: u64,
    features: u64,
    feature_selects: [u32; 2],
    status: u8,
    config_vector: u16,
    select: u16,
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
            shape,
            memory,
            fields,
            offered,
            features: 0,
            feature_selects: [0; 2],
            status: 0,
            config_vector: NO_VECTOR,
            select: 0,
            queues: Vec::new(),
            raised: Vec::new(),
            violations: Vec::new(),
            seen: Seen::default(),
        };
        registers.reset();
        registers
    }

    pub(super) fn reset(&mut self) {
        self.features = 0;
        self.feature_selects = [0; 2];
        self.status = 0;
        self.config_vector = NO_VECTOR;
        self.select = 0;
        let size = self.shape.queue_size;
        self.queues = (0..self.shape.queues).map(|_| Queue::new(size)).collect();
        self.raised.clear();
    }

    pub(super) fn is_packed(&self) -> bool {
        self.features & common::RING_PACKED != 0
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

    fn running(&self) -> bool {
        self.status & common::DRIVER_OK != 0
    }

    pub(super) fn take(&mut self) -> Vec<usize> {
        let running = self.running();
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

    pub(super) fn complete(&mut self, queue: usize, count: usize) -> usize {
        let Some(queue) = self.queues.get_mut(queue) else {
            return 0;
        };
        match queue.complete(&self.memory, count) {
            Ok((count, interrupt)) => {
                self.seen.completed += count as u64;
                if interrupt && queue.vector != NO_VECTOR {
                    self.seen.interrupts += 1;
                    self.raised.push(queue.vector);
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
        (0..u64::from(width)).rev().fold(0, |value, byte| {
            let field = usize::try_from(at + byte)
                .ok()
                .and_then(|at| self.fields.get(at));
            value << 8 | u64::from(field.copied().unwrap_or(0))
        })
    }

    pub(super) fn common_read(&mut self, at: u64) -> u64 {
        let queue = self.queues.get(usize::from(self.select));
        let [of_device, of_driver] = self.feature_selects;
        match at {
            common::DEVICE_FEATURE_SELECT => of_device.into(),
            common::DEVICE_FEATURE => word(self.offered, of_device),
            common::DRIVER_FEATURE_SELECT => of_driver.into(),
            common::DRIVER_FEATURE => word(self.features, of_driver),
            common::CONFIG_MSIX_VECTOR => self.config_vector.into(),
            common::NUM_QUEUES => self.shape.queues.into(),
            common::DEVICE_STATUS => self.status.into(),
            common::QUEUE_SELECT => self.select.into(),
            common::QUEUE_SIZE => queue.map_or(0, |queue| queue.size).into(),
            common::QUEUE_MSIX_VECTOR => queue.map_or(NO_VECTOR, |queue| queue.vector).into(),
            common::QUEUE_ENABLE => queue.is_some_and(Queue::is_enabled).into(),
            common::QUEUE_NOTIFY_OFF => self.select.into(),
            common::QUEUE_DESC..common::LEN => {
                let field = (at - common::QUEUE_DESC) as usize / 8;
                let address = queue.map_or(0, |queue| queue.addresses[field]);
                word(address, ((at / 4) % 2) as u32)
            }
            _ => 0,
        }
    }

    pub(super) fn common_write(&mut self, at: u64, width: u8, value: u64) {
        match at {
            common::DEVICE_FEATURE_SELECT => self.feature_selects[0] = value as u32,
            common::DRIVER_FEATURE_SELECT => self.feature_selects[1] = value as u32,
            common::DRIVER_FEATURE if self.feature_selects[1] < 2 => {
                let offset = u64::from(self.feature_selects[1]) * 4;
                self.features = common::merge(self.features, offset, 4, value);
            }
            common::CONFIG_MSIX_VECTOR => self.config_vector = value as u16,
            common::DEVICE_STATUS if value == 0 => self.reset(),
            common::DEVICE_STATUS => self.status = value as u8,
            common::QUEUE_SELECT => self.select = value as u16,
            _ => self.queue_write(at, width, value),
        }
    }

    fn queue_write(&mut self, at: u64, width: u8, value: u64) {
        let (memory, features) = (&self.memory, self.features);
        let Some(queue) = self.queues.get_mut(usize::from(self.select)) else {
            return;
        };
        match at {
            common::QUEUE_SIZE => queue.size = value as u16,
            common::QUEUE_MSIX_VECTOR => queue.vector = value as u16,
            common::QUEUE_ENABLE => {
                if let Err(found) = queue.enable(memory, features) {
                    self.violations.push(violation(&found));
                }
            }
            common::QUEUE_DESC..common::LEN => {
                let offset = at - common::QUEUE_DESC;
                let address = &mut queue.addresses[offset as usize / 8];
                *address = common::merge(*address, offset % 8, width, value);
            }
            _ => {}
        }
    }
}

fn violation(found: &ring_device::Violation) -> Violation {
    Violation {
        section: "Virtio 1.3 §2.6",
        what: found.to_string(),
    }
}

fn word(value: u64, select: u32) -> u64 {
    match select {
        0 => value & 0xffff_ffff,
        1 => value >> 32,
        _ => 0,
    }
}
