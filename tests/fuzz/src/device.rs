//! A device whose every register reads as the input says, from reset to removal.
//!
//! Before each read the input chooses: 0 for what was last written there, 255 for all ones, and anything else for the bytes that
//! follow. So zeros are a device that agrees to everything, and few other bytes lead far.
//!
//! What must hold whatever it answers: no access outside its registers or across their alignment; an end, after a bounded number
//! of accesses; no feature accepted that was not offered; and every token back once there is a proof that the device has
//! stopped.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ring_rig::GuestMemory;
use virtio_core::Clock;
use virtio_core::mmio::Registers;
use virtio_core::ring::{Part, Queue, QueueMemory, Slot};
use virtio_core::spec::features::Features;
use virtio_core::transport::{
    ConfigError, Interface, LegacyLocation, Location, Locations, Msix, Stopped, Transport,
    TransportError,
};

use crate::bytes::Bytes;

/// Register accesses of one run: all waits have deadlines.
const MOST_ACCESSES: usize = 4000;
/// Of both resets.
const TIMEOUT_US: u64 = 5000;
/// Queue sizes that are set up; larger ones only take longer.
const MOST: u16 = 64;
const TOKENS: u64 = 3;

/// What all windows of a device share.
struct State<'a> {
    bytes: RefCell<Bytes<'a>>,
    accesses: Cell<usize>,
    /// What was last written, by window and offset.
    written: RefCell<BTreeMap<(usize, usize), u32>>,
}

/// A window of registers.
struct Window<'a> {
    state: Rc<State<'a>>,
    /// Which of the device's windows.
    index: usize,
    len: usize,
}

impl Window<'_> {
    /// An access of `width` bytes: inside, aligned, and not one too many.
    fn access(&self, offset: usize, width: usize) {
        assert!(
            offset + width <= self.len,
            "{width} bytes at {offset} of {}",
            self.len
        );
        assert!(offset.is_multiple_of(width), "{width} bytes at {offset}");
        let accesses = self.state.accesses.get() + 1;
        assert!(accesses <= MOST_ACCESSES, "the driver does not end");
        self.state.accesses.set(accesses);
    }

    /// What a register reads as.
    fn answer(&self, offset: usize, width: usize) -> u32 {
        self.access(offset, width);
        let mut bytes = self.state.bytes.borrow_mut();
        match bytes.u8() {
            0 => {
                let written = self.state.written.borrow();
                written.get(&(self.index, offset)).copied().unwrap_or(0)
            }
            255 => u32::MAX,
            _ => (0..width).fold(0, |value, n| value | u32::from(bytes.u8()) << (8 * n)),
        }
    }

    fn take(&self, offset: usize, width: usize, value: u32) {
        self.access(offset, width);
        let mut written = self.state.written.borrow_mut();
        written.insert((self.index, offset), value);
    }
}

impl Registers for Window<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn read8(&self, offset: usize) -> u8 {
        self.answer(offset, 1) as u8
    }

    fn read16(&self, offset: usize) -> u16 {
        self.answer(offset, 2) as u16
    }

    fn read32(&self, offset: usize) -> u32 {
        self.answer(offset, 4)
    }

    fn write8(&self, offset: usize, value: u8) {
        self.take(offset, 1, value.into());
    }

    fn write16(&self, offset: usize, value: u16) {
        self.take(offset, 2, value.into());
    }

    fn write32(&self, offset: usize, value: u32) {
        self.take(offset, 4, value);
    }
}

/// Time passes when it is waited for, and a little when it is asked for.
#[derive(Default)]
struct Ticks(Cell<u64>);

impl Clock for Ticks {
    fn now_us(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }

    fn wait_us(&self, us: u32) {
        self.0.set(self.0.get() + u64::from(us));
    }
}

/// Where the input says that the registers lie.
fn interface(legacy: bool, bytes: &mut Bytes<'_>) -> Interface {
    let bits = bytes.u8();
    let msix = (bits & 1 != 0).then(|| Msix {
        vectors: u16::from(bytes.u8()) + 1,
        enabled: bits & 2 != 0,
    });
    let location = |len| Location {
        bar: 0,
        offset: 0,
        len,
    };
    if legacy {
        let header = if msix.is_some_and(|msix| msix.enabled) {
            24
        } else {
            20
        };
        return Interface::Legacy(LegacyLocation {
            registers: location(header + u32::from(bytes.u8())),
            msix,
        });
    }
    Interface::Modern(Locations {
        // With and without what later versions added.
        common: location(56 + 2 * u32::from(bytes.u8() % 5)),
        notify: location(2 + 2 * u32::from(bytes.u8())),
        notify_off_multiplier: bytes.u32(),
        isr: location(1),
        device: (bits & 4 != 0).then(|| location(u32::from(bytes.u8()))),
        msix,
    })
}

