//! What a ring format does its own way.
#![forbid(unsafe_code)]

use super::chain::{TableFormat, WriteError};
use super::slots::{Buffer, Slots, Used};
use super::{AddError, IndirectChain, Part, RingAddresses};
use crate::mem::{DmaRegion, Order};

/// The queue was closed just now.
pub(super) struct Closed;

/// A ring format: where things lie in shared memory. It orders nothing but the one load that shows what was used.
pub(super) trait Format {
    /// Whether a buffer has a slot for each of its descriptors, linked in a chain, and not one only.
    const CHAINED: bool;
    /// What indirect tables are written for.
    const TABLES: TableFormat;
    /// A buffer that was put alone: what is needed to announce it.
    type Alone: Copy;
    /// Where the device shows the next used buffer.
    type Next: Copy;

    /// Writes a buffer into the ring's own descriptors, behind those that [`Format::show`] shows next.
    fn add_direct<T>(
        &mut self,
        slots: &Slots<'_, T>,
        readable: impl Iterator<Item = Part>,
        writable: impl Iterator<Item = Part>,
    ) -> Result<Buffer, WriteError>;

    /// The same for the one descriptor of a buffer that lies in a table; there is a free one.
    fn add_indirect<T>(
        &mut self,
        slots: &Slots<'_, T>,
        chain: IndirectChain,
    ) -> Result<Buffer, AddError>;

    /// Writes the one descriptor of a buffer that lies in a table, in slot `id`, where nothing else waits to be shown, and then shows it
    /// to the device by one release store, with `before_show` in between; `number` were added before it.
    fn put_alone(
        &mut self,
        id: u32,
        number: u32,
        chain: IndirectChain,
        before_show: impl FnOnce(),
    ) -> Self::Alone;

    /// Whether the device wants to be told of it.
    fn wants_kick_alone(&self, alone: Self::Alone) -> bool;

    /// The place of the buffer after it, as [`Format::position`].
    fn position_behind(&self, alone: Self::Alone) -> u16;

    /// Shows the device everything up to `slots.added()`, by one release store.
    fn show<T>(&mut self, slots: &Slots<'_, T>);

    /// Whether the device wants to be told of the buffers that were added after `slots.published()`, up to `position`.
    fn wants_kick<T>(&mut self, slots: &Slots<'_, T>, position: u16) -> bool;

    /// The place of the next buffer, as a notification tells it. // Virtio 1.3 §2.9
    fn position<T>(&self, slots: &Slots<'_, T>) -> u16;

    /// What the device used next, if it is there; closes the queue if it cannot be.
    fn used<T>(&mut self, slots: &mut Slots<'_, T>, order: Order) -> Result<Option<Used>, Closed>;

    /// Most buffers that what the device used next can stand for, itself included, if it uses them in order.
    fn limit<T>(&self, slots: &Slots<'_, T>) -> u16;

    /// A buffer of `count` descriptors was taken back; where the next one will be.
    fn took<T>(&mut self, slots: &Slots<'_, T>, count: u16) -> Self::Next;

    /// Whether a buffer is known to be used there, as far as that can be known for less than arming takes.
    fn knows_of(&self, next: Self::Next) -> bool;

    /// [`Format::ask`] with EVENT_IDX, for the very next buffer.
    fn ask_for(&mut self, next: Self::Next);

    /// [`Format::passed`] after [`Format::ask_for`].
    fn has_used(&self, next: Self::Next) -> bool;

    /// Asks for an interrupt once `delay` more entries and then one were used, or for none.
    fn ask<T>(&mut self, slots: &Slots<'_, T>, delay: Option<u16>);

    /// Most entries that an interrupt can be delayed by, to come after three quarters of what the device has.
    fn delay<T>(&self, slots: &Slots<'_, T>) -> u16;

    /// Whether the device may have passed the point that [`Format::ask`] named before it saw it.
    fn passed<T>(&self, slots: &Slots<'_, T>, delay: u16) -> bool;

    fn addresses(&self) -> RingAddresses;

    fn into_region(self) -> DmaRegion;
}
