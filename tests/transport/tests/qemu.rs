//! Both interfaces and both ring formats on QEMU's devices: set-up, requests, interrupts, resets, removal.

use test_device::image::Image;
use test_device::qemu::{Builder, version};
use test_device::{InterruptMode, Interrupts};
use transport_qemu::{Disk, Driver, Machine, Reach, Request};
use virtio_core::ring::Part;
use virtio_core::spec::features::Features;
use virtio_core::transport::{CapabilityError, How, Interface, TransportError};

const MESSAGES: InterruptMode = InterruptMode::Messages(2);
const LINE: InterruptMode = InterruptMode::Line;
const SECTORS: u64 = 64;

fn image() -> Image {
    Image::new(SECTORS * 512).unwrap()
}

/// A machine with a disk, and the interface that it is driven by.
fn disk(options: &str, interrupts: InterruptMode, reach: Reach) -> (Image, Machine, Interface) {
    let image = image();
    let builder = Builder::new(&format!("virtio-blk-pci{options}")).image(image.path());
    let machine = Machine::new(&builder, interrupts);
    let interface = machine.interface(reach).unwrap();
    (image, machine, interface)
}

/// Brings the disk up twice and moves sectors through it, by every kind of chain that was negotiated.
///
/// `has` must have been negotiated, `lacks` must not.
fn exercise(
    (image, machine, interface): &(Image, Machine, Interface),
    has: Features,
    lacks: Features,
) {
    let wanted = Features::IMPLEMENTED.difference(lacks);
    let mut driver = Driver::start(machine, interface, wanted);
    for round in 0..2u8 {
        assert!(driver.features.contains(has), "{:?}", driver.features);
        assert!(!driver.features.intersects(lacks), "{:?}", driver.features);
        let legacy = driver.transport.is_legacy();
        assert_eq!(legacy, !driver.features.contains(Features::VERSION_1));
        let mut disk = Disk::new(driver);
        assert_eq!(disk.capacity(), SECTORS);
        for turn in 0..40u8 {
            let indirect = disk.driver.features.contains(Features::INDIRECT_DESC) && turn % 2 == 1;
            let sector = u64::from(turn);
            let data: [u8; 512] = std::array::from_fn(|at| at as u8 ^ turn.wrapping_mul(3) ^ round);
            disk.write(sector, &data, indirect);
            let file = std::fs::read(image.path()).unwrap();
            assert_eq!(file[sector as usize * 512..][..512], data);
            assert_eq!(disk.read(sector, indirect), data);
        }
        driver = disk.driver.restart(wanted);
    }
    assert_eq!(driver.stop().how(), How::Reset);
    assert_eq!(driver.transport.status().unwrap().bits(), 0);
}

#[test]
fn legacy_disk_with_and_without_msix() {
    // Its configuration lies at byte 24 of BAR 0 in the one, at byte 20 in the other.
    for (interrupts, enabled) in [(MESSAGES, true), (LINE, false)] {
        let disk = disk(",disable-modern=on", interrupts, Reach::All);
        let Interface::Legacy(location) = disk.2 else {
            panic!("no capability of virtio, and yet {:?}", disk.2);
        };
        assert_eq!(location.msix.unwrap().enabled, enabled);
        let has = Features::INDIRECT_DESC | Features::EVENT_IDX;
        exercise(&disk, has, Features::VERSION_1);
        exercise(&disk, Features::empty(), has);
    }
}

#[test]
fn transitional_disk_by_either_interface() {
    for interrupts in [MESSAGES, LINE] {
        let modern = disk("", interrupts, Reach::Memory);
        assert!(matches!(modern.2, Interface::Modern(_)));
        exercise(&modern, Features::VERSION_1, Features::empty());
        let (image, machine, interface) = modern;
        assert_eq!(machine.interface(Reach::All), Ok(interface));
        let interface = machine.interface(Reach::Ports).unwrap();
        assert!(matches!(interface, Interface::Legacy(_)));
        let legacy = (image, machine, interface);
        exercise(&legacy, Features::INDIRECT_DESC, Features::VERSION_1);
    }
}

#[test]
fn modern_disk_with_every_ring() {
    let mut rings = vec![
        (",packed=off", Features::empty()),
        (",packed=on", Features::RING_PACKED),
    ];
    // QEMU 7.2, the oldest for the tests, has no in_order.
    if version().unwrap() >= (10, 0) {
        let in_order = Features::IN_ORDER;
        rings.push((",packed=off,in_order=on", in_order));
        rings.push((",packed=on,in_order=on", Features::RING_PACKED | in_order));
    }
    for (options, has) in rings {
        let options = format!(",disable-legacy=on{options}");
        let disk = disk(&options, MESSAGES, Reach::All);
        let has = has | Features::VERSION_1;
        exercise(
            &disk,
            has | Features::EVENT_IDX | Features::INDIRECT_DESC,
            Features::empty(),
        );
        exercise(&disk, has, Features::EVENT_IDX | Features::INDIRECT_DESC);
    }
}

#[test]
fn device_behind_an_iommu_is_known_by_access_platform() {
    let image = image();
    let options = "virtio-blk-pci,disable-legacy=on,iommu_platform=on";
    let builder = Builder::new(options).image(image.path());
    let platform = Features::ACCESS_PLATFORM;
    let machine = Machine::with_iommu(&builder, MESSAGES);
    let interface = machine.interface(Reach::All).unwrap();
    exercise(&(image, machine, interface), platform, Features::empty());

    // The same device is not to be driven by physical addresses, and says so by refusing.
    let image = self::image();
    let machine = Machine::new(&builder.image(image.path()).iommu(true), MESSAGES);
    let transport = machine.transport(&interface);
    let stopped = transport.reset(&machine, 1_000_000).unwrap();
    let offered = transport.acknowledge(stopped).unwrap();
    assert!(!offered.contains(platform));
    let wanted = offered & Features::IMPLEMENTED;
    let refused = TransportError::FeaturesRefused(wanted);
    assert_eq!(transport.accept(wanted), Err(refused));
}

