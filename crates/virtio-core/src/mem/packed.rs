//! The memory of a packed ring, reached by index and never by address. // Virtio 1.3 §2.8
//!
//! A ring has any size, so that an index cannot be masked. What goes on from descriptor to descriptor is kept here, where it
//! is known to lie inside the ring and needs no check.
#![expect(
    unsafe_code,
    reason = "raw access to memory that the device shares; every index is held inside the array"
)]

use core::mem::{forget, offset_of, size_of};
use core::ptr::NonNull;

use zerocopy::little_endian::{U16, U32, U64};

use super::{DeviceAddress, DmaRegion, Order, access, write_fields};
use crate::ring::{LAP, Layout, Position, RingAddresses, distance, shows, step, step_one};
use crate::spec::ring::PackedDescriptor;
use crate::sync::Ordering;

/// A packed ring's memory. Both sides write the descriptors; the driver writes its own event suppression structure and
/// reads the device's.
#[derive(Debug)]
pub(crate) struct PackedMemory {
    region: DmaRegion,
    /// Start of the descriptor ring, of `size` descriptors, aligned as the ring is.
    descriptors: NonNull<PackedDescriptor>,
    /// Driver event suppression.
    driver: NonNull<u32>,
    /// Device event suppression.
    device: NonNull<u32>,
    /// Bytes of all descriptors; not 0.
    end: usize,
    avail: Avail,
    unseen: Unseen,
    used: UsedPlace,
}

/// Bytes of a descriptor, as a power of two.
const SHIFT: u32 = 4;
const _: () = assert!(size_of::<PackedDescriptor>() == 1 << SHIFT);
/// Where the flags begin in a descriptor's second word, in bits.
const FLAGS: u32 = 48;
/// Where the id begins there.
const ID: u32 = 32;

/// Where the next buffer goes.
#[derive(Debug)]
struct Avail {
    /// Offset of a descriptor in bytes: a multiple of its length, always below `end`.
    offset: usize,
    /// Flags of available descriptors there, in their place in the second word. // Virtio 1.3 §2.8.1
    lap: u64,
    /// The wrap counter there, in its bit of a position.
    wrap: u16,
}

/// The wrap counter's bit of a position; the other bits are the index. // Virtio 1.3 §2.8.14, §2.9
const WRAP: u16 = 1 << 15;

impl Avail {
    /// The next lap begins.
    #[cold]
    const fn turn(&mut self) {
        self.lap ^= LAP_BITS;
        self.wrap ^= WRAP;
    }

    /// Index and wrap counter.
    #[inline(always)]
    const fn bits(&self) -> u16 {
        index(self.offset) | self.wrap
    }

    #[inline(always)]
    const fn position(&self) -> Position {
        Position::of(index(self.offset), (self.lap >> FLAGS) as u16)
    }

    /// Makes stale what was written of a buffer, up to the offset `written`, of a ring of `end` bytes from `start` on.
    #[cold]
    #[inline(never)]
    fn retract(
        &mut self,
        start: NonNull<PackedDescriptor>,
        end: usize,
        written: usize,
        wrapped: bool,
    ) {
        if wrapped {
            self.turn();
        }
        // A buffer is finished once its last descriptor is written, so that a whole ring of them never comes here.
        let mut at = self.position();
        while at.index() != index(written) {
            // SAFETY: a position of the ring, so that there is such a descriptor.
            let descriptor = unsafe { start.add(usize::from(at.index())) };
            let stale = at.stale().to_le();
            // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
            unsafe { access::store16(flags(descriptor), stale, Ordering::Relaxed) };
            at = at.advance(1, index(end));
        }
    }
}

/// The first descriptor that the device was not shown; of no meaning if it was shown all.
#[derive(Debug)]
struct Unseen {
    /// Its offset in bytes: a multiple of its length, always below `end`.
    offset: usize,
    /// Its flags; to store them shows everything behind it.
    flags: u16,
}

/// Where the device marks the next used buffer; a copy stays in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsedPlace {
    /// Offset of a descriptor in bytes: a multiple of its length, always below `end`.
    offset: usize,
    /// AVAIL and USED of a used descriptor there. // Virtio 1.3 §2.8.1
    flags: u16,
    /// Its index, and the wrap counter there in its bit of a position, in 16 bits.
    pub(crate) bits: u32,
}

