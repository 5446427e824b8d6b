//! A queue of vioblk.sys has one owner at a time, and each sees what the last one did.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use ring_loom::lock::{Claim, Free};

use crate::{Counter, explore};

/// A lock and what it protects: loom notices two owners at a time, and one that need not see what another did.
struct Queue {
    claim: Claim,
    owners: UnsafeCell<Vec<&'static str>>,
}

// SAFETY: the owners are reached only by whoever has the claim; loom checks it.
unsafe impl Sync for Queue {}

impl Queue {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            claim: Claim::new(Free::Swift),
            owners: UnsafeCell::new(Vec::new()),
        })
    }

    fn own(&self, who: &'static str, then: Free) {
        // SAFETY: claimed; loom checks it.
        self.owners
            .with_mut(|owners| unsafe { &mut *owners }.push(who));
        self.claim.give(then);
    }

    /// Who had it, once nobody has.
    fn owners(&self) -> Vec<&'static str> {
        // SAFETY: as above; nobody has it.
        self.owners.with(|owners| unsafe { &*owners }.clone())
    }

    /// As HwStartIo and a DPC do it.
    fn swift(&self) -> bool {
        let taken = self.claim.try_swift() || self.claim.wait_swift(thread::yield_now);
        if taken {
            self.own("swift", Free::Swift);
        }
        taken
    }

    /// As all others do it.
    fn any(&self, then: Free) {
        if !self.claim.try_any() {
            self.claim.wait_any(thread::yield_now);
        }
        self.own("any", then);
    }
}

#[test]
fn a_queue_has_one_owner_at_a_time() {
    let waited = Counter::default();
    let counter = waited.clone();
    explore(move || {
        let queue = Queue::new();
        let other = Arc::clone(&queue);
        let dpc = thread::spawn(move || assert!(other.swift()));
        if !queue.claim.try_swift() {
            counter.count(true);
            assert!(queue.claim.wait_swift(thread::yield_now));
        }
        queue.own("here", Free::Swift);
        dpc.join().expect("the other processor");
        queue.any(Free::Slow);
        assert_eq!(queue.owners().len(), 3);
    });
    assert!(waited.get() > 0, "nobody ever waited");
}

#[test]
fn who_needs_a_swift_queue_does_not_take_a_slow_one() {
    let (found, refused) = (Counter::default(), Counter::default());
    let counters = (found.clone(), refused.clone());
    explore(move || {
        let queue = Queue::new();
        let other = Arc::clone(&queue);
        let reset = thread::spawn(move || other.any(Free::Slow));
        let swift = queue.swift();
        counters.0.count(swift);
        counters.1.count(!swift);
        reset.join().expect("the other processor");
        // It was left slow by whoever came last, or by the one who alone had it.
        let expected: &[&str] = if swift { &["swift", "any"] } else { &["any"] };
        assert_eq!(queue.owners(), expected);
        assert!(!queue.claim.try_swift());
        assert!(queue.claim.try_any());
        assert!(!queue.claim.try_any());
    });
    assert!(found.get() > 0 && refused.get() > 0);
}
