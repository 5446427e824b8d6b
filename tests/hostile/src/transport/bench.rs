//! The driver on top of the lying device: each step of the set-up by itself, and the whole of it.

use std::cell::Cell;
use std::fmt::Debug;
use std::ptr::NonNull;

use ring_rig::{GuestMemory, slots};
use virtio_core::Clock;
use virtio_core::mem::{DeviceAddress, Dma};
use virtio_core::ring::{Part, Queue, QueueMemory};
use virtio_core::spec::features::Features;
use virtio_core::transport::{
    DeviceStopped, Doorbell, Interface as Found, LegacyLocation, Location, Locations, Msix,
    Transport, TransportError,
};

use super::device::{Access, Device, Place, Window};
use crate::{Interface, Outcome};

/// How long resets may take, in microseconds of [`TestClock`].
pub(super) const TIMEOUT_US: u64 = 100_000;
/// Where the ring of queue 0 lies.
pub(super) const RING: u64 = GuestMemory::START + 0x1_0000;
/// Where that of queue 1 lies.
pub(super) const OTHER_RING: u64 = RING + 0x1_0000;

/// Time that passes only when it is waited for.
#[derive(Default)]
pub(super) struct TestClock(Cell<u64>);

impl Clock for TestClock {
    fn now_us(&self) -> u64 {
        self.0.get()
    }

    fn wait_us(&self, us: u32) {
        self.0.set(self.0.get() + u64::from(us));
    }
}

/// A platform's DMA interface that has nothing to lend.
struct Platform {
    translates: bool,
}

// SAFETY: it gives no address.
unsafe impl Dma for Platform {
    fn translates(&self) -> bool {
        self.translates
    }

    fn is_platforms(&self) -> bool {
        true
    }

    fn locate(&self, _: NonNull<u8>, _: usize) -> Option<DeviceAddress> {
        None
    }
}

/// Where the honest device has its registers.
pub(super) fn found(interface: Interface, vectors: u16) -> Found {
    let at = |offset, len| Location {
        bar: 4,
        offset,
        len,
    };
    let msix = (vectors > 0).then_some(Msix {
        vectors,
        enabled: true,
    });
    match interface {
        Interface::Modern => Found::Modern(Locations {
            common: at(0, 64),
            notify: at(0x3000, 0x1000),
            notify_off_multiplier: 4,
            isr: at(0x1000, 1),
            device: Some(at(0x2000, 60)),
            msix,
        }),
        Interface::Legacy => Found::Legacy(LegacyLocation {
            registers: Location {
                bar: 0,
                offset: 0,
                len: if vectors > 0 { 24 + 60 } else { 20 + 60 },
            },
            msix,
        }),
    }
}

/// A device and its driver.
pub(super) struct Bench {
    pub(super) interface: Interface,
    pub(super) device: Device,
    pub(super) transport: Transport<Window>,
    pub(super) clock: TestClock,
    pub(super) memory: GuestMemory,
}

impl Bench {
    pub(super) fn new(interface: Interface) -> Self {
        Self::at(interface, &found(interface, 8))
    }

    /// With the registers elsewhere.
    pub(super) fn at(interface: Interface, found: &Found) -> Self {
        let memory = GuestMemory::new(1 << 20);
        let device = Device::new();
        Self {
            interface,
            transport: connect(interface, found, &memory, &device),
            device,
            clock: TestClock::default(),
            memory,
        }
    }

    /// The same, on a platform that translates the device's addresses.
    pub(super) fn translated(self) -> Self {
        self.behind(true)
    }

    /// The same, on a platform that gives addresses which happen to be physical ones.
    pub(super) fn untranslated(self) -> Self {
        self.behind(false)
    }

    fn behind(mut self, translates: bool) -> Self {
        self.transport = connect(
            self.interface,
            &found(self.interface, 8),
            &Platform { translates },
            &self.device,
        );
        self
    }

    /// With a legacy device, nothing; with a modern one, VERSION_1.
    pub(super) fn basic(&self) -> Features {
        match self.interface {
            Interface::Modern => Features::VERSION_1,
            Interface::Legacy => Features::empty(),
        }
    }

    /// Step 1.
    pub(super) fn reset(&self) -> Result<DeviceStopped, TransportError> {
        self.transport.reset(&self.clock, TIMEOUT_US)
    }

    /// Steps 1 to the first half of 4.
    pub(super) fn acknowledge(&self) -> Result<Features, TransportError> {
        self.transport.acknowledge(self.reset()?)
    }