impl UsedPlace {
    /// The same as a position.
    pub(crate) const fn position(self) -> Position {
        Position::of_used(index(self.offset), self.flags)
    }

    /// The next lap began on the way here, in a ring of `end` bytes.
    #[cold]
    const fn turn(&mut self, end: usize) {
        self.flags ^= LAP;
        // A buffer is never longer than the ring; the place has to lie inside even if it were.
        if self.offset >= end {
            self.offset = 0;
        }
        self.bits = self.position().bits() as u32;
    }
}

/// Where a buffer of one descriptor went that was shown at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone {
    /// Its index and the wrap counter.
    bits: u16,
    /// The same of the descriptor after it.
    behind: u16,
}

impl Alone {
    /// Index and wrap counter of its descriptor.
    #[inline(always)]
    pub(crate) const fn bits(self) -> u16 {
        self.bits
    }

    /// The same of the descriptor after it.
    #[inline(always)]
    pub(crate) const fn behind(self) -> u16 {
        self.behind
    }
}

// SAFETY: the pointers lead into the region only, which is the only processor-side way to its memory and bound to no thread.
unsafe impl Send for PackedMemory {}

impl PackedMemory {
    /// Lays a ring into a region and zeroes it, or gives the region back if it is too small or misaligned.
    pub(crate) fn new(mut region: DmaRegion, layout: &Layout) -> Result<Self, DmaRegion> {
        if region.len() < layout.len() || !region.is_aligned_to(layout.align()) {
            return Err(region);
        }
        // Virtio 1.3 §2.8.13: the descriptor ring is zero-initialized.
        region.zero();
        let base = region.base;
        // SAFETY: the layout's parts follow each other within its length, which the region has.
        let driver = unsafe { base.add(layout.driver()) };
        // SAFETY: as above.
        let device = unsafe { base.add(layout.device()) };
        Ok(Self {
            region,
            descriptors: base.cast(),
            driver: driver.cast(),
            device: device.cast(),
            end: usize::from(layout.size()) << SHIFT,
            avail: Avail {
                offset: 0,
                lap: u64::from(Position::START.available()) << FLAGS,
                wrap: WRAP,
            },
            unseen: Unseen {
                offset: 0,
                flags: 0,
            },
            used: UsedPlace {
                offset: 0,
                flags: Position::START.used(),
                bits: u32::from(WRAP),
            },
        })
    }

    /// The region again, with whatever lies in it.
    pub(crate) fn into_region(self) -> DmaRegion {
        self.region
    }

    /// Where the device sees the three parts.
    pub(crate) fn addresses(&self) -> RingAddresses {
        let start = self.descriptors.addr().get();
        // All parts lie in the region, so that no difference and no sum wraps.
        let at = |part: NonNull<u32>| {
            let offset = part.addr().get().wrapping_sub(start);
            DeviceAddress(self.region.address().0.wrapping_add(offset as u64))
        };
        RingAddresses {
            descriptor: self.region.address(),
            driver: at(self.driver),
            device: at(self.device),
        }
    }

    /// Where the next buffer goes: index, and wrap counter in bit 15.
    #[inline(always)]
    pub(crate) const fn next_avail_bits(&self) -> u16 {
        self.avail.bits()
    }

    /// Where the device marks the next used buffer.
    #[inline(always)]
    pub(crate) const fn used_place(&self) -> UsedPlace {
        self.used
    }

