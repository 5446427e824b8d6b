//! The device extension: the disk, its queues, and their private state, in one block that StorPort zeroes and frees.
//!
//! ```text
//!  ┌────────┬──────┬────────────────────────────┬──────────────────────────────┐
//!  │ ready  │ Disk │ QueueCell, one a processor │ Slot, SLOTS_PER_QUEUE a cell │
//!  └────────┴──────┴────────────────────────────┴──────────────────────────────┘
//! ```
//!
//! There is no other private memory: nothing to allocate, and nothing to free when the adapter goes.

use crate::disk::Disk;
use crate::dump::DUMP_QUEUE_SIZE;
use crate::ffi::extension::Token;
use crate::ffi::lock::QueueCell;
use crate::ring::Ring;
use core::ffi::c_void;
use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use storport::Adapter;
use virtio_core::ring::Slot;

/// Slots for each queue, that is, descriptors that all queues together may have. Two of the largest queues that give
/// 1 MiB requests fit where there is but one processor.
const SLOTS_PER_QUEUE: usize = 512;
const MIN_SLOTS: usize = 1024;
/// Most queues. Windows has at most 64 processors in a group; more queues than that help nobody.
pub const MAX_QUEUES: u32 = 64;

/// Value of [`Header::ready`] when the disk is there. Zeroed memory is not ready.
const READY: u32 = 0x6b6c_6276;

#[repr(C)]
struct Header {
    ready: AtomicU32,
    disk: MaybeUninit<Disk>,
}

type Cell = MaybeUninit<QueueCell>;
type SlotMemory = MaybeUninit<Slot<Token>>;

/// Slots in the dump stack, where memory is short and requests come one at a time.
const DUMP_SLOTS: usize = DUMP_QUEUE_SIZE as usize;
const _: () = assert!(DUMP_SLOTS < MIN_SLOTS);

/// Queues that the extension was made for; set once, in DriverEntry.
static QUEUES: AtomicU32 = AtomicU32::new(1);
/// The same for slots.
static SLOTS: AtomicU32 = AtomicU32::new(0);

const CELLS: usize = size_of::<Header>().next_multiple_of(align_of::<Cell>());

const fn slots_offset(queues: usize) -> usize {
    CELLS
        .saturating_add(queues.saturating_mul(size_of::<Cell>()))
        .next_multiple_of(align_of::<SlotMemory>())
}

const fn slot_count(queues: usize) -> usize {
    let slots = queues.saturating_mul(SLOTS_PER_QUEUE);
    if slots < MIN_SLOTS { MIN_SLOTS } else { slots }
}

const fn bytes(queues: usize, slots: usize) -> usize {
    slots_offset(queues).saturating_add(slots.saturating_mul(size_of::<SlotMemory>()))
}

// The dump stack's memory is aligned to 8 bytes only, unless STOR_FEATURE_DUMP_16_BYTE_ALIGNMENT asks for more.
const _: () = assert!(align_of::<Header>() <= 8 && align_of::<Cell>() <= 8);
const _: () = assert!(align_of::<SlotMemory>() <= 8);
const _: () = assert!(bytes(1, DUMP_SLOTS) + crate::dump::UNCACHED as usize <= crate::dump::MEMORY);

/// DeviceExtensionSize for a machine with so many processors; in the dump stack, none. From DriverEntry, once.
#[inline(always)] // part of DriverEntry
pub fn size(processors: Option<u32>) -> u32 {
    let queues = processors.unwrap_or(1).clamp(1, MAX_QUEUES);
    let slots = match processors {
        Some(_) => slot_count(queues as usize),
        None => DUMP_SLOTS,
    };
    QUEUES.store(queues, Ordering::Relaxed);
    SLOTS.store(slots as u32, Ordering::Relaxed);
    bytes(queues as usize, slots) as u32
}

/// The parts of an extension that has no disk yet.
pub struct Memory {
    base: NonNull<u8>,
    queues: usize,
    slots: usize,
}

impl Memory {
    /// # Safety
    /// `extension` is the device extension of a running HwFindAdapter, of [`size`] bytes, and nothing uses an older disk in
    /// it any more.
    pub unsafe fn new(extension: *mut c_void) -> Option<Self> {
        let base = NonNull::new(extension.cast::<u8>())?;
        // SAFETY: the header lies at the start; `ready` is an integer, of any value.
        let ready = unsafe { &raw const (*base.cast::<Header>().as_ptr()).ready };
        // SAFETY: as above; StorPort aligns the extension as a pool allocation, that is, for any type.
        unsafe { &*ready }.store(0, Ordering::Relaxed);
        Some(Self {
            base,
            queues: QUEUES.load(Ordering::Relaxed) as usize,
            slots: SLOTS.load(Ordering::Relaxed) as usize,
        })
    }