pub fn run(legacy: bool, data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let interface = interface(legacy, &mut bytes);
    let state = Rc::new(State {
        bytes: RefCell::new(bytes),
        accesses: Cell::new(0),
        written: RefCell::default(),
    });
    let mut windows = 0..;
    let map = |location: Location| {
        Some(Window {
            state: Rc::clone(&state),
            index: windows.next()?,
            len: location.len as usize,
        })
    };
    let memory = GuestMemory::new(0x1000);
    let device = Transport::new(&interface, &memory, map).expect("windows as asked for");
    assert_eq!(device.is_legacy(), legacy);
    let _ = drive(&device, &state, legacy);
    // A driver that gives up resets the device.
    let _ = device.reset(&Ticks::default(), TIMEOUT_US);
}

/// An interrupt vector, or none.
fn vector(state: &State<'_>) -> Option<u16> {
    let vector = state.bytes.borrow_mut().u8();
    (vector != 0).then(|| u16::from(vector) - 1)
}

/// The whole life of a device with one queue, as far as it goes.
fn drive(
    device: &Transport<Window<'_>>,
    state: &State<'_>,
    legacy: bool,
) -> Result<(), TransportError> {
    let clock = Ticks::default();
    let stopped = device.reset(&clock, TIMEOUT_US)?;
    let offered = device.acknowledge(stopped)?;
    let config = device.read_config(|config| {
        let mut sum = 0_u64;
        for offset in (0..config.len().min(24)).step_by(8) {
            sum = sum.wrapping_add(config.u64(offset)?);
        }
        Ok::<_, ConfigError>(sum)
    });
    let _ = config;
    let _ = device.write_config_u8(usize::from(state.bytes.borrow_mut().u8()), 1);
    let features = offered & Features::IMPLEMENTED;
    device.accept(features).inspect_err(|_| device.fail())?;
    assert!(offered.contains(features));
    let _ = device.set_config_vector(vector(state));
    let _ = device.queue_count();
    let size = device.queue_size(0, MOST)?;
    assert!(size > 0 && (legacy || size <= MOST), "size {size}");
    if size > 4 * MOST {
        return Ok(());
    }
    let layout = Queue::<u64>::layout(size, features).expect("a legal size");
    let memory = GuestMemory::new(layout.len() + layout.align());
    let start = GuestMemory::START.next_multiple_of(layout.align() as u64);
    let mut slots: Vec<_> = (0..size).map(|_| Slot::EMPTY).collect();
    let lent = QueueMemory {
        ring: memory.lend(start, layout.len()),
        slots: &mut slots,
    };
    let mut queue = Queue::new(size, features, lent).expect("memory made to measure");
    // An error comes before any token is added.
    let left = use_queue(device, state, &clock, &mut queue).unwrap_or(0);
    // What the queue still has comes back once the device is known to be stopped, and not before.
    if let Ok(proof) = device.reset(&clock, TIMEOUT_US) {
        assert!(proof.covers(queue.addresses().descriptor));
        let drained = core::iter::from_fn(|| queue.drain(&proof)).count() as u64;
        assert_eq!(drained, left, "tokens were lost in the reset");
        assert!(
            queue.into_memory(&proof).is_ok(),
            "an empty queue keeps its memory"
        );
        memory.check_guards();
    }
    Ok(())
}

/// Gives the device a queue with buffers, starts it, resets the queue and starts it again; how many tokens it still has.
fn use_queue(
    device: &Transport<Window<'_>>,
    state: &State<'_>,
    clock: &Ticks,
    queue: &mut Queue<'_, u64>,
) -> Result<u64, TransportError> {
    let doorbell = device.enable_queue(0, queue, vector(state))?;
    device.driver_ok()?;
    let part = |n| Part::new(GuestMemory::address(0x1_0000 * (n + 1)), 512);
    let mut inside = 0;
    for token in 0..TOKENS {
        inside += u64::from(queue.add_direct(token, [], [part(token)]).is_ok());
    }
    device.ring(&doorbell, queue.publish());
    let _ = device.status();
    let _ = device.isr();
    let Ok(proof) = device.reset_queue(0, queue, clock, TIMEOUT_US) else {
        return Ok(inside);
    };
    let drained = core::iter::from_fn(|| queue.drain(&proof)).count() as u64;
    assert_eq!(drained, inside, "tokens were lost in the reset of a queue");
    // A drained queue is closed: it could be set up anew, and here it is only shown to the device again.
    let _ = device.enable_queue_again(proof, queue, vector(state));
    Ok(0)
}