    /// Writes the descriptors of a buffer, from where the next one goes.
    #[inline(always)]
    pub(crate) fn writer(&mut self, id: u16) -> PackedWriter<'_> {
        PackedWriter {
            start: self.descriptors,
            end: self.end,
            offset: self.avail.offset,
            id,
            word: u64::from(id) << ID | self.avail.lap,
            wrapped: false,
            home: &mut self.avail,
            unseen: &mut self.unseen,
        }
    }

    /// Writes the one descriptor of a buffer where nothing else waits to be shown: `before_show` runs when all but its flags is written,
    /// which are stored last and show it. The next buffer goes behind it.
    #[inline(always)]
    pub(crate) fn put_alone(
        &mut self,
        id: u16,
        (address, len, flags): (DeviceAddress, u32, u16),
        order: Ordering,
        before_show: impl FnOnce(),
    ) -> Alone {
        let Avail { offset, lap, wrap } = self.avail;
        // SAFETY: the offset is that of a descriptor (invariant of `avail`).
        let at = unsafe { self.descriptors.byte_add(offset) };
        // SAFETY: a descriptor of the ring, which is the region's (contract of its `new`).
        unsafe { write_unseen(at, id, address, len) };
        let bits = index(offset) | wrap;
        let mut behind = bits.wrapping_add(1);
        let mut next = offset;
        if step_one(&mut next, 1 << SHIFT, self.end) {
            self.avail.turn();
            behind = self.avail.wrap;
        }
        self.avail.offset = next;
        before_show();
        let flags = flags | (lap >> FLAGS) as u16;
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::store16(self::flags(at), flags.to_le(), order) };
        Alone { bits, behind }
    }

    /// Descriptors from that of [`Self::show`] on, if there are any; and whether the next one lies in the same lap.
    #[inline(always)]
    pub(crate) const fn pending(&self) -> (u16, bool) {
        let (bytes, one_lap) = distance(self.unseen.offset, self.avail.offset, self.end);
        (index(bytes), one_lap)
    }

    /// Stores the flags of the first descriptor that the device was not shown.
    #[inline(always)]
    pub(crate) fn show(&mut self, order: Ordering) {
        let Unseen { offset, flags } = self.unseen;
        // SAFETY: the offset is that of a descriptor (invariant of `unseen`).
        let at = unsafe { self.descriptors.byte_add(offset) };
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::store16(self::flags(at), flags.to_le(), order) };
    }

    /// Goes on by `count` descriptors to where the device marks the next used buffer.
    #[inline(always)]
    pub(crate) const fn took(&mut self, count: u16) -> UsedPlace {
        self.used.bits = self.used.bits.wrapping_add(count as u32);
        if step(&mut self.used.offset, (count as usize) << SHIFT, self.end) {
            self.used.turn(self.end);
        }
        self.used
    }

    /// Whether a used descriptor is at a place of this ring: a look that takes nothing.
    #[inline(always)]
    pub(crate) fn is_used(&self, place: UsedPlace) -> bool {
        // SAFETY: the offset is that of a descriptor (`took` and `used_place` of this ring).
        let at = unsafe { self.descriptors.byte_add(place.offset) };
        // SAFETY: inside, aligned and readable (contract of the region's `new`).
        let flags = u16::from_le(unsafe { access::load16(flags(at), Ordering::Relaxed) });
        shows(flags, place.flags)
    }

    /// Id, length and flags of the next used descriptor, each read once, if it is there.
    #[inline(always)]
    pub(crate) fn used(&self, order: Order) -> Option<(u16, u32, u16)> {
        // SAFETY: the offset is that of a descriptor (invariant of `used`).
        let at = unsafe { self.descriptors.byte_add(self.used.offset) };
        // Acquire orders the loads of id, length and of the buffer's data after this one; it pairs with the device's
        // release of the flags. Relaxed would let those loads run ahead and see what was there before. Virtio 1.3 §2.8.22
        // SAFETY: inside, aligned and readable (contract of the region's `new`).
        let flags = u16::from_le(unsafe { access::load16(flags(at), Ordering::Acquire) });
        order.acquire();
        if !shows(flags, self.used.flags) {
            return None;
        }
        let at = at.cast::<u8>();
        // SAFETY: the field lies in the descriptor.
        let id = unsafe { at.add(offset_of!(PackedDescriptor, id)) };
        // SAFETY: as for the flags.
        let id = unsafe { access::read(id.cast::<u16>()) };
        // SAFETY: the field lies in the descriptor.
        let len = unsafe { at.add(offset_of!(PackedDescriptor, len)) };
        // SAFETY: as for the flags.
        let len = unsafe { access::read(len.cast::<u32>()) };
        Some((u16::from_le(id), u32::from_le(len), flags))
    }

    /// Stores the driver event suppression structure, both words at once.
    #[inline(always)]
    pub(crate) fn store_event(&mut self, event: u32, order: Ordering) {
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::store32(self.driver, event.to_le(), order) };
    }

    /// Loads the device event suppression structure, both words at once.
    #[inline(always)]
    pub(crate) fn load_event(&self, order: Ordering) -> u32 {
        // SAFETY: inside, aligned and readable (contract of the region's `new`).
        u32::from_le(unsafe { access::load32(self.device, order) })
    }
}

