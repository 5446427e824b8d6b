//! SRB extensions: where a request lives, and the part of it that the device sees.
//!
//! ```text
//!  ┌ to 16 ┬───────────────┬────────────────────────────────┬──────────────────────────┐
//!  │       │ Short or Full │ header 16 · serial 20 · status │ indirect table, 16 a row │
//!  └───────┴───────────────┴────────────────────────────────┴──────────────────────────┘
//!            private         HEAD_LEN, seen by the device     seen by the device
//! ```

use crate::ffi::dma;
use crate::limits::{self, Limits};
use crate::request::{DESCRIPTOR_LEN, HEAD_LEN, NO_STATUS, Operation, Request, STATUS_OFFSET};
use crate::ring::Rules;
use core::mem::{MaybeUninit, size_of};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use storport::srb::{ScsiStatus, Usual};
use storport::{Adapter, Dma, Physical, ScatterGather, Segment, Srb};
use virtio_core::mem::{DeviceAddress, TableMemory};
use virtio_core::ring::Flow;
use virtio_core::spec::blk::{RequestStatus, RequestType};

/// A plain transfer: what its success needs, and what the [full](Token::open) form is made of otherwise.
///
/// Plain is a READ or WRITE that needs nothing more when the device has carried it out: no flush, no word of how much was moved, no memory
/// but the request's own extension.
#[repr(C)]
struct Short {
    /// Where the success is written. It is there, and of this block.
    plain: Option<ScsiStatus>,
    /// The next transfer, while this one is in a list.
    next: MaybeUninit<Option<Token>>,
    /// The block, which the request owns.
    srb: Srb,
    /// First sector.
    sector: u64,
    /// Where the device finds the head, once that is [known](Lent::finish).
    address: MaybeUninit<u64>,
    /// Bytes that the device says at least that it wrote if it did all: those of the data if it reads from the disk, else none.
    enough: u32,
}

/// Any request.
#[repr(C)]
struct Full {
    /// Nothing: what tells it from [`Short`].
    plain: Option<ScsiStatus>,
    request: Request,
}

const ALIGN: usize = 16;
const PRIVATE: usize = size_of::<Full>().next_multiple_of(ALIGN);
/// Bytes of an extension besides the table.
const FIXED: usize = ALIGN - 1 + PRIVATE + HEAD_LEN;

// The promise of the design: at most 16 bytes for each descriptor, and 256.
const _: () = assert!(FIXED <= 256);
const _: () = assert!(align_of::<Full>() <= ALIGN && align_of::<Short>() <= ALIGN);
const _: () = assert!(size_of::<Short>() <= PRIVATE);

/// SrbExtensionSize for requests of up to `segments` data descriptors.
pub const fn size(segments: u32) -> u32 {
    limits::rows(segments)
        .saturating_mul(DESCRIPTOR_LEN as u32)
        .saturating_add(FIXED as u32)
}

/// Bytes of an extension that the device may be given: head and table.
pub const fn room(limits: &Limits) -> u32 {
    size(limits.segments).saturating_sub((FIXED - HEAD_LEN) as u32)
}

/// What the device is given of the extension of a plain transfer: the head, and a table of header, data and status.
const SHORT_LEN: usize = HEAD_LEN + SHORT_PARTS * DESCRIPTOR_LEN;
/// Parts of such a chain.
const SHORT_PARTS: usize = 3;
/// Every extension has as much.
const _: () = assert!(SHORT_LEN <= (size(1) as usize).saturating_sub(FIXED - HEAD_LEN));

/// The place of a request in the extension of its block, aligned.
pub struct Place(NonNull<u8>);

impl Place {
    /// That of a block. `None` if there is no extension.
    #[inline]
    pub fn of(srb: &Srb) -> Option<Self> {
        Self::inside(srb.extension())
    }

    #[inline(always)] // part of HwStartIo
    fn inside(extension: *mut u8) -> Option<Self> {
        // NULL stays NULL.
        let base = extension.map_addr(|at| at.wrapping_add(ALIGN - 1) & !(ALIGN - 1));
        NonNull::new(base).map(Self)
    }

    /// The device's part.
    #[inline(always)] // as above
    const fn head(&self) -> NonNull<u8> {
        // SAFETY: the head lies there in every extension.
        unsafe { self.0.add(PRIVATE) }
    }

