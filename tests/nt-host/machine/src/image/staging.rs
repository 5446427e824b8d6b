//! The image as it will be in memory, built in a buffer where every write is checked.

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{Import, PeFile64};

use super::headers::Headers;
use super::{Binding, LoadError};
use crate::{arch, cpu};

/// Offsets in IMAGE_LOAD_CONFIG_DIRECTORY64 (winnt.h).
mod config {
    pub const SIZE: usize = 0;
    pub const SECURITY_COOKIE: usize = 88;
    pub const GUARD_CHECK: usize = 112;
    pub const GUARD_DISPATCH: usize = 120;
    pub const GUARD_TABLE: usize = 128;
    pub const GUARD_COUNT: usize = 136;
    pub const GUARD_FLAGS: usize = 144;
}

/// An image under construction.
pub struct Staging<'a> {
    pub memory: Vec<u8>,
    pub relocations: usize,
    file: PeFile64<'a>,
    bytes: &'a [u8],
    name: &'a str,
    headers: &'a Headers,
    base: usize,
}

/// What the load configuration says, as offsets into the image. 0 is absent.
#[derive(Default)]
pub struct LoadConfig {
    pub cookie: usize,
    pub check: usize,
    pub dispatch: usize,
    table: usize,
    count: usize,
    flags: u32,
}

