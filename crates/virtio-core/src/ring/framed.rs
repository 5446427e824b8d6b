//! Indirect tables of the three parts that storage devices take, worked out once but for what differs each time.
#![forbid(unsafe_code)]

use super::chain::TableFormat;
use super::{IndirectChain, Part, Tables};
use crate::mem::{DeviceAddress, TableMemory};
use crate::spec::features::Features;
use crate::spec::ring::DescriptorFlags;

/// Parts of such a table.
const PARTS: usize = 3;

/// Tables of a header of `HEADER` bytes that the device reads, data, and a status of `STATUS` bytes that it writes.
#[derive(Clone, Copy, Debug)]
pub struct Framed<const HEADER: u32, const STATUS: u32> {
    /// Second words of the descriptors; of the data without its length.
    header: u64,
    data: [u64; 2],
    status: u64,
    /// Most bytes of data.
    most: u32,
    format: TableFormat,
}

/// The data of such a table, but for its address.
#[derive(Clone, Copy, Debug)]
pub struct Data {
    /// Second word of its descriptor.
    word: u64,
    /// Bytes that the device writes of it.
    written: u32,
}

impl Data {
    /// Bytes that the device writes of it: all or none.
    #[must_use]
    #[inline(always)]
    pub const fn written(self) -> u32 {
        self.written
    }
}

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Flow {
    /// The device writes it.
    FromDevice = 0,
    /// The device reads it.
    ToDevice = 1,
}

impl<const HEADER: u32, const STATUS: u32> Framed<HEADER, STATUS> {
    /// Tables for up to `most` bytes of data, and fewer than 2³¹; for none at all where the negotiated `features` allow no tables.
    #[must_use]
    pub fn new(features: Features, most: u32) -> Self {
        // Virtio 1.3 §2.7.5.2: no chain longer than 2³² bytes.
        const { assert!(HEADER != 0 && STATUS != 0 && HEADER < 1 << 30 && STATUS < 1 << 30) };
        let (format, most) = match Tables::new(features) {
            Some(Tables(format)) => (format, most.min(i32::MAX.cast_unsigned())),
            None => (TableFormat::None, 0),
        };
        let word = |len, flags, next| {
            let [_, second] = format.entry(Part::new(DeviceAddress(0), len), flags, next);
            u64::from_ne_bytes(second.to_bytes())
        };
        let (next, write) = (DescriptorFlags::NEXT, DescriptorFlags::WRITE);
        Self {
            header: word(HEADER, next, 1),
            data: [word(0, next.union(write), 2), word(0, next, 2)],
            status: word(STATUS, write, 3),
            most,
            format,
        }
    }

    /// `bytes` of data, if there are any, and no more than such a table takes.
    #[must_use]
    #[inline(always)]
    pub fn data(&self, flow: Flow, bytes: u32) -> Option<Data> {
        if bytes.wrapping_sub(1) >= self.most {
            return None;
        }
        // 0 or 1. Computed with, as a choice between two values takes more instructions than that.
        let flow = flow as u32;
        let word = *self.data.get(flow as usize)?;
        Some(Data {
            // The length is the lower half of the word, as the device has it.
            word: word | u64::from(bytes).to_le(),
            // All or nothing.
            written: bytes & flow.wrapping_sub(1),
        })
    }

    /// Writes the table of a header, data and a status at these addresses: what [`IndirectChain::write`] writes of them.
    ///
    /// `data` is what these tables made of it. From [`super::Queue::add_indirect`] until the token comes back the table is lent to the
    /// device.
    #[inline(always)]
    pub fn write(
        &self,
        table: &mut TableMemory<PARTS>,
        [header, at, status]: [DeviceAddress; PARTS],
        data: Data,
    ) -> IndirectChain {
        let address = |address: DeviceAddress| address.0.to_le();
        table.write([
            [address(header), self.header],
            [address(at), data.word],
            [address(status), self.status],
        ]);
        IndirectChain {
            table: table.address(),
            parts: PARTS as u16,
            // Both below 2³¹.
            writable: data.written.wrapping_add(STATUS),
            format: self.format,
        }
    }
}
