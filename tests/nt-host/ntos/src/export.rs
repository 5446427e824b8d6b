//! The functions that drivers import.

use host_machine::image::Binding;

/// Does what an imported function does; the result goes to RAX/X0.
pub type Handler = fn(&Call) -> u64;

/// One call of an imported function.
pub struct Call {
    args: *const u64,
    return_address: usize,
    export: u32,
}

impl Call {
    /// The argument, cut to the width its prototype gives it (what a driver leaves in the upper bits is not part of it).
    #[must_use]
    pub fn arg(&self, _index: usize) -> u64 {
        todo!()
    }
    /// The argument as a `u32`.
    #[must_use]
    pub fn u32(&self, index: usize) -> u32 {
        self.arg(index) as u32
    }
    /// The argument as an address.
    #[must_use]
    pub fn ptr(&self, index: usize) -> usize {
        self.arg(index) as usize
    }
    /// The 8-byte slot as it was passed, for variadic arguments.
    #[must_use]
    pub fn slot(&self, _index: usize) -> u64 {
        todo!("{:?}", self.args)
    }
    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        todo!("{}", self.export)
    }
    /// Where it returns to.
    #[must_use]
    pub fn caller(&self) -> usize {
        self.return_address
    }
}

/// Makes a function importable. Its parameters and IRQL come from [`crate::abi::function`]. The last registration counts.
pub fn register(_dll: &'static str, _name: &'static str, _handler: Handler) {
    todo!()
}

/// What an import binds to; an unknown one to a function that ends the run when it is called.
#[must_use]
pub fn resolve(_dll: &str, _name: &str) -> Binding {
    todo!()
}
