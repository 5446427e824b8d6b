//! The rules that this crate checks.

use super::Rule;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $text:literal;)*) => {
        $($(#[$doc])* #[doc = $text] pub const $name: Rule = Rule::new($id, $text);)*
        /// Every rule of this crate.
        pub const ALL: &[Rule] = &[$($name),*];
    };
}

rules! {
    IRQL_OF_CALL = "irql-of-call", "A function is called only at the IRQLs its documentation states.";
    IRQL_CHANGED = "irql-changed-by-callback", "A routine of the driver returns at the IRQL at which it was called.";
    IRQL_DIRECTION = "irql-direction", "Raising does not lower the IRQL, and lowering does not raise it.";
    CALLBACK_IRQL = "callback-irql", "The host calls each routine at the IRQL its documentation states (a fault of nt-host).";
    WAIT_AT_DISPATCH = "wait-at-dispatch", "Nothing waits at or above DISPATCH_LEVEL.";
    DISPATCH_TIME = "dispatch-time", "A CPU leaves DISPATCH_LEVEL and above again in good time.";
    STALL_TIME = "stall-time", "A single stall is no longer than the documentation allows.";
    LOCK_RECURSION = "lock-recursion", "A CPU does not acquire a spin lock that it holds.";
    LOCK_ORDER = "lock-order", "Spin locks are acquired in one order.";
    LOCK_IRQL = "lock-irql", "A spin lock is acquired and held at its own IRQL or, where the caller raised it, above.";
    LOCK_PAIR = "lock-pair", "A spin lock is released by the counterpart of the routine that acquired it, to the IRQL from before.";
    LOCK_NOT_HELD = "lock-not-held", "Only a spin lock that is held is released.";
    LOCK_FOREIGN = "lock-foreign-release", "A spin lock is released by the CPU that acquired it.";
    LOCK_LEAKED = "lock-leaked", "A routine of the driver returns without a spin lock that it acquired.";
    LOCK_FREED = "lock-freed", "A spin lock is not held when its memory goes away.";
    DEADLOCK = "deadlock", "CPUs do not wait for each other's spin locks.";
    POOL_LEAK = "pool-leak", "Everything allocated is freed before the driver is unloaded.";
    POOL_DOUBLE_FREE = "pool-double-free", "An allocation is freed once.";
    POOL_BAD_FREE = "pool-bad-free", "Only the address that an allocation returned is freed.";
    POOL_TAG = "pool-tag", "Memory is freed with the tag it was allocated with, and a tag has four printable characters.";
    POOL_OVERRUN = "pool-overrun", "Nothing is written before or behind an allocation.";
    POOL_USE_AFTER_FREE = "pool-use-after-free", "Freed memory is not touched.";
    POOL_ZERO = "pool-zero-size", "No allocation of no bytes is asked for.";
    OBJECT_IN_USE = "object-in-use", "Memory of a queued DPC or running timer is not freed.";
    STACK_DEPTH = "stack-depth", "A routine of the driver stays within the kernel stack.";
    ACCESS_VIOLATION = "access-violation", "Only mapped memory is touched, in the way it permits.";
    BAD_POINTER = "bad-pointer", "Pointers passed to the kernel are valid.";
    ILLEGAL_INSTRUCTION = "illegal-instruction", "Only instructions that the kernel can execute are executed.";
    FAST_FAIL = "fast-fail", "The driver does not find itself corrupt.";
    CFG = "cfg", "Indirect calls reach only functions in the guard table.";
    BUGCHECK = "bugcheck", "The driver does not stop the system.";
    UNKNOWN_EXPORT = "unknown-export-called", "Only functions that this host provides are called (it may be the host that lacks one).";
    LOOP = "endless-loop", "A routine of the driver comes to an end or calls the kernel in good time.";
    BAD_ARGUMENT = "bad-argument", "Arguments are what the documentation allows.";
}
