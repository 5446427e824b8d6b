//! Writing one buffer's descriptors, into the ring's own table or into an indirect one.
#![forbid(unsafe_code)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::transmute;

use super::{AddError, Part};
use crate::mem::{DeviceAddress, DmaRegion};
use crate::spec::features::Features;
use crate::spec::ring::{Descriptor, DescriptorFlags, MAX_QUEUE_SIZE, PackedDescriptor};

/// Bytes of a descriptor.
pub(super) const DESCRIPTOR: usize = size_of::<Descriptor>();

/// A chain whose descriptors are written and which the device has not been shown.
pub(super) struct Chain {
    /// Number of descriptors.
    pub(super) count: u16,
    /// Bytes that the device may write.
    pub(super) writable: u32,
}

/// A descriptor of a split ring or of its tables.
#[inline(always)]
pub(super) fn descriptor(part: Part, flags: DescriptorFlags, next: u16) -> Descriptor {
    Descriptor {
        addr: U64::new(part.address.0),
        len: U32::new(part.len),
        flags: U16::new(flags.bits()),
        next: U16::new(next),
    }
}

/// A descriptor of a packed ring or of its tables.
#[inline(always)]
pub(super) fn packed_descriptor(part: Part, flags: u16, id: u16) -> PackedDescriptor {
    PackedDescriptor {
        addr: U64::new(part.address.0),
        len: U32::new(part.len),
        id: U16::new(id),
        flags: U16::new(flags),
    }
}

/// A chain in a table of its own, written and ready to be added to a queue.
///
/// Writing the table needs no queue, so it is done before the queue's lock is taken. It can be copied so that what a queue had
/// no room for can be tried again; it is not bound to its table, which stays lent as [`IndirectChain::write`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndirectChain {
    pub(super) table: DeviceAddress,
    pub(super) parts: u16,
    /// Bytes that the device may write.
    pub(super) writable: u32,
    pub(super) format: TableFormat,
}

/// What an indirect table was written for, or what a queue takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableFormat {
    /// A queue takes none.
    None,
    /// A split ring.
    Split,
    /// A packed ring.
    Packed,
}

impl TableFormat {
    /// A descriptor of a table; `next` is the index of the one after it.
    #[inline(always)]
    pub(super) fn entry(self, part: Part, flags: DescriptorFlags, next: u16) -> [U64; 2] {
        match self {
            Self::Packed => {
                // Order needs no index, and WRITE is the only flag. // Virtio 1.3 §2.8.7, §2.8.19
                let flags = flags.intersection(DescriptorFlags::WRITE).bits();
                transmute!(packed_descriptor(part, flags, 0))
            }
            // In the order that IN_ORDER asks for. // Virtio 1.3 §2.7.5.3
            Self::None | Self::Split => transmute!(descriptor(part, flags, next)),
        }
    }
}

/// That indirect tables may be used, and how they are written: what the negotiated features say of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables(pub(super) TableFormat);

impl Tables {
    /// `None` without INDIRECT_DESC.
    #[must_use]
    pub const fn new(features: Features) -> Option<Self> {
        if !features.contains(Features::INDIRECT_DESC) {
            None
        } else if features.contains(Features::RING_PACKED) {
            Some(Self(TableFormat::Packed))
        } else {
            Some(Self(TableFormat::Split))
        }
    }
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
        let tables = Tables::new(features).ok_or(AddError::IndirectNotNegotiated)?;
        let mut table = Lent::new(table, tables)?;
        let (address, format) = (table.table.address(), table.format);
        let entries = table.table.len().wrapping_div(DESCRIPTOR);
        let room = u16::try_from(entries).map_or(MAX_QUEUE_SIZE, |some| some.min(MAX_QUEUE_SIZE));
        let chain = write(&mut table, room, readable.into_iter(), writable.into_iter());
        match chain {
            Ok(chain) => Ok(Self {
                table: address,
                parts: chain.count,
                writable: chain.writable,
                format,
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

impl From<AddError> for WriteError {
    fn from(error: AddError) -> Self {
        Self::Refused(error)
    }
}

/// Which descriptor of its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The one whose flags show the chain.
    First,
    /// Any other.
    Later,
}

/// Where the descriptors of a chain go, one after the other.
pub(super) trait Table {
    /// Writes the next descriptor; there is room for it.
    fn put(&mut self, place: Place, part: Part, flags: DescriptorFlags) -> Result<(), AddError>;
}

/// A table of its own, for either format.
struct Lent<'a> {
    table: &'a mut DmaRegion,
    at: u16,
    format: TableFormat,
}

impl<'a> Lent<'a> {
    /// The table, if one may be used and it lies right.
    #[inline(always)]
    fn new(table: &'a mut DmaRegion, tables: Tables) -> Result<Self, AddError> {
        if !table.is_aligned_to(8) {
            return Err(AddError::TableMisaligned);
        }
        Ok(Self {
            table,
            at: 0,
            format: tables.0,
        })
    }
}

impl Table for Lent<'_> {
    #[inline(always)]
    fn put(&mut self, _place: Place, part: Part, flags: DescriptorFlags) -> Result<(), AddError> {
        let at = self.at;
        self.at = at.wrapping_add(1);
        let entry = self.format.entry(part, flags, self.at);
        // Cannot wrap, as the index has 16 bits.
        let offset = usize::from(at).wrapping_mul(DESCRIPTOR);
        self.table
            .write_descriptor(offset, entry)
            .map_err(|_| AddError::TableTooSmall {
                parts: usize::from(at).wrapping_add(1),
                entries: usize::from(at),
            })
    }
}

/// Where writing has got to: one part behind, as only its successor tells that a part is not the last.
struct Cursor<'t, T> {
    table: &'t mut T,
    /// Descriptors that the chain may take.
    room: u16,
    held: Option<(Part, DescriptorFlags)>,
    count: u16,
    bytes: u32,
}