impl<'a> Staging<'a> {
    /// Lays out headers and sections for an image at `base`.
    pub fn new(
        bytes: &'a [u8],
        name: &'a str,
        headers: &'a Headers,
        base: usize,
    ) -> Result<Staging<'a>, LoadError> {
        let damaged = |error: object::Error| LoadError::Malformed {
            name: name.into(),
            what: error.to_string(),
        };
        let file = PeFile64::parse(bytes).map_err(damaged)?;
        let mut staging = Staging {
            memory: vec![0; headers.size],
            relocations: 0,
            file,
            bytes,
            name,
            headers,
            base,
        };
        staging.put(0, &bytes[..headers.header_size])?;
        let table = staging.file.section_table();
        for (entry, section) in table.iter().zip(&headers.sections) {
            let (offset, size) = entry.pe_file_range();
            let size = (size as usize).min(section.size);
            let data = bytes
                .get(offset as usize..)
                .and_then(|rest| rest.get(..size));
            let what = || LoadError::Truncated {
                name: name.into(),
                what: format!("section {}", section.name),
            };
            staging.put(section.rva, data.ok_or_else(what)?)?;
        }
        Ok(staging)
    }

    fn malformed(&self, what: impl Into<String>) -> LoadError {
        LoadError::Malformed {
            name: self.name.into(),
            what: what.into(),
        }
    }

    fn damaged(&self) -> impl Fn(object::Error) -> LoadError + use<'a> {
        let name = self.name;
        move |error| LoadError::Malformed {
            name: name.into(),
            what: error.to_string(),
        }
    }

    fn put(&mut self, rva: usize, bytes: &[u8]) -> Result<(), LoadError> {
        let error = self.malformed(format!(
            "{} bytes at {rva:#x} lie outside the image",
            bytes.len()
        ));
        let place = self
            .memory
            .get_mut(rva..)
            .and_then(|rest| rest.get_mut(..bytes.len()))
            .ok_or(error)?;
        place.copy_from_slice(bytes);
        Ok(())
    }

    fn get<const N: usize>(&self, rva: usize) -> Result<[u8; N], LoadError> {
        let bytes = self.memory.get(rva..).and_then(|rest| rest.first_chunk());
        bytes
            .copied()
            .ok_or_else(|| self.malformed(format!("{N} bytes at {rva:#x} lie outside the image")))
    }

    fn get_u64(&self, rva: usize) -> Result<u64, LoadError> {
        Ok(u64::from_le_bytes(self.get(rva)?))
    }

    fn get_u32(&self, rva: usize) -> Result<u32, LoadError> {
        Ok(u32::from_le_bytes(self.get(rva)?))
    }

    /// Adds the difference between the address it prefers and the one it has.
    pub fn relocate(&mut self) -> Result<(), LoadError> {
        if self.headers.fixed {
            return Err(LoadError::Fixed {
                name: self.name.into(),
            });
        }
        let delta = (self.base as u64).wrapping_sub(self.headers.image_base);
        let damaged = self.damaged();
        let directories = self.file.data_directories();
        let blocks = directories
            .relocation_blocks(self.bytes, &self.file.section_table())
            .map_err(&damaged)?;
        let Some(mut blocks) = blocks else {
            return Ok(());
        };
        while let Some(block) = blocks.next().map_err(&damaged)? {
            for relocation in block {
                let rva = relocation.virtual_address;
                match relocation.typ {
                    pe::IMAGE_REL_BASED_ABSOLUTE => {}
                    arch::RELOCATION => {
                        let value = self.get_u64(rva as usize)?.wrapping_add(delta);
                        self.put(rva as usize, &value.to_le_bytes())?;
                        self.relocations += 1;
                    }
                    kind => {
                        return Err(LoadError::Relocation {
                            name: self.name.into(),
                            kind,
                            rva,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Fills the import slots and returns the imports.
    pub fn bind(
        &mut self,
        resolve: &mut dyn FnMut(&str, &str) -> Binding,
    ) -> Result<Vec<(String, String)>, LoadError> {
        let damaged = self.damaged();
        let mut imports = Vec::new();
        let Some(table) = self.file.import_table().map_err(&damaged)? else {
            return Ok(imports);
        };
        let mut descriptors = table.descriptors().map_err(&damaged)?;
        while let Some(descriptor) = descriptors.next().map_err(&damaged)? {
            let dll = table.name(descriptor.name.get(LE)).map_err(&damaged)?;
            let dll = String::from_utf8_lossy(dll).to_lowercase();
            let first = descriptor.first_thunk.get(LE);
            // Without a table of its own the slots themselves hold the names.
            let names = match descriptor.original_first_thunk.get(LE) {
                0 => first,
                names => names,
            };
            let mut thunks = table.thunks(names).map_err(&damaged)?;
            let mut slot = first as usize;
            while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>().map_err(&damaged)? {
                let function = match table
                    .import::<pe::ImageNtHeaders64>(thunk)
                    .map_err(&damaged)?
                {
                    Import::Name(_, function) => String::from_utf8_lossy(function).into_owned(),
                    Import::Ordinal(ordinal) => {
                        return Err(LoadError::Ordinal {
                            name: self.name.into(),
                            dll,
                            ordinal,
                        });
                    }
                };
                let address = match resolve(&dll, &function) {
                    Binding::Function(id) => cpu::import_stub(id),
                    Binding::Data(variable) => variable as usize,
                };
                self.put(slot, &address.to_le_bytes())?;
                slot += size_of::<u64>();
                imports.push((dll.clone(), function));
            }
        }
        Ok(imports)
    }

    /// The named exports with their addresses.
    pub fn exports(&self) -> Result<Vec<(String, usize)>, LoadError> {
        let Some(table) = self.file.export_table().map_err(self.damaged())? else {
            return Ok(Vec::new());
        };
        let mut exports = Vec::new();
        for (name, index) in table.name_iter() {
            let name = table.name_from_pointer(name).map_err(self.damaged())?;
            let rva = table
                .address_by_index(index.into())
                .map_err(self.damaged())? as usize;
            if rva >= self.headers.size {
                return Err(self.malformed("an export lies outside the image"));
            }
            exports.push((String::from_utf8_lossy(name).into_owned(), self.base + rva));
        }
        Ok(exports)
    }

    /// Reads the load configuration. Everything in it counts only as far as its size says.
    pub fn load_config(&self) -> Result<LoadConfig, LoadError> {
        let directory = self
            .file
            .data_directories()
            .get(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG);
        let Some(at) = directory
            .map(|directory| directory.virtual_address.get(LE) as usize)
            .filter(|&at| at != 0)
        else {
            return Ok(LoadConfig::default());
        };
        let size = self.get_u32(at + config::SIZE)? as usize;
        let present = |offset: usize, len: usize| offset + len <= size;
        let pointer = |offset: usize| match present(offset, 8) {
            true => self.offset_of(self.get_u64(at + offset)?),
            false => Ok(0),
        };
        let count = match present(config::GUARD_COUNT, 8) {
            true => self.get_u64(at + config::GUARD_COUNT)?,
            false => 0,
        };
        Ok(LoadConfig {
            cookie: pointer(config::SECURITY_COOKIE)?,
            check: pointer(config::GUARD_CHECK)?,
            dispatch: pointer(config::GUARD_DISPATCH)?,
            table: pointer(config::GUARD_TABLE)?,
            count: usize::try_from(count).unwrap_or(usize::MAX),
            flags: if present(config::GUARD_FLAGS, 4) {
                self.get_u32(at + config::GUARD_FLAGS)?
            } else {
                0
            },
        })
    }

    /// Where in the image an address points, which was relocated already. 0 stays 0.
    fn offset_of(&self, address: u64) -> Result<usize, LoadError> {
        if address == 0 {
            return Ok(0);
        }
        let offset = (address as usize).wrapping_sub(self.base);
        if offset == 0 || offset >= self.headers.size {
            return Err(self.malformed("its load configuration points outside the image"));
        }
        Ok(offset)
    }

    /// Gives the security cookie a random value; whether there is one.
    pub fn set_cookie(&mut self, config: &LoadConfig) -> Result<bool, LoadError> {
        let mut random = [0; 8];
        // Of the eight bytes the upper two stay zero, as in Windows.
        // SAFETY: six bytes of the array.
        let filled = unsafe { libc::getrandom(random.as_mut_ptr().cast(), 6, 0) };
        assert_eq!(filled, 6, "getrandom: {}", std::io::Error::last_os_error());
        self.set_pointer(config.cookie, usize::from_le_bytes(random))
    }

    /// Writes a pointer at an offset, unless that is 0; whether it did.
    pub fn set_pointer(&mut self, at: usize, value: usize) -> Result<bool, LoadError> {
        if at == 0 {
            return Ok(false);
        }
        self.put(at, &value.to_le_bytes())?;
        Ok(true)
    }

    /// The functions that may be called indirectly, or `None` if the image does not want that checked.
    pub fn call_targets(&self, config: &LoadConfig) -> Result<Option<Vec<usize>>, LoadError> {
        let wanted = self.headers.characteristics & pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF != 0;
        let present = config.flags
            & (pe::IMAGE_GUARD_CF_INSTRUMENTED | pe::IMAGE_GUARD_CF_FUNCTION_TABLE_PRESENT);
        if !wanted
            || present
                != pe::IMAGE_GUARD_CF_INSTRUMENTED | pe::IMAGE_GUARD_CF_FUNCTION_TABLE_PRESENT
        {
            return Ok(None);
        }
        let extra = ((config.flags & pe::IMAGE_GUARD_CF_FUNCTION_TABLE_SIZE_MASK)
            >> pe::IMAGE_GUARD_CF_FUNCTION_TABLE_SIZE_SHIFT) as usize;
        if config.count > self.headers.size / 4 {
            return Err(self.malformed("its table of call targets is larger than the image"));
        }
        let mut offsets = Vec::with_capacity(config.count);
        for index in 0..config.count {
            let at = config.table + index * (4 + extra);
            let offset = self.get_u32(at)? as usize;
            if offset >= self.headers.size {
                return Err(self.malformed("a call target lies outside the image"));
            }
            let suppressed = extra > 0
                && u16::from(self.get::<1>(at + 4)?[0]) & pe::IMAGE_GUARD_FLAG_FID_SUPPRESSED != 0;
            if !suppressed {
                offsets.push(offset);
            }
        }
        Ok(Some(offsets))
    }
}