    /// The device's part of the extension, as far as it is contiguous for the device. `None` if not even the head is. `srb` is the block.
    ///
    /// This is the one physical-address lookup of a request that was not tried the short way.
    #[inline(always)] // for the stack of its callers
    pub fn memory(&self, rules: &Rules, srb: &Srb) -> Option<Dma> {
        let va = self.head();
        let physical = rules
            .adapter
            .physical_address(rules.owner(srb), va.as_ptr().cast())?;
        let len = rules.room.min(physical.len) as usize;
        // SAFETY: `rules.room` bytes lie there, StorPort says that the device sees these from `address` on, and the block keeps them
        // until it is completed.
        (len >= HEAD_LEN).then(|| unsafe { Dma::new(va, physical.address, len) })
    }
}

/// A block that HwStartIo was given, and the place for its request.
pub struct Given<'a> {
    srb: &'a Srb,
    place: Place,
}

impl<'a> Given<'a> {
    /// `None` if the block has no extension.
    ///
    /// # Safety
    /// HwStartIo was called with this block, and nothing was [put](Self::put) or [finished](Lent::finish) for it since. If something
    /// is, the request has the block, and this `Srb` is not used any more.
    pub unsafe fn new(srb: &'a Srb) -> Option<Self> {
        let place = Place::of(srb)?;
        Some(Self { srb, place })
    }

    /// The block.
    pub const fn srb(&self) -> &'a Srb {
        self.srb
    }

    /// The place.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Puts the request of the block into its place, which owns the block from now on.
    pub fn put(self, request: Request) -> RequestBox {
        // SAFETY: nobody else uses the block's `Srb` (`new`).
        let srb = unsafe { Srb::from_raw(self.srb.as_raw()) };
        let full = Full {
            plain: None,
            request: Request { srb, ..request },
        };
        let at = self.place.0.cast::<Full>();
        // SAFETY: the extension has at least `size(1)` bytes, so an aligned `Full` fits at its start; it is this driver's alone until the
        // block is completed, and nobody has a box for what lies there (`new`).
        unsafe { at.write(full) };
        RequestBox(at)
    }
}

/// The same of a block that is [usual](Usual).
pub struct GivenUsual<'a> {
    srb: &'a Srb,
    usual: Usual<'a>,
    place: Place,
}

impl<'a> GivenUsual<'a> {
    /// `None` if the block is not usual, or has no extension.
    ///
    /// # Safety
    /// As of [`Given::new`].
    #[inline(always)] // part of HwStartIo, as are the others
    pub unsafe fn new(srb: &'a Srb) -> Option<Self> {
        let usual = srb.usual()?;
        let place = Place::inside(usual.extension())?;
        Some(Self { srb, usual, place })
    }

    /// What the block says.
    #[inline(always)]
    pub const fn usual(&self) -> &Usual<'a> {
        &self.usual
    }

    /// The block.
    #[inline(always)]
    pub const fn srb(&self) -> &'a Srb {
        self.srb
    }

    /// Writes down a plain transfer from or to `sector`, as far as that can be done before StorPort has said where things lie. That
    /// leaves less to be kept while it is asked.
    #[inline(always)]
    pub fn describe(self, flow: Flow, sector: u64, enough: u32) -> Described {
        const {
            assert!(
                Flow::FromDevice as u32 == RequestType::IN.0
                    && Flow::ToDevice as u32 == RequestType::OUT.0
            )
        };
        let head = self.place.head().as_ptr();
        let words = head.cast::<u64>();
        // SAFETY: the extension has a head there, which is aligned and this driver's alone.
        unsafe { words.write(u64::from(flow as u32).to_le()) };
        // SAFETY: as above.
        unsafe { words.wrapping_add(1).write(sector.to_le()) };
        // SAFETY: as above.
        unsafe { head.wrapping_add(STATUS_OFFSET).write(NO_STATUS) };
        // SAFETY: nobody else uses the block's `Srb` once this is finished (`new`).
        let srb = unsafe { Srb::given(self.srb.as_raw()) };
        let at = self.place.0.cast::<Short>();
        let short = Short {
            plain: Some(self.usual.status()),
            next: MaybeUninit::uninit(),
            srb,
            sector,
            address: MaybeUninit::uninit(),
            enough,
        };
        // SAFETY: as in `Given::put`.
        unsafe { at.write(short) };
        Described(self.place)
    }
}

