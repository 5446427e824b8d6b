//! The workload: random verified I/O on one unit of an adapter, with many requests in flight.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use host_storport::{Adapter, Address, Data, Outcome, Request};
use serde::{Deserialize, Serialize};

use crate::cdb::{self, Form, Transfer};
use crate::judge::{self, Expected, Faults};
use crate::plan::{Kind, Operation, Planner};
use host_disk::Disk;

/// Failures that are kept in words; more are only counted.
const MOST_FAILURES: usize = 20;

/// Operations after which the queue depth changes.
const DEPTH_PERIOD: u64 = 200;

/// One write in so many is a write through.
const WRITE_THROUGH: u64 = 16;

/// Times that a request is sent again after a unit attention.
const ATTENTIONS: u32 = 4;

/// What to do.
#[derive(Debug, Clone)]
pub struct Task {
    /// Operations to start.
    pub operations: u64,
    /// Requests in flight at most.
    pub depth: usize,
    /// Bytes of an operation at most.
    pub most: usize,
    /// Bytes of one request at most: what the miniport promised to take.
    pub request: usize,
    /// Of the choices.
    pub seed: u64,
    /// Command forms to use, in turn at random.
    pub forms: Vec<Form>,
    /// Whether some writes go through the cache (FUA).
    pub write_through: bool,
    /// These operations in this order, always as many in flight as may be, instead of random ones.
    pub listed: Option<VecDeque<Operation>>,
    /// What is to fail.
    pub faults: Faults,
    /// How long an SRB may take.
    pub timeout: Duration,
}

/// What was done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Operations finished.
    pub operations: u64,
    /// Requests (SRBs) finished.
    pub requests: u64,
    /// Bytes read and verified.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
    /// Flushes.
    pub flushes: u64,
    /// Requests that failed as they were to.
    pub expected_errors: u64,
    /// Requests that were cut off by a disturbance.
    pub disturbed: u64,
    /// Those of them that were not cut off by a reset, but failed.
    #[serde(default)]
    pub failed: u64,
    /// Those of them that ended as if there were no device.
    #[serde(default)]
    pub gone: u64,
    /// Requests that were sent again after a unit attention.
    #[serde(default)]
    pub attentions: u64,
    /// Requests in flight at most.
    pub deepest: usize,
    /// Requests that went wrong.
    pub wrong: u64,
    /// The first of them, in words.
    pub failures: Vec<String>,
}

impl Tally {
    fn fail(&mut self, what: String) {
        self.wrong += 1;
        if self.failures.len() < MOST_FAILURES {
            self.failures.push(what);
        }
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.requests += other.requests;
        self.read += other.read;
        self.written += other.written;
        self.flushes += other.flushes;
        self.expected_errors += other.expected_errors;
        self.disturbed += other.disturbed;
        self.gone += other.gone;
        self.failed += other.failed;
        self.attentions += other.attentions;
        self.deepest = self.deepest.max(other.deepest);
        self.wrong += other.wrong;
        self.failures.extend(other.failures);
        self.failures.truncate(MOST_FAILURES);
    }
}

/// A part of an operation that goes out as one request.
#[derive(Debug, Clone, Copy)]
struct Piece {
    operation: u64,
    kind: Kind,
    lba: u64,
    blocks: u64,
    generation: u32,
    form: Form,
    through: bool,
    attentions: u32,
}

/// An operation of which pieces are left.
struct Active {
    id: u64,
    operation: Operation,
    left: u64,
}

struct State {
    disk: Disk,
    task: Task,
    planner: Planner,
    address: Address,
    waiting: VecDeque<Piece>,
    active: Vec<Active>,
    started: u64,
    in_flight: usize,
    depth: usize,
    stopped: bool,
    tally: Tally,
}

/// A running workload.
pub struct Workload {
    adapter: Adapter,
    state: Rc<RefCell<State>>,
}

