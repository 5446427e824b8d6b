//! The virtio side of the in-process device: common configuration, status, features, and the work itself.

use rand_core::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::Config;
use super::blk::{Disk, HOST_MANAGED, WRITEBACK, ZONED};
use super::liar::Liar;
use super::lies::What;
use super::queue::{NO_VECTOR, Queue};
use crate::memory::GuestMemory;
use crate::{Field, Violation, common};

mod finish;
mod once;
mod work;

use self::once::Once;

/// Registers and state.
pub(super) struct Registers {
    config: Config,
    memory: GuestMemory,
    disk: Disk,
    fields: Vec<u8>,
    offered: u64,
    features: u64,
    device_feature_select: u32,
    driver_feature_select: u32,
    status: u8,
    /// Reads of the status that are left until a reset is done; none: no reset is under way.
    resetting: Option<u32>,
    config_vector: u16,
    select: u16,
    queues: Vec<Queue>,
    isr: u8,
    generation: u8,
    resets: u32,
    starts: u32,
    /// At the next register access the device is no longer there.
    gone: bool,
    /// What was done wrong once, by the name of its property.
    once: Once,
    /// Requests that were never answered.
    hung: u64,
    raised: Vec<u16>,
    liar: Liar,
    random: Pcg64Mcg,
    violations: Vec<Violation>,
}

impl Registers {
    pub(super) fn new(config: &Config, memory: GuestMemory) -> anyhow::Result<Self> {
        let disk = Disk::new(config)?;
        let transport = [
            (common::INDIRECT_DESC, config.indirect),
            (common::EVENT_IDX, config.event_idx),
            (common::RING_PACKED, config.packed),
            (common::IN_ORDER, config.in_order),
            (common::VERSION_1, config.version_1),
            (common::ACCESS_PLATFORM, config.access_platform),
        ];
        let offered = transport
            .iter()
            .filter(|(_, offered)| *offered)
            .fold(disk.features(), |all, (bit, _)| all | bit)
            | config.more_features;
        let mut registers = Self {
            memory,
            fields: disk.fields().to_vec(),
            disk,
            offered,
            features: 0,
            device_feature_select: 0,
            driver_feature_select: 0,
            status: 0,
            resetting: None,
            config_vector: NO_VECTOR,
            select: 0,
            queues: Vec::new(),
            isr: 0,
            generation: 0,
            resets: 0,
            starts: 0,
            gone: false,
            once: Once::new(config),
            hung: 0,
            raised: Vec::new(),
            liar: Liar::new(&config.lies),
            random: Pcg64Mcg::seed_from_u64(config.seed),
            violations: Vec::new(),
            config: config.clone(),
        };
        registers.reset();
        Ok(registers)
    }

    fn reset(&mut self) {
        self.features = 0;
        self.device_feature_select = 0;
        self.driver_feature_select = 0;
        self.status = 0;
        self.resetting = None;
        self.config_vector = NO_VECTOR;
        self.select = 0;
        self.isr = 0;
        self.fields[WRITEBACK] = self.config.writeback.into();
        self.resets += 1;
        if self.config.protect_after == Some(self.resets) {
            self.disk.protect();
            self.offered |= self.disk.features();
        }
        self.scribble_late();
        let size = self.config.queue_size;
        self.queues = (0..self.config.queues).map(|_| Queue::new(size)).collect();
    }

    /// Loses all that the driver told it, with the power: also what it had raised.
    pub(super) fn forget(&mut self) {
        self.reset();
        self.raised.clear();
    }

    fn complain(&mut self, section: &'static str, what: String) {
        self.violations.push(Violation { section, what });
    }

    pub(super) fn liar(&self) -> &Liar {
        &self.liar
    }

    /// Counts a register access; what is due at it and does not concern the registers is the caller's to do.
    pub(super) fn access(&mut self) -> Vec<What> {
        let due = self.liar.access();
        for what in &due {
            match *what {
                What::NeedsReset => {
                    self.status |= common::NEEDS_RESET;
                    self.raised.push(self.config_vector);
                    self.isr |= work::ISR_CONFIG;
                }
                What::Resize(sectors) => {
                    self.resize(sectors);
                    self.raised.push(self.config_vector);
                    self.isr |= work::ISR_CONFIG;
                }
                _ => {}
            }
        }
        due
    }

