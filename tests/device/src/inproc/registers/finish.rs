//! Finishing a request: as the specification says, or with a lie.

use super::Registers;
use crate::common;
use crate::inproc::lies::RingLie;
use crate::inproc::queue::{Queue, Taken};
use crate::memory::GuestMemory;
use crate::ring::{DESC_LEN, Part, Walk};

impl Registers {
    /// Carries a request out and gives it back, or lies. False: nothing was given back.
    ///
    /// What was given back with a lie is forgotten: a device that goes on using memory which it has returned can do anything,
    /// and nothing would be shown by it.
    pub(super) fn finish(&mut self, at: usize, taken: &Taken, lie: Option<RingLie>) -> bool {
        use RingLie::{Never, NotDone, StatusReserved, StatusUnwritten, TooShort};
        let (memory, disk) = (&self.memory, &mut self.disk);
        let Some(queue) = self.queues.get_mut(at) else {
            return false;
        };
        let mut written = match lie {
            Some(Never) => {
                disk.skip();
                return false;
            }
            Some(NotDone | StatusReserved | StatusUnwritten) => {
                disk.skip();
                let status = match lie {
                    Some(NotDone) => Some(0),
                    Some(StatusReserved) => Some(0x7f),
                    _ => None,
                };
                let last = taken
                    .walk
                    .parts
                    .iter()
                    .rfind(|part| part.device_writes && part.len > 0);
                if let (Some(status), Some(part)) = (status, last) {
                    let _ = memory.store_u8(part.address + u64::from(part.len) - 1, status);
                }
                room(&taken.walk)
            }
            // What a lie made the driver use again is no fault of its own.
            _ if queue.is_believed_over(taken) => {
                disk.execute(memory, &taken.walk, self.features, &mut Vec::new())
            }
            _ => disk.execute(memory, &taken.walk, self.features, &mut self.violations),
        };
        match lie {
            Some(TooShort) => written = 0,
            Some(RingLie::TooLong) => written += 4096,
            Some(RingLie::LengthAllOnes | RingLie::LengthUnwritten) => written = u32::MAX,
            Some(RingLie::LengthWhole) => {
                written = taken.walk.parts.iter().map(|part| part.len).sum();
            }
            Some(RingLie::LengthOther) => {
                let others = queue.taken.iter().map(|other| room(&other.walk));
                // There may be no other with more room.
                written = others.max().unwrap_or(0).max(room(&taken.walk) + 1);
            }
            Some(RingLie::TableLonger) => {
                const MORE: u32 = 4096;
                written = room(&taken.walk) + MORE;
                let last = taken.walk.parts.last().map_or(0, |part| part.len);
                if let Some(table) = taken.walk.table {
                    let at = table.address + u64::from(table.len) - DESC_LEN + 8;
                    let _ = memory.write(at, &(last + MORE).to_le_bytes());
                }
            }
            _ => {}
        }
        let (last, place) = (queue.last(), queue.entry_place());
        match queue.packed() {
            Some((ring, others)) => {
                if let Err(violation) = ring.finish(memory, taken, written, lie, others, last) {
                    self.violations.push(violation);
                    self.status |= common::NEEDS_RESET;
                    return false;
                }
                if let Some(lie) = lie {
                    ring.scribble(memory, lie);
                }
            }
            None => {
                let lie = lie.unwrap_or(StatusUnwritten);
                if !queue.lie(memory, taken, written, lie) {
                    give_back(queue, memory, taken, written, lie);
                }
                queue.scribble(memory, lie, self.features);
            }
        }
        queue.gave_back(taken.head());
        if lie == Some(RingLie::EntryChanges) {
            queue.change_later(memory, taken, place);
        }
        match lie {
            Some(RingLie::Whole(fill)) => queue.overwrite(memory, fill, disk.requests()),
            Some(RingLie::AllButNext | RingLie::NextLap) => queue.hush(),
            Some(RingLie::Unasked) => {
                for queue in &mut self.queues {
                    queue.active |= queue.enabled;
                }
            }
            _ => {}
        }
        if lie == Some(RingLie::RequestOnes) {
            let readable = |part: &&Part| !part.device_writes;
            let header = taken.walk.parts.iter().find(readable).copied();
            for part in taken.walk.table.into_iter().chain(header) {
                let len = part.len.min(16) as usize;
                let _ = memory.write(part.address, &[0xff; 16][..len]);
            }
        }
        true
    }
}

/// Bytes that a device may write.
fn room(walk: &Walk) -> u32 {
    let writable = walk.parts.iter().filter(|part| part.device_writes);
    writable.map(|part| part.len).sum()
}

/// Gives a buffer of a split ring back, or lies about it.
fn give_back(queue: &mut Queue, memory: &GuestMemory, taken: &Taken, written: u32, lie: RingLie) {
    match lie {
        RingLie::IdOutOfRange => {
            queue.give_back_as(memory, taken, queue.layout.size.into(), written)
        }
        RingLie::IdAllOnes => queue.give_back_as(memory, taken, u32::MAX, written),
        RingLie::IdNotOutstanding => {
            let id = queue
                .idle_descriptor(memory)
                .unwrap_or(u32::from(queue.layout.size) + 1);
            queue.give_back_as(memory, taken, id, written);
        }
        RingLie::OtherId => match queue.taken.pop() {
            Some(other) => {
                queue.forget(&other);
                queue.give_back_as(memory, taken, other.head().into(), written);
            }
            None => queue.give_back(memory, taken, written),
        },
        RingLie::IdTwice => {
            queue.give_back(memory, taken, written);
            queue.give_back(memory, taken, written);
        }
        RingLie::IndexAhead => {
            queue.give_back(memory, taken, written);
            queue.skip_used(memory, 1);
        }
        RingLie::IndexFar => {
            queue.give_back(memory, taken, written);
            queue.skip_used(memory, queue.layout.size + 1);
        }
        RingLie::IndexBack => {
            queue.give_back(memory, taken, written);
            queue.skip_used(memory, u16::MAX - 1);
        }
        _ => queue.give_back(memory, taken, written),
    }
    let layout = queue.layout;
    let ones = |address, len: u64| {
        let _ = memory.write(address, &vec![0xff; len as usize]);
    };
    let size = u64::from(layout.size);
    match lie {
        RingLie::Flags => {
            let _ = memory.store_u16(layout.used_flags(), u16::MAX);
        }
        RingLie::Event => {
            let index = memory.load_u16(layout.avail_event()).unwrap_or(0);
            let _ = memory.store_u16(layout.avail_event(), index ^ 0x8000);
        }
        RingLie::UsedOnes => ones(layout.used_entry(0), 8 * size),
        RingLie::DescriptorOnes => ones(layout.descriptors, 16 * size),
        RingLie::AvailOnes => ones(layout.avail_entry(0), 2 * size),
        _ => {}
    }
}
