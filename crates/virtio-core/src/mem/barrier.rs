//! What more it takes to order memory accesses for a hardware device than for another processor.
#![cfg_attr(
    all(target_arch = "aarch64", not(test)),
    expect(
        unsafe_code,
        reason = "barrier instructions that the language does not have"
    )
)]

/// For whom a queue's memory accesses are ordered. // Virtio 1.3 §6, VIRTIO_F_ORDER_PLATFORM
///
/// The methods come on top of the language's own orderings, which speak of processors only. On x86 they are nothing: a
/// device sees writes to normal memory in program order and the language's full fence is the processor's (Intel SDM 3A
/// §10.2.2, AMD APM 2 §7.2). On ARM64 the language's barriers cover the inner shareable domain, and a device may be an
/// observer outside it (Arm ARM DDI 0487 §B2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The device is software on processors like ours.
    Processors,
    /// The device is ordered as the platform says, like hardware.
    Platform,
}

impl Order {
    /// Keeps every access before it before every store after it; stands before a release store.
    #[inline(always)]
    pub(crate) fn release(self) {
        // Not `oshst`: the loads of a buffer that is given back to the device must be over, too.
        self.full();
    }

    /// Keeps every load before it before every access after it; stands behind an acquire load.
    #[inline(always)]
    pub(crate) fn acquire(self) {
        if self == Self::Platform {
            instruction::dmb_oshld();
        }
    }

    /// Keeps every access before it before every access after it; stands behind a full fence.
    #[inline(always)]
    pub(crate) fn full(self) {
        if self == Self::Platform {
            instruction::dmb_osh();
        }
    }
}

/// The processor's.
#[cfg(all(target_arch = "aarch64", not(test)))]
mod instruction {
    use core::arch::asm;

    #[inline(always)]
    pub(super) fn dmb_oshld() {
        // SAFETY: a barrier touches no memory and no register.
        unsafe { asm!("dmb oshld", options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    pub(super) fn dmb_osh() {
        // SAFETY: a barrier touches no memory and no register.
        unsafe { asm!("dmb osh", options(nostack, preserves_flags)) };
    }
}

/// Where none is needed.
#[cfg(all(not(target_arch = "aarch64"), not(test)))]
mod instruction {
    #[inline(always)]
    pub(super) const fn dmb_oshld() {}

    #[inline(always)]
    pub(super) const fn dmb_osh() {}
}

/// What tests see of them.
#[cfg(test)]
pub(crate) mod instruction {
    use std::boxed::Box;
    use std::cell::RefCell;
    use std::thread_local;

    /// A barrier of the outer shareable domain.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Barrier {
        Loads,
        All,
    }

    pub(crate) type Hook = Box<dyn FnMut(Barrier)>;

    thread_local! {
        /// What each barrier of this thread calls.
        pub(crate) static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    fn reached(barrier: Barrier) {
        HOOK.with_borrow_mut(|hook| {
            if let Some(hook) = hook {
                hook(barrier);
            }
        });
    }

    pub(super) fn dmb_oshld() {
        reached(Barrier::Loads);
    }

    pub(super) fn dmb_osh() {
        reached(Barrier::All);
    }
}