    /// Changes the capacity and says so, all but the interrupt.
    fn resize(&mut self, sectors: u64) {
        self.fields[..8].copy_from_slice(&sectors.to_le_bytes());
        self.disk.resize(sectors);
        self.generation = self.generation.wrapping_add(1);
    }

    pub(super) fn isr(&self) -> u8 {
        self.isr
    }

    /// Reading acknowledges. // Virtio 1.3 §4.1.4.5.1
    pub(super) fn isr_read(&mut self) -> u64 {
        let truth = std::mem::take(&mut self.isr);
        (truth | self.config.isr_ones).into()
    }

    pub(super) fn device_read(&mut self, at: u64, width: u8) -> u64 {
        if at == WRITEBACK as u64 && self.status & common::FEATURES_OK == 0 {
            self.complain(
                "Virtio 1.3 §5.2.5.1",
                "read writeback before FEATURES_OK".to_owned(),
            );
        }
        self.liar.count(Field { at, width });
        (0..u64::from(width)).rev().fold(0, |value, byte| {
            let field = usize::try_from(at + byte)
                .ok()
                .and_then(|at| self.fields.get(at));
            let field = self.liar.field(at + byte, field.copied().unwrap_or(0));
            value << 8 | u64::from(field)
        })
    }

    pub(super) fn device_write(&mut self, at: u64, width: u8, value: u64) {
        if at == WRITEBACK as u64 && width == 1 && Disk::writeback_writable(self.features) {
            self.fields[WRITEBACK] = value as u8;
        } else {
            self.complain(
                "Virtio 1.3 §5.2.4",
                format!("wrote {value:#x} to read-only configuration at {at:#x}"),
            );
        }
    }

    /// Fields are accessed in their own width, 64-bit ones in halves. // Virtio 1.3 §4.1.3.1
    fn check_width(&mut self, at: u64, width: u8) {
        let natural = match at {
            0x00..0x10 | 0x20..common::LEN => 4,
            common::DEVICE_STATUS | common::CONFIG_GENERATION => 1,
            _ => 2,
        };
        if width != natural || !at.is_multiple_of(u64::from(natural)) {
            self.complain(
                "Virtio 1.3 §4.1.3.1",
                format!("a {width}-byte access to common configuration at {at:#x}"),
            );
        }
    }

    pub(super) fn common_read(&mut self, at: u64, width: u8) -> u64 {
        let truth = self.true_read(at, width);
        self.liar.common(at, truth)
    }

    fn true_read(&mut self, at: u64, width: u8) -> u64 {
        self.check_width(at, width);
        let queue = self.queues.get(usize::from(self.select));
        let half = |value: u64, base: u64| {
            if at == base {
                value & 0xffff_ffff
            } else {
                value >> 32
            }
        };
        match at {
            common::DEVICE_FEATURE_SELECT => self.device_feature_select.into(),
            common::DEVICE_FEATURE => feature_word(self.offered, self.device_feature_select),
            common::DRIVER_FEATURE_SELECT => self.driver_feature_select.into(),
            common::DRIVER_FEATURE => feature_word(self.features, self.driver_feature_select),
            common::CONFIG_MSIX_VECTOR => self.config_vector.into(),
            common::NUM_QUEUES => self.config.queues.into(),
            common::DEVICE_STATUS => self.status_read().into(),
            common::CONFIG_GENERATION => self.generation.into(),
            common::QUEUE_SELECT => self.select.into(),
            common::QUEUE_SIZE => queue.map_or(0, |queue| queue.layout.size.into()),
            common::QUEUE_MSIX_VECTOR => queue.map_or(NO_VECTOR, |queue| queue.vector).into(),
            common::QUEUE_ENABLE => queue.is_some_and(|queue| queue.enabled).into(),
            common::QUEUE_NOTIFY_OFF => self.select.into(),
            _ => queue.map_or(0, |queue| match at & !7 {
                common::QUEUE_DESC => half(queue.layout.descriptors, common::QUEUE_DESC),
                common::QUEUE_DRIVER => half(queue.layout.driver, common::QUEUE_DRIVER),
                common::QUEUE_DEVICE => half(queue.layout.device, common::QUEUE_DEVICE),
                _ => 0,
            }),
        }
    }

