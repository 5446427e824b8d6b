//! Structures are mapped as found, or the device is refused.

use super::device::{Device, Window};
use crate::transport::{Location, Transport, TransportError};

#[test]
fn each_structure_is_mapped_once() {
    let device = Device::new();
    let locations = Device::locations();
    let mut mapped = std::vec::Vec::new();
    Transport::modern(&locations, |location| {
        mapped.push(location);
        Some(device.window(location))
    })
    .unwrap();
    let want = [
        locations.common,
        locations.notify,
        locations.isr,
        locations.device.unwrap(),
    ];
    assert_eq!(mapped, want);
    assert_eq!(device.log(), [], "the device is not touched");
}

#[test]
fn structure_that_cannot_be_mapped_whole_is_an_error() {
    let device = Device::new();
    let locations = Device::locations();
    let structures = [
        locations.common,
        locations.notify,
        locations.isr,
        locations.device.unwrap(),
    ];
    for wrong in structures {
        let error = TransportError::Map { location: wrong };
        let none = |location| (location != wrong).then(|| device.window(location));
        assert_eq!(open(none), error);
        let short = |location: Location| {
            let len = location.len - u32::from(location == wrong);
            Some(device.window(Location { len, ..location }))
        };
        assert_eq!(open(short), error);
    }
}

fn open(map: impl FnMut(Location) -> Option<Window>) -> TransportError {
    match Transport::modern(&Device::locations(), map) {
        Ok(_) => panic!("mapped"),
        Err(error) => error,
    }
}
