//! One queue of the in-process device: taking buffers, giving them back, and when to notify.

use std::sync::atomic::{Ordering, fence};

use crate::Violation;
use crate::common;
use crate::memory::GuestMemory;
pub(super) use crate::plain::NO_VECTOR;
use crate::ring::{Layout, Part, Walk, walk};

mod lies;
mod packed;
mod passed;

pub(super) use self::packed::Packed;

/// A buffer that the device has taken.
pub(super) struct Taken {
    head: u16,
    /// In a split ring, of the buffers of its name it is that one.
    number: u32,
    pub(super) walk: Walk,
}

/// What became of the buffers of one name.
///
/// The driver takes the nth entry with a name for its nth buffer of that name, and uses the name again only then. So after an entry
/// too many it believes to have back what the device has.
#[derive(Clone, Copy, Default)]
struct Name {
    /// Buffers that were taken.
    taken: u32,
    /// Entries that were shown.
    shown: u32,
}

/// A queue.
pub(super) struct Queue {
    pub(super) layout: Layout,
    pub(super) vector: u16,
    pub(super) enabled: bool,
    /// The driver has notified, and the device has not yet found the ring empty since.
    pub(super) active: bool,
    pub(super) taken: Vec<Taken>,
    /// For each descriptor of a split ring: the buffer that has it, by name and number.
    holders: Vec<Option<(u16, u32)>>,
    names: Vec<Name>,
    next: u16,
    used: u16,
    notified: u16,
    /// The id that was given back last.
    last: Option<u16>,
    /// Entries that are to change once the driver has passed them.
    passing: Vec<passed::Entry>,
    /// The device has overwritten what it would have to follow, and takes nothing more.
    silent: bool,
    /// The ring, if it is packed: then nothing of a split one is in use.
    packed: Option<Packed>,
}

impl Taken {
    /// The descriptor that it starts at.
    pub(super) fn head(&self) -> u16 {
        self.head
    }
}

impl Queue {
    pub(super) fn new(size: u16) -> Self {
        Self {
            layout: Layout {
                size,
                ..Layout::default()
            },
            vector: NO_VECTOR,
            enabled: false,
            active: false,
            taken: Vec::new(),
            holders: Vec::new(),
            names: Vec::new(),
            next: 0,
            used: 0,
            notified: 0,
            last: None,
            passing: Vec::new(),
            silent: false,
            packed: None,
        }
    }

    /// Enables it, as queue `number`, where it lies.
    pub(super) fn enable(
        &mut self,
        number: u16,
        memory: &GuestMemory,
        features: u64,
    ) -> Result<(), Violation> {
        if self.layout.packed {
            self.packed = Some(Packed::new(number, &self.layout, features, memory)?);
        } else {
            self.holders = vec![None; self.layout.size.into()];
            self.names = vec![Name::default(); self.layout.size.into()];
        }
        self.enabled = true;
        Ok(())
    }

    /// The packed ring, if it is one, with the buffers that the device has.
    pub(super) fn packed(&mut self) -> Option<(&mut Packed, &mut Vec<Taken>)> {
        Some((self.packed.as_mut()?, &mut self.taken))
    }

    /// Takes the next available buffer, if there is one; goes idle if there is none.
    ///
    /// An error without a violation: a lie has led the driver to where the device cannot go on.
    pub(super) fn take(
        &mut self,
        memory: &GuestMemory,
        features: u64,
    ) -> Result<bool, Option<Violation>> {
        if self.silent {
            self.active = false;
            return Ok(false);
        }
        if let Some(packed) = &mut self.packed {
            let next = packed.take(memory, features)?;
            return Ok(match next {
                packed::Next::Taken(taken) => {
                    self.taken.push(taken);
                    true
                }
                packed::Next::Over => true,
                packed::Next::Nothing { active } => {
                    self.active = active;
                    false
                }
            });
        }
        let event_idx = features & common::EVENT_IDX != 0;
        let avail = self.available(memory)?;
        if avail == 0 {
            self.go_idle(memory, event_idx);
            return Ok(false);
        }
        // While at work the device needs no notification. // Virtio 1.3 §2.7.10
        if !event_idx {
            let _ = memory.store_u16(self.layout.used_flags(), 1);
        }
        self.check_flags(memory, event_idx)?;
        let head = self.head(memory, self.next).unwrap_or(0);
        let name = self.names.get(usize::from(head));
        let number = name.map_or(0, |name| name.taken + 1);
        let is_over = self.is_over(head, number);
        let walk = match self.walk(memory, features, head) {
            Ok(walk) => walk,
            // What was used again since is not what was made available.
            Err(_) if is_over => {
                self.came(head);
                return Ok(true);
            }
            Err(violation) => return Err(Some(violation)),
        };
        for &descriptor in &walk.descriptors {
            let holder = self.holders[usize::from(descriptor)];
            let held = holder.is_some_and(|(head, number)| !self.is_over(head, number));
            if held && !is_over {
                return Err(Some(Violation {
                    section: "Virtio 1.3 §2.7.13.1",
                    what: format!(
                        "descriptor {descriptor} made available while the device still has it"
                    ),
                }));
            }
            if !held {
                self.holders[usize::from(descriptor)] = Some((head, number));
            }
        }
        self.came(head);
        self.taken.push(Taken { head, number, walk });
        Ok(true)
    }