    /// Steps 1 to 6, with `extra` features that the device offers from now on.
    pub(super) fn negotiate(&self, extra: Features) -> Result<Features, TransportError> {
        self.device.with(|state| state.offered |= extra.bits());
        self.acknowledge()?;
        let features = self.basic() | extra;
        self.transport.accept(features)?;
        Ok(features)
    }

    /// A queue of the size that the driver chooses, with its ring at `address`.
    pub(super) fn queue(&self, address: u64, size: u16, features: Features) -> Queue<'static, u64> {
        let layout = Queue::<u64>::layout(size, features).expect("a size");
        let memory = QueueMemory {
            ring: self.memory.lend(address, layout.len()),
            slots: slots(size),
        };
        Queue::new(size, features, memory).expect("memory made to measure")
    }

    /// Steps 1 to 7, with queue 0.
    pub(super) fn set_up(
        &self,
        extra: Features,
    ) -> Result<(Queue<'static, u64>, Doorbell), TransportError> {
        let features = self.negotiate(extra)?;
        let size = self.transport.queue_size(0, 64)?;
        let queue = self.queue(RING, size, features);
        let doorbell = self.transport.enable_queue(0, &queue, Some(1))?;
        Ok((queue, doorbell))
    }

    /// All steps.
    pub(super) fn live(
        &self,
        extra: Features,
    ) -> Result<(Queue<'static, u64>, Doorbell), TransportError> {
        let up = self.set_up(extra)?;
        self.transport.driver_ok()?;
        Ok(up)
    }

    /// Publishes a chain, and what the driver then did to the registers.
    pub(super) fn kick(&self, queue: &mut Queue<'_, u64>, doorbell: &Doorbell) -> Vec<Access> {
        self.device.log();
        let part = Part::new(GuestMemory::address(GuestMemory::START), 16);
        queue.add_direct(1, [part], []).expect("room");
        self.transport.ring(doorbell, queue.publish());
        self.device.log()
    }

    /// Whether honest work succeeds: all of the set-up, and a notification that arrives.
    pub(super) fn works(&self) -> Result<(), TransportError> {
        let (mut queue, doorbell) = self.live(Features::empty())?;
        assert_eq!(
            self.kick(&mut queue, &doorbell).len(),
            1,
            "one register write"
        );
        let stopped = self.reset()?;
        assert_eq!(queue.drain(&stopped), Some(1));
        Ok(())
    }

    /// The outcome of honest work; and the driver must have broken no rule.
    pub(super) fn ignored(&self) -> Outcome {
        match self.works() {
            Ok(()) => self.judge(Outcome::Ignored),
            Err(error) => Outcome::Failed(name(&error)),
        }
    }

    /// `outcome`, if the driver has broken no rule.
    pub(super) fn judge(&self, outcome: Outcome) -> Outcome {
        let broken = self.device.with(|state| state.broken_rules.clone());
        assert!(broken.is_empty(), "the driver broke rules: {broken:?}");
        outcome
    }

    /// The outcome of a call that has to fail.
    pub(super) fn failed<V, E: Debug>(&self, result: Result<V, E>) -> Outcome {
        self.judge(match result {
            Ok(_) => Outcome::Ignored,
            Err(error) => Outcome::Failed(name(&error)),
        })
    }

    /// The outcome of a call of the driver's caller that has to be refused, without a trace at the device.
    pub(super) fn refused<V, E: Debug>(&self, result: Result<V, E>) -> Outcome {
        self.judge(match result {
            Ok(_) => Outcome::Ignored,
            Err(error) => Outcome::Refused(name(&error)),
        })
    }

    /// The values written to the device status.
    pub(super) fn statuses(&self) -> Vec<u32> {
        let log = self.device.log();
        log.iter().filter_map(Access::status_written).collect()
    }
}

/// The driver's end of the registers.
fn connect(
    interface: Interface,
    found: &Found,
    dma: &impl Dma,
    device: &Device,
) -> Transport<Window> {
    let window = |location: Location| {
        let place = match (interface, location.offset) {
            (Interface::Legacy, _) => Place::Legacy,
            (Interface::Modern, 0x0000) => Place::Common,
            (Interface::Modern, 0x1000) => Place::Isr,
            (Interface::Modern, 0x2000) => Place::Config,
            (Interface::Modern, _) => Place::Notify,
        };
        Some(Window {
            device: device.clone(),
            place,
            len: location.len as usize,
        })
    };
    Transport::new(found, dma, window).expect("a window for each location")
}

/// The name of an error's variant. The transport's errors wrap none, but some hold features, which have names themselves.
fn name(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}
