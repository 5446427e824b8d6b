//! Writing one buffer's descriptors, into the ring's own table or into an indirect one.
#![forbid(unsafe_code)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::transmute;

use super::{AddError, Part};
use crate::mem::{DeviceAddress, DmaRegion};
use crate::spec::features::Features;
use crate::spec::ring::{Descriptor, DescriptorFlags, MAX_QUEUE_SIZE};

/// Bytes of a descriptor.
pub(super) const DESCRIPTOR: usize = size_of::<Descriptor>();

/// A chain whose descriptors are written and which the device has not been shown.
pub(super) struct Chain {
    /// Index of the last descriptor.
    pub(super) last: u16,
    /// The descriptor after it.
    pub(super) after: u16,
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
    /// Writes first the parts that the device reads, then those it writes, to `table`: 16 bytes for each, from an address
    /// that is a multiple of 8.
    ///
    /// From [`super::Queue::add_indirect`] until the token comes back the table is lent to the device. `features` are the
    /// negotiated ones. // Virtio 1.3 §2.7.5.3
    ///
    /// # Errors
    ///
    /// [`AddError`] says why it is no chain, or what the table lacks.
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
        if !table.is_aligned_to(8) {
            return Err(AddError::TableMisaligned);
        }
        let address = table.address();
        let entries = table.len().wrapping_div(DESCRIPTOR);
        let room = u16::try_from(entries).map_or(MAX_QUEUE_SIZE, |some| some.min(MAX_QUEUE_SIZE));
        let chain = write(
            &mut Lent(table),
            0,
            room,
            readable.into_iter(),
            writable.into_iter(),
        );
        match chain {
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

/// Where the descriptors of a chain go.
pub(super) trait Table {
    /// The descriptor to take after `at`.
    fn next(&self, at: u16) -> u16;

    /// Writes descriptor `at`, which is one of as many as there is room for.
    fn write(&mut self, at: u16, descriptor: Descriptor) -> Result<(), AddError>;
}

/// A table of its own, one descriptor after the other.
struct Lent<'a>(&'a mut DmaRegion);

impl Table for Lent<'_> {
    fn next(&self, at: u16) -> u16 {
        at.wrapping_add(1)
    }

    #[inline(always)]
    fn write(&mut self, at: u16, descriptor: Descriptor) -> Result<(), AddError> {
        // Cannot wrap, as the index has 16 bits.
        let offset = usize::from(at).wrapping_mul(DESCRIPTOR);
        self.0
            .write_descriptor(offset, transmute!(descriptor))
            .map_err(|_| AddError::TableTooSmall {
                parts: usize::from(at).wrapping_add(1),
                entries: usize::from(at),
            })
    }
}

/// Where writing has got to: one part behind, as only its successor tells that a part is not the last.
struct Cursor {
    /// Descriptor that the held part goes into.
    at: u16,
    /// Descriptors that the chain may take.
    room: u16,
    held: Option<(Part, DescriptorFlags)>,
    count: u16,
    bytes: u32,
}

impl Cursor {
    /// Takes one part, and writes the one before it.
    #[inline(always)]
    fn push(
        &mut self,
        table: &mut impl Table,
        part: Part,
        flags: DescriptorFlags,
    ) -> Result<(), AddError> {
        if self.count == self.room {
            return Err(AddError::Full);
        }
        if part.len == 0 {
            return Err(AddError::EmptyPart);
        }
        // Virtio 1.3 §2.7.5.2: no chain longer than 2³² bytes.
        let Some(bytes) = self.bytes.checked_add(part.len) else {
            return Err(AddError::TooManyBytes);
        };
        self.bytes = bytes;
        if let Some((before, flags)) = self.held.replace((part, flags)) {
            self.at = self.put(table, before, flags.union(DescriptorFlags::NEXT))?;
        }
        self.count = self.count.wrapping_add(1);
        Ok(())
    }

    /// Writes a part; returns the descriptor after it.
    #[inline(always)]
    fn put(
        &self,
        table: &mut impl Table,
        part: Part,
        flags: DescriptorFlags,
    ) -> Result<u16, AddError> {
        let next = table.next(self.at);
        let descriptor = Descriptor {
            addr: U64::new(part.address.0),
            len: U32::new(part.len),
            flags: U16::new(flags.bits()),
            next: U16::new(next),
        };
        table.write(self.at, descriptor)?;
        Ok(next)
    }

    /// One part did not fit, and `rest` parts would have come after it.
    fn no_room(&self, rest: usize) -> WriteError {
        let parts = rest.saturating_add(usize::from(self.count));
        WriteError::NoRoom {
            parts: parts.saturating_add(1),
        }
    }
}

/// Writes a chain of at most `room` parts from descriptor `first` on, the parts that the device reads before those that it
/// writes. // Virtio 1.3 §2.7.4.2
///
/// Always inlined, as only then the iterators of a short chain dissolve into a handful of stores.
#[inline(always)]
pub(super) fn write(
    table: &mut impl Table,
    first: u16,
    room: u16,
    mut readable: impl Iterator<Item = Part>,
    mut writable: impl Iterator<Item = Part>,
) -> Result<Chain, WriteError> {
    let mut cursor = Cursor {
        at: first,
        room,
        held: None,
        count: 0,
        bytes: 0,
    };
    let read = DescriptorFlags::empty();
    for part in readable.by_ref() {
        if let Err(error) = cursor.push(table, part, read) {
            return Err(match error {
                AddError::Full => cursor.no_room(rest(readable, writable)),
                error => WriteError::Refused(error),
            });
        }
    }
    let readable_bytes = cursor.bytes;
    for part in writable.by_ref() {
        if let Err(error) = cursor.push(table, part, DescriptorFlags::WRITE) {
            return Err(match error {
                AddError::Full => cursor.no_room(rest(readable, writable)),
                error => WriteError::Refused(error),
            });
        }
    }
    let Some((part, flags)) = cursor.held else {
        return Err(WriteError::Refused(AddError::EmptyChain));
    };
    let after = cursor
        .put(table, part, flags)
        .map_err(WriteError::Refused)?;
    Ok(Chain {
        last: cursor.at,
        after,
        count: cursor.count,
        writable: cursor.bytes.wrapping_sub(readable_bytes),
    })
}

/// Counts what the iterators still hold.
#[cold]
#[inline(never)]
fn rest(readable: impl Iterator<Item = Part>, writable: impl Iterator<Item = Part>) -> usize {
    readable.count().saturating_add(writable.count())
}
