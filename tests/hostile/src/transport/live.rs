//! A live device: notifications, interrupts, cutting it off. // Virtio 1.3 §4.1.5

use std::cell::Cell;

use ring_rig::GuestMemory;
use virtio_core::ring::Part;
use virtio_core::spec::features::Features;
use virtio_core::spec::pci::Isr;
use virtio_core::transport::{ConfigSpace, How, Interface as Found, stop_bus_mastering};

use super::bench::{Bench, found};
use super::device::{Access, Place};
use super::{BOTH, MODERN, row};
use crate::{Interface, Outcome, Row, Verdict};
use Verdict::{Failed, Harmless, Ignored, Kept};

const ADDRESS: &str = "Virtio 1.3 §4.1.4.4.1";
const VALUE: &str = "Virtio 1.3 §4.1.5.2.1";
const ISR: &str = "Virtio 1.3 §4.1.4.5";

pub(super) const ROWS: &[Row] = &[
    row(
        "T160",
        ADDRESS,
        "a queue is notified behind the notify structure",
        Failed("NotifyOutside"),
        MODERN,
        |_| notify(0x400, 4, 0x1000, Features::empty()),
    ),
    row(
        "T161",
        ADDRESS,
        "offset times multiplier of a notify address passes 4 GiB",
        Failed("NotifyOutside"),
        MODERN,
        |_| notify(0xffff, 0x8000_0000, 0x1000, Features::empty()),
    ),
    row(
        "T162",
        ADDRESS,
        "the notify structure has room for 2 bytes where 4 are written",
        Failed("NotifyOutside"),
        MODERN,
        |_| notify(1, 4, 6, Features::NOTIFICATION_DATA),
    ),
    row(
        "T163",
        ADDRESS,
        "a queue is notified at an address that 4 bytes cannot be written to",
        Failed("NotifyMisaligned"),
        MODERN,
        |_| notify(1, 2, 0x1000, Features::NOTIFICATION_DATA),
    ),
    row(
        "T164",
        ADDRESS,
        "all queues are notified at one address",
        Harmless,
        MODERN,
        |_| {
            // And at the last address that there is room for.
            for (offset, multiplier, len) in [(1, 4, 6), (0x3ff, 4, 0x1000)] {
                let last = notify(offset, multiplier, len, Features::empty());
                assert_eq!(last, Outcome::Ignored);
            }
            match notify(0xffff, 0, 2, Features::empty()) {
                Outcome::Ignored => Outcome::Harmless,
                other => other,
            }
        },
    ),
    row(
        "T165",
        VALUE,
        "the device is honest: a notification is one 16-bit write of the queue index",
        Kept,
        BOTH,
        |interface| {
            let (place, offset) = match interface {
                Interface::Modern => (Place::Notify, 0),
                Interface::Legacy => (Place::Legacy, 16),
            };
            notified(
                interface,
                Features::empty(),
                &[Access {
                    place,
                    offset,
                    width: 2,
                    write: Some(0),
                }],
            )
        },
    ),
    row(
        "T166",
        VALUE,
        "NOTIFICATION_DATA: a notification is one 32-bit write of queue index and ring position",
        Kept,
        MODERN,
        |interface| {
            // One chain of one descriptor was added: the next goes to position 1, with the wrap counter still 1 if packed.
            for (format, position) in [(Features::empty(), 1), (Features::RING_PACKED, 0x8001)] {
                notified(
                    interface,
                    format | Features::NOTIFICATION_DATA,
                    &[wide(position << 16)],
                );
            }
            Outcome::Kept
        },
    ),
    row(
        "T167",
        VALUE,
        "NOTIF_CONFIG_DATA: a notification names the queue as the device wants",
        Kept,
        MODERN,
        |interface| {
            let data = Features::NOTIF_CONFIG_DATA;
            let narrow = Access {
                width: 2,
                ..wide(0x5a00)
            };
            notified(interface, data, &[narrow]);
            notified(
                interface,
                data | Features::NOTIFICATION_DATA,
                &[wide(1 << 16 | 0x5a00)],
            )
        },
    ),
    row(
        "T178",
        "Virtio 1.3 §3.1.1",
        "the caller notifies before DRIVER_OK, after it has given the device up, and after a reset: nothing is written",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            let (mut queue, doorbell) = bench.set_up(Features::empty()).expect("honest");
            let part = Part::new(GuestMemory::address(GuestMemory::START), 16);
            queue.add_direct(1, [part], []).expect("room");
            let kick = queue.publish();
            assert!(kick.needed());
            let ring = || {
                bench.device.log();
                bench.transport.ring(&doorbell, kick);
                bench.device.log().len()
            };
            assert_eq!(ring(), 0, "before DRIVER_OK");
            bench.transport.driver_ok().expect("honest");
            assert_eq!(ring(), 1, "the same kick, once the device is live");
            bench.transport.fail();
            assert_eq!(ring(), 0, "given up");
            let _ = bench.reset().expect("honest");
            assert_eq!(ring(), 0, "reset");
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "T168",
        ISR,
        "the ISR status reads all ones, and nothing else does",
        Harmless,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("honest");
            bench.device.with(|state| state.isr = 0xff);
            let isr = bench.transport.isr().expect("present");
            assert!(isr.contains(Isr::QUEUE | Isr::CONFIG));
            bench.judge(Outcome::Harmless)
        },
    ),
    row(
        "T169",
        ISR,
        "reserved bits of the ISR status are set",
        Ignored,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("honest");
            bench.device.with(|state| state.isr = 0xfd);
            let isr = bench.transport.isr().expect("present");
            assert!(isr.contains(Isr::QUEUE) && !isr.contains(Isr::CONFIG));
            bench.ignored()
        },
    ),
    row(
        "T170",
        "Virtio 1.3 §4.1.5.4.2",
        "one interrupt is for queues and configuration both",
        Kept,
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("honest");
            bench.device.with(|state| state.isr = 3);
            assert_eq!(bench.transport.isr(), Ok(Isr::QUEUE | Isr::CONFIG));
            assert_eq!(bench.transport.isr(), Ok(Isr::empty()), "reading clears it");
            bench.judge(Outcome::Kept)
        },
    ),
    row(
        "T171",
        "Virtio 1.3 §4.1.4.5",
        "the device is gone when its interrupt is looked at",
        Failed("DeviceGone"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("honest");
            bench.device.with(|state| state.gone = true);
            bench.failed(bench.transport.isr())
        },
    ),
    row(
        "T172",
        "Virtio 1.3 §2.1",
        "the device is gone when its status is looked at",
        Failed("DeviceGone"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.live(Features::empty()).expect("honest");
            bench.device.with(|state| state.gone = true);
            bench.failed(bench.transport.status())
        },
    ),
    row(
        "T173",
        "Virtio 1.3 §3.1.1",
        "the device is gone before it is touched",
        Failed("DeviceGone"),
        BOTH,
        |interface| {
            let bench = Bench::new(interface);
            bench.device.with(|state| state.gone = true);
            assert!(bench.transport.queue_count().is_err());
            assert!(bench.transport.queue_max_size(0).is_err());
            assert!(bench.transport.set_config_vector(Some(0)).is_err());
            bench.failed(bench.acknowledge())
        },
    ),
    row(
        "T174",
        "PCI 3.0 §6.2.2",
        "bus mastering stays on although it was switched off",
        Failed("BusMasterStuck"),
        BOTH,
        |_| {
            let stuck = Command {
                value: Cell::new(0x0406),
                obeys: false,
            };
            match stop_bus_mastering(&stuck) {
                Ok(_) => Outcome::Ignored,
                Err(error) => Outcome::failed(&error),
            }
        },
    ),
    row(
        "T175",
        "PCI 3.0 §6.2.2",
        "a device that does not stop is cut off: no other command bit changes",
        Kept,
        BOTH,
        |_| {
            let command = Command {
                value: Cell::new(0x0406),
                obeys: true,
            };
            let stopped = stop_bus_mastering(&command).expect("obeys");
            assert_eq!(
                (stopped.how(), command.value.get()),
                (How::BusMasterOff, 0x0402)
            );
            Outcome::Kept
        },
    ),
    row(
        "T176",
        "PCI 3.0 §6.1",
        "the device is gone when it is to be cut off",
        Harmless,
        BOTH,
        |_| {
            let gone = Command {
                value: Cell::new(0xffff),
                obeys: false,
            };
            let stopped = stop_bus_mastering(&gone).expect("gone is stopped");
            assert_eq!(stopped.how(), How::Gone);
            Outcome::Harmless
        },
    ),
];

