//! The device at work: taking buffers, giving them back in its own order, interrupting, and what it does wrong on purpose.

use rand_core::RngCore;

use super::Registers;
use crate::inproc::lies::{Fill, RingLie};
use crate::inproc::queue::{NO_VECTOR, Queue};
use crate::{Violation, common};

/// ISR status: a queue. // Virtio 1.3 §4.1.4.5
const ISR_QUEUE: u8 = 1;
/// ISR status: the configuration.
pub(super) const ISR_CONFIG: u8 = 2;

impl Registers {
    /// Does a random amount of work. Whether others have to look before it does more.
    pub(in crate::inproc) fn work(&mut self, msix: bool) -> bool {
        let units = self.below(self.config.pace + 1);
        for _ in 0..units {
            if self.idle() {
                return false;
            }
            let at = self.below(self.queues.len() as u32) as usize;
            if self.below(2) == 0 {
                self.take(at, msix);
            } else if self.complete(at, msix) {
                return true;
            }
        }
        false
    }

    /// As if it had been called upon so many times with nothing to do: it throws its dice all the same.
    pub(in crate::inproc) fn rest(&mut self, times: u64) {
        self.random.advance(times.into());
    }

    pub(in crate::inproc) fn notify(&mut self, at: u64, width: u8, value: u64) {
        let apart = u64::from(self.config.notify_multiplier);
        // The same place for all of them: the value alone says which. // Virtio 1.3 §4.1.4.4.1
        let index = at.checked_div(apart).unwrap_or(value);
        // Virtio 1.3 §4.1.4.4 and §4.1.5.2
        if width != 2 || at != index * apart || value != index {
            self.complain(
                "Virtio 1.3 §4.1.5.2",
                format!("notified with {value:#x} in {width} bytes at {at:#x}"),
            );
            return;
        }
        if self.status & common::DRIVER_OK == 0 {
            self.complain(
                "Virtio 1.3 §3.1.1",
                format!("notified queue {index} before DRIVER_OK"),
            );
            return;
        }
        match self
            .queues
            .get_mut(index as usize)
            .filter(|queue| queue.enabled)
        {
            Some(queue) => queue.active = true,
            None => self.complain(
                "Virtio 1.3 §4.1.5.2",
                format!("notified queue {index}, which is not enabled"),
            ),
        }
    }

    /// Whether nothing is to be done until the driver acts.
    pub(in crate::inproc) fn idle(&self) -> bool {
        let busy = |queue: &Queue| queue.active || !queue.taken.is_empty();
        !self.running() || !self.queues.iter().any(busy)
    }

    fn running(&self) -> bool {
        self.status & common::DRIVER_OK != 0 && self.status & common::NEEDS_RESET == 0
    }

    /// The messages raised since the last call.
    pub(in crate::inproc) fn take_raised(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.raised)
    }

    /// What the driver has done wrong since the last call.
    pub(in crate::inproc) fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// Requests taken so far.
    pub(in crate::inproc) fn requests(&self) -> u64 {
        self.disk.requests()
    }

    /// Whether the device is no longer there.
    pub(in crate::inproc) fn is_gone(&self) -> bool {
        self.gone
    }

    /// What the device does wrong when the driver has just started it.
    pub(super) fn started(&mut self) {
        self.starts += 1;
        if self.config.early_area == self.starts {
            for queue in self.queues.iter_mut().filter(|queue| queue.enabled) {
                queue.overwrite_device_area(&self.memory);
                self.once.done("early-area");
            }
        }
        let early = self.config.early_used == self.starts;
        if let Some(queue) = self
            .queues
            .first_mut()
            .filter(|queue| early && queue.enabled)
        {
            queue.give_back_nothing(&self.memory);
            self.once.done("early-used");
            if queue.vector != NO_VECTOR {
                self.raised.push(queue.vector);
            }
        }
    }

    /// What it does wrong before a reset is done.
    pub(super) fn scribble_late(&mut self) {
        if self.config.late_ring == self.resets {
            for queue in self.queues.iter_mut().filter(|queue| queue.enabled) {
                queue.overwrite(&self.memory, Fill::Ones, 0);
                self.once.done("late-ring");
            }
        }
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.random.next_u32() % bound.max(1)
    }

    fn take(&mut self, at: usize, msix: bool) {
        let (memory, features) = (&self.memory, self.features);
        let Some(queue) = self.queues.get_mut(at).filter(|queue| queue.active) else {
            return;
        };
        let taken = queue.take(memory, features);
        let changed = queue.change_passed(memory);
        self.liar.told_ring(RingLie::EntryChanges, changed);
        if let Err(violation) = taken {
            self.violations.extend(violation);
            // The device cannot go on with a driver that does this. // Virtio 1.3 §2.1.2
            self.status |= common::NEEDS_RESET;
            self.interrupt(self.config_vector, ISR_CONFIG, msix);
        }
    }

    /// Gives back up to three buffers in random order, then interrupts once if the driver wants it. Whether its turn is over: an index
    /// that goes back is seen before it goes on.
    fn complete(&mut self, at: usize, msix: bool) -> bool {
        let count = 1 + self.below(3);
        let mut any = false;
        let mut over = false;
        for _ in 0..count {
            let waiting = self.queues.get(at).map_or(0, |queue| queue.taken.len());
            if waiting == 0 {
                break;
            }
            let chosen = self.below(waiting as u32) as usize;
            let Some(queue) = self.queues.get_mut(at) else {
                break;
            };
            // Virtio 1.3 §2.7.9, §2.8.8
            let taken = if self.features & common::IN_ORDER != 0 {
                queue.taken.remove(0)
            } else {
                queue.taken.swap_remove(chosen)
            };
            let number = self.disk.requests() + 1;
            if number > self.config.hang_after && self.hung < self.config.hang {
                self.hung += 1;
                self.disk.skip();
                continue;
            }
            let every = self.config.needs_reset_every;
            if every != 0 && number.is_multiple_of(every) {
                self.disk.skip();
                self.status |= common::NEEDS_RESET;
                self.interrupt(self.config_vector, ISR_CONFIG, msix);
                return false;
            }
            let lie = self.liar.ring(number);
            let queue = self.queues.get(at);
            let told = lie.filter(|lie| queue.is_some_and(|queue| queue.can_tell(*lie, &taken)));
            let finished = self.finish(at, &taken, lie);
            any |= finished;
            if let Some(lie) = told.filter(|lie| finished || *lie == RingLie::Never) {
                self.liar.told_ring(lie, 1);
            }
            match lie {
                Some(RingLie::NoInterrupt) => return false,
                Some(RingLie::Gone) => self.gone = true,
                Some(RingLie::EveryInterrupt) => self.raised.extend(0..self.config.vectors),
                Some(RingLie::IndexBack) => over = true,
                _ => {}
            }
            let planned = self.config.resize.filter(|(at, _)| *at == number);
            let sectors = self
                .liar
                .grow(number)
                .or(planned.map(|(_, sectors)| sectors));
            if let Some(sectors) = sectors {
                self.resize(sectors);
                self.interrupt(self.config_vector, ISR_CONFIG, msix);
            }
            if over {
                break;
            }
        }
        let Some(queue) = self.queues.get_mut(at) else {
            return over;
        };
        if any && queue.wants_interrupt(&self.memory, self.features) {
            let vector = queue.vector;
            self.interrupt(vector, ISR_QUEUE, msix);
        }
        over
    }

    fn interrupt(&mut self, vector: u16, isr: u8, msix: bool) {
        if !msix {
            self.isr |= isr;
        } else if vector != NO_VECTOR {
            self.raised.push(vector);
        }
    }
}
