//! No kick and no interrupt is lost, no byte is read before it is there, and a queue has one owner, in any execution that is tried.
//!
//! Each test runs every execution up to a number of pre-emptions ([`explore`]). What it must be able to find is shown by the
//! mutation run: each fence and each ordering of the rings and of the lock, weakened or taken away, makes one of these tests fail.

mod interrupt;
mod kick;
mod lock;
mod reuse;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::model::Builder;

/// Runs `model` in every execution with at most three pre-emptions: places where a thread that could go on is stopped.
/// A lost wake-up takes two, one in each side between its store and its load.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Counts executions in which something happened, to show that a model is not empty.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Counter {
    fn count(&self, happened: bool) {
        self.0.fetch_add(usize::from(happened), Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