#[test]
fn queue_is_reset_alone() {
    for options in ["", ",packed=on"] {
        let (_image, machine, interface) = disk(options, MESSAGES, Reach::All);
        let mut driver = Driver::start(&machine, &interface, Features::IMPLEMENTED);
        assert!(driver.features.contains(Features::RING_RESET));
        let full = driver.queue.size();
        // Not a power of two where that is allowed.
        let odd = if options.is_empty() { 16 } else { 19 };
        for (most, size) in [(19, odd), (u16::MAX, full)] {
            let mut disk = Disk::new(driver);
            let data = [most as u8; 512];
            disk.write(1, &data, false);
            assert_eq!(disk.read(1, true), data);
            driver = disk.driver;
            driver.reset_queue(most);
            assert_eq!(driver.queue.size(), size);
        }
        let mut disk = Disk::new(driver);
        assert_eq!(disk.read(1, false), [0xff; 512]);
    }
}

#[test]
fn entropy_by_either_interface() {
    for options in ["", ",disable-modern=on"] {
        for interrupts in [MESSAGES, LINE] {
            let builder = Builder::new(&format!("virtio-rng-pci{options}"));
            let machine = Machine::new(&builder, interrupts);
            let interface = machine.interface(Reach::All).unwrap();
            let mut driver = Driver::start(&machine, &interface, Features::IMPLEMENTED);
            assert_eq!(driver.transport.is_legacy(), !options.is_empty());
            assert_eq!(driver.transport.queue_count(), Ok(1));
            let buffer = machine.lend(4096, 4096).address();
            let writable = [Part::new(buffer, 64)];
            let written = driver.run(&Request {
                readable: &[],
                writable: &writable,
                indirect: false,
            });
            assert!((1..=64).contains(&written));
            let mut bytes = vec![0; written as usize];
            assert!(machine.memory().read(buffer.get(), &mut bytes));
            assert_ne!(bytes, vec![0; written as usize]);
        }
    }
}

#[test]
fn legacy_queue_has_the_one_size_that_the_device_says() {
    let (_image, machine, interface) = disk(",disable-modern=on,queue-size=128", LINE, Reach::All);
    let mut driver = Driver::start(&machine, &interface, Features::IMPLEMENTED);
    let (queue, device) = (0, 128);
    assert_eq!(driver.queue.size(), device);
    let refused = |size| {
        Err(TransportError::QueueSizeRefused {
            queue,
            size,
            device,
        })
    };
    assert_eq!(driver.transport.queue_size(queue, 127), refused(127));
    assert_eq!(driver.transport.queue_size(queue, 200), Ok(128));
    // A refusal leaves the queue as it is; what is enabled stays enabled.
    let stopped = driver.stop();
    driver.transport.acknowledge(stopped).unwrap();
    driver.transport.accept(driver.features).unwrap();
    let result = driver.transport.enable_queue(0, &driver.queue, Some(1));
    let vector = TransportError::NoSuchVector {
        vector: 1,
        vectors: 0,
    };
    assert_eq!(result.unwrap_err(), vector);
    driver
        .transport
        .enable_queue(0, &driver.queue, None)
        .unwrap();
    let again = driver.transport.enable_queue(0, &driver.queue, None);
    assert_eq!(again.unwrap_err(), TransportError::QueueEnabled { queue });
    let stopped = driver.stop();
    assert_eq!(driver.queue.drain(&stopped), None);
}

#[test]
fn vector_outside_the_table_is_not_asked_for() {
    for options in ["", ",disable-modern=on"] {
        let (_image, machine, interface) =
            disk(&format!("{options},vectors=3"), MESSAGES, Reach::All);
        let driver = Driver::start(&machine, &interface, Features::IMPLEMENTED);
        let none = TransportError::NoSuchVector {
            vector: 3,
            vectors: 3,
        };
        assert_eq!(driver.transport.set_config_vector(Some(3)), Err(none));
        assert_eq!(driver.transport.set_config_vector(Some(2)), Ok(()));
        assert_eq!(driver.transport.set_config_vector(None), Ok(()));
    }
}

#[test]
fn device_that_was_removed_is_known_by_its_registers() {
    for options in [",disable-legacy=on", ",disable-modern=on"] {
        let (_image, machine, interface) = disk(options, LINE, Reach::All);
        let driver = Driver::start(&machine, &interface, Features::IMPLEMENTED);
        machine.remove();
        let gone = TransportError::DeviceGone;
        assert_eq!(driver.transport.status(), Err(gone));
        assert_eq!(driver.transport.isr(), Err(gone));
        assert_eq!(driver.transport.queue_count(), Err(gone));
        assert_eq!(driver.stop().how(), How::Gone);
        assert_eq!(
            machine.poll(std::time::Duration::ZERO),
            Interrupts::default()
        );
        let config = machine.interface(Reach::All);
        assert_eq!(config, Err(CapabilityError::DeviceGone));
    }
}

#[test]
fn legacy_device_needs_a_way_to_its_ports() {
    let (_image, machine, _) = disk(",disable-modern=on", LINE, Reach::All);
    let none = machine.interface(Reach::Memory);
    assert_eq!(none, Err(CapabilityError::LegacyBar { len: None }));
}
