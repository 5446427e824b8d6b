//! Proof that the rules can fail: a good driver is broken in one way for each rule, and that very rule must say so.

use super::image::Image;
use super::rules::{Context, RULES};
use super::{imports, judge, version};
use anyhow::{Context as _, Result};
use object::pe;
use std::path::Path;

/// One way to break a driver: rewrites its bytes, given where things are.
type Break = fn(&mut Vec<u8>, &Place) -> Option<()>;

/// Offsets in the file of the headers' fields and of some data.
struct Place {
    optional: usize,
    sections: usize,
    load_config: Option<usize>,
    version: Option<usize>,
    first_import_name: Option<usize>,
    first_unwind: Option<Unwind>,
    entry_section: usize,
}

const BREAKS: &[(&str, Break)] = &[
    ("machine", |b, p| {
        put(b, p.optional - 20, &0x01C4u16.to_le_bytes())
    }), // ARMNT
    ("native", |b, p| {
        put(b, p.optional + 68, &2u16.to_le_bytes())
    }),
    ("no-wx", |b, p| {
        set_bits(
            b,
            p.sections + 36,
            pe::IMAGE_SCN_MEM_WRITE | pe::IMAGE_SCN_MEM_EXECUTE,
        )
    }),
    ("alignment", |b, p| {
        put(b, p.optional + 32, &0x200u32.to_le_bytes())
    }),
    ("aslr", |b, p| {
        clear_bits16(
            b,
            p.optional + 70,
            pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
        )
    }),
    ("nx", |b, p| {
        clear_bits16(b, p.optional + 70, pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT)
    }),
    ("cfg", |b, p| {
        put(b, p.load_config? + 136, &0u64.to_le_bytes())
    }),
    ("checksum", |b, p| {
        put(b, p.optional + 64, &1u32.to_le_bytes())
    }),
    ("imports", |b, p| put(b, p.first_import_name?, b"Zz")),
    ("version", |b, p| {
        put(b, p.version? + 8, &0xFFFF_FFFFu32.to_le_bytes())
    }),
    ("stack", |b, p| big_frame(b, p.first_unwind?)),
    ("init", |b, p| put(b, p.entry_section, b".text\0\0\0")),
];

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at + value.len())?.copy_from_slice(value);
    Some(())
}

fn set_bits(bytes: &mut [u8], at: usize, bits: u32) -> Option<()> {
    let old = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
    put(bytes, at, &(old | bits).to_le_bytes())
}

fn clear_bits16(bytes: &mut [u8], at: usize, bits: u16) -> Option<()> {
    let old = u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
    put(bytes, at, &(old & !bits).to_le_bytes())
}

/// Where the frame of a function on the I/O path is stated.
#[derive(Clone, Copy)]
enum Unwind {
    /// File offset of an x64 unwind record with two slots or more.
    X64(usize),
    /// File offset of the second word of an ARM64 .pdata entry.
    Arm64(usize),
}

/// Makes a function state a frame of several pages.
fn big_frame(bytes: &mut [u8], at: Unwind) -> Option<()> {
    match at {
        Unwind::X64(at) => {
            put(bytes, at + 2, &[2])?; // two slots:
            put(bytes, at + 4, &[0, 0x01, 0x00, 0x20]) // UWOP_ALLOC_LARGE, 0x2000 × 8 bytes
        }
        Unwind::Arm64(at) => put(bytes, at, &(511u32 << 23 | 1).to_le_bytes()), // packed, 511 × 16 bytes
    }
}

/// Breaks the driver at `path` once for each rule. One row a rule: its name, and what went wrong if the rule did not
/// trip, or if a rule tripped that should not have.
pub fn prove(path: &Path, inf: &Path) -> Result<Vec<(&'static str, Result<(), String>)>> {
    let good = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text =
        std::fs::read_to_string(inf).with_context(|| format!("cannot read {}", inf.display()))?;
    let context = Context {
        imports: imports::Table::ours()?,
        driver_ver: version::of_inf(&text),
    };
    let place = place(&good).context("the driver lacks what the rules look at")?;
    Ok(RULES
        .iter()
        .map(|rule| (rule.id, prove_one(rule.id, &good, &place, &context)))
        .collect())
}

