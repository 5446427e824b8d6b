//! Driver images: what a kernel's loader does with a .sys file.

mod error;
pub(crate) mod guard;
mod headers;
mod hints;
mod registry;
mod staging;

use std::rc::Rc;

use crate::arch;
use crate::ram::PAGE;
use crate::sys;
use guard::Targets;
use registry::Entry;
use staging::Staging;

pub use error::LoadError;
pub use registry::describe;
pub(crate) use registry::is_hint;

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

/// A driver in memory. Dropping it unmaps it; nothing may run in it then.
pub struct Image {
    /// Where it was mapped.
    pub base: usize,
    /// Bytes from there.
    pub size: usize,
    /// The address of DriverEntry.
    pub entry: usize,
    /// The file's name, for messages.
    pub name: String,
    /// Its sections in file order. One that is both writable and executable is mapped so.
    pub sections: Vec<Section>,
    /// Its imports as (DLL in lower case, name), in file order.
    pub imports: Vec<(String, String)>,
    /// Its exports as (name, address).
    pub exports: Vec<(String, usize)>,
    /// How many addresses were relocated.
    pub relocations: usize,
    /// IMAGE_OPTIONAL_HEADER.DllCharacteristics.
    pub characteristics: u16,
    /// Its control flow guard.
    pub guard: Guard,
    _mapping: Mapping,
    /// The routines behind its guard pointers.
    _guard_code: Option<Mapping>,
    entry_in_registry: Rc<Entry>,
}

/// Pages of one mapping.
struct Mapping {
    at: usize,
    len: usize,
}

impl Mapping {
    fn new(len: usize, name: &str) -> Result<Mapping, LoadError> {
        let len = sys::pages(len);
        let at = sys::map(len, sys::READ_WRITE).map_err(|error| LoadError::Memory {
            name: name.into(),
            reason: error.to_string(),
        })?;
        Ok(Mapping { at, len })
    }

    /// Copies bytes to the start of pages that are still writable.
    fn fill(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len);
        // SAFETY: the pages are new, writable and nobody else's.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at as *mut u8, bytes.len()) };
    }

    fn protect(&self, offset: usize, len: usize, protection: i32) {
        let len = sys::pages(len);
        assert!(offset.is_multiple_of(PAGE) && offset + len <= self.len);
        // SAFETY: within the mapping, which holds no host data.
        unsafe { sys::protect(self.at + offset, len, protection) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's; what still points there is to fault.
        unsafe { sys::unmap(self.at, self.len) };
    }
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

    /// The address of an export.
    pub fn export(&self, name: &str) -> Option<usize> {
        self.exports
            .iter()
            .find(|export| export.0 == name)
            .map(|export| export.1)
    }

    /// Takes the discardable sections away, as a kernel does after DriverEntry: touching them faults.
    pub fn discard_init(&self) {
        for section in self.sections.iter().filter(|section| section.discardable) {
            self._mapping.protect(section.rva, section.size, sys::NONE);
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        registry::remove(&self.entry_in_registry);
        #[cfg(target_arch = "x86_64")]
        crate::coverage::forget(self.base);
        arch::forget_code();
    }
}

/// Maps an image, relocates it, binds its imports, protects its sections and arms its control flow guard.
///
/// # Errors
/// [`LoadError`] if it is no driver for this machine.
///
/// # Panics
/// If `resolve` gives an import id that is too large.
pub fn load(
    bytes: &[u8],
    name: &str,
    resolve: &mut dyn FnMut(&str, &str) -> Binding,
) -> Result<Image, LoadError> {
    let headers = headers::check(bytes, name)?;
    let mapping = Mapping::new(headers.size, name)?;
    let base = mapping.at;
    let mut staging = Staging::new(bytes, name, &headers, base)?;
    staging.relocate()?;
    let imports = staging.bind(resolve)?;
    let exports = staging.exports()?;
    let config = staging.load_config()?;
    let mut guard = Guard {
        cookie: staging.set_cookie(&config)?,
        ..Guard::default()
    };
    let mut targets = None;
    let mut guard_code = None;
    if let Some(offsets) = staging.call_targets(&config)? {
        guard.functions = offsets.len();
        let boxed = Box::new(Targets::new(base, headers.size, &offsets));
        let code = Mapping::new(arch::guard::CODE, name)?;
        let mut text = [0; arch::guard::CODE];
        let (check, dispatch) = arch::guard::write(&mut text, &raw const *boxed);
        code.fill(&text);
        code.protect(0, text.len(), sys::READ | sys::EXECUTE);
        arch::synchronise_code(code.at, text.len());
        guard.check = staging.set_pointer(config.check, code.at + check)?;
        guard.dispatch = staging.set_pointer(config.dispatch, code.at + dispatch)?;
        targets = Some(boxed);
        guard_code = Some(code);
    }
    let Staging {
        mut memory,
        relocations,
        ..
    } = staging;
    let hints = hints::arm(&mut memory, &headers.sections);
    #[cfg(target_arch = "x86_64")]
    let memory = crate::coverage::arm(base, memory, name)?;
    mapping.fill(&memory);
    mapping.protect(0, mapping.len, sys::NONE);
    mapping.protect(0, headers.header_size, sys::READ);
    for section in &headers.sections {
        let writable = if section.writable {
            sys::READ_WRITE
        } else {
            sys::READ
        };
        let executable = if section.executable {
            sys::EXECUTE
        } else {
            sys::NONE
        };
        mapping.protect(section.rva, section.size, writable | executable);
    }
    arch::synchronise_code(base, headers.size);
    let entry = Rc::new(Entry {
        base,
        size: headers.size,
        name: name.into(),
        targets,
        hints,
    });
    registry::add(entry.clone());
    Ok(Image {
        base,
        size: headers.size,
        entry: base + headers.entry,
        name: name.into(),
        sections: headers.sections,
        imports,
        exports,
        relocations,
        characteristics: headers.characteristics,
        guard,
        _mapping: mapping,
        _guard_code: guard_code,
        entry_in_registry: entry,
    })
}
