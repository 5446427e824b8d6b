//! QEMU's virtio-blk, driven by the tiny client.

mod client;

use std::time::Duration;

use client::{Client, IOERR, OK};
use host_machine::ram::Ram;
use test_device::image::Image;
use test_device::qemu::{Builder, InjectedError, Operation, STAYS_ON_BEFORE, version};
use test_device::{Device, InterruptMode, pci};

fn exercise(builder: &Builder, image: &Image, mode: InterruptMode) {
    let ram = Ram::new(32 << 20, 1).unwrap();
    let device = builder.clone().image(image.path()).start(&ram).unwrap();
    let mut client = Client::new(device, &ram, mode);
    client.exercise(image.path());
}

fn image() -> Image {
    Image::new(1 << 20).unwrap()
}

#[test]
fn a_transitional_device_with_messages() {
    exercise(
        &Builder::new("virtio-blk-pci"),
        &image(),
        InterruptMode::Messages(2),
    );
}

#[test]
fn a_modern_device_with_the_line() {
    let builder = Builder::new("virtio-blk-pci,disable-legacy=on,vectors=0");
    exercise(&builder, &image(), InterruptMode::Line);
}

#[test]
fn the_line_although_there_are_messages() {
    exercise(
        &Builder::new("virtio-blk-pci"),
        &image(),
        InterruptMode::Line,
    );
}

#[test]
fn a_device_behind_an_iommu() {
    let builder = Builder::new("virtio-blk-pci,disable-legacy=on,iommu_platform=on").iommu(true);
    exercise(&builder, &image(), InterruptMode::Messages(2));
}

#[test]
fn injected_errors_and_read_only() {
    let image = image();
    let ram = Ram::new(32 << 20, 1).unwrap();
    let error = |operation, sector, errno| InjectedError {
        operation,
        sector: Some(sector),
        errno,
        once: false,
    };
    let device = Builder::new("virtio-blk-pci")
        .image(image.path())
        .errors(&[
            error(Operation::Read, 9, 5),
            error(Operation::Write, 20, 28),
        ])
        .start(&ram)
        .unwrap();
    let mut client = Client::new(device, &ram, InterruptMode::Messages(2));
    let mut bytes = [0; 1024];
    assert_eq!(client.read(8, &mut bytes), IOERR);
    assert_eq!(client.read(6, &mut bytes), OK);
    assert_eq!(client.read(9, &mut bytes), IOERR);
    assert_eq!(client.write(9, &bytes), OK);
    assert_eq!(client.write(20, &bytes), IOERR);
    drop(client);

    let ram = Ram::new(32 << 20, 1).unwrap();
    let device = Builder::new("virtio-blk-pci")
        .image(image.path())
        .read_only(true)
        .start(&ram)
        .unwrap();
    let mut client = Client::new(device, &ram, InterruptMode::Messages(2));
    assert_eq!(client.write(9, &bytes), IOERR);
    assert_eq!(client.read(9, &mut bytes), OK);
}

#[test]
fn a_scsi_disk_can_be_had() {
    let image = image();
    let ram = Ram::new(32 << 20, 1).unwrap();
    let mut device = Builder::new("virtio-scsi-pci,num_queues=4")
        .image(image.path())
        .start(&ram)
        .unwrap();
    assert_eq!(device.config_read(0, 4), 0x1004_1af4);
    assert_eq!(device.msix_vectors(), 4 + 3);
}

#[test]
fn removal_gives_all_ones() {
    let image = image();
    let ram = Ram::new(32 << 20, 1).unwrap();
    let device = Builder::new("virtio-blk-pci")
        .image(image.path())
        .start(&ram)
        .unwrap();
    let mut client = Client::new(device, &ram, InterruptMode::Messages(2));
    assert_eq!(client.status(), 0xf);
    client.device.remove();
    assert_eq!(client.status(), 0xff);
    assert_eq!(client.device.config_read(0, 4), u32::MAX);
    assert!(
        client
            .device
            .poll(std::time::Duration::from_millis(1))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_device_behind_a_port_sleeps() {
    let image = image();
    let ram = Ram::new(32 << 20, 1).unwrap();
    let builder = Builder::new("virtio-blk-pci").image(image.path());
    let mut device = builder.behind_port(true).start(&ram).unwrap();
    let mut config = |offset, width| device.config_read(offset, width);
    let regions = pci::virtio_regions(&mut config).unwrap();
    let control = pci::capability(&mut config, pci::CAP_POWER).unwrap() + pci::POWER_CONTROL;
    let bar = pci::BAR0 + 4 * u16::from(regions.common.bar);
    let (id, address) = (device.config_read(0, 4), device.config_read(bar, 4));
    device.config_write(pci::COMMAND, 2, pci::COMMAND_MEMORY);
    assert!(regions.answer(&mut device));

    device.config_write(control, 2, pci::POWER_STATE);
    assert_eq!(device.config_read(control, 2) & 3, 3);
    if version().unwrap() >= STAYS_ON_BEFORE {
        assert!(!regions.answer(&mut device));
    }
    device.config_write(control, 2, 0);
    assert!(regions.answer(&mut device));

    device.set_power(false).unwrap();
    assert_eq!(device.config_read(0, 4), u32::MAX);
    assert!(!regions.answer(&mut device));
    device.set_power(true).unwrap();
    assert_eq!(device.config_read(0, 4), id);
    device.config_write(pci::COMMAND, 2, pci::COMMAND_MEMORY);
    assert!(!regions.answer(&mut device), "its BARs are where they were");
    device.config_write(bar, 4, address);
    assert!(regions.answer(&mut device));
}

#[test]
fn a_device_behind_a_port_is_taken_out() {
    let image = image();
    let ram = Ram::new(32 << 20, 1).unwrap();
    let builder = Builder::new("virtio-blk-pci").image(image.path());
    let mut device = builder.behind_port(true).start(&ram).unwrap();
    let regions = pci::virtio_regions(&mut |at, width| device.config_read(at, width)).unwrap();
    device.config_write(pci::COMMAND, 2, pci::COMMAND_MEMORY);
    assert!(regions.answer(&mut device));
    device.remove();
    assert_eq!(device.config_read(0, 4), u32::MAX);
    assert!(!regions.answer(&mut device));
    // QEMU itself is there.
    device.poll(Duration::ZERO).unwrap();
}

#[test]
fn a_device_behind_a_port_works_with_either_interrupt() {
    for mode in [InterruptMode::Messages(2), InterruptMode::Line] {
        exercise(
            &Builder::new("virtio-blk-pci").behind_port(true),
            &image(),
            mode,
        );
    }
}

#[test]
fn a_device_on_the_root_bus_has_no_power_switch() {
    let ram = Ram::new(32 << 20, 1).unwrap();
    let image = image();
    let mut device = Builder::new("virtio-blk-pci")
        .image(image.path())
        .start(&ram)
        .unwrap();
    assert!(device.set_power(false).is_err());
}
