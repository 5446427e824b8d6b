//! Proofs of the interrupt request level that code runs at, for calls where a wrong level would corrupt the system silently.

use core::marker::PhantomData;

/// The code runs at DISPATCH_LEVEL. Belongs to the processor it was made on.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch(PhantomData<*const ()>);

/// The code runs above DISPATCH_LEVEL: at the level of a device's interrupt.
#[derive(Clone, Copy, Debug)]
pub struct Device(PhantomData<*const ()>);

impl Dispatch {
    /// # Safety
    /// The caller runs at DISPATCH_LEVEL for as long as the token is used.
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

impl Device {
    /// # Safety
    /// The caller runs above DISPATCH_LEVEL for as long as the token is used.
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}
