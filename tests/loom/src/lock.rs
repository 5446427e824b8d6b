//! The lock of vioblk's queues, compiled here a second time.

/// loom's atomics in the place of the processor's.
mod atomic {
    pub use loom::sync::atomic::Ordering;

    /// A read-modify-write that changes nothing is a load here: loom does not keep its store next to what it read, so that it could undo
    /// what another thread stored in between, which no processor does.
    #[derive(Debug)]
    pub struct AtomicU32(loom::sync::atomic::AtomicU32);

    impl AtomicU32 {
        pub fn new(value: u32) -> Self {
            Self(loom::sync::atomic::AtomicU32::new(value))
        }

        pub fn load(&self, order: Ordering) -> u32 {
            self.0.load(order)
        }

        pub fn store(&self, value: u32, order: Ordering) {
            self.0.store(value, order);
        }

        pub fn fetch_and(&self, mask: u32, order: Ordering) -> u32 {
            self.change(order, |value| value & mask)
        }

        pub fn swap(&self, new: u32, order: Ordering) -> u32 {
            self.change(order, |_| new)
        }

        fn change(&self, order: Ordering, to: impl Fn(u32) -> u32) -> u32 {
            let mut old = self.0.load(Ordering::Relaxed);
            while to(old) != old {
                match self
                    .0
                    .compare_exchange(old, to(old), order, Ordering::Relaxed)
                {
                    Ok(_) => break,
                    Err(other) => old = other,
                }
            }
            old
        }
    }
}
#[path = "../../../drivers/vioblk/src/ffi/lock/claim.rs"]
mod claim;

pub use claim::{Claim, Free};
