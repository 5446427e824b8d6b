//! Writing one buffer's descriptors, into the ring's own table or into an indirect one.
#![forbid(unsafe_code)]

use zerocopy::little_endian::{U16, U32, U64};

use super::{AddError, Part};
use crate::mem::{DeviceAddress, DmaRegion, OutOfRegion};
use crate::spec::features::Features;
use crate::spec::ring::{Descriptor, DescriptorFlags, MAX_QUEUE_SIZE};

/// Bytes of a descriptor.
pub(super) const DESCRIPTOR: usize = size_of::<Descriptor>();
/// Byte offset of `flags` in a descriptor.
const FLAGS: usize = core::mem::offset_of!(Descriptor, flags);

/// A chain whose descriptors are written and which the device has not been shown.
pub(super) struct Chain {
    /// Index of the last descriptor.
    pub(super) last: u16,
    /// Number of descriptors.
    pub(super) count: u16,
    /// Bytes that the device may write.
    pub(super) writable: u32,
}

/// A chain in a table of its own, written and ready to be added to a queue.
///
/// Writing the table needs no queue, so it is done before the queue's lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndirectChain {
    pub(super) table: DeviceAddress,
    pub(super) parts: u16,
    /// Bytes that the device may write.
    pub(super) writable: u32,
}

impl IndirectChain {
    /// Writes first the parts that the device reads, then those it writes, to `table`: 16 bytes for each.
    ///
    /// From [`super::Queue::add_indirect`] until the token comes back the table is lent to the device. `features` are the
    /// negotiated ones. // Virtio 1.3 §2.7.5.3
    ///
    /// # Errors
    ///
    /// [`AddError`] says why it is no chain, or [`AddError::TableTooSmall`].
    #[inline]
    pub fn write(
        table: &mut DmaRegion,
        features: Features,
        readable: impl IntoIterator<Item = Part>,
        writable: impl IntoIterator<Item = Part>,
    ) -> Result<Self, AddError> {
        if !features.contains(Features::INDIRECT_DESC) {
            return Err(AddError::IndirectNotNegotiated);
        }
        let address = table.address();
        let entries = table.len().wrapping_div(DESCRIPTOR);
        let room = u16::try_from(entries).map_or(MAX_QUEUE_SIZE, |some| some.min(MAX_QUEUE_SIZE));
        let mut table = Table {
            memory: table,
            room,
            first: 0,
            next: |at: u16| at.wrapping_add(1),
        };
        match table.write(readable.into_iter(), writable.into_iter()) {
            Ok(chain) => Ok(Self {
                table: address,
                parts: chain.count,
                writable: chain.writable,
            }),
            Err(WriteError::NoRoom { parts }) => Err(AddError::TableTooSmall { parts, entries }),
            Err(WriteError::Refused(error)) => Err(error),
        }
    }

    /// Number of parts.
    #[must_use]
    pub const fn parts(&self) -> u16 {
        self.parts
    }
}

/// Why a chain could not be written.
pub(super) enum WriteError {
    /// It has more parts than there is room; counts them all.
    NoRoom { parts: usize },
    /// It is not a chain that may be written anywhere.
    Refused(AddError),
}

/// The table that a chain goes into.
pub(super) struct Table<'a, L> {
    /// Holds the descriptors, from its first byte.
    pub(super) memory: &'a mut DmaRegion,
    /// Descriptors that the chain may take.
    pub(super) room: u16,
    /// The first of them.
    pub(super) first: u16,
    /// The one to take after a given one.
    pub(super) next: L,
}

/// Where writing has got to.
struct Cursor {
    next: u16,
    last: u16,
    count: u16,
    bytes: u32,
}

impl<L: Fn(u16) -> u16> Table<'_, L> {
    /// Writes the parts, those that the device reads before those that it writes. // Virtio 1.3 §2.7.4.2
    #[inline]
    pub(super) fn write(
        &mut self,
        mut readable: impl Iterator<Item = Part>,
        mut writable: impl Iterator<Item = Part>,
    ) -> Result<Chain, WriteError> {
        let mut at = Cursor {
            next: self.first,
            last: self.first,
            count: 0,
            bytes: 0,
        };
        let read = DescriptorFlags::NEXT;
        let write = read.union(DescriptorFlags::WRITE);
        let readable_bytes;
        let done = match readable.try_for_each(|part| self.push(&mut at, part, read)) {
            Ok(()) => {
                readable_bytes = at.bytes;
                writable.try_for_each(|part| self.push(&mut at, part, write))
            }
            Err(error) => {
                readable_bytes = 0;
                Err(error)
            }
        };
        match done {
            Ok(()) => {}
            Err(AddError::Full) => {
                // The part that did not fit, and what the iterators still hold.
                let rest = readable.count().saturating_add(writable.count());
                let parts = rest.saturating_add(usize::from(at.count)).saturating_add(1);
                return Err(WriteError::NoRoom { parts });
            }
            Err(error) => return Err(WriteError::Refused(error)),
        }
        if at.count == 0 {
            return Err(WriteError::Refused(AddError::EmptyChain));
        }
        let writable = at.bytes.wrapping_sub(readable_bytes);
        // Only now is it known which part was the last one; it has no successor.
        let flags = if writable == 0 {
            DescriptorFlags::empty()
        } else {
            DescriptorFlags::WRITE
        };
        self.memory
            .write(offset(at.last).wrapping_add(FLAGS), U16::new(flags.bits()))
            .map_err(refused)?;
        Ok(Chain {
            last: at.last,
            count: at.count,
            writable,
        })
    }

    /// Writes one part, for now as one that has a successor.
    #[inline]
    fn push(
        &mut self,
        at: &mut Cursor,
        part: Part,
        flags: DescriptorFlags,
    ) -> Result<(), AddError> {
        if at.count == self.room {
            return Err(AddError::Full);
        }
        if part.len == 0 {
            return Err(AddError::EmptyPart);
        }
        // Virtio 1.3 §2.7.5.2: no chain longer than 2³² bytes.
        at.bytes = at
            .bytes
            .checked_add(part.len)
            .ok_or(AddError::TooManyBytes)?;
        let next = (self.next)(at.next);
        self.memory.write(
            offset(at.next),
            Descriptor {
                addr: U64::new(part.address.0),
                len: U32::new(part.len),
                flags: U16::new(flags.bits()),
                next: U16::new(next),
            },
        )?;
        at.last = at.next;
        at.next = next;
        at.count = at.count.wrapping_add(1);
        Ok(())
    }
}

fn refused(error: OutOfRegion) -> WriteError {
    WriteError::Refused(error.into())
}

/// Byte offset of descriptor `index`; cannot wrap, as the index has 16 bits.
#[inline]
pub(super) const fn offset(index: u16) -> usize {
    (index as usize).wrapping_mul(DESCRIPTOR)
}
