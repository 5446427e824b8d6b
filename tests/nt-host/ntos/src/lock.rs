//! Spin locks, and the rules of holding them.

/// What a lock is and how it may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockKind {
    /// For reports: `DpcLock`, `InterruptLock`, `KSPIN_LOCK`.
    pub name: &'static str,
    /// A lock may be acquired only while no lock of the same or a higher rank is held; `None`: any order that is kept.
    pub rank: Option<u8>,
    /// The IRQL at which it is held.
    pub irql: u8,
}

/// Raises to the lock's IRQL, takes the lock `key` (any number that names it, usually its address), returns the IRQL before.
///
/// While another CPU holds it the others run. Recursion and deadlock end the run.
pub fn acquire(_key: usize, _kind: LockKind) -> u8 {
    todo!()
}

/// Takes the lock without touching the IRQL, which must be at least the lock's.
pub fn acquire_raised(_key: usize, _kind: LockKind) {
    todo!()
}

/// Takes the lock only if it is free; the IRQL must be at least the lock's.
pub fn try_acquire_raised(_key: usize, _kind: LockKind) -> bool {
    todo!()
}

/// Releases what [`acquire`] took and lowers to `irql`.
pub fn release(_key: usize, _irql: u8) {
    todo!()
}

/// Releases what [`acquire_raised`] took.
pub fn release_raised(_key: usize) {
    todo!()
}

/// Whether the current CPU holds `key`.
#[must_use]
pub fn held_here(_key: usize) -> bool {
    todo!()
}

/// How many locks the current CPU holds.
#[must_use]
pub fn held_count() -> usize {
    todo!()
}

/// Forgets the lock: its memory is going away. Held is a violation.
pub fn forget(_key: usize) {
    todo!()
}
