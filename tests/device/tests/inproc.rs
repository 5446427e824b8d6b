//! The in-process device, driven by the tiny client.

mod client;

use client::{Client, IOERR, OK};
use host_machine::ram::Ram;
use test_device::image::Image;
use test_device::inproc::{Config, InProcess};
use test_device::{Device, InterruptMode, pci};

fn ram() -> Ram {
    Ram::new(16 << 20, 1).unwrap()
}

fn image() -> Image {
    Image::new(1 << 20).unwrap()
}

fn client(config: &Config, ram: &Ram, mode: InterruptMode) -> Client<InProcess> {
    Client::new(InProcess::new(config, ram).unwrap(), ram, mode)
}

#[test]
fn moves_data_with_messages() {
    let (ram, image) = (ram(), image());
    let mut client = client(&Config::new(image.path()), &ram, InterruptMode::Messages(2));
    client.exercise(image.path());
    assert_eq!(client.identify(), (OK, b"winpv-inproc".to_vec()));
    assert_eq!(client.device.device().requests(), 61);
}

#[test]
fn moves_data_with_the_line() {
    let (ram, image) = (ram(), image());
    let mut config = Config::new(image.path());
    config.set("vectors", "0").unwrap();
    let mut client = client(&config, &ram, InterruptMode::Line);
    assert_eq!(client.device.msix_vectors(), 0);
    client.exercise(image.path());
}

#[test]
fn injected_errors_hit_what_they_name() {
    let (ram, image) = (ram(), image());
    let mut config = Config::new(image.path());
    config.set("fail-nth", "2").unwrap();
    config.set("fail-sector", "40:2").unwrap();
    let mut client = client(&config, &ram, InterruptMode::Messages(2));
    let mut bytes = vec![0; 1024];
    assert_eq!(client.read(0, &mut bytes), OK);
    assert_eq!(client.read(0, &mut bytes), IOERR);
    assert_eq!(client.read(38, &mut bytes), OK);
    assert_eq!(client.read(39, &mut bytes), 2);
    assert_eq!(client.read(41, &mut bytes), OK);
}

#[test]
fn a_read_only_disk_refuses_writes() {
    let (ram, image) = (ram(), image());
    let mut config = Config::new(image.path());
    config.set("read-only", "on").unwrap();
    let mut client = client(&config, &ram, InterruptMode::Messages(2));
    assert_eq!(client.write(0, &[1; 512]), IOERR);
    assert!(
        std::fs::read(image.path())
            .unwrap()
            .iter()
            .all(|&byte| byte == 0)
    );
}

#[test]
fn removal_gives_all_ones() {
    let (ram, image) = (ram(), image());
    let mut client = client(&Config::new(image.path()), &ram, InterruptMode::Messages(2));
    client.device.remove();
    assert_eq!(client.device.config_read(0, 2), 0xffff);
    assert_eq!(client.status(), 0xff);
    assert!(client.device.outstanding().is_empty());
}

/// What the device says of a client that breaks a rule.
fn complaint(mutate: impl FnOnce(&mut Config), act: impl FnOnce(&mut Client<InProcess>)) -> String {
    let (ram, image) = (ram(), image());
    let mut config = Config::new(image.path());
    mutate(&mut config);
    let mut client = client(&config, &ram, InterruptMode::Messages(2));
    act(&mut client);
    let violations = client.device.take_violations();
    violations
        .iter()
        .map(|violation| format!("{}: {}\n", violation.section, violation.what))
        .collect()
}

#[test]
fn rules_of_the_driver_are_checked() {
    let said = complaint(
        |_| (),
        |client| {
            assert_eq!(client.read(2047, &mut [0; 1024]), IOERR);
        },
    );
    assert!(said.contains("§5.2.6.1: sectors 2047+2 of 2048"), "{said}");
    let said = complaint(
        |_| (),
        |client| {
            assert_eq!(client.read(0, &mut [0; 500]), IOERR);
        },
    );
    assert!(said.contains("§5.2.6.1: a transfer of 500 bytes"), "{said}");
    let said = complaint(
        |config| config.set("size-max", "4096").unwrap(),
        |client| {
            assert_eq!(client.read(0, &mut [0; 8192]), OK);
        },
    );
    assert!(
        said.contains("a segment of 8192 bytes, size_max is 4096"),
        "{said}"
    );
    let said = complaint(
        |_| (),
        |client| {
            let region = test_device::pci::virtio_regions(&mut |at, width| {
                client.device.config_read(at, width)
            })
            .unwrap();
            client
                .device
                .write(region.common.bar, region.common.offset + 0x14, 1, 3);
            client
                .device
                .write(region.common.bar, region.common.offset + 0x1c, 2, 0);
            client
                .device
                .write(region.notify.bar, region.notify.offset, 4, 0);
        },
    );
    assert!(said.contains("§2.1.1"), "{said}");
    assert!(said.contains("wrote 0 to queue_enable"), "{said}");
    assert!(said.contains("§4.1.5.2"), "{said}");
}