/// The place of a plain transfer that is written down but for its address.
pub struct Described(Place);

/// The same with the address, and the part of the extension that the device is given.
pub struct Lent {
    place: Place,
    head: DeviceAddress,
    table: TableMemory<SHORT_PARTS>,
}

impl Described {
    /// Asks where the device finds the extension of the block, whose [owner](Rules::owner) this is. `None` if head and table are not
    /// contiguous for the device.
    ///
    /// As [`Place::memory`]: the one physical-address lookup of a request that goes the short way.
    #[inline(always)] // part of HwStartIo
    pub fn lend(self, adapter: Adapter, owner: Option<&Srb>) -> Option<Lent> {
        let va = self.0.head().as_ptr().cast();
        let found = adapter.physical_address(owner, va)?;
        self.at(&found)
    }

    #[inline(always)] // as above
    fn at(self, found: &Physical) -> Option<Lent> {
        if (found.len as usize) < SHORT_LEN {
            return None;
        }
        let head = dma::given(found.address);
        let va = self.0.head();
        // SAFETY: the table lies behind the head in every extension.
        let table = unsafe { va.add(HEAD_LEN) };
        // SAFETY: `Place::inside` aligned the place, of which this is a multiple of 8 away; the bytes are the driver's alone until the
        // block is completed, and StorPort says that they are contiguous for the device.
        let table = unsafe { TableMemory::new(table, head.within(HEAD_LEN as u64)) }?;
        let place = self.0;
        Some(Lent { place, head, table })
    }
}

impl Lent {
    /// Where the device finds the head.
    #[inline(always)] // as above
    pub const fn head(&self) -> DeviceAddress {
        self.head
    }

    /// The room for the table.
    #[inline(always)] // as above
    pub const fn table(&mut self) -> &mut TableMemory<SHORT_PARTS> {
        &mut self.table
    }

    /// The transfer. It owns the block from now on.
    #[inline(always)] // as above
    pub fn finish(self) -> Token {
        let at = self.place.0.cast::<Short>().as_ptr();
        // SAFETY: `describe` put it there.
        let member = unsafe { &raw mut (*at).address };
        // SAFETY: as above.
        unsafe { member.write(MaybeUninit::new(self.head.get())) };
        Token(self.place.0.cast())
    }
}

/// A request in either form, in the extension of the block that it owns: what a queue keeps while the device has it. Not `Clone`:
/// whoever has it owns the request.
#[derive(Debug)]
#[repr(transparent)]
pub struct Token(NonNull<Option<ScsiStatus>>);

// SAFETY: the token is the only way to the request, which is bound to no processor.
unsafe impl Send for Token {}

impl From<RequestBox> for Token {
    fn from(request: RequestBox) -> Self {
        Self(request.0.cast())
    }
}

impl Token {
    /// Where the success of a plain transfer is written.
    #[inline(always)] // part of a DPC
    fn plain(&self) -> Option<ScsiStatus> {
        // SAFETY: both forms begin with it.
        unsafe { self.0.read() }
    }

    #[inline(always)] // as above
    const fn short(&self) -> *mut Short {
        self.0.cast().as_ptr()
    }

    /// Where a list keeps the next transfer.
    ///
    /// # Safety
    /// The transfer is plain.
    #[inline(always)] // as above
    pub(super) const unsafe fn next(&self) -> *mut MaybeUninit<Option<Self>> {
        // SAFETY: the caller's promise, so that this is its form.
        unsafe { &raw mut (*self.short()).next }
    }

    /// Whether the device did all of a plain transfer that it says it has finished: what [`Request::judge`] says of it, in short.
    #[inline(always)] // as above
    pub fn has_succeeded(&self, written: u32) -> bool {
        if self.plain().is_none() {
            return false;
        }
        // SAFETY: it is plain, so that this is its form.
        if written < unsafe { (*self.short()).enough } {
            return false;
        }
        let head = self.0.cast::<u8>().as_ptr().wrapping_add(PRIVATE);
        // SAFETY: the extension has a head at `PRIVATE`, which the device was given with a plain transfer; it may still write there.
        let status = unsafe { head.wrapping_add(STATUS_OFFSET).read_volatile() };
        status == RequestStatus::OK.0
    }

