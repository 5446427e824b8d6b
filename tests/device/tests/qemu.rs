//! QEMU's virtio-blk, driven by the tiny client.

mod client;

use client::{Client, IOERR, OK};
use host_machine::ram::Ram;
use test_device::image::Image;
use test_device::qemu::{Builder, InjectedError, Operation};
use test_device::{Device, InterruptMode};

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