    /// Most queues.
    pub const fn queues(&self) -> usize {
        self.queues
    }

    /// Slots of all queues together.
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// Whether DriverEntry ran in the dump stack.
    pub const fn is_dump(&self) -> bool {
        self.slots == DUMP_SLOTS
    }

    /// Bytes of the extension.
    pub const fn bytes(&self) -> usize {
        bytes(self.queues, self.slots)
    }

    /// The slots, emptied, in parts of `len`.
    pub fn slot_parts(
        &self,
        len: usize,
    ) -> impl Iterator<Item = &'static mut [Slot<Token>]> + use<> {
        let at = self
            .base
            .as_ptr()
            .wrapping_add(slots_offset(self.queues))
            .cast::<Slot<Token>>();
        let count = self.slots();
        for index in 0..count {
            // SAFETY: `count` slots lie there (`size`), and nobody else uses them (`new`).
            unsafe { at.wrapping_add(index).write(Slot::EMPTY) };
        }
        // SAFETY: all were just initialised; the extension lives as long as the adapter, whose routines alone use them, and
        // `find` takes the parts once.
        unsafe { core::slice::from_raw_parts_mut(at, count) }.chunks_exact_mut(len.max(1))
    }

    /// Fills `count` cells. `None` if `ring` gives too few.
    pub fn queue_cells(
        &self,
        count: usize,
        mut ring: impl FnMut() -> Option<Ring>,
    ) -> Option<&'static [QueueCell]> {
        if count > self.queues {
            return None;
        }
        let at = self.base.as_ptr().wrapping_add(CELLS).cast::<QueueCell>();
        for index in 0..count {
            let cell = QueueCell::new(ring()?);
            // SAFETY: `queues` cells lie there (`size`), and nobody else uses them (`new`).
            unsafe { at.wrapping_add(index).write(cell) };
        }
        // SAFETY: all were just initialised, and the extension lives as long as the adapter, whose routines alone use them.
        Some(unsafe { core::slice::from_raw_parts(at, count) })
    }

    /// Puts the disk in its place. From now on [`disk`] finds it.
    pub fn finish(self, disk: Disk) {
        let header = self.base.cast::<Header>().as_ptr();
        // SAFETY: the header lies at the start of the extension.
        let place = unsafe { &raw mut (*header).disk };
        // SAFETY: nobody uses it yet (`new`).
        unsafe { place.write(MaybeUninit::new(disk)) };
        // SAFETY: as above; `ready` is an integer.
        let ready = unsafe { &raw const (*header).ready };
        // Orders the disk before the word that says it is there; pairs with the load in `disk`. A relaxed store could be
        // seen first, by a processor that takes an interrupt.
        // SAFETY: as above.
        unsafe { &*ready }.store(READY, Ordering::Release);
    }
}

/// The adapter of a device extension and the disk in it, for a routine that runs only for an adapter that HwInitialize has initialised,
/// which it does only with a disk in place: HwStartIo, and the DPCs, which are initialised later. Or one that StorPort knows by what
/// HwFindAdapter told it: that of the interrupt messages.
///
/// HwInitialize comes after a HwFindAdapter that succeeded (MS: nc-storport-hw_initialize). That no request comes before is said
/// nowhere in so many words; but until then StorPort knows neither the adapter's units nor the size of a request's extension.
///
/// # Safety
/// `extension` is the device extension that StorPort gave to the running routine, and HwFindAdapter has succeeded.
#[inline(always)] // part of such routines
pub unsafe fn started_disk(extension: *mut c_void) -> (Adapter, &'static Disk) {
    // SAFETY: the caller's promise.
    let adapter = unsafe { Adapter::given(extension) };
    let header = extension.cast::<Header>();
    // SAFETY: the header lies at the start of the extension.
    let disk = unsafe { &raw const (*header).disk };
    // SAFETY: `finish` put a disk there before HwFindAdapter succeeded, which is only shared, and it lives as long as the adapter.
    (adapter, unsafe { &*disk.cast::<Disk>() })
}

/// The disk in a device extension, once HwFindAdapter has succeeded.
///
/// # Safety
/// `extension` is the device extension that StorPort gave to the running routine.
pub unsafe fn disk(extension: *mut c_void) -> Option<&'static Disk> {
    let header = NonNull::new(extension)?.cast::<Header>().as_ptr();
    // SAFETY: the header lies at the start of the extension.
    let ready = unsafe { &raw const (*header).ready };
    // SAFETY: zeroed by StorPort or set by `finish`.
    let ready = unsafe { &*ready }.load(Ordering::Acquire);
    if ready != READY {
        return None;
    }
    // SAFETY: as above.
    let disk = unsafe { &raw const (*header).disk };
    // SAFETY: `finish` put a disk there, which is only shared from then on, and it lives as long as the adapter.
    Some(unsafe { &*disk.cast::<Disk>() })
}
