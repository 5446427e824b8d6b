//! Device configuration: consistent, bounded, and never past its end.

use core::mem::offset_of;

use super::device::{Device, Fault, Structure, start};
use crate::spec::blk;
use crate::spec::features::Features;
use crate::transport::ConfigError;

#[test]
fn fields_are_read_with_their_own_width() {
    let device = Device::new();
    let transport = device.transport();
    let value = transport.read_config(|config| {
        Ok((
            config.u64(offset_of!(blk::Config, capacity))?,
            config.u32(offset_of!(blk::Config, blk_size))?,
            config.u16(offset_of!(blk::Config, num_queues))?,
            config.u8(offset_of!(blk::Config, writeback))?,
        ))
    });
    // The configuration's bytes are 0, 1, 2, …
    assert_eq!(
        value,
        Ok((0x0706_0504_0302_0100, 0x1716_1514, 0x2322, 0x20))
    );
    let log = device.log().into_iter();
    let reads: std::vec::Vec<_> = log
        .filter(|access| access.structure == Structure::Device)
        .map(|access| (access.offset, access.width))
        .collect();
    assert_eq!(reads, [(0, 4), (4, 4), (20, 4), (34, 2), (32, 1)]);
}

#[test]
fn snapshot_is_taken_again_when_the_generation_changes() {
    for changes in 0..15 {
        let device = Device::with(Fault::Restless(changes));
        let value = device.transport().read_config(|config| config.u8(3));
        assert_eq!(value, Ok(3));
        let log = device.log().into_iter();
        let reads = log.filter(|access| access.structure == Structure::Device);
        assert_eq!(reads.count() as u32, changes + 1);
    }
}

#[test]
fn configuration_that_never_settles_is_an_error() {
    let device = Device::with(Fault::Restless(u32::MAX));
    let value = device.transport().read_config(|config| config.u32(0));
    assert_eq!(value, Err(ConfigError::Unstable { tries: 16 }));
}

#[test]
fn configuration_of_a_device_that_is_gone_is_an_error() {
    let device = Device::with(Fault::Gone);
    let value = device.transport().read_config(|config| config.u32(0));
    assert_eq!(value, Err(ConfigError::DeviceGone));
    // A generation of 255 alone is nothing special.
    let device = Device::new();
    device.0.borrow_mut().generation = 255;
    assert_eq!(device.transport().read_config(|config| config.u8(1)), Ok(1));
}

#[test]
fn nothing_is_read_past_the_end() {
    let mut locations = Device::locations();
    locations.device.as_mut().unwrap().len = 10;
    let device = Device::new();
    let transport = device.transport_at(&locations);
    transport
        .read_config(|config| {
            assert_eq!(config.len(), 10);
            let short = |offset, width| ConfigError::TooShort {
                offset,
                width,
                len: 10,
            };
            assert_eq!(config.u64(0), Ok(0x0706_0504_0302_0100));
            assert_eq!(config.u64(8), Err(short(8, 8)));
            assert_eq!(config.u32(8), Err(short(8, 4)));
            assert_eq!(config.u16(8), Ok(0x0908));
            assert_eq!(config.u16(10), Err(short(10, 2)));
            assert_eq!(config.u8(9), Ok(9));
            assert_eq!(config.u8(10), Err(short(10, 1)));
            assert_eq!(config.u32(usize::MAX), Err(short(usize::MAX, 4)));
            Ok(())
        })
        .unwrap();
    assert_eq!(transport.write_config_u8(9, 1), Err(ConfigError::TooEarly));
    start(&transport);
    assert_eq!(transport.write_config_u8(9, 1), Err(ConfigError::TooEarly));
    transport.accept(Features::VERSION_1).unwrap();
    assert_eq!(transport.write_config_u8(9, 1), Ok(()));
    assert_eq!(device.0.borrow().config[9], 1);
    assert!(transport.write_config_u8(10, 1).is_err());

    locations.device = None;
    let transport = Device::new().transport_at(&locations);
    let none = transport.read_config(|config| {
        assert!(config.is_empty());
        config.u8(0)
    });
    let want = ConfigError::TooShort {
        offset: 0,
        width: 1,
        len: 0,
    };
    assert_eq!(none, Err(want));
}