fn prove_one(id: &str, good: &[u8], place: &Place, context: &Context) -> Result<(), String> {
    let (_, make) = BREAKS
        .iter()
        .find(|(b, _)| *b == id)
        .ok_or("no way to break it is known")?;
    let mut bytes = good.to_vec();
    make(&mut bytes, place).ok_or("the file has nothing to break")?;
    if id != "checksum" {
        let sum = Image::parse(&bytes)
            .map_err(|e| e.to_string())?
            .computed_checksum();
        put(&mut bytes, place.optional + 64, &sum.to_le_bytes()).ok_or("too short")?;
    }
    let rows = judge(&bytes, context).map_err(|e| e.to_string())?;
    let tripped: Vec<_> = rows
        .iter()
        .filter(|r| r.verdict == "fail")
        .map(|r| r.rule)
        .collect();
    match tripped.as_slice() {
        [one] if *one == id => Ok(()),
        // A machine that is not known has no unwind data that could be read, and other CFG slots.
        _ if id == "machine" && tripped.contains(&id) => Ok(()),
        other => Err(format!("tripped {other:?}")),
    }
}

fn place(bytes: &[u8]) -> Result<Place> {
    let image = Image::parse(bytes)?;
    let optional = image.checksum_offset - 64;
    let offset_of = |rva: u32| {
        let data = image.at(rva, 1)?;
        Some(data.as_ptr() as usize - bytes.as_ptr() as usize)
    };
    let optional_size = u16::from_le_bytes([bytes[optional - 4], bytes[optional - 3]]);
    let sections = optional + usize::from(optional_size);
    let entry = image
        .optional()
        .address_of_entry_point
        .get(object::LittleEndian);
    let entry_index = image
        .sections
        .iter()
        .position(|s| s.contains(entry))
        .unwrap_or(0);
    let load_config = image.directory(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG);
    Ok(Place {
        optional,
        sections,
        load_config: load_config.and_then(|(rva, _)| offset_of(rva)),
        version: bytes
            .windows(4)
            .position(|w| w == 0xFEEF_04BDu32.to_le_bytes()),
        first_import_name: first_import_name(&image).and_then(offset_of),
        first_unwind: first_unwind(&image, offset_of),
        entry_section: sections + entry_index * 40,
    })
}

/// Where the name of the first imported function stands (behind its two-byte hint).
fn first_import_name(image: &Image) -> Option<u32> {
    let (table, _) = image.directory(pe::IMAGE_DIRECTORY_ENTRY_IMPORT)?;
    Some(image.u32(image.u32(table)?)? + 2)
}

/// The first function outside INIT whose unwind data can be rewritten in place.
fn first_unwind(image: &Image, offset_of: impl Fn(u32) -> Option<usize>) -> Option<Unwind> {
    let (table, size) = image.directory(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION)?;
    let on_the_io_path = |begin| {
        image
            .section_at(begin)
            .is_some_and(|section| !section.off_the_io_path())
    };
    if image.machine() == pe::IMAGE_FILE_MACHINE_ARM64 {
        let entry = (table..table + size)
            .step_by(8)
            .find(|&e| image.u32(e).is_some_and(on_the_io_path))?;
        return offset_of(entry + 4).map(Unwind::Arm64);
    }
    (table..table + size).step_by(12).find_map(|entry| {
        let info = image.u32(entry + 8)?;
        let head = image.at(info, 4)?;
        let rewritable = head[2] >= 2 && head[0] >> 3 == 0; // two slots, not chained, no handler
        (rewritable && on_the_io_path(image.u32(entry)?))
            .then(|| offset_of(info).map(Unwind::X64))?
    })
}
