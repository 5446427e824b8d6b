//! Following a packed ring, in which both sides overwrite what the other wrote. // Virtio 1.3 §2.8
//!
//! Nothing is missed only if there is a look between any two turns of driver and device. So packed rings are followed in front of a
//! device that works only when it is polled: there is a look before its turn and one behind it.

use super::Observed;
use crate::ring::{Layout, Walk, broken};
use crate::{Device, Violation, common};

/// The value of the device's event flags that asks for one place of the ring. // Virtio 1.3 §2.8.10
const RING_EVENT_FLAGS_DESC: u16 = 2;

/// The flags that tell a used descriptor. // Virtio 1.3 §2.8.1
const USED_MARK: u16 = 1 << 7 | 1 << 15;

/// What is followed of an enabled packed queue.
pub(super) struct Follower {
    ring: ring_device::Packed,
    /// Every buffer so far took one descriptor: whichever the device names, the next used one is one further.
    single: bool,
    /// What the device gave back without having it, where the driver may not have come to it: place, wrap counter and id.
    unowned: Vec<(u16, bool, u16)>,
    /// The device asked to be told of what has become available since it was told last.
    due: bool,
    /// How often the driver may tell it, for what has become available since everybody waited last.
    allowed: u64,
    /// Something happened after which nobody can say where either side goes on.
    lost: bool,
}

impl Follower {
    /// Whether it is known what the device has.
    pub(super) fn knows(&self) -> bool {
        !self.lost
    }

    /// Whether the device asked to be told of what is there.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }
}

impl<D: Device> Observed<D> {
    /// Begins to follow a packed queue that is laid out soundly.
    pub(super) fn begin_packed(&mut self, queue: u16, layout: &Layout) {
        match ring_device::Packed::new(layout.setup(self.features), &self.memory) {
            Ok(ring) => {
                self.queue().packed = Some(Follower {
                    ring,
                    single: true,
                    unowned: Vec::new(),
                    due: false,
                    allowed: 0,
                    lost: false,
                });
            }
            Err(found) => self.violations.push(broken(queue, &found)),
        }
    }

    /// Brings a packed queue up to date. After what nobody can follow it is left alone until it is set up again, and of no chain of it
    /// is claimed that the device has it.
    pub(super) fn follow_packed(&mut self, queue: usize) {
        let follower = self.queues.get_mut(queue);
        let Some(mut follower) = follower.and_then(|queue| queue.packed.take()) else {
            return;
        };
        follower.lost = follower.lost
            || !self.take_used(queue, &mut follower)
            || !self.take_available(queue, &mut follower);
        if follower.lost {
            follower.due = false;
            self.account.doubt(queue);
        }
        self.queues[queue].packed = Some(follower);
    }

    /// Takes in what the device gave back. False: it cannot be known where it goes on.
    fn take_used(&mut self, queue: usize, follower: &mut Follower) -> bool {
        self.look_again(queue, follower);
        while let Ok(Some((id, ..))) = follower.ring.used(&self.memory) {
            if let Some(descriptors) = follower.ring.forget(id) {
                follower.ring.skip_used(descriptors);
                self.account.returned(queue, id.into());
                continue;
            }
            self.violations.push(Violation {
                section: "Virtio 1.3 §2.8.22",
                what: format!("the device gave back {id} on queue {queue}, which it did not have"),
            });
            // Without anything in its hands there is no place where it could have been given back.
            if !follower.single || follower.ring.next_used() == follower.ring.next_avail() {
                return false;
            }
            self.account.expect(queue, id.into());
            let (place, wrap) = follower.ring.next_used();
            follower.unowned.push((place, wrap, id));
            follower.ring.skip_used(1);
        }
        true
    }

    /// Takes in what the device has written where it had given back what it did not have: a driver that had yet to come there finds
    /// that.
    fn look_again(&mut self, queue: usize, follower: &mut Follower) {
        let ring = &mut follower.ring;
        follower.unowned.retain(|&(place, wrap, known)| {
            let at = ring.descriptor_address(place);
            let words = [at + 12, at + 14].map(|at| self.memory.load_u16(at));
            let [Some(id), Some(flags)] = words else {
                return false;
            };
            // Otherwise the driver has come to it, and made the place available again.
            let used = flags & USED_MARK == ring_device::Packed::used_flags(wrap);
            let other = used && id != known && ring.forget(id).is_some();
            if other {
                self.account.returned(queue, id.into());
            }
            used && !other
        });
    }

