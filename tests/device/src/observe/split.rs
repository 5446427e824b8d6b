//! Following a split ring. // Virtio 1.3 §2.7

use std::sync::atomic::{Ordering, fence};

use super::Observed;
use crate::memory::IndexCell;
use crate::ring::{Layout, walk};
use crate::{Device, Violation, common};

/// What is followed of an enabled split queue.
pub(super) struct Follower {
    avail: IndexCell,
    used: IndexCell,
    seen_avail: u16,
    seen_used: u16,
    /// The furthest that the used index has ever been.
    furthest: u16,
    /// The id in each place of the used ring, as it was when an index showed it.
    ids: Vec<Option<u32>>,
}

/// Where both indexes are now.
pub(super) struct Moved {
    avail: u16,
    used: u16,
}

/// How far `index` is beyond `other`; negative: behind it.
fn beyond(index: u16, other: u16) -> i16 {
    index.wrapping_sub(other) as i16
}

impl Follower {
    /// Of the queue of this size with these indexes, that nobody has used yet.
    pub(super) fn new(avail: IndexCell, used: IndexCell, size: u16) -> Self {
        let seen_used = used.load();
        Self {
            avail,
            used,
            seen_avail: 0,
            seen_used,
            furthest: seen_used,
            ids: vec![None; size.into()],
        }
    }

    /// The indexes, if they have moved.
    pub(super) fn moved(&self) -> Option<Moved> {
        // The used index first: what it covers was available before, so the available index read later covers it too.
        let used = self.used.load();
        let avail = self.avail.load();
        (avail != self.seen_avail || used != self.seen_used).then_some(Moved { avail, used })
    }
}

impl<D: Device> Observed<D> {
    /// Brings one queue up to date.
    ///
    /// A driver can take completions and make new buffers available many times between two looks, so entries of either
    /// ring may have been overwritten unseen. Then it is not certain which chains the device still has, and none is claimed
    /// until its head is seen again.
    ///
    /// A device that takes its used index back and writes entries anew gives back with each of them: what the first one was about is
    /// the driver's if it came to it, what the second one is about as well.
    pub(super) fn follow_split(&mut self, queue: usize, moved: Moved) {
        let Moved { avail, used } = moved;
        let Some((layout, live)) = self
            .queues
            .get_mut(queue)
            .and_then(|queue| Some((queue.layout, queue.live.as_mut()?)))
        else {
            return;
        };
        let seen_avail = std::mem::replace(&mut live.seen_avail, avail);
        let seen_used = std::mem::replace(&mut live.seen_used, used);
        if beyond(used, live.furthest) > 0 {
            live.furthest = used;
        }
        let furthest = live.furthest;
        let size = layout.size;
        if i32::from(beyond(avail, furthest)) > i32::from(size) {
            let what = format!(
                "queue {queue}: avail.idx went from {seen_avail} to {avail} with used.idx at {furthest} and a size of {size}"
            );
            return self.violation("Virtio 1.3 §2.7.6.1", what);
        }
        let added = avail.wrapping_sub(seen_avail);
        if added > size {
            self.account.doubt(queue);
        }
        for back in (1..=added.min(size)).rev() {
            self.published(queue, &layout, avail.wrapping_sub(back));
        }
        let more = beyond(used, seen_used);
        if more <= 0 {
            if more.unsigned_abs() > size {
                self.account.doubt(queue);
            }
            if more < 0 {
                self.written_over(queue, &layout);
            }
            return;
        }
        let returned = more.unsigned_abs();
        let lies = beyond(used, avail) > 0;
        if lies && returned > size {
            // No driver has so much in flight that it could believe it.
            let what = format!(
                "the device gave back {returned} buffers on queue {queue}, whose size is {size}"
            );
            return self.violation("Virtio 1.3 §2.7.8", what);
        }
        let readable = returned.min(size);
        let ids: Option<Vec<u32>> = (1..=readable)
            .rev()
            .map(|back| {
                self.memory
                    .read_u32(layout.used_entry(used.wrapping_sub(back)))
            })
            .collect();
        let Some(ids) = ids else { return };
        // The device goes on meanwhile: what it has overwritten by now was perhaps not read as it was. Orders the reads above
        // before the index; pairs with the device's publication of it. Without it an entry could be read after it changed
        // and an index from before.
        fence(Ordering::Acquire);
        let latest = self.queues[queue]
            .live
            .as_ref()
            .map_or(used, |live| live.used.load());
        let unread = latest.wrapping_sub(seen_used).saturating_sub(size);
        let overwritten = usize::from(unread.saturating_sub(returned - readable));
        let complete = unread == 0 && added <= size;
        if let Some(live) = self.queues[queue].live.as_mut() {
            for (back, id) in (1..=readable).rev().zip(&ids) {
                live.ids[usize::from(used.wrapping_sub(back) % size)] = Some(*id);
            }
        }
        for id in ids.into_iter().skip(overwritten) {
            if !self.account.returned(queue, id) && complete {
                self.account.expect(queue, id);
                let what =
                    format!("the device gave back {id} on queue {queue}, which it did not have");
                self.violation("Virtio 1.3 §2.7.8", what);
            }
        }
        if unread > 0 {
            self.account.doubt(queue);
        }
    }

    /// Takes in entries that the device wrote over others before it took its index back, so that none ever showed them: a driver that had
    /// yet to come to the others finds these in their places.
    fn written_over(&mut self, queue: usize, layout: &Layout) {
        let Some(live) = self.queues[queue].live.as_mut() else {
            return;
        };
        for (place, known) in (0..).zip(&mut live.ids) {
            let found = self.memory.read_u32(layout.used_entry(place));
            let (Some(id), Some(before)) = (found, *known) else {
                continue;
            };
            *known = found;
            if id != before && !self.account.returned(queue, id) {
                self.account.expect(queue, id);
            }
        }
    }

    fn violation(&mut self, section: &'static str, what: String) {
        self.violations.push(Violation { section, what });
    }

    /// Takes in the available ring's entry at `position`.
    fn published(&mut self, queue: usize, layout: &Layout, position: u16) {
        let mut head = [0; 2];
        if !self.memory.read(layout.avail_entry(position), &mut head) {
            return;
        }
        let head = u16::from_le_bytes(head);
        let indirect = self.features & common::INDIRECT_DESC != 0;
        match walk(&self.memory, layout, head, indirect) {
            Ok(walk) => {
                self.publish(queue, head, walk);
            }
            Err(violation) => self.violations.push(violation),
        }
    }
}
