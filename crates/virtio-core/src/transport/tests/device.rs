//! A modern virtio-pci device as the specification describes its registers, with faults to switch on.
//!
//! Offsets and values are written out here on purpose: a wrong one in `spec` must not agree with itself.

use core::cell::{Cell, RefCell};
use std::rc::Rc;
use std::vec::Vec;

use crate::Clock;
use crate::mmio::Registers;
use crate::spec::features::Features;
use crate::transport::{Location, Locations, Msix, Transport};

/// Which structure a window shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Structure {
    Common,
    Notify,
    Isr,
    Device,
}

/// One access that the driver made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) structure: Structure,
    pub(super) offset: usize,
    pub(super) width: u8,
    /// `None` for a read.
    pub(super) write: Option<u32>,
}

/// What one queue was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceQueue {
    pub(super) max: u16,
    pub(super) size: u16,
    pub(super) vector: u16,
    pub(super) enabled: u16,
    pub(super) notify_off: u16,
    pub(super) addresses: [u32; 6],
}

/// How the device misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// All registers read all ones.
    Gone,
    /// The status takes this many reads to become 0 after a reset.
    SlowReset(u32),
    /// The status never becomes 0.
    StuckReset,
    /// The status reads all ones, everything else is as usual.
    StatusAllOnes,
    /// FEATURES_OK does not stay set.
    RefuseFeatures,
    /// DRIVER_OK makes it ask for a reset.
    NeedsReset,
    /// No vector is ever mapped.
    NoVectors,
    /// Queue sizes cannot be changed.
    FixedSize,
    /// The configuration generation changes this many times between two reads of the driver.
    Restless(u32),
}

pub(super) struct State {
    pub(super) fault: Fault,
    pub(super) status: u8,
    pub(super) offered: u64,
    pub(super) accepted: u64,
    pub(super) config_vector: u16,
    pub(super) generation: u8,
    pub(super) isr: u8,
    pub(super) queues: Vec<DeviceQueue>,
    pub(super) config: Vec<u8>,
    pub(super) log: Vec<Access>,
    device_select: u32,
    driver_select: u32,
    queue_select: u16,
    reads_since_reset: u32,
}

/// A handle on the device, for the test and for the windows onto it.
#[derive(Clone)]
pub(super) struct Device(pub(super) Rc<RefCell<State>>);

/// VERSION_1, EVENT_IDX, INDIRECT_DESC, and one bit of the device type.
pub(super) const OFFERED: u64 = 1 << 32 | 1 << 29 | 1 << 28 | 1 << 9;

impl Device {
    pub(super) fn new() -> Self {
        let queue = |notify_off| DeviceQueue {
            max: 256,
            size: 256,
            vector: 0xffff,
            notify_off,
            ..DeviceQueue::default()
        };
        Self(Rc::new(RefCell::new(State {
            fault: Fault::None,
            status: 0,
            offered: OFFERED,
            accepted: 0,
            config_vector: 0xffff,
            generation: 7,
            isr: 0,
            queues: (0..3).map(queue).collect(),
            config: (0..60).collect(),
            log: Vec::new(),
            device_select: 0,
            driver_select: 0,
            queue_select: 0,
            reads_since_reset: 0,
        })))
    }

    pub(super) fn with(fault: Fault) -> Self {
        let device = Self::new();
        device.0.borrow_mut().fault = fault;
        device
    }

    pub(super) fn locations() -> Locations {
        let at = |offset, len| Location {
            bar: 4,
            offset,
            len,
        };
        Locations {
            common: at(0, 64),
            notify: at(0x3000, 0x1000),
            notify_off_multiplier: 4,
            isr: at(0x1000, 1),
            device: Some(at(0x2000, 60)),
            msix: Some(Msix {
                vectors: 8,
                enabled: true,
            }),
        }
    }

    pub(super) fn transport(&self) -> Transport<Window> {
        self.transport_at(&Self::locations())
    }

    /// The device after steps 1 to 3.
    pub(super) fn acknowledged(&self) -> Transport<Window> {
        let transport = self.transport();
        start(&transport);
        transport
    }

