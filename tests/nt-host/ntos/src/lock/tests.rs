use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::testing::{expect, expect_fatal, import, on_cpu, start};
use crate::{callback, rules};

const DPC_LOCK: LockKind = LockKind {
    name: "DpcLock",
    rank: Some(1),
    irql: 2,
};
const INTERRUPT_LOCK: LockKind = LockKind {
    name: "InterruptLock",
    rank: Some(3),
    irql: 8,
};
const PLAIN: LockKind = LockKind {
    name: "KSPIN_LOCK",
    rank: None,
    irql: 2,
};

#[test]
fn locks_exclude_each_other_under_contention() {
    start(4);
    let (inside, total) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    for cpu in 0..4 {
        let (inside, total) = (Rc::clone(&inside), Rc::clone(&total));
        let work = move || {
            for _ in 0..50 {
                let old = acquire(1, PLAIN);
                assert_eq!(sched::irql(), 2);
                assert!(!inside.replace(true), "two CPUs hold the lock");
                sched::preempt();
                inside.set(false);
                total.set(total.get() + 1);
                release(1, old);
            }
        };
        sched::spawn(cpu, "worker", Box::new(work));
    }
    sched::run_until(&mut || total.get() == 200, crate::testing::SOON).expect("all end");
    expect(&[]);
}

#[test]
fn kernel_spin_locks_by_their_exports() {
    start(1);
    let mut memory = [0_u64; 8];
    let at = memory.as_mut_ptr() as u64;
    on_cpu(move || {
        import("KeInitializeSpinLock", &[at]);
        let old = import("KeAcquireSpinLockRaiseToDpc", &[at]);
        assert_eq!((old, crate::guest::read_u64(at as usize)), (0, 1));
        import("KeReleaseSpinLock", &[at, 0xffff_ff00 | old]);
        import("KeAcquireInStackQueuedSpinLock", &[at, at + 16]);
        assert_eq!(sched::irql(), 2);
        import("KeReleaseInStackQueuedSpinLock", &[at + 16]);
        assert_eq!(sched::irql(), 0);
        sched::at_irql(2, || {
            import("KeAcquireSpinLockAtDpcLevel", &[at]);
            import("KeReleaseSpinLockFromDpcLevel", &[at]);
            assert_eq!(import("KeTryToAcquireSpinLockAtDpcLevel", &[at]), 1);
            import("KeReleaseSpinLockFromDpcLevel", &[at]);
        });
    })
    .expect("it ends");
    expect(&[]);
}

#[test]
fn recursion_ends_the_run() {
    start(1);
    expect_fatal(rules::LOCK_RECURSION, || {
        acquire(1, PLAIN);
        acquire(1, PLAIN);
    });
}

#[test]
fn an_interrupt_that_takes_the_lock_it_interrupted_is_recursion() {
    start(1);
    expect_fatal(rules::LOCK_RECURSION, || {
        acquire(1, DPC_LOCK);
        sched::interrupt(0, 8, Box::new(|| acquire_raised(1, DPC_LOCK)));
        sched::preempt();
    });
}

#[test]
fn ranks_and_kept_orders() {
    start(1);
    on_cpu(|| {
        let old = acquire(1, DPC_LOCK);
        let inner = acquire(2, INTERRUPT_LOCK);
        release(2, inner);
        release(1, old);
    })
    .expect("it ends");
    expect(&[]);
    on_cpu(|| {
        let old = acquire(2, INTERRUPT_LOCK);
        acquire_raised(1, DPC_LOCK);
        release_raised(1);
        release(2, old);
    })
    .expect("it goes on");
    expect(&[rules::LOCK_ORDER]);
}

#[test]
fn locks_without_a_rank_keep_the_order_of_their_first_use() {
    start(1);
    on_cpu(|| {
        let nested = |a, b| {
            let old = acquire(a, PLAIN);
            acquire_raised(b, PLAIN);
            release_raised(b);
            release(a, old);
        };
        nested(1, 2);
        nested(2, 3);
        nested(1, 2);
        nested(3, 1);
    })
    .expect("it goes on");
    expect(&[rules::LOCK_ORDER]);
}

#[test]
fn two_cpus_that_wait_for_each_other_end_the_run() {
    start(2);
    for (cpu, first, second) in [(0, 1, 2), (1, 2, 1)] {
        let work = move || {
            acquire(first, PLAIN);
            for _ in 0..5 {
                sched::yield_now();
            }
            acquire_raised(second, PLAIN);
        };
        sched::spawn(cpu, "t", Box::new(work));
    }
    let stuck = sched::run_until(&mut || false, crate::testing::SOON).expect_err("a deadlock");
    assert!(
        stuck.why.contains("CPU 0 waits") || stuck.why.contains("CPU 1 waits"),
        "{stuck}"
    );
    assert!(
        rules::violations()
            .iter()
            .any(|v| v.rule == rules::DEADLOCK.id)
    );
}

