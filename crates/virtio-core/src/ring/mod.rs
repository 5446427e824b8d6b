//! Virtqueues: what the driver offers to a device, and what the device gives back.
//!
//! ```text
//!  add_direct / add_indirect ─► publish ─► Kick ─► (after unlocking) Transport::ring
//!  interrupt ─► disarm ─► completed, completed, … ─► arm / arm_delayed ─► Armed::WorkPending? again : done
//!  each line in one call: submit_indirect, for a buffer that nothing else waits with; take_all, but for disarm, and take_alone,
//!  for a buffer that nothing else comes back with
//! ```
//!
//! A queue never allocates. Its ring lies in a [`DmaRegion`] and its private state in a slice of [`Slot`]s, both lent by
//! the caller. Nothing that the device can write is used unchecked, or to free anything: free list, chain lengths and
//! tokens are in the slots only. The device may lie; the first lie closes the queue ([`QueueError`]). It may of course
//! finish a chain without having done the work: what it wrote is the driver's to check. What the queue writes for the device
//! to see are device addresses, lengths, flags and indices: no token, and no pointer.
//!
//! # Example
//!
//! A read of 4096 bytes: a header that the device reads, then data and a status byte that it writes.
//!
//! ```
//! use virtio_core::mem::DmaRegion;
//! use virtio_core::ring::{AddError, Armed, Kick, Part, Queue, QueueError};
//!
//! fn submit(queue: &mut Queue<'_, u32>, request: u32, head: &DmaRegion, data: Part) -> Result<Kick, AddError> {
//!     let header = head.part(0, 16).map_err(|_| AddError::Region)?;
//!     let status = head.part(16, 1).map_err(|_| AddError::Region)?;
//!     queue.add_direct(request, [header], [data, status]).map_err(|rejected| rejected.error)?;
//!     Ok(queue.publish())
//! }
//!
//! /// After [`Armed::WorkPending`] perhaps no interrupt comes: the driver calls it again soon, from a timer or a deferred call.
//! fn interrupt(queue: &mut Queue<'_, u32>, mut done: impl FnMut(u32, u32)) -> Result<Armed, QueueError> {
//!     // A device can show work and take it away again for ever.
//!     for _ in 0..8 {
//!         queue.disarm();
//!         while let Some(completion) = queue.completed()? {
//!             done(completion.token, completion.written);
//!         }
//!         if queue.arm() == Armed::Idle {
//!             return Ok(Armed::Idle);
//!         }
//!     }
//!     Ok(Armed::WorkPending)
//! }
//! ```
#![forbid(unsafe_code)]

mod chain;
mod engine;
mod error;
mod event;
mod format;
mod framed;
mod layout;
mod packed;
mod position;
mod slots;
mod split;
#[cfg(test)]
mod tests;

pub use chain::{IndirectChain, Tables};
pub use error::{AddError, QueueError, Rejected, SetupError};
pub use framed::{Data, Flow, Framed};
pub use layout::Layout;
pub(crate) use position::{LAP, Position, distance, shows, step, step_one};
pub use slots::Slot;

use crate::mem::{DeviceAddress, DmaRegion, Order, PackedMemory, SplitMemory};
use crate::spec::features::Features;
use crate::transport::Stopped;
use engine::Engine;
use packed::Packed;
use slots::Slots;
use split::Split;

/// One element of a chain: `len` bytes that the device finds at `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where the device finds the first byte.
    pub address: DeviceAddress,
    /// Length in bytes; not 0.
    pub len: u32,
}

impl Part {
    /// `len` bytes at `address`, unchecked: whoever was given the address has promised that the device may use them
    /// ([`crate::mem::Dma::given`]). Of lent memory, [`DmaRegion::part`] checks the bounds.
    #[must_use]
    pub const fn new(address: DeviceAddress, len: u32) -> Self {
        Self { address, len }
    }
}

/// The memory that a queue lives in, lent by the caller.
#[derive(Debug)]
pub struct QueueMemory<'m, T> {
    /// Shared with the device: at least [`Layout::len`] bytes on a multiple of [`Layout::align`].
    pub ring: DmaRegion,
    /// Private: as many slots as the queue has descriptors, or more; all empty.
    pub slots: &'m mut [Slot<T>],
}

/// Where the three parts of a ring lie for the device. // Virtio 1.3 §2.6
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingAddresses {
    /// Descriptor area.
    pub descriptor: DeviceAddress,
    /// Driver area: the available ring of a split queue, the driver event suppression of a packed one.
    pub driver: DeviceAddress,
    /// Device area: the used ring of a split queue, the device event suppression of a packed one.
    pub device: DeviceAddress,
}

