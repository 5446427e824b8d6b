//! The common configuration of a device that judges nothing: its registers, and what a write to them asks for.

use crate::common;

/// No interrupt. // Virtio 1.3 §4.1.5.1.2, VIRTIO_MSI_NO_VECTOR
pub(crate) const NO_VECTOR: u16 = 0xffff;

/// What the driver has set of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Descriptors.
    pub size: u16,
    /// Device addresses of descriptor, driver and device area.
    pub addresses: [u64; 3],
    /// MSI-X vector.
    pub vector: u16,
    /// `queue_enable`.
    pub enabled: bool,
}

/// The registers. // Virtio 1.3 §4.1.4.3
#[derive(Debug)]
pub(crate) struct Plain {
    offered: u64,
    size: u16,
    selects: [u32; 2],
    select: u16,
    config_vector: u16,
    /// Features that the driver took.
    pub features: u64,
    /// `device_status`.
    pub status: u8,
    /// All queues.
    pub queues: Vec<Queue>,
}

/// What a write asks the device for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To remember a value.
    Nothing,
    /// To start over; the registers have done so.
    Reset,
    /// To look at its status.
    Status,
    /// To enable this queue.
    Enable(usize),
}

impl Plain {
    /// Registers of a device with so many queues of `size` descriptors.
    pub fn new(offered: u64, queues: u16, size: u16) -> Self {
        let mut plain = Self {
            offered,
            size,
            selects: [0; 2],
            select: 0,
            config_vector: NO_VECTOR,
            features: 0,
            status: 0,
            queues: Vec::with_capacity(queues.into()),
        };
        plain.reset(queues);
        plain
    }

    fn reset(&mut self, queues: u16) {
        let fresh = Queue {
            size: self.size,
            addresses: [0; 3],
            vector: NO_VECTOR,
            enabled: false,
        };
        self.queues = vec![fresh; queues.into()];
        self.selects = [0; 2];
        self.select = 0;
        self.config_vector = NO_VECTOR;
        self.features = 0;
        self.status = 0;
    }

    /// Whether the driver has said DRIVER_OK.
    pub fn running(&self) -> bool {
        self.status & common::DRIVER_OK != 0
    }

    /// Reads a register.
    pub fn read(&self, at: u64) -> u64 {
        let queue = self.queues.get(usize::from(self.select));
        let [of_device, of_driver] = self.selects;
        match at {
            common::DEVICE_FEATURE_SELECT => of_device.into(),
            common::DEVICE_FEATURE => word(self.offered, of_device),
            common::DRIVER_FEATURE_SELECT => of_driver.into(),
            common::DRIVER_FEATURE => word(self.features, of_driver),
            common::CONFIG_MSIX_VECTOR => self.config_vector.into(),
            common::NUM_QUEUES => self.queues.len() as u64,
            common::DEVICE_STATUS => self.status.into(),
            common::QUEUE_SELECT => self.select.into(),
            common::QUEUE_SIZE => queue.map_or(0, |queue| queue.size).into(),
            common::QUEUE_MSIX_VECTOR => queue.map_or(NO_VECTOR, |queue| queue.vector).into(),
            common::QUEUE_ENABLE => queue.is_some_and(|queue| queue.enabled).into(),
            common::QUEUE_NOTIFY_OFF => self.select.into(),
            common::QUEUE_DESC..common::LEN => {
                let field = (at - common::QUEUE_DESC) as usize / 8;
                let address = queue.map_or(0, |queue| queue.addresses[field]);
                word(address, ((at / 4) % 2) as u32)
            }
            _ => 0,
        }
    }

    /// Writes a register.
    pub fn write(&mut self, at: u64, width: u8, value: u64) -> Asked {
        match at {
            common::DEVICE_FEATURE_SELECT => self.selects[0] = value as u32,
            common::DRIVER_FEATURE_SELECT => self.selects[1] = value as u32,
            common::DRIVER_FEATURE if self.selects[1] < 2 => {
                let offset = u64::from(self.selects[1]) * 4;
                self.features = common::merge(self.features, offset, 4, value);
            }
            common::CONFIG_MSIX_VECTOR => self.config_vector = value as u16,
            common::DEVICE_STATUS if value == 0 => {
                self.reset(self.queues.len() as u16);
                return Asked::Reset;
            }
            common::DEVICE_STATUS => {
                self.status = value as u8;
                return Asked::Status;
            }
            common::QUEUE_SELECT => self.select = value as u16,
            _ => return self.queue_write(at, width, value),
        }
        Asked::Nothing
    }

    fn queue_write(&mut self, at: u64, width: u8, value: u64) -> Asked {
        let number = usize::from(self.select);
        let Some(queue) = self.queues.get_mut(number) else {
            return Asked::Nothing;
        };
        match at {
            common::QUEUE_SIZE => queue.size = value as u16,
            common::QUEUE_MSIX_VECTOR => queue.vector = value as u16,
            common::QUEUE_ENABLE => {
                queue.enabled = true;
                return Asked::Enable(number);
            }
            common::QUEUE_DESC..common::LEN => {
                let offset = at - common::QUEUE_DESC;
                let address = &mut queue.addresses[offset as usize / 8];
                *address = common::merge(*address, offset % 8, width, value);
            }
            _ => {}
        }
        Asked::Nothing
    }
}

/// Little-endian bytes `at` of a structure of configuration fields; 0 beyond its end.
pub(crate) fn field(fields: &[u8], at: u64, width: u8) -> u64 {
    (0..u64::from(width)).rev().fold(0, |value, byte| {
        let field = usize::try_from(at + byte)
            .ok()
            .and_then(|at| fields.get(at));
        value << 8 | u64::from(field.copied().unwrap_or(0))
    })
}

fn word(value: u64, select: u32) -> u64 {
    match select {
        0 => value & 0xffff_ffff,
        1 => value >> 32,
        _ => 0,
    }
}
