//! An observer between driver and device: it follows the rings in memory and knows what the device may still touch.

use std::time::Duration;

use host_machine::ram::Ram;

use crate::memory::GuestMemory;
pub use crate::ring::Part;
use crate::ring::{Layout, Walk};
use crate::{Bar, Device, Field, InterruptMode, Interrupts, Violation, common, pci};

mod account;
mod chain;
mod packed;
mod split;

use self::account::Account;
pub use self::chain::Chain;

/// A queue that the driver is setting up or has enabled.
#[derive(Default)]
struct Queue {
    layout: Layout,
    live: Option<split::Follower>,
    packed: Option<packed::Follower>,
}

impl Queue {
    /// Whether it is known where the rings lie that the device uses.
    fn enabled(&self) -> bool {
        self.live.is_some() || self.packed.is_some()
    }

    /// Whether the device is about to be told of a packed ring.
    fn due(&self) -> bool {
        self.packed.as_ref().is_some_and(packed::Follower::is_due)
    }

    fn followed(&self) -> bool {
        self.live.is_some() || self.packed.as_ref().is_some_and(packed::Follower::knows)
    }
}

/// A device with an observer in front. It sees every register access and reads the rings, but changes nothing.
///
/// It follows split queues of a modern device, and packed ones of a device that works only when it is polled. A driver that uses the
/// legacy interface, or packed queues of another device, is not observed; [`Observed::follows`] says so.
pub struct Observed<D> {
    device: D,
    memory: GuestMemory,
    regions: Option<pci::VirtioRegions>,
    queues: Vec<Queue>,
    select: u16,
    feature_select: u32,
    features: u64,
    resetting: bool,
    account: Account,
    published: Vec<Chain>,
    violations: Vec<Violation>,
    numbered: u64,
    needless: u64,
    /// Queues of which a notification that is due may come yet, though the device was reset since.
    crossing: Vec<u64>,
}

impl<D: Device> Observed<D> {
    /// Observes `device`, whose memory is `ram`.
    pub fn new(mut device: D, ram: &Ram) -> Self {
        let bars = device.bars();
        let mut config = |offset, width| device.config_read(offset, width);
        // Before anybody has said where they lie, only the capabilities can tell.
        let regions =
            pci::virtio_regions_in(&mut config, &bars).or_else(|| pci::virtio_regions(&mut config));
        Self {
            device,
            memory: GuestMemory::new(ram),
            regions,
            queues: Vec::new(),
            select: 0,
            feature_select: 0,
            features: 0,
            resetting: false,
            account: Account::default(),
            published: Vec::new(),
            violations: Vec::new(),
            numbered: 0,
            needless: 0,
            crossing: Vec::new(),
        }
    }

    /// The device behind.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// The device, without observer.
    pub fn into_inner(self) -> D {
        self.device
    }

    /// Whether any queue is being followed now.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.queues.iter().any(Queue::followed)
    }

    /// Looks at the rings and returns the chains that became available since the last call, in ring order.
    ///
    /// A chain that the device has already given back is among them too. When nothing has changed this costs two loads
    /// per enabled queue.
    pub fn refresh(&mut self) -> Vec<Chain> {
        self.look();
        std::mem::take(&mut self.published)
    }

    /// Brings every queue up to date.
    fn look(&mut self) {
        for queue in 0..self.queues.len() {
            match self.queues.get(queue).and_then(|queue| queue.live.as_ref()) {
                Some(live) => {
                    if let Some(moved) = live.moved() {
                        self.follow_split(queue, moved);
                    }
                }
                None => self.follow_packed(queue),
            }
        }
    }

    /// The memory of the rings that the device uses: tables, available rings (read) and used rings (written).
    pub fn rings(&self) -> impl Iterator<Item = Part> {
        self.queues
            .iter()
            .filter(|queue| queue.enabled())
            .flat_map(|queue| queue.layout.areas())
            .map(|area| Part {
                address: area.address,
                len: area.len as u32,
                device_writes: area.device_writes,
            })
    }

    /// The chains that the device has certainly not given back, as of the last [`Observed::refresh`]. Empty after a reset that
    /// was waited for, and after removal.
    #[must_use]
    pub fn outstanding(&self) -> &[Chain] {
        self.account.outstanding()
    }

    /// Feature bits that the driver has accepted.
    pub const fn features(&self) -> u64 {
        self.features
    }

    /// Descriptors of a queue that the driver has set up; 0: it has not.
    pub fn queue_size(&self, queue: usize) -> u32 {
        self.queues
            .get(queue)
            .map_or(0, |queue| queue.layout.size.into())
    }

    /// What the specification calls wrong, found by the observer or the device; taken out by the call. A device's own faults are
    /// reported here too and say so.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        let mut all = std::mem::take(&mut self.violations);
        all.append(&mut self.device.take_violations());
        all
    }

    /// Takes in a buffer that was made available. False: it cannot be claimed that the device has it.
    fn publish(&mut self, queue: usize, head: u16, walk: Walk) -> bool {
        let chain = Chain {
            queue: queue as u16,
            head,
            number: self.numbered,
            parts: walk.parts.into(),
            table: walk.table,
        };
        self.numbered += 1;
        self.published.push(chain.clone());
        self.account.published(chain)
    }

    /// Notes what a write to the common configuration means.
    fn snoop(&mut self, offset: u64, width: u8, value: u64) {
        match offset {
            common::QUEUE_SELECT => self.select = value as u16,
            common::DRIVER_FEATURE_SELECT => self.feature_select = value as u32,
            common::DRIVER_FEATURE if self.feature_select < 2 => {
                self.features =
                    common::merge(self.features, u64::from(self.feature_select) * 4, 4, value);
            }
            common::DEVICE_STATUS if value as u8 == 0 => self.resetting = true,
            common::QUEUE_SIZE => self.queue().layout.size = value as u16,
            common::QUEUE_ENABLE if value as u16 == 1 => self.enable(),
            common::QUEUE_DESC..common::LEN => {
                let layout = &mut self.queue().layout;
                let (register, base) = match offset & !7 {
                    common::QUEUE_DESC => (&mut layout.descriptors, common::QUEUE_DESC),
                    common::QUEUE_DRIVER => (&mut layout.driver, common::QUEUE_DRIVER),
                    _ => (&mut layout.device, common::QUEUE_DEVICE),
                };
                *register = common::merge(*register, offset - base, width, value);
            }
            _ => {}
        }
    }

    fn queue(&mut self) -> &mut Queue {
        let index = usize::from(self.select);
        if self.queues.len() <= index {
            self.queues.resize_with(index + 1, Queue::default);
        }
        &mut self.queues[index]
    }

    fn enable(&mut self) {
        let packed = self.is_packed();
        if packed && !self.device.works_when_polled() {
            return;
        }
        let Some(regions) = self.regions else { return };
        if self.queue().layout.size == 0 {
            // The driver left the size that the device proposed.
            let offset = regions.common.offset + common::QUEUE_SIZE;
            let size = self.device.read(regions.common.bar, offset, 2) as u16;
            if size == u16::MAX {
                return; // It is gone, and enables nothing.
            }
            self.queue().layout.size = size;
        }
        let index = self.select;
        self.queue().layout.packed = packed;
        let layout = self.queue().layout;
        let faults = layout.faults(index, &self.memory);
        let sound = faults.is_empty();
        self.violations.extend(faults);
        if packed {
            if sound {
                self.begin_packed(index, &layout);
            }
            return;
        }
        let cells = (
            self.memory.index_cell(layout.avail_idx()),
            self.memory.index_cell(layout.used_idx()),
        );
        if let (true, (Some(avail), Some(used))) = (sound, cells) {
            self.queue().live = Some(split::Follower::new(avail, used, layout.size));
        }
    }

    fn forget(&mut self) {
        self.resetting = false;
        let due = (0..).zip(&self.queues).filter(|(_, queue)| queue.due());
        self.crossing.extend(due.map(|(number, _)| number));
        self.queues.clear();
        self.account = Account::default();
        self.features = 0;
        self.select = 0;
    }
}