    /// The device after step 6, with VERSION_1 alone.
    pub(super) fn negotiated(&self) -> Transport<Window> {
        let transport = self.acknowledged();
        transport.accept(Features::VERSION_1).unwrap();
        transport
    }

    pub(super) fn transport_at(&self, locations: &Locations) -> Transport<Window> {
        Transport::modern(locations, |location| Some(self.window(location))).unwrap()
    }

    pub(super) fn window(&self, location: Location) -> Window {
        let structure = match location.offset {
            0x0000 => Structure::Common,
            0x1000 => Structure::Isr,
            0x2000 => Structure::Device,
            0x3000 => Structure::Notify,
            other => panic!("no structure at {other:#x}"),
        };
        Window {
            device: self.clone(),
            structure,
            len: location.len as usize,
        }
    }

    /// What the driver did since the last call.
    pub(super) fn log(&self) -> Vec<Access> {
        core::mem::take(&mut self.0.borrow_mut().log)
    }

    /// The writes among it, to the common configuration, as (offset, value).
    pub(super) fn common_writes(&self) -> Vec<(usize, u32)> {
        let log = self.log().into_iter();
        log.filter(|access| access.structure == Structure::Common)
            .filter_map(|access| access.write.map(|value| (access.offset, value)))
            .collect()
    }
}

/// Steps 1 to 3, and what is offered.
pub(super) fn start(transport: &Transport<Window>) -> Features {
    let stopped = transport.reset(&TestClock::default(), 1000).unwrap();
    transport.acknowledge(stopped).unwrap()
}

/// One structure of the device.
pub(super) struct Window {
    device: Device,
    structure: Structure,
    len: usize,
}

impl Window {
    fn read(&self, offset: usize, width: u8) -> u32 {
        self.access(offset, width, None);
        let mut state = self.device.0.borrow_mut();
        if state.fault == Fault::Gone {
            return u32::MAX;
        }
        match self.structure {
            Structure::Common => state.common_read(offset, width),
            Structure::Notify => 0,
            Structure::Isr => u32::from(core::mem::take(&mut state.isr)),
            Structure::Device => {
                if let Fault::Restless(left @ 1..) = state.fault {
                    state.fault = Fault::Restless(left - 1);
                    state.generation = state.generation.wrapping_add(1);
                }
                (0..usize::from(width)).fold(0, |value, n| {
                    value | u32::from(state.config[offset + n]) << (8 * n)
                })
            }
        }
    }

    fn write(&self, offset: usize, width: u8, value: u32) {
        self.access(offset, width, Some(value));
        let mut state = self.device.0.borrow_mut();
        if state.fault == Fault::Gone {
            return;
        }
        match self.structure {
            Structure::Common => state.common_write(offset, width, value),
            Structure::Notify => {}
            Structure::Isr => panic!("write to ISR status"),
            Structure::Device => state.config[offset] = value as u8,
        }
    }

    /// Every access lies inside its window and is aligned. // Virtio 1.3 §4.1.3.1
    fn access(&self, offset: usize, width: u8, write: Option<u32>) {
        assert!(offset + usize::from(width) <= self.len);
        assert_eq!(offset % usize::from(width), 0);
        self.device.0.borrow_mut().log.push(Access {
            structure: self.structure,
            offset,
            width,
            write,
        });
    }
}

impl State {
    /// Virtio 1.3 §4.1.4.3, in the order of the structure.
    fn common_read(&mut self, offset: usize, width: u8) -> u32 {
        let select = usize::from(self.queue_select);
        let queue = self.queues.get(select).copied().unwrap_or_default();
        match (offset, width) {
            (0, 4) => self.device_select,
            (4, 4) => half(self.offered, self.device_select),
            (8, 4) => self.driver_select,
            (12, 4) => half(self.accepted, self.driver_select),
            (16, 2) => u32::from(self.config_vector),
            (18, 2) => self.queues.len() as u32,
            (20, 1) => u32::from(self.read_status()),
            (21, 1) => u32::from(self.generation),
            (22, 2) => u32::from(self.queue_select),
            (24, 2) => u32::from(queue.size),
            (26, 2) => u32::from(queue.vector),
            (28, 2) => u32::from(queue.enabled),
            (30, 2) => u32::from(queue.notify_off),
            (32..56, 4) => queue.addresses[(offset - 32) / 4],
            other => panic!("no register to read at {other:?}"),
        }
    }

