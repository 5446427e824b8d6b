//! Taking back what the device has finished.
#![forbid(unsafe_code)]

use super::{Notice, Ring, Rules, Through};
use crate::ffi::extension::Token;
use crate::ffi::list::{List, Succeeded};
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
    /// Takes completions and looks for more, up to `budget` of both together, then sends what waits. What has succeeded goes to `done`.
    /// `None`: that was all, until the next interrupt.
    #[inline(always)] // its only caller
    pub fn process(
        &mut self,
        rules: &Rules,
        budget: u32,
        done: &mut Succeeded<'_>,
    ) -> Option<More> {
        let taken = match &mut self.queue {
            Some(queue) if self.swift => {
                // With EVENT_IDX the entry that the device was last asked to interrupt at has been passed.
                if !rules.features.contains(Features::EVENT_IDX) {
                    queue.disarm();
                }
                queue.take_all(budget, |completion| done.take(completion))
            }
            _ => return Some(self.process_any(rules, budget)),
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
    #[cold]
    #[inline(never)] // used twice
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
        self.swift = self.open && self.backlog.is_empty() && self.through == Through::None;
    }
}