/// Writes the descriptors of one buffer, which comes to nothing unless it is finished. A copy of where they lie, so that it
/// need not be looked up again for each of them.
#[derive(Debug)]
pub(crate) struct PackedWriter<'a> {
    start: NonNull<PackedDescriptor>,
    /// Bytes of all descriptors.
    end: usize,
    /// Offset of the present descriptor, below `end`.
    offset: usize,
    /// The buffer's.
    id: u16,
    /// Flags that the lap gives it and the buffer's id, where they lie in its second word.
    word: u64,
    /// Whether the lap is another one than it was at the first descriptor.
    wrapped: bool,
    home: &'a mut Avail,
    unseen: &'a mut Unseen,
}

/// AVAIL and USED in a descriptor's second word.
const LAP_BITS: u64 = (LAP as u64) << FLAGS;

impl PackedWriter<'_> {
    /// Writes a descriptor that the device looks at only after one before it: two words, which is all of it.
    #[inline(always)]
    pub(crate) fn write(&mut self, address: DeviceAddress, len: u32, flags: u16) {
        let at = self.at().cast::<u64>();
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::write(at, address.0.to_le()) };
        let word = u64::from(len) | u64::from(flags) << FLAGS | self.word;
        // SAFETY: the descriptor has two words.
        let at = unsafe { at.add(1) };
        // SAFETY: as for the first word.
        unsafe { access::write(at, word.to_le()) };
        self.advance();
    }

    /// Writes a descriptor that the device may be looking at, all but its flags: [`PackedMemory::show`] stores these.
    #[inline(always)]
    pub(crate) fn write_unseen(&mut self, address: DeviceAddress, len: u32, flags: u16) {
        // SAFETY: a descriptor of the ring, which is the region's (contract of its `new`).
        unsafe { write_unseen(self.at(), self.id, address, len) };
        self.unseen.offset = self.offset;
        self.unseen.flags = flags | (self.word >> FLAGS) as u16;
        self.advance();
    }

    /// All is written: the next buffer goes behind it.
    #[inline(always)]
    pub(crate) fn finish(self) {
        self.home.offset = self.offset;
        forget(self);
    }

    #[inline(always)]
    const fn advance(&mut self) {
        if step_one(&mut self.offset, 1 << SHIFT, self.end) {
            self.word ^= LAP_BITS;
            self.home.turn();
            self.wrapped = true;
        }
    }

    /// Where the present descriptor begins.
    #[inline(always)]
    const fn at(&self) -> NonNull<PackedDescriptor> {
        // SAFETY: the offset is that of a descriptor (invariant of `offset`).
        unsafe { self.start.byte_add(self.offset) }
    }
}

impl Drop for PackedWriter<'_> {
    /// The buffer comes to nothing: the next one goes where it began, and no descriptor of it keeps the flags of an available
    /// one, as a shorter buffer may go there.
    ///
    /// The device was shown none of them, and looks at none before the first of the batch, whose flags were not written: that
    /// a descriptor shall not change once its AVAIL flag did is about those that it may look at. // Virtio 1.3 §2.8.16
    ///
    /// By value, as a writer whose place in memory somebody needs would not be kept in registers.
    #[inline(always)]
    fn drop(&mut self) {
        self.home
            .retract(self.start, self.end, self.offset, self.wrapped);
    }
}

/// Writes a descriptor that the device may be looking at, all but its flags.
///
/// # Safety
///
/// `at` is aligned and valid for writes, and no other code of this processor's side accesses it meanwhile.
#[inline(always)]
unsafe fn write_unseen(at: NonNull<PackedDescriptor>, id: u16, address: DeviceAddress, len: u32) {
    let descriptor = PackedDescriptor {
        addr: U64::new(address.0),
        len: U32::new(len),
        id: U16::new(id),
        flags: U16::ZERO,
    };
    write_fields!(
        at,
        descriptor,
        PackedDescriptor {
            addr: u64,
            len: u32,
            id: u16
        }
    );
}

/// How many descriptors so many bytes are; up to 2¹⁵.
#[inline(always)]
const fn index(bytes: usize) -> u16 {
    (bytes >> SHIFT) as u16
}

/// The flags of a descriptor, which the device may be looking at.
#[inline(always)]
fn flags(descriptor: NonNull<PackedDescriptor>) -> NonNull<u16> {
    // SAFETY: the field lies in the descriptor, which lies in the ring.
    unsafe { descriptor.byte_add(offset_of!(PackedDescriptor, flags)) }.cast()
}