impl Workload {
    /// Starts submitting; more follows as requests complete.
    #[must_use]
    pub fn start(adapter: &Adapter, address: Address, disk: Disk, task: Task) -> Self {
        let most = (task.most / disk.block()) as u64;
        let state = State {
            planner: Planner::new(task.seed, disk.blocks(), most),
            depth: task.depth,
            disk,
            task,
            address,
            waiting: VecDeque::new(),
            active: Vec::new(),
            started: 0,
            in_flight: 0,
            stopped: false,
            tally: Tally::default(),
        };
        let workload = Self {
            adapter: adapter.clone(),
            state: Rc::new(RefCell::new(state)),
        };
        pump(&workload.adapter, &workload.state);
        workload
    }

    /// Starts no more operations. Those in flight are still waited for.
    pub fn stop(&self) {
        let mut state = self.state.borrow_mut();
        state.stopped = true;
        state.task.operations = state.started;
    }

    /// Operations finished so far.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.state.borrow().tally.operations
    }

    /// Requests in flight now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.borrow().in_flight
    }

    /// Ends the workload: what is left in flight is reported as lost.
    #[must_use]
    pub fn finish(self) -> (Disk, Tally) {
        let mut state = self.state.borrow_mut();
        let lost = state.in_flight + state.waiting.len();
        if lost > 0 {
            let unfinished: Vec<_> = state
                .active
                .iter()
                .map(|active| active.operation)
                .take(3)
                .collect();
            state.tally.fail(format!(
                "{lost} requests were never completed, of operations like {unfinished:?}"
            ));
        }
        for active in std::mem::take(&mut state.active) {
            if active.operation.kind == Kind::Write {
                state
                    .disk
                    .lost(active.operation.lba, active.operation.blocks);
            }
        }
        let disk = std::mem::replace(&mut state.disk, Disk::new(0, 512, 0));
        (disk, std::mem::take(&mut state.tally))
    }
}

/// Submits until the depth is reached.
fn pump(adapter: &Adapter, state: &Rc<RefCell<State>>) {
    loop {
        let Some((piece, request)) = state.borrow_mut().next() else {
            return;
        };
        let (again, shared) = (adapter.clone(), Rc::clone(state));
        adapter.submit(request.on_complete(move |outcome| {
            shared.borrow_mut().complete(&piece, &outcome);
            pump(&again, &shared);
        }));
    }
}

impl State {
    fn next(&mut self) -> Option<(Piece, Request)> {
        if self.in_flight >= self.depth {
            return None;
        }
        if self.waiting.is_empty() {
            self.plan();
        }
        let piece = self.waiting.pop_front()?;
        self.in_flight += 1;
        self.tally.deepest = self.tally.deepest.max(self.in_flight);
        Some((piece, self.request(&piece)))
    }

    /// Starts the next operation, cut into requests the way the class driver does: none longer than what the adapter takes.
    fn plan(&mut self) {
        if self.started >= self.task.operations || self.stopped {
            return;
        }
        let next = match &mut self.task.listed {
            Some(list) => list.pop_front(),
            None => {
                let busy: Vec<_> = self.active.iter().map(|active| active.operation).collect();
                self.planner.next(&busy)
            }
        };
        let Some(operation) = next else {
            return;
        };
        self.started += 1;
        if self.started.is_multiple_of(DEPTH_PERIOD) && self.task.listed.is_none() {
            self.depth = self.planner.depth(self.task.depth);
        }
        let at_once = ((self.task.request / self.disk.block()) as u64).max(1);
        let generation = match operation.kind {
            Kind::Write => self.disk.next_generation(),
            _ => 0,
        };
        let mut piece = Piece {
            operation: self.started,
            kind: operation.kind,
            lba: operation.lba,
            blocks: 0,
            generation,
            form: Form::Ten,
            through: self.task.write_through && self.planner.below(WRITE_THROUGH) == 0,
            attentions: 0,
        };
        let end = operation.lba + operation.blocks;
        let mut left = 0;
        loop {
            piece.blocks = at_once.min(end - piece.lba);
            piece.form = self.form(piece.lba, piece.blocks as u32);
            self.waiting.push_back(piece);
            left += 1;
            piece.lba += piece.blocks;
            if piece.lba >= end {
                break;
            }
        }
        self.active.push(Active {
            id: self.started,
            operation,
            left,
        });
    }