/// A PCI command register.
struct Command {
    value: Cell<u16>,
    obeys: bool,
}

impl ConfigSpace for Command {
    fn read16(&self, offset: u16) -> u16 {
        assert_eq!(offset, 4);
        self.value.get()
    }

    fn write16(&self, offset: u16, value: u16) {
        assert_eq!(offset, 4);
        assert_ne!(self.value.get(), 0xffff, "a write to a device that is gone");
        if self.obeys {
            self.value.set(value);
        }
    }
}

/// A 32-bit notification of queue 0.
const fn wide(value: u32) -> Access {
    Access {
        place: Place::Notify,
        offset: 0,
        width: 4,
        write: Some(value),
    }
}

/// Queue 0 is notified at `offset` steps of `multiplier` in a structure of `len` bytes.
fn notify(offset: u16, multiplier: u32, len: u32, features: Features) -> Outcome {
    let Found::Modern(mut locations) = found(Interface::Modern, 8) else {
        unreachable!("asked for the modern one");
    };
    locations.notify_off_multiplier = multiplier;
    locations.notify.len = len;
    let bench = Bench::at(Interface::Modern, &Found::Modern(locations));
    bench
        .device
        .with(|state| state.queues[0].notify_off = offset);
    let result = bench.set_up(features);
    let enabled = bench.device.with(|state| state.queues[0].enabled);
    assert_eq!(
        enabled == 1,
        result.is_ok(),
        "not enabled without a doorbell"
    );
    bench.failed(result)
}

/// What a notification with these features writes.
fn notified(interface: Interface, features: Features, want: &[Access]) -> Outcome {
    let bench = Bench::new(interface);
    let (mut queue, doorbell) = bench.live(features).expect("honest");
    assert_eq!(bench.kick(&mut queue, &doorbell), want);
    bench.judge(Outcome::Kept)
}