    /// Completes a plain transfer that went well.
    ///
    /// # Safety
    /// The transfer is plain.
    #[inline(always)] // as above
    pub unsafe fn succeed(self, adapter: Adapter) {
        // SAFETY: the caller's promise.
        let plain = unsafe { self.plain().unwrap_unchecked() };
        // SAFETY: as above, so that this is its form.
        let srb = unsafe { &raw const (*self.short()).srb };
        // SAFETY: as above; the request is given up here, so nobody finds what is left behind of it.
        let mut srb = unsafe { srb.read() };
        // SAFETY: `plain` is of this block (`Short::plain`).
        unsafe { srb.succeed(plain) };
        adapter.complete_as_set(srb);
    }

    /// The request in full, for whatever becomes of it but success in short. The chain of a plain transfer would be described anew.
    #[cold]
    #[inline(never)] // as few requests come here
    pub fn open(self) -> RequestBox {
        let at = self.0.cast::<Full>();
        if self.plain().is_none() {
            return RequestBox(at);
        }
        // SAFETY: it is plain, so that this is its form, which ends here.
        let short = unsafe { self.short().read() };
        let (_, bytes) = short.srb.data();
        let operation = match short.enough {
            0 => Operation::Write {
                force_unit_access: false,
            },
            _ => Operation::Read,
        };
        let place = Place(self.0.cast());
        // SAFETY: `finish`, which made the token, wrote it.
        let address = unsafe { short.address.assume_init() };
        // SAFETY: so many bytes lie there in every extension, and `Described::lend` found that the device sees them from this address on.
        let memory = unsafe { Dma::new(place.head(), address, SHORT_LEN) };
        let full = Full {
            plain: None,
            request: Request {
                srb: Some(short.srb),
                memory: Some(memory),
                parts: 1,
                ..Request::new(operation, short.sector, bytes)
            },
        };
        // SAFETY: as in `Given::put`; the token was the only way to what lies there, and ends here.
        unsafe { at.write(full) };
        RequestBox(at)
    }
}

/// A request in full, in the extension of the block that it owns. Not `Clone`: whoever has it owns the request.
#[derive(Debug)]
#[repr(transparent)]
pub struct RequestBox(NonNull<Full>);

// SAFETY: the box is the only way to the request, which is bound to no processor.
unsafe impl Send for RequestBox {}

impl RequestBox {
    /// The request's place.
    pub fn as_ptr(&self) -> NonNull<Request> {
        let at = self.0.as_ptr();
        // SAFETY: a request is there (`deref`), so the member's address is inside of it.
        let request = unsafe { &raw mut (*at).request };
        // SAFETY: as above, so it is no NULL.
        unsafe { NonNull::new_unchecked(request) }
    }

    /// Gives the block out; the request is over.
    pub fn finish(mut self) -> Option<Srb> {
        self.srb.take()
    }
}

/// The runs of a request's data, for as long as it takes to describe them to the device.
pub fn segments(adapter: Adapter, srb: &Srb) -> Option<ScatterGather<'static>> {
    let list = adapter.scatter_gather(srb)?;
    // SAFETY: StorPort keeps the list until the block is completed; the callers use it up while they hold the request, or
    // the queue lock under which the request was given to the ring.
    Some(unsafe { core::mem::transmute::<ScatterGather<'_>, ScatterGather<'static>>(list) })
}

/// The run of a request's data, if there is but one.
#[inline(always)] // part of HwStartIo
pub fn only_segment(adapter: Adapter, srb: &Srb) -> Option<Segment> {
    let mut list = adapter.scatter_gather(srb)?;
    (list.len() == 1).then(|| list.next()).flatten()
}

impl Deref for RequestBox {
    type Target = Request;
    fn deref(&self) -> &Request {
        // SAFETY: whoever made the box put a request there, and the box is the only way to it.
        &unsafe { self.0.as_ref() }.request
    }
}

impl DerefMut for RequestBox {
    fn deref_mut(&mut self) -> &mut Request {
        // SAFETY: as above, and the box is borrowed mutably.
        &mut unsafe { self.0.as_mut() }.request
    }
}

#[cfg(test)]
mod tests;
