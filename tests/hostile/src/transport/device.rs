//! A device's registers, of either interface, written out from the specification, with one place where it may lie.
//!
//! Every offset is a number on purpose: it shares nothing with the code under test. The honest device also watches the
//! driver, and notes every rule that it breaks.

use std::cell::RefCell;
use std::rc::Rc;

use virtio_core::mmio::Registers;

use super::registers;

/// Which registers an access reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Common configuration. // Virtio 1.3 §4.1.4.3
    Common,
    /// Notifications. // Virtio 1.3 §4.1.4.4
    Notify,
    /// ISR status. // Virtio 1.3 §4.1.4.5
    Isr,
    /// Device configuration. // Virtio 1.3 §4.1.4.6
    Config,
    /// Everything of a legacy device. // Virtio 1.3 §4.1.4.10
    Legacy,
}

/// One access of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) place: Place,
    pub(super) offset: usize,
    pub(super) width: u8,
    /// `None` for a read.
    pub(super) write: Option<u32>,
}

impl Access {
    /// Whether it reads this register.
    pub(super) fn reads(&self, place: Place, offset: usize) -> bool {
        self.write.is_none() && (self.place, self.offset) == (place, offset)
    }

    /// Whether it writes this register.
    pub(super) fn writes(&self, place: Place, offset: usize) -> bool {
        self.write.is_some() && (self.place, self.offset) == (place, offset)
    }

    /// Whether it reads the device status, of either interface.
    pub(super) fn reads_status(&self) -> bool {
        self.reads(Place::Common, 20) || self.reads(Place::Legacy, 18)
    }

    /// What it writes to the device status, of either interface.
    pub(super) fn status_written(&self) -> Option<u32> {
        let status = self.writes(Place::Common, 20) || self.writes(Place::Legacy, 18);
        self.write.filter(|_| status)
    }
}

/// What the device knows of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeviceQueue {
    /// Size after a reset.
    pub(super) max: u16,
    pub(super) size: u16,
    pub(super) vector: u16,
    pub(super) enabled: u16,
    pub(super) reset: u16,
    pub(super) notify_off: u16,
    /// What names it in notifications, with NOTIF_CONFIG_DATA.
    pub(super) notify_data: u16,
    /// Descriptor, driver and device area, low and high halves.
    pub(super) addresses: [u32; 6],
    /// Page, on a legacy device.
    pub(super) page: u32,
}

impl DeviceQueue {
    pub(super) const fn new(max: u16, notify_off: u16) -> Self {
        Self {
            max,
            size: max,
            vector: 0xffff,
            enabled: 0,
            reset: 0,
            notify_off,
            notify_data: 0x5a00 | notify_off,
            addresses: [0; 6],
            page: 0,
        }
    }

    pub(super) const fn reset(&mut self) {
        let notify_data = self.notify_data;
        *self = Self::new(self.max, self.notify_off);
        self.notify_data = notify_data;
    }
}

/// All that the device has.
pub(super) struct State {
    pub(super) offered: u64,
    pub(super) accepted: u64,
    /// Whether features were accepted, perhaps none.
    pub(super) negotiated: bool,
    pub(super) status: u8,
    pub(super) generation: u8,
    pub(super) isr: u8,
    pub(super) config: Vec<u8>,
    pub(super) config_vector: u16,
    pub(super) queues: Vec<DeviceQueue>,
    pub(super) selected: u16,
    pub(super) device_select: u32,
    pub(super) driver_select: u32,
    /// Vectors that can be mapped.
    pub(super) vectors: u16,
    /// Whether it has been removed: everything reads all ones.
    pub(super) gone: bool,
    /// Rules that the driver broke.
    pub(super) broken_rules: Vec<String>,
}

impl State {
    /// The selected queue, if there is one.
    pub(super) fn queue(&mut self) -> Option<&mut DeviceQueue> {
        self.queues.get_mut(usize::from(self.selected))
    }