/// A buffer that the device has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion<T> {
    /// The token given when the chain was added.
    pub token: T,
    /// Bytes that the device says it wrote, from the first writable part on; never more than the chain offered.
    ///
    /// The driver must not assume anything about writable bytes beyond these. // Virtio 1.3 §2.7.8.3
    ///
    /// With IN_ORDER a device may use several buffers and speak of the last one only. The others are then assumed to have
    /// been used completely, so that this is all that they offered. // Virtio 1.3 §2.7.9, §2.8.8
    ///
    /// In a packed ring the length counts even where the device did not set WRITE, which by §2.8.4 would give it no meaning:
    /// QEMU never sets it. A device that leaves the flag and an old length there says that it wrote that much.
    pub written: u32,
}

/// Whether the device has to be notified of what was published.
///
/// Decided under the queue's lock; acted upon by [`crate::transport::Transport::ring`] after unlocking, or, with
/// NOTIFICATION_DATA, before: two kicks that overtake each other would tell the device a position that lies behind.
#[must_use = "a device that asked for a notification and gets none waits for ever"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kick {
    needed: bool,
    position: u16,
}

impl Kick {
    /// Nothing to tell.
    pub const NONE: Self = Self {
        needed: false,
        position: 0,
    };

    /// Whether the device has to be notified.
    #[must_use]
    pub const fn needed(self) -> bool {
        self.needed
    }

    /// Where the next buffer will go: the upper 16 bits of a notification with NOTIFICATION_DATA. // Virtio 1.3 §2.9
    ///
    /// In a split ring the available index, in a packed ring an offset in bits 0 to 14 and the wrap counter in bit 15.
    #[must_use]
    pub const fn position(self) -> u16 {
        self.position
    }
}

/// What [`Queue::arm`] found.
#[must_use = "work that came in before the queue was armed raises no interrupt"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// Nothing to do; the device interrupts when it has used a buffer.
    Idle,
    /// Buffers were used meanwhile, perhaps without an interrupt: take them now.
    WorkPending,
}

/// Why [`Queue::take_all`] ended.
#[must_use = "work that is left raises no interrupt"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken<R> {
    /// There is nothing to do; the device interrupts when it has used a buffer.
    Idle,
    /// The caller stopped it. There may be more.
    Stopped {
        /// By this.
        by: R,
        /// What is left of the budget.
        left: u32,
    },
    /// There may be more.
    OverBudget,
}

/// Buffers that went through a queue since it was set up, each modulo 2³².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Shown to the device.
    pub published: u32,
    /// Taken back by [`Queue::completed`]; draining does not count.
    pub completed: u32,
}

/// A virtqueue of any format; `T` is what the driver wants back when a chain is finished.
///
/// Not synchronised: the driver's queue lock is held around every call.
///
/// A queue that the device knows keeps its memory and its buffers lent until a [`Stopped`] proof, even if it is dropped.
#[derive(Debug)]
pub struct Queue<'m, T> {
    format: Format<'m, T>,
    features: Features,
}

