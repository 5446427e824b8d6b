//! The lock with threads for processors. The three kernel routines are implemented as Microsoft describes them: a word
//! that is 0 when free.

use super::SpinLock;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn word<'a>(lock: *mut usize) -> &'a AtomicUsize {
    // SAFETY: the code under test passes the lock word of a live SpinLock.
    unsafe { AtomicUsize::from_ptr(lock) }
}

#[unsafe(no_mangle)]
extern "system" fn KeTryToAcquireSpinLockAtDpcLevel(lock: *mut usize) -> u8 {
    u8::from(
        word(lock)
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok(),
    )
}

#[unsafe(no_mangle)]
extern "system" fn KeAcquireSpinLockAtDpcLevel(lock: *mut usize) {
    while KeTryToAcquireSpinLockAtDpcLevel(lock) == 0 {
        thread::yield_now();
    }
}

#[unsafe(no_mangle)]
extern "system" fn KeReleaseSpinLockFromDpcLevel(lock: *mut usize) {
    assert_eq!(
        word(lock).swap(0, Ordering::Release),
        1,
        "released, but not held"
    );
}

#[test]
fn one_owner_at_a_time_sees_the_data() {
    const TURNS: u64 = 20_000;
    let lock = SpinLock::new(0_u64);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..TURNS {
                    // SAFETY: nothing interrupts these threads with code that takes the lock.
                    let mut count = unsafe { lock.lock_at_dispatch() };
                    *count += 1;
                }
            });
        }
    });
    let mut lock = lock;
    assert_eq!(*lock.get_mut(), 4 * TURNS);
}

#[test]
fn trying_fails_while_the_lock_is_held_and_the_guard_frees_it() {
    let lock = SpinLock::new(());
    // SAFETY: one thread.
    let held = unsafe { lock.try_lock_at_dispatch() };
    assert!(held.is_some());
    // SAFETY: one thread.
    assert!(unsafe { lock.try_lock_at_dispatch() }.is_none());
    drop(held);
    // SAFETY: one thread.
    assert!(unsafe { lock.try_lock_at_dispatch() }.is_some());
}
