//! What an image's headers promise, checked before anything is believed.

use object::LittleEndian as LE;
use object::pe;
use object::read::ReadRef;
use object::read::pe::PeFile64;

use super::{LoadError, Section};
use crate::arch;
use crate::ram::PAGE;

/// Largest image: far more than any driver, far less than would hurt.
const LIMIT: u32 = 256 << 20;

/// The believed part of the headers. All of it lies within `size`.
pub struct Headers {
    pub size: usize,
    pub header_size: usize,
    pub entry: usize,
    pub image_base: u64,
    pub characteristics: u16,
    pub fixed: bool,
    pub sections: Vec<Section>,
}

/// Reads and checks them.
pub fn check(bytes: &[u8], name: &str) -> Result<Headers, LoadError> {
    machine(bytes, name)?;
    let malformed = |what: String| LoadError::Malformed {
        name: name.into(),
        what,
    };
    let file = PeFile64::parse(bytes).map_err(|error| malformed(error.to_string()))?;
    let header = file.nt_headers();
    let optional = &header.optional_header;
    let subsystem = optional.subsystem.get(LE);
    if subsystem != pe::IMAGE_SUBSYSTEM_NATIVE {
        return Err(LoadError::NotNative {
            name: name.into(),
            subsystem,
        });
    }
    let alignment = optional.section_alignment.get(LE);
    if !(alignment.is_power_of_two() && alignment as usize >= PAGE) {
        return Err(LoadError::Alignment {
            name: name.into(),
            alignment,
        });
    }
    let size = optional.size_of_image.get(LE);
    if size > LIMIT {
        return Err(LoadError::TooLarge {
            name: name.into(),
            size,
            limit: LIMIT,
        });
    }
    let size = (size as usize).next_multiple_of(PAGE);
    let header_size = optional.size_of_headers.get(LE) as usize;
    if bytes.len() < header_size {
        return Err(LoadError::Truncated {
            name: name.into(),
            what: "its header".into(),
        });
    }
    let mut sections = Vec::new();
    let mut end = header_size;
    for entry in file.section_table().iter() {
        let flags = entry.characteristics.get(LE);
        let section = Section {
            name: String::from_utf8_lossy(entry.raw_name()).into_owned(),
            rva: entry.virtual_address.get(LE) as usize,
            size: entry.virtual_size.get(LE).max(1) as usize,
            writable: flags & pe::IMAGE_SCN_MEM_WRITE != 0,
            executable: flags & pe::IMAGE_SCN_MEM_EXECUTE != 0,
            discardable: flags & pe::IMAGE_SCN_MEM_DISCARDABLE != 0,
        };
        if !section.rva.is_multiple_of(alignment as usize) || section.rva < end {
            return Err(malformed(format!(
                "section {} overlaps another or lies askew",
                section.name
            )));
        }
        end = section.rva.saturating_add(section.size);
        if end > size {
            return Err(malformed(format!(
                "section {} lies outside the image",
                section.name
            )));
        }
        sections.push(section);
    }
    let entry = optional.address_of_entry_point.get(LE) as usize;
    let in_code = |section: &Section| {
        section.executable && (section.rva..section.rva + section.size).contains(&entry)
    };
    if size < PAGE || header_size > size || !sections.iter().any(in_code) {
        return Err(malformed("its entry point is not in a code section".into()));
    }
    Ok(Headers {
        size,
        header_size,
        entry,
        image_base: optional.image_base.get(LE),
        characteristics: optional.dll_characteristics.get(LE),
        fixed: header.file_header.characteristics.get(LE) & pe::IMAGE_FILE_RELOCS_STRIPPED != 0,
        sections,
    })
}

/// Tells a file for another machine from no image at all.
fn machine(bytes: &[u8], name: &str) -> Result<(), LoadError> {
    let not_pe = || LoadError::NotPe(name.into());
    let truncated = |what: &str| LoadError::Truncated {
        name: name.into(),
        what: what.into(),
    };
    if bytes.get(..2) != Some(b"MZ") {
        return Err(not_pe());
    }
    let dos: &pe::ImageDosHeader = bytes.read_at(0).map_err(|()| truncated("its DOS header"))?;
    let at = u64::from(dos.nt_headers_offset());
    let signature: &[u8; 4] = bytes.read_at(at).map_err(|()| truncated("its PE header"))?;
    if signature != b"PE\0\0" {
        return Err(not_pe());
    }
    let header: &pe::ImageFileHeader = bytes
        .read_at(at + 4)
        .map_err(|()| truncated("its PE header"))?;
    let machine = header.machine.get(LE);
    let known = |machine| match machine {
        pe::IMAGE_FILE_MACHINE_AMD64 => Some(("an x64", "x86_64", "x64")),
        pe::IMAGE_FILE_MACHINE_ARM64 => Some(("an ARM64", "aarch64", "ARM64")),
        _ => None,
    };
    match known(machine) {
        _ if machine == arch::MACHINE => Ok(()),
        Some((image, arch, _)) => {
            let host = known(arch::MACHINE).map_or("no", |host| host.2);
            Err(LoadError::OtherArchitecture {
                name: name.into(),
                image,
                arch,
                host,
            })
        }
        None => Err(LoadError::UnknownMachine {
            name: name.into(),
            machine,
        }),
    }
}
