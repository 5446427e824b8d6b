//! What cannot be, and what is left in the queue that it closes.
#![forbid(unsafe_code)]

use super::{Slot, Slots};
use crate::ring::QueueError;

impl<T> Slots<'_, T> {
    /// Whether a slot that holds a token is the first of a buffer that is not published yet.
    ///
    /// A buffer that stays with the device while 2³² others pass may be taken for one; its queue then closes, no more.
    #[cold]
    #[inline(never)]
    pub(super) fn is_unpublished(&self, id: u32) -> bool {
        let since = |slot: &Slot<T>| slot.position.wrapping_sub(self.published);
        self.slots
            .get(id as usize)
            .is_some_and(|slot| since(slot) < self.added.wrapping_sub(self.published))
    }

    /// The private state is not as it must be: closes the queue, with the token in it.
    #[cold]
    pub(super) fn inconsistent<V>(&mut self, id: u32, token: T) -> Option<V> {
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.token = Some(token);
        }
        self.close(QueueError::Region);
        None
    }

    /// Closes the queue because of a used entry that cannot be taken.
    #[cold]
    pub(super) fn refuse<V>(&mut self, id: u32, written: u32, limit: u16) -> Option<V> {
        self.close(self.fault(id, written, limit));
        None
    }

    /// What is wrong with a used entry that cannot be taken.
    fn fault(&self, id: u32, written: u32, limit: u16) -> QueueError {
        let size = self.size;
        let short = match u16::try_from(id) {
            Ok(short) if short < size => short,
            _ => return QueueError::IdOutOfRange { id, size },
        };
        match self.slots.get(usize::from(short)) {
            _ if limit == 0 => QueueError::NothingInFlight { id: short },
            Some(slot) if slot.token.is_some() && !self.is_unpublished(id) => {
                let writable = slot.writable;
                if written > writable {
                    // Virtio 1.3 §2.7.8: bytes written into the device-writable portion.
                    QueueError::WrittenTooLong {
                        id: short,
                        written,
                        writable,
                    }
                } else {
                    let batch = slot.position.wrapping_sub(self.taken).wrapping_add(1) as u16;
                    QueueError::BatchTooLong {
                        id: short,
                        batch,
                        limit,
                    }
                }
            }
            _ => QueueError::IdNotOutstanding { id: short },
        }
    }

    /// Closes the queue for good.
    #[cold]
    pub(in crate::ring) const fn close(&mut self, error: QueueError) {
        self.closed = Some(error);
        self.unreported = true;
        self.one_by_one = false;
        self.plain = false;
        self.batch = 0;
        self.free = 0;
    }

    /// Why the queue was closed, once.
    #[inline(always)]
    pub(in crate::ring) const fn report(&mut self) -> Option<QueueError> {
        if !self.unreported {
            return None;
        }
        self.unreported = false;
        self.closed
    }

    /// Takes one token out, whatever the device did with its buffer. Closes the queue.
    pub(in crate::ring) fn drain(&mut self) -> Option<T> {
        if self.closed.is_none() {
            self.close(QueueError::Drained);
            // It is no violation.
            self.unreported = false;
        }
        let rest = self.slots.get_mut(self.drained..).unwrap_or_default();
        for slot in rest {
            self.drained = self.drained.wrapping_add(1);
            if let Some(token) = slot.token.take() {
                return Some(token);
            }
        }
        None
    }
}