#[test]
fn a_bad_chain_breaks_the_device() {
    let (ram, image) = (ram(), image());
    let mut client = client(&Config::new(image.path()), &ram, InterruptMode::Messages(2));
    // A device-readable part after the status byte, which the device writes.
    client.submit_backwards();
    let found = client
        .device
        .poll(std::time::Duration::from_secs(1))
        .unwrap();
    assert_eq!(
        found.messages,
        [0],
        "the configuration vector tells of NEEDS_RESET"
    );
    assert_eq!(client.status() & 64, 64);
    let violations = client.device.take_violations();
    // Observer and device both see it.
    assert_eq!(violations.len(), 2, "{violations:?}");
    assert!(
        violations
            .iter()
            .all(|violation| violation.section == "Virtio 1.3 §2.7.4.2")
    );
}

#[test]
fn one_seed_gives_one_run() {
    let run = |seed: u64| {
        let (ram, image) = (ram(), image());
        let mut config = Config::new(image.path());
        config.seed = seed;
        let mut client = client(&config, &ram, InterruptMode::Messages(2));
        // How many polls each of forty reads takes.
        (0..40)
            .map(|_| {
                client.submit(0, 0, 512, true);
                let mut polls = 0;
                while client
                    .device
                    .poll(std::time::Duration::ZERO)
                    .unwrap()
                    .is_empty()
                {
                    polls += 1;
                }
                client.forget_completion();
                polls
            })
            .collect::<Vec<u32>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn requests_come_back_in_order_if_that_was_negotiated() {
    let orders = |in_order: &str| -> Vec<[u32; 2]> {
        let (ram, image) = (ram(), image());
        let mut config = Config::new(image.path());
        config.set("in-order", in_order).unwrap();
        let mut client = client(&config, &ram, InterruptMode::Messages(2));
        (0..40).map(|_| client.order_of_two()).collect()
    };
    assert!(orders("on").iter().all(|order| *order == [0, 3]));
    assert!(orders("off").contains(&[3, 0]));
}

#[test]
fn unknown_properties_are_named() {
    let mut config = Config::new(std::path::Path::new("x"));
    let error = config.set("seg_max", "1").unwrap_err().to_string();
    assert!(
        error.contains("unknown property \"seg_max\"") && error.contains("seg-max"),
        "{error}"
    );
    assert!(config.set("seg-max", "banana").is_err());
    assert!(config.set("queues", "70000").is_err());
}

/// In D3hot nobody answers; afterwards, and after a time without power, the function is as new.
#[test]
fn forgets_everything_in_d3() {
    let (ram, image) = (ram(), image());
    let mut config = Config::new(image.path());
    config.set("power", "on").unwrap();
    let mut client = client(&config, &ram, InterruptMode::Messages(2));
    client.exercise(image.path());
    let device = &mut client.device;
    let control = pci::capability(
        &mut |at, width| device.config_read(at, width),
        pci::CAP_POWER,
    )
    .unwrap()
        + pci::POWER_CONTROL;
    let places = device.bars();
    for dark in [false, true] {
        let regions = pci::virtio_regions(&mut |at, width| device.config_read(at, width)).unwrap();
        assert!(regions.answer(device));
        device.config_write(control, 2, pci::POWER_STATE);
        assert!(!regions.answer(device));
        if dark {
            device.set_power(false).unwrap();
            assert_eq!(device.config_read(0, 4), u32::MAX);
            device.set_power(true).unwrap();
        }
        device.config_write(control, 2, 0);
        assert!(device.bars().iter().all(|bar| bar.address == 0));
        for bar in &places {
            device.config_write(pci::BAR0 + 4 * u16::from(bar.index), 4, bar.address as u32);
        }
        assert_eq!(device.config_read(pci::COMMAND, 2), 0);
        device.config_write(pci::COMMAND, 2, pci::COMMAND_MEMORY);
        // Status, and whether queue 0 is on. // Virtio 1.3 §4.1.4.3
        for (at, width) in [(0x14, 1), (0x1c, 2)] {
            assert_eq!(device.read(4, at, width), 0);
        }
    }
}
