//! What more it takes to order memory accesses for a hardware device than for another processor.
#![cfg_attr(
    target_arch = "aarch64",
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
        self.all();
    }

    /// Keeps every load before it before every access after it; stands behind an acquire load.
    #[inline(always)]
    pub(crate) fn acquire(self) {
        #[cfg(target_arch = "aarch64")]
        if self == Self::Platform {
            // SAFETY: a barrier touches no memory and no register.
            unsafe { core::arch::asm!("dmb oshld", options(nostack, preserves_flags)) };
        }
    }

    /// Keeps every access before it before every access after it; stands behind a full fence.
    #[inline(always)]
    pub(crate) fn full(self) {
        self.all();
    }

    #[inline(always)]
    fn all(self) {
        #[cfg(target_arch = "aarch64")]
        if self == Self::Platform {
            // SAFETY: a barrier touches no memory and no register.
            unsafe { core::arch::asm!("dmb osh", options(nostack, preserves_flags)) };
        }
    }
}