    /// Goes on behind the next available buffer, which has this name.
    fn came(&mut self, head: u16) {
        self.next = self.next.wrapping_add(1);
        if let Some(name) = self.names.get_mut(usize::from(head)) {
            name.taken += 1;
        }
    }

    /// Whether the driver may believe that it has this buffer back.
    fn is_over(&self, head: u16, number: u32) -> bool {
        let name = self.names.get(usize::from(head));
        name.is_some_and(|name| name.shown >= number)
    }

    /// Whether the driver may believe that it has back what the device has taken.
    pub(super) fn is_believed_over(&self, taken: &Taken) -> bool {
        self.is_over(taken.head, taken.number)
    }

    /// Follows the chain at `head`, which lies in memory.
    fn walk(&self, memory: &GuestMemory, features: u64, head: u16) -> Result<Walk, Violation> {
        let indirect = features & common::INDIRECT_DESC != 0;
        let walk = walk(memory, &self.layout, head, indirect)?;
        in_memory(memory, head, &walk)?;
        Ok(walk)
    }

    fn available(&self, memory: &GuestMemory) -> Result<u16, Option<Violation>> {
        let index = memory
            .load_u16(self.layout.avail_idx())
            .unwrap_or(self.next);
        let available = index.wrapping_sub(self.next);
        if available > self.layout.size {
            // Buffers that the driver may have taken back before the device came to them, and what it used again is overwritten.
            let ahead = self.names.iter();
            let ahead = ahead.map(|name| name.shown.saturating_sub(name.taken));
            if u32::from(available - self.layout.size) <= ahead.sum() {
                return Err(None);
            }
            return Err(Some(Violation {
                section: "Virtio 1.3 §2.7.6.1",
                what: format!(
                    "avail.idx went from {} to {index}, the size is {}",
                    self.next, self.layout.size
                ),
            }));
        }
        Ok(available)
    }

    fn check_flags(&self, memory: &GuestMemory, event_idx: bool) -> Result<(), Violation> {
        let flags = memory.load_u16(self.layout.avail_flags()).unwrap_or(0);
        if flags > u16::from(!event_idx) {
            return Err(Violation {
                section: "Virtio 1.3 §2.7.7.1",
                what: format!("avail.flags is {flags:#x}, event_idx is {event_idx}"),
            });
        }
        Ok(())
    }

    /// Asks for a notification, and looks once more in case it was not asked for in time.
    fn go_idle(&mut self, memory: &GuestMemory, event_idx: bool) {
        if event_idx {
            let _ = memory.store_u16(self.layout.avail_event(), self.next);
        } else {
            let _ = memory.store_u16(self.layout.used_flags(), 0);
        }
        // Orders the request for a notification before the look at avail.idx. Pairs with the driver's fence between its
        // avail.idx store and its look at avail_event; with anything weaker both could look before either stores, and
        // the buffer would lie there unseen.
        fence(Ordering::SeqCst);
        self.active = memory
            .load_u16(self.layout.avail_idx())
            .is_some_and(|index| index != self.next);
    }

    /// Gives a taken buffer back with `written` bytes in it.
    pub(super) fn give_back(&mut self, memory: &GuestMemory, taken: &Taken, written: u32) {
        self.give_back_as(memory, taken, taken.head.into(), written);
    }