impl<T: Table> Cursor<'_, T> {
    /// Takes the parts of one kind, and writes all but the last.
    #[inline(always)]
    fn push_all(
        &mut self,
        parts: &mut impl Iterator<Item = Part>,
        flags: DescriptorFlags,
    ) -> Result<(), WriteError> {
        for part in parts {
            if self.count == self.room {
                // Counted further by the caller.
                return Err(WriteError::NoRoom { parts: 1 });
            }
            if part.len == 0 {
                return Err(AddError::EmptyPart.into());
            }
            // Virtio 1.3 §2.7.5.2: no chain longer than 2³² bytes.
            let Some(bytes) = self.bytes.checked_add(part.len) else {
                return Err(AddError::TooManyBytes.into());
            };
            self.bytes = bytes;
            if let Some((before, flags)) = self.held.replace((part, flags)) {
                self.put(before, flags.union(DescriptorFlags::NEXT))?;
            }
            self.count = self.count.wrapping_add(1);
        }
        Ok(())
    }

    /// Writes a part.
    #[inline(always)]
    fn put(&mut self, part: Part, flags: DescriptorFlags) -> Result<(), AddError> {
        // The held part is the last that was counted.
        let place = if self.count == 1 {
            Place::First
        } else {
            Place::Later
        };
        self.table.put(place, part, flags)
    }

    /// Writes all parts; returns the bytes that the device reads.
    #[inline(always)]
    fn write(
        &mut self,
        readable: &mut impl Iterator<Item = Part>,
        writable: &mut impl Iterator<Item = Part>,
    ) -> Result<u32, WriteError> {
        self.push_all(readable, DescriptorFlags::empty())?;
        let readable_bytes = self.bytes;
        self.push_all(writable, DescriptorFlags::WRITE)?;
        let Some((part, flags)) = self.held else {
            return Err(AddError::EmptyChain.into());
        };
        self.put(part, flags)?;
        Ok(readable_bytes)
    }
}

/// Writes a chain of at most `room` parts, the parts that the device reads before those that it writes.
///
/// Always inlined, as only then the iterators of a short chain dissolve into a handful of stores.
/// // Virtio 1.3 §2.7.4.2, §2.8.17
#[inline(always)]
pub(super) fn write<T: Table>(
    table: &mut T,
    room: u16,
    mut readable: impl Iterator<Item = Part>,
    mut writable: impl Iterator<Item = Part>,
) -> Result<Chain, WriteError> {
    // A chain that says itself that it is too long is not begun. For parts in an array, no other look at the room is left.
    let least = readable
        .size_hint()
        .0
        .saturating_add(writable.size_hint().0);
    if least > usize::from(room) {
        return Err(WriteError::NoRoom {
            parts: rest(readable, writable),
        });
    }
    let mut cursor = Cursor {
        table,
        room,
        held: None,
        count: 0,
        bytes: 0,
    };
    match cursor.write(&mut readable, &mut writable) {
        Ok(readable_bytes) => Ok(Chain {
            count: cursor.count,
            writable: cursor.bytes.wrapping_sub(readable_bytes),
        }),
        Err(WriteError::NoRoom { parts }) => Err(WriteError::NoRoom {
            parts: rest(readable, writable)
                .saturating_add(parts)
                .saturating_add(usize::from(room)),
        }),
        Err(refused) => Err(refused),
    }
}

/// Counts what the iterators still hold.
#[cold]
#[inline(never)]
fn rest(readable: impl Iterator<Item = Part>, writable: impl Iterator<Item = Part>) -> usize {
    readable.count().saturating_add(writable.count())
}