    fn status_read(&mut self) -> u8 {
        let obeys = self
            .config
            .most_resets
            .is_none_or(|most| self.resets < most);
        match self.resetting {
            Some(0 | 1) if obeys => {
                self.reset();
                0
            }
            Some(reads) => {
                if self.config.reset_reads.is_some() && obeys {
                    self.resetting = Some(reads - 1);
                }
                // Not 0 before it is done. // Virtio 1.3 §4.1.4.3.1
                self.status.max(common::ACKNOWLEDGE)
            }
            None => self.status,
        }
    }

    pub(super) fn common_write(&mut self, at: u64, width: u8, value: u64) {
        self.check_width(at, width);
        if self.config.gone_after_write.map(u64::from) == Some(at) {
            self.gone = true;
            self.once.done("gone-after-write");
        }
        if self.resetting.is_some() && at != common::DEVICE_STATUS {
            self.complain(
                "Virtio 1.3 §4.1.4.3.2",
                format!("wrote common configuration at {at:#x} before the reset was done"),
            );
        }
        match at {
            common::DEVICE_FEATURE_SELECT => self.device_feature_select = value as u32,
            common::DRIVER_FEATURE_SELECT => self.driver_feature_select = value as u32,
            common::DRIVER_FEATURE => self.driver_feature(value),
            common::CONFIG_MSIX_VECTOR => self.config_vector = self.known_vector(value),
            common::DEVICE_STATUS => self.status_write(value as u8),
            common::QUEUE_SELECT => self.select = value as u16,
            common::QUEUE_SIZE..common::LEN if at != common::QUEUE_NOTIFY_OFF => {
                self.queue_write(at, width, value)
            }
            _ => self.complain(
                "Virtio 1.3 §4.1.4.3.2",
                format!("wrote {value:#x} to read-only common configuration at {at:#x}"),
            ),
        }
    }

    /// A vector that does not exist reads back as none. // Virtio 1.3 §4.1.5.1.2.1
    fn known_vector(&self, value: u64) -> u16 {
        let vector = value as u16;
        if vector < self.config.vectors {
            vector
        } else {
            NO_VECTOR
        }
    }

    fn driver_feature(&mut self, value: u64) {
        if self.status & common::FEATURES_OK != 0 {
            self.complain(
                "Virtio 1.3 §3.1.1",
                "wrote features after FEATURES_OK".to_owned(),
            );
        }
        if self.driver_feature_select < 2 {
            let offset = u64::from(self.driver_feature_select) * 4;
            self.features = common::merge(self.features, offset, 4, value);
        }
    }

    fn status_write(&mut self, value: u8) {
        self.liar.status_written(value);
        if value == 0 {
            self.resetting = Some(self.config.reads_of_reset(self.resets + 1));
            if self.config.reset_reads == Some(0) {
                self.reset();
            }
            return;
        }
        // Giving up is no reinitialisation: a driver may say so at any time. // Virtio 1.3 §2.1
        if value & common::FAILED != 0 {
            self.status |= common::FAILED;
            return;
        }
        let set = value & !self.status;
        if self.resetting.is_some() {
            self.complain(
                "Virtio 1.3 §4.1.4.3.2",
                "set status before the reset was done".to_owned(),
            );
            return;
        }
        if value & self.status != self.status & !common::NEEDS_RESET {
            self.complain(
                "Virtio 1.3 §2.1.1",
                format!("cleared status bits: {:#x} to {value:#x}", self.status),
            );
        }
        let needs = |bit: u8, before: u8| set & bit != 0 && value & before != before;
        if needs(common::DRIVER, common::ACKNOWLEDGE)
            || needs(common::FEATURES_OK, common::ACKNOWLEDGE | common::DRIVER)
            || needs(common::DRIVER_OK, common::FEATURES_OK)
        {
            self.complain(
                "Virtio 1.3 §3.1.1",
                format!("status {value:#x} skips a step"),
            );
        }
        let mut accepted = value | self.status & common::NEEDS_RESET;
        if set & common::FEATURES_OK != 0 && !self.features_acceptable() {
            accepted &= !common::FEATURES_OK;
        }
        if set & common::DRIVER_OK != 0 && self.status & common::FEATURES_OK == 0 {
            self.complain(
                "Virtio 1.3 §3.1.1",
                "DRIVER_OK without FEATURES_OK accepted".to_owned(),
            );
        }
        self.status = accepted;
        if set & common::DRIVER_OK != 0 {
            self.started();
        }
    }

