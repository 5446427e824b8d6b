use super::claim::Claim;
use super::*;
use std::vec::Vec;

/// What a queue is to its lock.
struct Shared {
    claim: Claim,
    count: UnsafeCell<[u64; 8]>,
}

// SAFETY: the numbers are reached only by whoever has the claim.
unsafe impl Sync for Shared {}

impl Shared {
    fn own(&self, then: Free) {
        // SAFETY: claimed.
        let count = unsafe { &mut *self.count.get() };
        let [first, rest @ ..] = count;
        assert!(rest.iter().all(|other| other == first), "two owners");
        count.iter_mut().for_each(|one| *one += 1);
        self.claim.give(then);
    }
}

/// More threads than processors, of both kinds of owners; loom (`tests/loom`) goes through all orders of few.
#[test]
fn many_threads_have_a_queue_in_turn() {
    const ROUNDS: u64 = 5000;
    let shared = Shared {
        claim: Claim::new(Free::Swift),
        count: UnsafeCell::new([0; 8]),
    };
    let wait = std::thread::yield_now;
    std::thread::scope(|scope| {
        let swift = |_| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    while !shared.claim.try_swift() && !shared.claim.wait_swift(wait) {
                        wait();
                    }
                    shared.own(Free::Swift);
                }
            })
        };
        let _threads: Vec<_> = (0..2).map(swift).collect();
        scope.spawn(|| {
            for round in 0..ROUNDS {
                if !shared.claim.try_any() {
                    shared.claim.wait_any(wait);
                }
                // Slow for some, but at last swift, so that the others come to an end.
                let slow = round % 3 == 0 && round + 1 != ROUNDS;
                shared.own(if slow { Free::Slow } else { Free::Swift });
            }
        });
    });
    assert_eq!(shared.count.into_inner(), [3 * ROUNDS; 8]);
}

#[test]
fn the_first_value_stays() {
    let once = Once::new();
    assert_eq!(once.get(), None);
    once.set(1);
    once.set(2);
    assert_eq!(once.get(), Some(&1));
}

#[test]
fn many_threads_see_one_value() {
    let once = Once::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let once = &once;
            scope.spawn(move || {
                once.set([n; 64]);
                if let Some(value) = once.get() {
                    assert!(value.iter().all(|byte| byte == &value[0]));
                }
            });
        }
    });
    assert!(once.get().is_some());
}
