//! What a .sys file says of itself, read once and bounds-checked.

use anyhow::{Context, Result, anyhow, bail};
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders, Import, PeFile64};

/// One section of the image.
#[derive(Debug, Clone)]
pub struct Section {
    /// Name, without padding.
    pub name: String,
    /// Relative virtual address, bytes.
    pub rva: u32,
    /// Size in memory, bytes.
    pub size: u32,
    /// `IMAGE_SCN_*` bits.
    pub characteristics: u32,
}

impl Section {
    /// Whether all of `bits` are set.
    pub fn has(&self, bits: u32) -> bool {
        self.characteristics & bits == bits
    }

    /// Whether `rva` lies in this section.
    pub fn contains(&self, rva: u32) -> bool {
        rva.checked_sub(self.rva).is_some_and(|d| d < self.size)
    }

    /// Whether code here cannot be on the I/O path: discarded after DriverEntry, or pageable
    /// (the linker's and the kernel's convention: names that begin with INIT or PAGE).
    pub fn off_the_io_path(&self) -> bool {
        self.has(pe::IMAGE_SCN_MEM_DISCARDABLE) || self.name.starts_with("PAGE")
    }
}

/// One imported function or variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRow {
    /// DLL, lower case.
    pub dll: String,
    /// Name, or `#ordinal`.
    pub name: String,
}

/// A parsed .sys.
pub struct Image<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    file: PeFile64<'a>,
    /// Sections in file order.
    pub sections: Vec<Section>,
    /// Offset in the file of the optional header's `CheckSum`.
    pub checksum_offset: usize,
}

impl<'a> Image<'a> {
    /// Reads the headers of a 64-bit PE file.
    pub fn parse(bytes: &'a [u8]) -> Result<Image<'a>> {
        if bytes.get(..2) != Some(b"MZ") {
            bail!("not a PE file (no MZ signature): give a driver's .sys file");
        }
        let file = PeFile64::parse(bytes).map_err(|e| {
            anyhow!("not a 64-bit PE file ({e}): WinPV and this check know amd64 and arm64 drivers")
        })?;
        let sections = file
            .section_table()
            .iter()
            .map(|s| Section {
                name: String::from_utf8_lossy(s.raw_name()).into_owned(),
                rva: s.virtual_address.get(LE),
                size: s.virtual_size.get(LE),
                characteristics: s.characteristics.get(LE),
            })
            .collect();
        let nt_offset = file.dos_header().nt_headers_offset() as usize;
        // 4 (signature) + 20 (file header) + 64 (CheckSum in both optional headers).
        Ok(Image {
            bytes,
            file,
            sections,
            checksum_offset: nt_offset + 88,
        })
    }

    /// The optional header.
    pub fn optional(&self) -> &pe::ImageOptionalHeader64 {
        self.file.nt_headers().optional_header()
    }

    /// `IMAGE_FILE_MACHINE_*`.
    pub fn machine(&self) -> u16 {
        self.file.nt_headers().file_header().machine.get(LE)
    }

    /// `IMAGE_FILE_*` bits.
    pub fn file_characteristics(&self) -> u16 {
        self.file.nt_headers().file_header().characteristics.get(LE)
    }

    /// The section that `rva` lies in.
    pub fn section_at(&self, rva: u32) -> Option<&Section> {
        self.sections.iter().find(|s| s.contains(rva))
    }

    /// `len` bytes of initialised data at `rva`.
    pub fn at(&self, rva: u32, len: usize) -> Option<&'a [u8]> {
        self.file
            .section_table()
            .pe_data_at(self.bytes, rva)?
            .get(..len)
    }

    /// Little-endian u16 at `rva`.
    pub fn u16(&self, rva: u32) -> Option<u16> {
        Some(u16::from_le_bytes(self.at(rva, 2)?.try_into().ok()?))
    }

    /// Little-endian u32 at `rva`.
    pub fn u32(&self, rva: u32) -> Option<u32> {
        Some(u32::from_le_bytes(self.at(rva, 4)?.try_into().ok()?))
    }

    /// Little-endian u64 at `rva`.
    pub fn u64(&self, rva: u32) -> Option<u64> {
        Some(u64::from_le_bytes(self.at(rva, 8)?.try_into().ok()?))
    }

    /// A virtual address (as linked) turned into a relative one.
    pub fn rva_of(&self, va: u64) -> Option<u32> {
        u32::try_from(va.checked_sub(self.optional().image_base.get(LE))?).ok()
    }

    /// Data directory `index` as (rva, size), if present.
    pub fn directory(&self, index: usize) -> Option<(u32, u32)> {
        let d = self.file.data_directories().get(index)?;
        let (rva, size) = (d.virtual_address.get(LE), d.size.get(LE));
        (rva != 0 && size != 0).then_some((rva, size))
    }

    /// Every import.
    pub fn imports(&self) -> Result<Vec<ImportRow>> {
        let mut rows = Vec::new();
        let Some(table) = self.file.import_table().context("import table")? else {
            return Ok(rows);
        };
        let mut descriptors = table.descriptors().context("import descriptors")?;
        while let Some(d) = descriptors.next().context("import descriptor")? {
            let dll = table
                .name(d.name.get(LE))
                .context("name of an imported DLL")?;
            let dll = String::from_utf8_lossy(dll).to_lowercase();
            let mut thunks = table
                .thunks(d.original_first_thunk.get(LE))
                .context("thunks")?;
            while let Some(t) = thunks.next::<pe::ImageNtHeaders64>().context("thunk")? {
                let name = match table.import::<pe::ImageNtHeaders64>(t).context("import")? {
                    Import::Name(_, n) => String::from_utf8_lossy(n).into_owned(),
                    Import::Ordinal(o) => format!("#{o}"),
                };
                rows.push(ImportRow {
                    dll: dll.clone(),
                    name,
                });
            }
        }
        Ok(rows)
    }

    /// The bytes of the first resource of `kind` (`RT_*`), any name, any language.
    pub fn resource(&self, kind: u16) -> Option<&'a [u8]> {
        let directory = self
            .file
            .data_directories()
            .resource_directory(self.bytes, &self.file.section_table())
            .ok()??;
        let types = directory.root().ok()?;
        let of_kind = types
            .entries
            .iter()
            .find(|e| e.name_or_id().id() == Some(kind))?
            .data(directory);
        let names = of_kind.ok()?.table()?;
        let languages = names.entries.first()?.data(directory).ok()?.table()?;
        let data = languages.entries.first()?.data(directory).ok()?.data()?;
        self.at(data.offset_to_data.get(LE), data.size.get(LE) as usize)
    }

    /// The checksum as the image loader computes it: 16-bit one's complement sum of the file with
    /// `CheckSum` taken as zero, plus the file's length (MS: PE format, "CheckSum").
    pub fn computed_checksum(&self) -> u32 {
        let mut sum = 0u32;
        for (i, pair) in self.bytes.chunks(2).enumerate() {
            if (self.checksum_offset..self.checksum_offset + 4).contains(&(i * 2)) {
                continue;
            }
            sum += u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0)) << 8;
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        sum + self.bytes.len() as u32
    }
}
