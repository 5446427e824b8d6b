//! Taking requests out of a queue that does not go on.
#![forbid(unsafe_code)]

use super::Ring;
use crate::ffi::extension::RequestBox;
use crate::ffi::list::{Counted, List};
use crate::request::{Operation, Outcome};
use crate::statistics::Counters;
use virtio_core::ring::{Queue, QueueError};
use virtio_core::transport::DeviceStopped;

impl Ring {
    /// How the device broke the protocol, if it did.
    pub fn fault(&self) -> Option<QueueError> {
        self.queue.as_ref().and_then(Queue::closed)
    }

    /// What the queue has counted.
    pub fn counters(&mut self) -> &Counters {
        if let Some(queue) = &self.queue {
            self.counters.look(queue.totals());
        }
        &self.counters
    }

    /// Requests that the device has, and that wait.
    pub fn outstanding(&self) -> (u32, u32) {
        let in_flight = self.queue.as_ref().map_or(0, Queue::in_flight);
        (in_flight.into(), self.backlog.len())
    }

    /// Takes everything out of a queue whose device has stopped. The requests go to `ended`.
    #[inline(never)] // used twice or more
    pub fn drain(&mut self, proof: &DeviceStopped, outcome: Outcome, ended: &mut List) {
        self.open = false;
        self.doorbell = None;
        if let Some(mut queue) = self.queue.take() {
            self.counters.look(queue.totals());
            while let Some(token) = queue.drain(proof) {
                let mut request = token.open();
                self.give_back(&mut request);
                request.outcome = outcome;
                ended.push_back(request);
            }
            match queue.into_memory(proof) {
                Ok(memory) => self.memory = Some(memory),
                Err(queue) => self.queue = Some(queue),
            }
        }
        self.end_waiting(outcome, ended);
    }

    /// As [`Ring::drain`], but the requests wait for the queue to open again.
    pub fn take_back(&mut self, proof: &DeviceStopped) {
        let mut back = List::EMPTY;
        self.drain(proof, Outcome::Done, &mut back);
        self.backlog = Counted::EMPTY;
        while let Some(request) = back.pop_front() {
            self.wish |= request.operation == Operation::Reset;
            self.backlog.push_back(request);
        }
    }

    /// Has a request for a reset end with what the next reset ends. Until then nothing that waits here is sent, and so answered.
    pub fn wait(&mut self, request: RequestBox) {
        self.open = false;
        self.wish = true;
        self.backlog.push_back(request);
    }

    #[inline(never)] // used twice
    fn end_waiting(&mut self, outcome: Outcome, ended: &mut List) {
        self.wish = false;
        while let Some(mut request) = self.backlog.pop_front() {
            request.outcome = outcome;
            ended.push_back(request);
        }
    }

    /// Ends what waits, and every request to come, until the queue opens again. The device keeps what it has.
    pub fn end(&mut self, outcome: Outcome, ended: &mut List) {
        self.open = false;
        self.ended = Some(outcome);
        self.end_waiting(outcome, ended);
    }
}