#[test]
fn an_interrupt_on_top_of_a_spinning_cpu_is_no_deadlock() {
    // CPU 1 spins for a lock of CPU 0; an interrupt on top of it holds the lock that CPU 0 wants next, and goes on.
    start(2);
    let done = Rc::new(Cell::new(0));
    let (first, second) = (Rc::clone(&done), Rc::clone(&done));
    let holder = move || {
        let old = acquire(1, DPC_LOCK);
        for _ in 0..4 {
            sched::yield_now();
        }
        let isr = || {
            acquire_raised(2, INTERRUPT_LOCK);
            for _ in 0..20 {
                sched::yield_now();
            }
            release_raised(2);
        };
        sched::interrupt(1, 8, Box::new(isr));
        while is_free(2) {
            sched::yield_now();
        }
        let inner = acquire(2, INTERRUPT_LOCK);
        release(2, inner);
        release(1, old);
        first.set(first.get() + 1);
    };
    let spinner = move || {
        while is_free(1) {
            sched::yield_now();
        }
        let old = acquire(1, DPC_LOCK);
        release(1, old);
        second.set(second.get() + 1);
    };
    sched::spawn(0, "holder", Box::new(holder));
    sched::spawn(1, "spinner", Box::new(spinner));
    sched::run_until(&mut || done.get() == 2, crate::testing::SOON).expect("both end");
    expect(&[]);
}

#[test]
fn wrong_irql_on_the_way_in() {
    start(1);
    on_cpu(|| {
        acquire_raised(1, PLAIN);
        sched::raise(2);
        release_raised(1);
        sched::raise(9);
        let old = acquire(2, PLAIN);
        release(2, old);
        sched::lower(0);
    })
    .expect("it goes on");
    expect(&[rules::LOCK_IRQL, rules::LOCK_IRQL]);
}

#[test]
fn lowering_below_a_held_lock() {
    start(1);
    on_cpu(|| {
        let old = acquire(1, PLAIN);
        sched::lower(0);
        sched::raise(2);
        release(1, old);
    })
    .expect("it goes on");
    expect(&[rules::LOCK_IRQL]);
}

#[test]
fn the_wrong_counterpart_of_a_release() {
    start(1);
    on_cpu(|| {
        acquire(1, PLAIN);
        release_raised(1);
        acquire_raised(1, PLAIN);
        release(1, 0);
        acquire(1, PLAIN);
        release(1, 1);
        sched::lower(0);
    })
    .expect("it goes on");
    expect(&[rules::LOCK_PAIR, rules::LOCK_PAIR, rules::LOCK_PAIR]);
}

#[test]
fn releasing_what_is_not_held_or_held_elsewhere() {
    start(2);
    let taken = Rc::new(Cell::new(false));
    let (set, seen) = (Rc::clone(&taken), Rc::clone(&taken));
    let hold = move || {
        sched::raise(2);
        acquire_raised(1, PLAIN);
        set.set(true);
        while sched::now() < std::time::Duration::from_millis(1) {
            sched::stall(50);
        }
        sched::lower(0);
    };
    sched::spawn(1, "holder", Box::new(hold));
    on_cpu(move || {
        sched::raise(2);
        release_raised(7);
        while !seen.get() {
            sched::yield_now();
        }
        release_raised(1);
        sched::lower(0);
    })
    .expect("it goes on");
    expect(&[rules::LOCK_NOT_HELD, rules::LOCK_FOREIGN]);
}

#[test]
fn a_routine_that_returns_with_a_lock() {
    start(1);
    on_cpu(|| {
        callback::run("CALLBACK", || acquire(1, PLAIN));
        let old = acquire(1, PLAIN);
        release(1, old);
    })
    .expect("the lock was taken from it");
    expect(&[rules::IRQL_CHANGED, rules::LOCK_LEAKED]);
}

#[test]
fn freed_memory_takes_its_lock_along() {
    start(1);
    on_cpu(|| {
        let tag = u32::from_le_bytes(*b"Test");
        let memory = crate::pool::alloc(tag, 64, crate::pool::Kind::NonPaged);
        acquire(memory + 8, PLAIN);
        crate::pool::free(memory, Some(tag));
        sched::lower(0);
    })
    .expect("it goes on");
    expect(&[rules::LOCK_FREED]);
}
