//! Taking back what the device has finished.
#![forbid(unsafe_code)]

use super::{Notice, Ring, Rules, Through};
use crate::ffi::extension::Token;
use crate::ffi::list::{List, Succeeded};
use crate::ffi::lock::Free;
use virtio_core::ring::{Armed, Completion, Queue, QueueError, Taken};
use virtio_core::spec::features::Features;

/// Whether a queue has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing until the next interrupt.
    Idle,
    /// There may be more completions.
    More,
    /// The device broke the protocol: [`Ring::fault`] says how.
    Broken,
}

/// What is left to do once the queue is unlocked, but to complete what has succeeded.
pub struct More {
    /// Whether the queue has more to do.
    pub progress: Progress,
    /// What the device has to be told.
    pub notice: Option<Notice>,
    /// Requests that ended otherwise than in short.
    pub done: List,
}

impl Ring {
    /// Takes the one completion that there is and arms the queue, or finds that there is another or something else to do. For a ring that
    /// is swift.
    #[inline(always)] // part of a DPC
    pub fn take_alone(&mut self) -> (Option<Completion<Token>>, Armed) {
        match &mut self.queue {
            Some(queue) => queue.take_alone(),
            // Not of a ring that was swift when it was locked.
            None => (None, Armed::Idle),
        }
    }

    /// Goes on from [`Self::take_alone`]: takes completions and looks for more, up to `budget` of both together. What has succeeded goes
    /// to `done`. `None`: that was all, until the next interrupt.
    #[inline] // its only caller
    pub fn process(
        &mut self,
        rules: &Rules,
        budget: u32,
        (first, armed): (Option<Completion<Token>>, Armed),
        done: &mut Succeeded<'_>,
    ) -> Option<More> {
        if let Some(by) = first.and_then(|first| done.take(first)) {
            let left = budget;
            return Some(self.process_rest(rules, Ok(Taken::Stopped { by, left })));
        }
        if armed == Armed::Idle {
            return None;
        }
        let taken = match &mut self.queue {
            Some(queue) => {
                // With EVENT_IDX the entry that the device was last asked to interrupt at has been passed.
                if !rules.features.contains(Features::EVENT_IDX) {
                    queue.disarm();
                }
                queue.take_all(budget, |completion| done.take(completion))
            }
            None => return None,
        };
        match taken {
            Ok(Taken::Idle) => None,
            other => Some(self.process_rest(rules, other)),
        }
    }

    /// [`Self::process`] goes on, when it has met something that does not succeed as it is, or its budget is used up.
    #[cold]
    #[inline(never)] // as few interrupts come here
    fn process_rest(
        &mut self,
        rules: &Rules,
        taken: Result<Taken<Completion<Token>>, QueueError>,
    ) -> More {
        let mut done = List::EMPTY;
        let left = match taken {
            Ok(Taken::Stopped {
                by: Completion { token, written },
                left,
            }) => {
                self.completed(rules, token.open(), written, &mut done);
                left
            }
            Ok(_) => 0,
            Err(_) => {
                self.open = false;
                self.settle();
                return More {
                    progress: Progress::Broken,
                    notice: None,
                    done,
                };
            }
        };
        self.process_to(rules, left, done)
    }

    /// [`Self::process`] of any queue.
    pub fn process_any(&mut self, rules: &Rules, budget: u32) -> More {
        if let Some(queue) = &mut self.queue
            && self.open
            && !rules.features.contains(Features::EVENT_IDX)
        {
            queue.disarm();
        }
        self.process_to(rules, budget, List::EMPTY)
    }

    /// The same, behind what is `done` already.
    fn process_to(&mut self, rules: &Rules, budget: u32, mut done: List) -> More {
        let mut left = budget;
        let progress = loop {
            let queue = match &mut self.queue {
                Some(queue) if self.open => queue,
                _ => break Progress::Idle,
            };
            if left == 0 {
                if !self.backlog.is_empty() {
                    self.send_backlog(rules, &mut done);
                }
                break Progress::More;
            }
            left = left.wrapping_sub(1);
            match queue.completed() {
                Ok(Some(Completion { token, written })) => {
                    self.completed(rules, token.open(), written, &mut done);
                }
                Ok(None) => {
                    if !self.backlog.is_empty() {
                        self.send_backlog(rules, &mut done);
                    }
                    if rules.polled {
                        break Progress::Idle;
                    }
                    // A device that shows work and takes it away again does not hold the processor either.
                    match self.queue.as_mut().map_or(Armed::Idle, Queue::arm) {
                        Armed::Idle => break Progress::Idle,
                        Armed::WorkPending => {}
                    }
                }
                Err(_) => {
                    self.open = false;
                    break Progress::Broken;
                }
            }
        };
        let notice = self.unseen.then(|| self.publish());
        self.settle();
        More {
            progress,
            notice,
            done,
        }
    }

    /// Finds out anew whether requests can go the short way. Whoever changes what that depends on calls it before the queue is unlocked.
    #[inline(never)] // used for several bodies
    pub fn settle(&mut self) {
        let swift = self.open
            && self.queue.is_some()
            && self.backlog.is_empty()
            && self.through == Through::None;
        self.free = if swift { Free::Swift } else { Free::Slow };
    }
}