    /// Notes that the driver broke a rule.
    pub(super) fn broke(&mut self, rule: impl Into<String>) {
        self.broken_rules.push(rule.into());
    }
}

/// Changes what happens at an access: the value that a read gives, or `Some` of anything for a write that is swallowed.
pub(super) type Lie = Box<dyn FnMut(&mut State, &Access) -> Option<u32>>;

struct Inner {
    state: State,
    lie: Option<Lie>,
    log: Vec<Access>,
}

/// A handle on the device.
#[derive(Clone)]
pub(super) struct Device(Rc<RefCell<Inner>>);

/// VERSION_1, EVENT_IDX, INDIRECT_DESC and one bit of the device type.
pub(super) const OFFERED: u64 = 1 << 32 | 1 << 29 | 1 << 28 | 1 << 9;

impl Device {
    pub(super) fn new() -> Self {
        let state = State {
            offered: OFFERED,
            accepted: 0,
            negotiated: false,
            status: 0,
            generation: 7,
            isr: 0,
            config: (0..60).collect(),
            config_vector: 0xffff,
            queues: (0..3).map(|n| DeviceQueue::new(64, n)).collect(),
            selected: 0,
            device_select: 0,
            driver_select: 0,
            vectors: 8,
            gone: false,
            broken_rules: Vec::new(),
        };
        Self(Rc::new(RefCell::new(Inner {
            state,
            lie: None,
            log: Vec::new(),
        })))
    }

    /// From now on the device lies like this.
    pub(super) fn lie(&self, lie: impl FnMut(&mut State, &Access) -> Option<u32> + 'static) {
        self.0.borrow_mut().lie = Some(Box::new(lie));
    }

    /// Looks at the device, or changes it.
    pub(super) fn with<V>(&self, act: impl FnOnce(&mut State) -> V) -> V {
        act(&mut self.0.borrow_mut().state)
    }

    /// What the driver did since the last call.
    pub(super) fn log(&self) -> Vec<Access> {
        std::mem::take(&mut self.0.borrow_mut().log)
    }

    fn access(&self, access: Access) -> u32 {
        let mut inner = self.0.borrow_mut();
        let inner = &mut *inner;
        inner.log.push(access);
        let ones = u32::MAX >> (32 - 8 * u32::from(access.width));
        if inner.state.gone {
            return ones;
        }
        if let Some(lie) = &mut inner.lie
            && let Some(value) = lie(&mut inner.state, &access)
        {
            return value & ones;
        }
        if inner.state.gone {
            return ones;
        }
        registers::honest(&mut inner.state, &access)
    }
}

/// One window of registers.
pub(super) struct Window {
    pub(super) device: Device,
    pub(super) place: Place,
    pub(super) len: usize,
}

impl Window {
    fn access(&self, offset: usize, width: u8, write: Option<u32>) -> u32 {
        assert!(offset + usize::from(width) <= self.len, "outside");
        // Virtio 1.3 §4.1.3.1.
        assert_eq!(offset % usize::from(width), 0, "misaligned");
        self.device.access(Access {
            place: self.place,
            offset,
            width,
            write,
        })
    }
}

impl Registers for Window {
    fn len(&self) -> usize {
        self.len
    }
    fn read8(&self, offset: usize) -> u8 {
        self.access(offset, 1, None) as u8
    }
    fn read16(&self, offset: usize) -> u16 {
        self.access(offset, 2, None) as u16
    }
    fn read32(&self, offset: usize) -> u32 {
        self.access(offset, 4, None)
    }
    fn write8(&self, offset: usize, value: u8) {
        self.access(offset, 1, Some(value.into()));
    }
    fn write16(&self, offset: usize, value: u16) {
        self.access(offset, 2, Some(value.into()));
    }
    fn write32(&self, offset: usize, value: u32) {
        self.access(offset, 4, Some(value));
    }
}
