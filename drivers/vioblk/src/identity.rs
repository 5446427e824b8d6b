//! Who the disk says it is: its serial number, and a name that stays the same.
#![forbid(unsafe_code)]

use crate::scsi::Reply;
use virtio_core::spec::blk::ID_LEN;

/// T10 vendor identification.
pub const VENDOR: &[u8; 8] = b"WinPV   ";
/// Product identification.
pub const PRODUCT: &[u8; 16] = b"virtio-blk disk ";
/// Product revision level.
pub const REVISION: &[u8; 4] = b"0001";

/// Where the disk is plugged in, for disks that have no serial number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// PCI bus number as StorPort gives it.
    pub bus: u32,
    /// PCI slot number as StorPort gives it.
    pub slot: u32,
}

/// A serial number: printable ASCII without surrounding spaces. May be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial {
    bytes: [u8; ID_LEN],
    len: usize,
}

impl Serial {
    /// No serial number.
    pub const EMPTY: Self = Self {
        bytes: [0; ID_LEN],
        len: 0,
    };

    /// Takes what the device returned. It ends at the first NUL; what SCSI cannot carry becomes an underscore, so
    /// that two different names stay different in length at least.
    pub fn new(id: &[u8; ID_LEN]) -> Self {
        let end = id.iter().position(|byte| *byte == 0).unwrap_or(ID_LEN);
        let text = id.get(..end).unwrap_or_default().trim_ascii();
        let mut serial = Self::EMPTY;
        for (to, from) in serial.bytes.iter_mut().zip(text) {
            *to = match *from {
                byte @ 0x20..=0x7e => byte,
                _ => b'_',
            };
        }
        serial.len = text.len();
        serial
    }

    /// It has as many characters as virtio-blk can carry, so the host's may have had more. Virtio 1.3 §5.2.6
    pub const fn may_be_cut(&self) -> bool {
        self.len == ID_LEN
    }

    /// The characters.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The device identification page. SPC-5 §7.7.6
///
/// With a serial number: vendor, product and serial, as T10 advises; it moves with the disk. Without: vendor, product and the
/// place, unique in this machine and the same after every restart.
pub fn designation(serial: &Serial, place: Place, reply: &mut Reply) {
    const DESCRIPTOR: usize = 4;
    const HEADER: usize = 4;
    const NAME: usize = VENDOR.len() + PRODUCT.len();
    let mut location = [0; 17];
    let specific = if serial.bytes().is_empty() {
        for (to, from) in location.iter_mut().zip(hexadecimal(place)) {
            *to = from;
        }
        location.as_slice()
    } else {
        serial.bytes()
    };
    let designator = NAME.saturating_add(specific.len());
    let page = DESCRIPTOR.saturating_add(designator);
    reply
        .of(HEADER.saturating_add(page))
        .put(1, &[0x83])
        .put(3, &[low_byte(page)])
        // Code set ASCII; association logical unit, type T10 vendor identification.
        .put(4, &[0x02, 0x01, 0, low_byte(designator)])
        .put(8, VENDOR)
        .put(16, PRODUCT)
        .put(32, specific);
}

fn low_byte(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

/// Bus and slot as `bbbbbbbb:ssssssss`.
fn hexadecimal(place: Place) -> impl Iterator<Item = u8> {
    let digits = |value: u32| {
        (0..8u32).rev().map(move |n| {
            let digit = (value >> n.saturating_mul(4)) & 0xf;
            char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8)
        })
    };
    digits(place.bus)
        .chain(core::iter::once(b':'))
        .chain(digits(place.slot))
}

#[cfg(test)]
mod tests;