    fn form(&mut self, lba: u64, blocks: u32) -> Form {
        let start = self.planner.below(self.task.forms.len() as u64) as usize;
        let forms = self.task.forms.iter().cycle().skip(start);
        forms
            .take(self.task.forms.len())
            .copied()
            .find(|form| form.fits(lba, blocks))
            .unwrap_or(Form::Sixteen)
    }

    fn request(&self, piece: &Piece) -> Request {
        let bytes = piece.blocks as usize * self.disk.block();
        let (cdb, data) = match piece.kind {
            Kind::Flush => (cdb::synchronize_cache(), Data::None),
            Kind::Read => (
                cdb::transfer(piece.form, Transfer::Read, piece.lba, piece.blocks as u32),
                Data::In(bytes),
            ),
            Kind::Write => {
                let mut out = vec![0; bytes];
                self.disk.fill(piece.lba, piece.generation, &mut out);
                let what = if piece.through && piece.form != Form::Six {
                    Transfer::WriteThrough
                } else {
                    Transfer::Write
                };
                let cdb = cdb::transfer(piece.form, what, piece.lba, piece.blocks as u32);
                (cdb, Data::Out(out))
            }
        };
        let mut request = Request::scsi(self.address, &cdb, data);
        request.timeout = self.task.timeout;
        request
    }

    fn complete(&mut self, piece: &Piece, outcome: &Outcome) {
        self.in_flight -= 1;
        self.tally.requests += 1;
        if judge::attention(outcome) && piece.attentions < ATTENTIONS {
            self.tally.attentions += 1;
            self.waiting.push_front(Piece {
                attentions: piece.attentions + 1,
                ..*piece
            });
            return;
        }
        let expected = self
            .task
            .faults
            .expected(piece.kind, piece.lba, piece.blocks);
        if let Err(what) = self.judge(piece, outcome, expected) {
            let Piece {
                kind,
                lba,
                blocks,
                form,
                ..
            } = piece;
            self.tally.fail(format!(
                "{kind:?}({form:?}) of {blocks} blocks at {lba}: {what}"
            ));
        }
        let Some(at) = self
            .active
            .iter()
            .position(|active| active.id == piece.operation)
        else {
            self.tally
                .fail(format!("operation {} completed twice", piece.operation));
            return;
        };
        self.active[at].left -= 1;
        if self.active[at].left == 0 {
            self.active.swap_remove(at);
            self.tally.operations += 1;
        }
    }

    fn judge(
        &mut self,
        piece: &Piece,
        outcome: &Outcome,
        expected: Expected,
    ) -> Result<(), String> {
        let bytes = piece.blocks as usize * self.disk.block();
        if self.task.faults.disturbance.explains(outcome) {
            if piece.kind == Kind::Write {
                self.disk.lost(piece.lba, piece.blocks);
            }
            self.tally.disturbed += 1;
            self.tally.gone += u64::from(judge::Disturbance::Told.explains(outcome));
            self.tally.failed += u64::from(!judge::Disturbance::Reset.explains(outcome));
            return Ok(());
        }
        match expected {
            Expected::Success => {
                judge::success(outcome, bytes)?;
                match piece.kind {
                    Kind::Flush => self.tally.flushes += 1,
                    Kind::Read => {
                        self.tally.read += bytes as u64;
                        if !self.task.faults.spoilt {
                            self.disk.check(piece.lba, &outcome.data)?;
                        }
                    }
                    Kind::Write => {
                        self.tally.written += bytes as u64;
                        self.disk.wrote(piece.lba, piece.blocks, piece.generation);
                    }
                }
            }
            Expected::Failure(keys) => {
                judge::failure(outcome, keys)?;
                self.tally.expected_errors += 1;
            }
        }
        Ok(())
    }
}
