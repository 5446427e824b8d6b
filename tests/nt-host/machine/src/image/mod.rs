//! Driver images: what a kernel's loader does with a .sys file.

mod error;

pub use error::LoadError;

/// What the loader puts into an import slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Calls reach [`crate::cpu::set_dispatch`]'s function with this id (below [`crate::cpu::MAX_IMPORTS`]).
    Function(u32),
    /// The address of a variable.
    Data(*mut u8),
}

/// A section as the section table states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Bytes from the image's base.
    pub rva: usize,
    /// Bytes in memory.
    pub size: usize,
    /// IMAGE_SCN_MEM_WRITE.
    pub writable: bool,
    /// IMAGE_SCN_MEM_EXECUTE.
    pub executable: bool,
    /// IMAGE_SCN_MEM_DISCARDABLE: gone after DriverEntry.
    pub discardable: bool,
}

/// What the load configuration offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// It names a security cookie, which now holds a random value.
    pub cookie: bool,
    /// GuardCFCheckFunctionPointer is there and now checks.
    pub check: bool,
    /// GuardCFDispatchFunctionPointer is there and now checks.
    pub dispatch: bool,
    /// Entries of the function table.
    pub functions: usize,
}

/// A driver in memory. Dropping it unmaps it.
pub struct Image {
    /// Where it was mapped.
    pub base: usize,
    /// Bytes from there.
    pub size: usize,
    /// The address of DriverEntry.
    pub entry: usize,
    /// The file's name, for messages.
    pub name: String,
    /// Its sections in file order.
    pub sections: Vec<Section>,
    /// Its imports as (DLL in lower case, name), in file order.
    pub imports: Vec<(String, String)>,
    /// How many addresses were relocated.
    pub relocations: usize,
    /// Its control flow guard.
    pub guard: Guard,
}

impl Image {
    /// Whether the address lies in the image.
    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < self.size
    }

    /// The address as name+offset, or as a plain number if it is not in the image.
    pub fn describe(&self, address: usize) -> String {
        if self.contains(address) {
            format!("{}+{:#x}", self.name, address - self.base)
        } else {
            format!("{address:#x}")
        }
    }

    /// Takes the discardable sections away, as a kernel does after DriverEntry: touching them faults.
    pub fn discard_init(&self) {}
}

/// Maps an image, relocates it, binds its imports, protects its sections and arms its control flow guard.
///
/// # Errors
/// [`LoadError`] if it is no driver for this machine.
pub fn load(
    bytes: &[u8],
    name: &str,
    resolve: &mut dyn FnMut(&str, &str) -> Binding,
) -> Result<Image, LoadError> {
    let _ = (bytes, name, resolve);
    unimplemented!()
}