/// What the formats do not share.
#[derive(Debug)]
enum Format<'m, T> {
    /// Virtio 1.3 §2.7
    Split(Engine<'m, T, Split>),
    /// Virtio 1.3 §2.8
    Packed(Engine<'m, T, Packed>),
}

/// The same for each format.
macro_rules! each {
    ($queue:expr, $engine:ident => $do:expr) => {
        match $queue {
            Format::Split($engine) => $do,
            Format::Packed($engine) => $do,
        }
    };
}

impl<'m, T> Queue<'m, T> {
    /// The ring memory that a queue of `size` descriptors takes with the negotiated `features`.
    ///
    /// RING_PACKED makes it a packed ring, of any size; otherwise it is a split ring. Without VERSION_1 the ring is laid out
    /// as the legacy interface has it.
    ///
    /// # Errors
    ///
    /// [`SetupError::Size`] or [`SetupError::Format`].
    pub fn layout(size: u16, features: Features) -> Result<Layout, SetupError> {
        let modern_only = Features::RING_PACKED.union(Features::IN_ORDER);
        match features.contains(Features::VERSION_1) {
            true if features.contains(Features::RING_PACKED) => Layout::packed(size),
            true => Layout::split(size),
            false if features.intersects(modern_only) => Err(SetupError::Format),
            false => Layout::legacy(size),
        }
    }

    /// Sets up an empty queue of `size` descriptors, armed, for the negotiated `features`.
    ///
    /// The ring memory is zeroed. The device must not know it yet: it learns of it by
    /// [`crate::transport::Transport::enable_queue`].
    ///
    /// # Errors
    ///
    /// [`SetupError`] says what of size, features or memory does not fit; the memory is then dropped, that is, no longer
    /// lent.
    pub fn new(
        size: u16,
        features: Features,
        memory: QueueMemory<'m, T>,
    ) -> Result<Self, SetupError> {
        let layout = Self::layout(size, features)?;
        let QueueMemory { ring, slots } = memory;
        let in_order = features.contains(Features::IN_ORDER);
        // A legacy device may give a length that means nothing; a later one must not. // Virtio 1.3 §2.7.8.1
        let lenient = !features.contains(Features::VERSION_1);
        let event_idx = features.contains(Features::EVENT_IDX);
        let slots = Slots::new(slots, size, in_order, event_idx, lenient)?;
        let indirect = features.contains(Features::INDIRECT_DESC);
        let packed = features.contains(Features::RING_PACKED);
        let order = if features.contains(Features::ORDER_PLATFORM) {
            Order::Platform
        } else {
            Order::Processors
        };
        let unfit = |ring: DmaRegion| {
            let (len, needed, align) = (ring.len(), layout.len(), layout.align());
            if len < needed {
                SetupError::RingTooSmall { len, needed }
            } else {
                SetupError::RingMisaligned { align }
            }
        };
        let format = if packed {
            let memory = PackedMemory::new(ring, &layout).map_err(unfit)?;
            let format = Packed::new(memory, event_idx);
            Format::Packed(Engine::new(slots, format, indirect, order))
        } else {
            let memory = SplitMemory::new(ring, &layout).map_err(unfit)?;
            let format = Split::new(memory, event_idx);
            Format::Split(Engine::new(slots, format, indirect, order))
        };
        Ok(Self { format, features })
    }

    /// Adds a chain in the queue's own descriptors: first the parts that the device reads, then those it writes.
    ///
    /// Nothing is visible to the device before [`Queue::publish`].
    ///
    /// # Errors
    ///
    /// [`Rejected`] hands the token back with the reason; the queue is unchanged.
    #[inline(always)]
    pub fn add_direct(
        &mut self,
        token: T,
        readable: impl IntoIterator<Item = Part>,
        writable: impl IntoIterator<Item = Part>,
    ) -> Result<(), Rejected<T>> {
        let (readable, writable) = (readable.into_iter(), writable.into_iter());
        each!(&mut self.format, queue => queue.add_direct(token, readable, writable))
    }

    /// Adds a chain that lies in a table of its own, which is lent to the device until the token comes back.
    ///
    /// Nothing is visible to the device before [`Queue::publish`].
    ///
    /// # Errors
    ///
    /// [`Rejected`] hands the token back with the reason; the queue is unchanged.
    #[inline]
    pub fn add_indirect(&mut self, token: T, chain: IndirectChain) -> Result<(), Rejected<T>> {
        each!(&mut self.format, queue => queue.add_indirect(token, chain))
    }

    /// [`Queue::add_indirect`] and [`Queue::publish`] in one, for what is shown to the device at once.
    ///
    /// # Errors
    ///
    /// As of [`Queue::add_indirect`]; nothing is published then.
    #[inline(always)]
    pub fn submit_indirect(&mut self, token: T, chain: IndirectChain) -> Result<Kick, Rejected<T>> {
        each!(&mut self.format, queue => queue.submit_indirect(token, chain))
    }

    /// Shows the device all chains added since the last call, by one store. Costs one full fence if there are any.
    #[inline]
    pub fn publish(&mut self) -> Kick {
        each!(&mut self.format, queue => queue.publish())
    }

    /// Takes the next buffer that the device has finished, in constant time.
    ///
    /// # Errors
    ///
    /// [`QueueError`] once, when the device breaks the protocol. From then on the queue takes and yields nothing
    /// (`Ok(None)`), until the device has been reset and what was in flight is taken out by [`Queue::drain`].
    #[inline(always)]
    pub fn completed(&mut self) -> Result<Option<Completion<T>>, QueueError> {
        each!(&mut self.format, queue => queue.completed())
    }

    /// Takes the one buffer that the device has finished, and arms the queue: all of what is done for an interrupt if that was all.
    /// [`Armed::WorkPending`]: there may be more, or there was none, or the queue needs more care (IN_ORDER, no EVENT_IDX, closed);
    /// [`Queue::take_all`] goes on, and has yet to tell why the queue was closed. Costs one full fence at most.
    #[inline(always)]
    pub fn take_alone(&mut self) -> (Option<Completion<T>>, Armed) {
        each!(&mut self.format, queue => queue.take_alone())
    }

    /// [`Queue::completed`] for all that the device has finished, then [`Queue::arm`], and again while that finds more: what is
    /// done for an interrupt, in one.
    ///
    /// `each` is given every buffer; with a value in return, it stops. Each buffer and each look is counted off `budget`.
    ///
    /// # Errors
    ///
    /// As of [`Queue::completed`]. A closed queue that has said so is [`Taken::Idle`].
    #[inline(always)]
    pub fn take_all<R>(
        &mut self,
        budget: u32,
        each: impl FnMut(Completion<T>) -> Option<R>,
    ) -> Result<Taken<R>, QueueError> {
        each!(&mut self.format, queue => queue.take_all(budget, each))
    }

    /// Asks for an interrupt at the next used buffer, and looks once more. Costs one full fence.
    ///
    /// A device can show work here and take it away again before it is taken, as often as it likes: a loop over this counts
    /// its rounds, as it counts buffers.
    #[inline]
    pub fn arm(&mut self) -> Armed {
        each!(&mut self.format, queue => queue.arm())
    }

    /// Asks for an interrupt when the device has used three quarters of the buffers that it has now, and looks whether it
    /// has done so already. Costs one full fence.
    ///
    /// For buffers whose completion nobody waits for. [`Armed::Idle`] says that the interrupt will come, though some buffers
    /// may have been used already. A packed ring counts descriptors in place of buffers, and reports work as soon as the first
    /// buffer is used. Without EVENT_IDX it is the same as [`Queue::arm`].
    #[inline]
    pub fn arm_delayed(&mut self) -> Armed {
        each!(&mut self.format, queue => queue.arm_delayed())
    }

    /// Tells the device that interrupts are not wanted; only a hint, so some may still come. // Virtio 1.3 §2.7.7, §2.8.10
    #[inline]
    pub fn disarm(&mut self) {
        each!(&mut self.format, queue => queue.disarm());
    }

    /// The violation, if the device has broken the protocol, or [`QueueError::Drained`].
    #[must_use]
    pub fn closed(&self) -> Option<QueueError> {
        each!(&self.format, queue => queue.closed())
    }

    /// What the queue was set up for.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// Number of descriptors.
    #[must_use]
    pub fn size(&self) -> u16 {
        each!(&self.format, queue => queue.size())
    }

    /// Descriptors that are free now; none once the queue is closed.
    #[must_use]
    pub fn free(&self) -> u16 {
        each!(&self.format, queue => queue.free())
    }

    /// Chains that were published and not yet taken back by [`Queue::completed`]; draining does not count.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        each!(&self.format, queue => queue.in_flight())
    }

    /// What went through the queue since it was set up. Costs nothing until it is asked for.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        each!(&self.format, queue => queue.totals())
    }

    /// Where the device finds the ring.
    #[must_use]
    pub fn addresses(&self) -> RingAddresses {
        each!(&self.format, queue => queue.addresses())
    }

    /// Takes one token that the device had not finished; call until `None`. Closes the queue.
    ///
    /// The proof says that the device has let go: before that it may still write to the buffers. One that does not speak of
    /// this queue yields nothing and changes nothing.
    pub fn drain(&mut self, proof: &impl Stopped) -> Option<T> {
        if !proof.covers(self.addresses().descriptor) {
            return None;
        }
        each!(&mut self.format, queue => queue.drain())
    }

    /// Ends the queue and gives the lent memory back, for a queue of any size and format to be set up in.
    ///
    /// # Errors
    ///
    /// The queue itself, while it holds tokens ([`Queue::drain`] first) or if the proof does not speak of it.
    #[cfg_attr(
        target_pointer_width = "64",
        expect(
            clippy::result_large_err,
            reason = "the queue itself comes back, once in its life"
        )
    )]
    pub fn into_memory(self, proof: &impl Stopped) -> Result<QueueMemory<'m, T>, Self> {
        if !proof.covers(self.addresses().descriptor) {
            return Err(self);
        }
        let features = self.features;
        let parts = match self.format {
            Format::Split(queue) => queue.into_parts().map_err(Format::Split),
            Format::Packed(queue) => queue.into_parts().map_err(Format::Packed),
        };
        match parts {
            Ok((ring, slots)) => Ok(QueueMemory { ring, slots }),
            Err(format) => Err(Self { format, features }),
        }
    }
}