    /// Notes that an entry with this id was shown.
    fn show(&mut self, id: u32) {
        let name = usize::try_from(id).ok();
        if let Some(name) = name.and_then(|id| self.names.get_mut(id)) {
            name.shown += 1;
        }
    }

    /// The id that was given back last.
    pub(super) fn last(&self) -> Option<u16> {
        self.last
    }

    /// Notes whom the device named, or should have named, last.
    pub(super) fn gave_back(&mut self, id: u16) {
        self.last = Some(id);
    }

    /// Forgets a taken buffer.
    pub(super) fn forget(&mut self, taken: &Taken) {
        for &descriptor in &taken.walk.descriptors {
            let holder = &mut self.holders[usize::from(descriptor)];
            if *holder == Some((taken.head, taken.number)) {
                *holder = None;
            }
        }
    }

    /// Gives a taken buffer back under any name.
    pub(super) fn give_back_as(
        &mut self,
        memory: &GuestMemory,
        taken: &Taken,
        id: u32,
        written: u32,
    ) {
        self.forget(taken);
        let mut element = [0; 8];
        element[..4].copy_from_slice(&id.to_le_bytes());
        element[4..].copy_from_slice(&written.to_le_bytes());
        let _ = memory.write(self.layout.used_entry(self.used), &element);
        self.show(id);
        self.used = self.used.wrapping_add(1);
        let _ = memory.store_u16(self.layout.used_idx(), self.used);
    }

    /// Moves used.idx without an entry.
    pub(super) fn skip_used(&mut self, memory: &GuestMemory, by: u16) {
        if by == 1
            && let Some(id) = memory.read_u32(self.used_place())
        {
            self.show(id);
        }
        self.used = self.used.wrapping_add(by);
        let _ = memory.store_u16(self.layout.used_idx(), self.used);
    }

    /// Where the next used entry goes.
    pub(super) fn used_place(&self) -> u64 {
        self.layout.used_entry(self.used)
    }

    /// A descriptor that the device does not have and that names no buffer which waits for it in the available ring: the id of no
    /// request in flight.
    pub(super) fn idle_descriptor(&self, memory: &GuestMemory) -> Option<u32> {
        let waiting = self.waiting(memory);
        let idle = |at: &u16| self.holders[usize::from(*at)].is_none() && !waiting.contains(at);
        (0..self.layout.size).find(idle).map(u32::from)
    }

    /// The buffers that wait in the available ring.
    fn waiting(&self, memory: &GuestMemory) -> Vec<u16> {
        let waiting = self.available(memory).unwrap_or(0);
        let head = |at| self.head(memory, self.next.wrapping_add(at));
        (0..waiting).filter_map(head).collect()
    }

    /// The available ring's entry for a position.
    fn head(&self, memory: &GuestMemory, position: u16) -> Option<u16> {
        let mut head = [0; 2];
        let read = memory.read(self.layout.avail_entry(position), &mut head);
        read.then(|| u16::from_le_bytes(head))
    }

    /// Whether the driver wants an interrupt for what was given back since the last call.
    pub(super) fn wants_interrupt(&mut self, memory: &GuestMemory, features: u64) -> bool {
        if let Some(packed) = &mut self.packed {
            return packed.wants_interrupt(memory);
        }
        let (old, new) = (std::mem::replace(&mut self.notified, self.used), self.used);
        // Orders the used.idx store before the look at the driver's wishes. Pairs with the driver's fence between arming and
        // its last look at used.idx; with anything weaker both could look first, and the interrupt would be lost.
        fence(Ordering::SeqCst);
        if features & common::EVENT_IDX != 0 {
            let event = memory.load_u16(self.layout.used_event()).unwrap_or(0);
            // Virtio 1.3 §2.7.7.2: used_event lies in [old, new).
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            memory.load_u16(self.layout.avail_flags()).unwrap_or(0) & 1 == 0
        }
    }
}

/// All parts of a buffer have to lie in memory. // Virtio 1.3 §2.7.5, §2.8.4
fn in_memory(memory: &GuestMemory, name: u16, walk: &Walk) -> Result<(), Violation> {
    let outside = |part: &&Part| !memory.contains(part.address, part.len.into());
    match walk.parts.iter().find(outside) {
        Some(part) => Err(Violation {
            section: "Virtio 1.3 §2.7.5",
            what: format!("descriptor chain {name}: {part:x?} is not in memory"),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