    fn read_status(&mut self) -> u8 {
        self.reads_since_reset += 1;
        match self.fault {
            Fault::StatusAllOnes => 0xff,
            Fault::StuckReset if self.status == 0 => 0x0f,
            Fault::SlowReset(reads) if self.status == 0 && self.reads_since_reset <= reads => 0x0f,
            Fault::NeedsReset if self.status & 4 != 0 => self.status | 64,
            _ => self.status,
        }
    }

    fn common_write(&mut self, offset: usize, width: u8, value: u32) {
        let vectors = !matches!(self.fault, Fault::NoVectors);
        let fixed = matches!(self.fault, Fault::FixedSize);
        let vector = if vectors { value as u16 } else { 0xffff };
        if (offset, width) == (20, 1) {
            // Virtio 1.3 §2.1.1: the driver clears no bit, except by a reset.
            assert!(value == 0 || value as u8 & self.status == self.status);
            let refused = if self.fault == Fault::RefuseFeatures {
                8
            } else {
                0
            };
            self.status = value as u8 & !refused;
            if value == 0 {
                self.reads_since_reset = 0;
                self.accepted = 0;
                self.config_vector = 0xffff;
                for queue in &mut self.queues {
                    *queue = DeviceQueue {
                        max: queue.max,
                        size: queue.max,
                        vector: 0xffff,
                        notify_off: queue.notify_off,
                        ..DeviceQueue::default()
                    };
                }
            }
            return;
        }
        let select = usize::from(self.queue_select);
        match (offset, width) {
            (0, 4) => self.device_select = value,
            (8, 4) => self.driver_select = value,
            (12, 4) => {
                let shift = 32 * self.driver_select;
                self.accepted &= !(0xffff_ffff << shift);
                self.accepted |= u64::from(value) << shift;
            }
            (16, 2) => self.config_vector = vector,
            (22, 2) => self.queue_select = value as u16,
            (24..56, _) => {
                let queue = &mut self.queues[select];
                // Virtio 1.3 §4.1.4.3.2: everything is set before the queue is enabled.
                assert_eq!(queue.enabled, 0, "register {offset} of an enabled queue");
                match (offset, width) {
                    (24, 2) if fixed => {}
                    (24, 2) => queue.size = value as u16,
                    (26, 2) => queue.vector = vector,
                    (28, 2) => {
                        assert_eq!(value, 1, "Virtio 1.3 §4.1.4.3.2: never 0");
                        queue.enabled = 1;
                    }
                    (32..56, 4) => queue.addresses[(offset - 32) / 4] = value,
                    other => panic!("no register to write at {other:?}"),
                }
            }
            other => panic!("no register to write at {other:?}"),
        }
    }
}

/// Feature bits 0 to 31 or 32 to 63. // Virtio 1.3 §4.1.4.3
fn half(bits: u64, select: u32) -> u32 {
    match select {
        0 => bits as u32,
        1 => (bits >> 32) as u32,
        _ => 0,
    }
}

impl Registers for Window {
    fn len(&self) -> usize {
        self.len
    }
    fn read8(&self, offset: usize) -> u8 {
        self.read(offset, 1) as u8
    }
    fn read16(&self, offset: usize) -> u16 {
        self.read(offset, 2) as u16
    }
    fn read32(&self, offset: usize) -> u32 {
        self.read(offset, 4)
    }
    fn write8(&self, offset: usize, value: u8) {
        self.write(offset, 1, value.into());
    }
    fn write16(&self, offset: usize, value: u16) {
        self.write(offset, 2, value.into());
    }
    fn write32(&self, offset: usize, value: u32) {
        self.write(offset, 4, value);
    }
}

/// Time that passes only when it is waited for.
#[derive(Default)]
pub(super) struct TestClock {
    pub(super) now: Cell<u64>,
    pub(super) waits: Cell<u32>,
}

impl Clock for TestClock {
    fn now_us(&self) -> u64 {
        self.now.get()
    }

    fn wait_us(&self, us: u32) {
        self.now.set(self.now.get() + u64::from(us));
        self.waits.set(self.waits.get() + 1);
    }
}