    /// Takes in what the driver made available. False: it broke a rule.
    fn take_available(&mut self, queue: usize, follower: &mut Follower) -> bool {
        // The device's wish is the one that the driver saw: it changes in the device's turns only.
        let due = follower.ring.notification_due(&self.memory) == Ok(true);
        follower.due |= due;
        let place = follower.ring.setup().device + 2;
        let for_each = self.memory.load_u16(place).unwrap_or(0) & 3 != RING_EVENT_FLAGS_DESC;
        let before = self.numbered;
        loop {
            let buffer = match follower.ring.pop(&self.memory) {
                Ok(Some(buffer)) => buffer,
                Ok(None) => {
                    let published = self.numbered - before;
                    follower.allowed += match (due, for_each) {
                        (false, _) => 0,
                        // A place is passed once, however many buffers are made available at a time.
                        (true, false) => 1,
                        (true, true) => published,
                    };
                    return self.check_lap(queue, follower);
                }
                Err(found) => {
                    self.violations.push(broken(queue as u16, &found));
                    return false;
                }
            };
            follower.single &= buffer.descriptors == 1;
            let walk = Walk::from(&buffer);
            if !self.publish(queue, buffer.id, walk) {
                // It counts as given back already.
                follower.ring.forget(buffer.id);
                self.account.forget_deceived(queue, buffer.id.into());
            }
        }
    }

    /// A driver with the wrong wrap counter makes available what no device sees. False: it did.
    fn check_lap(&mut self, queue: usize, follower: &Follower) -> bool {
        let wrong = follower.single && follower.ring.is_in_other_lap(&self.memory) == Ok(true);
        if wrong {
            let (place, wrap) = follower.ring.next_avail();
            self.violations.push(Violation {
                section: "Virtio 1.3 §2.8.1",
                what: format!(
                    "packed queue {queue}: descriptor {place} was made available with wrap counter {}, it is {}",
                    u8::from(!wrap),
                    u8::from(wrap)
                ),
            });
        }
        !wrong
    }

    /// Notes that the device was told of a queue.
    pub(super) fn notified(&mut self, queue: u64) {
        let number = queue;
        let queue = usize::try_from(number).ok();
        let queue = queue.and_then(|queue| self.queues.get_mut(queue));
        if let Some(follower) = queue.and_then(|queue| queue.packed.as_mut()) {
            follower.due = false;
            match follower.allowed.checked_sub(1) {
                Some(left) => follower.allowed = left,
                // A driver that notifies without its queue's lock may have been overtaken by a reset on another processor.
                None => match self.crossing.iter().position(|&one| one == number) {
                    Some(at) => {
                        self.crossing.swap_remove(at);
                    }
                    None => self.needless += 1,
                },
            }
        }
    }

    /// Notifications of packed queues that the device had not asked for. No rule forbids them (Virtio 1.3 §2.8.16), but each costs the
    /// driver an exit to the host.
    #[must_use]
    pub fn needless_notifications(&self) -> u64 {
        self.needless
    }

    /// Nobody has anything to do but the device: what it asked to be told of, it has been told of.
    pub(super) fn check_notified(&mut self) {
        if self.resetting {
            return;
        }
        self.crossing.clear();
        for (number, queue) in self.queues.iter_mut().enumerate() {
            let Some(follower) = &mut queue.packed else {
                continue;
            };
            follower.allowed = 0;
            if std::mem::replace(&mut follower.due, false) {
                self.violations.push(Violation {
                    section: "Virtio 1.3 §2.8.21.2",
                    what: format!(
                        "queue {number}: the device was not notified of what it asked to be notified of"
                    ),
                });
            }
        }
    }

    /// Whether the driver took RING_PACKED.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.features & common::RING_PACKED != 0
    }
}

#[cfg(test)]
mod tests;