impl<D: Device> Device for Observed<D> {
    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        self.device.config_read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        self.device.config_write(offset, width, value);
    }

    fn bars(&self) -> Vec<Bar> {
        self.device.bars()
    }

    fn read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        let value = self.device.read(bar, offset, width);
        let status = self.regions.is_some_and(|regions| {
            regions.common.locate(bar, offset) == Some(common::DEVICE_STATUS)
        });
        // The reset is done, and with it the device's use of memory, when the status reads 0. // Virtio 1.3 §4.1.4.3.1
        if self.resetting && status && value as u8 == 0 {
            self.forget();
        }
        // A device that has vanished uses no memory. // PCI 3.0 §6.1
        if value == crate::all_ones(width) && self.device.config_read(0, 2) == 0xffff {
            self.forget();
        }
        value
    }

    fn write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        // After a doorbell a device may be done, and the driver have the descriptors back, before anybody looks again.
        self.look();
        if self
            .regions
            .is_some_and(|regions| regions.notify.locate(bar, offset).is_some())
        {
            self.notified(value & 0xffff);
        }
        if let Some(offset) = self
            .regions
            .and_then(|regions| regions.common.locate(bar, offset))
        {
            self.snoop(offset, width, value);
        }
        self.device.write(bar, offset, width, value);
    }

    fn msix_vectors(&self) -> u16 {
        self.device.msix_vectors()
    }

    fn enable_interrupts(&mut self, mode: InterruptMode) -> anyhow::Result<()> {
        self.device.enable_interrupts(mode)
    }

    fn disable_interrupts(&mut self) {
        self.device.disable_interrupts();
    }

    fn poll(&mut self, wait: Duration) -> anyhow::Result<Interrupts> {
        // What the device is about to take, before it can change anything of it.
        self.look();
        // Who is ready to wait has nothing else to do.
        if !wait.is_zero() {
            self.check_notified();
        }
        let found = self.device.poll(wait);
        // What it wrote into a packed ring, before the driver can overwrite it.
        if self.is_packed() {
            self.look();
        }
        found
    }

    fn set_power(&mut self, on: bool) -> anyhow::Result<()> {
        self.device.set_power(on)?;
        self.forget(); // as it has
        Ok(())
    }

    fn remove(&mut self) {
        self.device.remove();
        self.forget();
    }

    fn take_violations(&mut self) -> Vec<Violation> {
        Observed::take_violations(self)
    }

    fn rest(&mut self, polls: u64) -> bool {
        self.device.rest(polls)
    }

    fn deterministic(&self) -> bool {
        self.device.deterministic()
    }

    fn works_when_polled(&self) -> bool {
        self.device.works_when_polled()
    }

    fn fields_read(&self) -> Vec<(Field, u64)> {
        self.device.fields_read()
    }

    fn accesses(&self) -> u64 {
        self.device.accesses()
    }

    fn told(&self) -> Vec<(String, u64)> {
        self.device.told()
    }
}

#[cfg(test)]
mod tests;