    fn features_acceptable(&mut self) -> bool {
        let foreign = self.features & !self.offered;
        if foreign != 0 {
            self.complain(
                "Virtio 1.3 §2.2.1",
                format!("took features {foreign:#x}, which were not offered"),
            );
        }
        let mut insisted = common::VERSION_1 | common::ACCESS_PLATFORM;
        if self.config.zoned == Some(HOST_MANAGED) {
            insisted |= ZONED;
        }
        let missing = self.offered & insisted & !self.features;
        foreign == 0 && missing == 0 && !self.config.refuse_features
    }

    fn queue_write(&mut self, at: u64, width: u8, value: u64) {
        let index = self.select;
        let vector = self.known_vector(value);
        let most = self.config.queue_size;
        let Some(queue) = self.queues.get_mut(usize::from(index)) else {
            self.complain(
                "Virtio 1.3 §4.1.4.3.2",
                format!("wrote to queue {index}, which does not exist"),
            );
            return;
        };
        if queue.enabled && at != common::QUEUE_ENABLE {
            self.complain(
                "Virtio 1.3 §4.1.4.3.2",
                format!("wrote {at:#x} of enabled queue {index}"),
            );
            return;
        }
        match at {
            common::QUEUE_SIZE => {
                queue.layout.size = value as u16;
                if value > u64::from(most) {
                    self.complain(
                        "Virtio 1.3 §4.1.4.3",
                        format!("queue {index} set to {value} entries, it has {most} at most"),
                    );
                }
            }
            common::QUEUE_MSIX_VECTOR => queue.vector = vector,
            common::QUEUE_ENABLE => self.queue_enable(index, value),
            _ => {
                let (register, base) = match at & !7 {
                    common::QUEUE_DESC => (&mut queue.layout.descriptors, common::QUEUE_DESC),
                    common::QUEUE_DRIVER => (&mut queue.layout.driver, common::QUEUE_DRIVER),
                    _ => (&mut queue.layout.device, common::QUEUE_DEVICE),
                };
                *register = common::merge(*register, at - base, width, value);
            }
        }
    }

    fn queue_enable(&mut self, index: u16, value: u64) {
        if value != 1 {
            self.complain(
                "Virtio 1.3 §4.1.4.3.2",
                format!("wrote {value} to queue_enable of queue {index}"),
            );
            return;
        }
        if self.status & common::FEATURES_OK == 0 {
            self.complain(
                "Virtio 1.3 §3.1.1",
                format!("enabled queue {index} before FEATURES_OK"),
            );
        }
        if let Some(queue) = self.queues.get_mut(usize::from(index)) {
            queue.layout.packed = self.features & common::RING_PACKED != 0;
            let mut faults = queue.layout.faults(index, &self.memory);
            if faults.is_empty() {
                faults.extend(queue.enable(index, &self.memory, self.features).err());
            }
            self.violations.extend(faults);
        }
    }
}

fn feature_word(features: u64, select: u32) -> u64 {
    match select {
        0 => features & 0xffff_ffff,
        1 => features >> 32,
        _ => 0,
    }
}
