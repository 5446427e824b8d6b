//! The static rules for a driver image, each with a name and a reason.

use super::super::report::Level;
use super::image::Image;
use super::{imports, unwind, version};
use anyhow::Result;
use object::LittleEndian as LE;
use object::pe;

/// What a rule is judged against besides the image itself.
pub struct Context {
    /// The imports that are allowed.
    pub imports: imports::Table,
    /// `DriverVer` of the INF that belongs to the image.
    pub driver_ver: Option<version::Version>,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Obeyed; the text says what was looked at.
    Pass(String),
    /// Broken; one line a place.
    Fail(Vec<String>),
    /// Could not be judged; the text says why.
    Skip(String),
}

/// A rule that every driver must obey.
pub struct Rule {
    /// Stable name.
    pub id: &'static str,
    /// What it asks for, and why.
    pub text: &'static str,
    /// How bad it is to break it for another vendor's driver; for ours it is always an error.
    pub level: Level,
    check: fn(&Image, &Context) -> Result<Verdict>,
}

impl Rule {
    /// Judges `image`. What cannot be read is a failure of the rule that wanted it.
    pub fn judge(&self, image: &Image, context: &Context) -> Verdict {
        (self.check)(image, context).unwrap_or_else(|e| Verdict::Fail(vec![format!("{e:#}")]))
    }
}

/// Every rule, in the order in which they are reported.
pub const RULES: &[Rule] = &[
    Rule {
        id: "machine",
        text: "built for amd64 or arm64",
        level: Level::Error,
        check: machine,
    },
    Rule {
        id: "native",
        text: "native subsystem: user mode must not start it",
        level: Level::Error,
        check: native,
    },
    Rule {
        id: "no-wx",
        text: "no section both writable and executable (HVCI refuses it)",
        level: Level::Warning,
        check: no_wx,
    },
    Rule {
        id: "alignment",
        text: "4 KiB section alignment (HVCI protects by page)",
        level: Level::Warning,
        check: alignment,
    },
    Rule {
        id: "aslr",
        text: "relocatable: DYNAMIC_BASE and a relocation table",
        level: Level::Warning,
        check: aslr,
    },
    Rule {
        id: "nx",
        text: "NX_COMPAT",
        level: Level::Warning,
        check: nx,
    },
    Rule {
        id: "cfg",
        text: "Control Flow Guard: load config, pointers, sorted non-empty function table",
        level: Level::Warning,
        check: cfg,
    },
    Rule {
        id: "checksum",
        text: "checksum set and right (boot-start drivers are not loaded otherwise)",
        level: Level::Error,
        check: checksum,
    },
    Rule {
        id: "imports",
        text: "every import has a row in tests/abi/imports.toml, none newer than Windows 10 1607",
        level: Level::Note,
        check: imports,
    },
    Rule {
        id: "version",
        text: "VERSIONINFO equal to the INF's DriverVer",
        level: Level::Warning,
        check: version,
    },
    Rule {
        id: "stack",
        text: "no stack frame over 1 KiB outside discardable and pageable code",
        level: Level::Note,
        check: stack,
    },
    Rule {
        id: "init",
        text: "entry point in a discardable INIT section",
        level: Level::Note,
        check: init,
    },
];

/// Largest frame that the I/O path may have, bytes: StorPort may call in with little of a 24 KiB stack left.
const MAX_FRAME: u32 = 1024;

fn verdict(complaints: Vec<String>, pass: impl Into<String>) -> Result<Verdict> {
    Ok(if complaints.is_empty() {
        Verdict::Pass(pass.into())
    } else {
        Verdict::Fail(complaints)
    })
}

fn require(ok: bool, pass: impl Into<String>, fail: impl Into<String>) -> Result<Verdict> {
    verdict(if ok { Vec::new() } else { vec![fail.into()] }, pass)
}

fn machine(image: &Image, _: &Context) -> Result<Verdict> {
    match image.machine() {
        pe::IMAGE_FILE_MACHINE_AMD64 => Ok(Verdict::Pass("amd64".into())),
        pe::IMAGE_FILE_MACHINE_ARM64 => Ok(Verdict::Pass("arm64".into())),
        other => Ok(Verdict::Fail(vec![format!("machine {other:#06x}")])),
    }
}

fn native(image: &Image, _: &Context) -> Result<Verdict> {
    let subsystem = image.optional().subsystem.get(LE);
    require(
        subsystem == pe::IMAGE_SUBSYSTEM_NATIVE,
        "subsystem 1",
        format!("subsystem is {subsystem}, not 1 (native): link with /SUBSYSTEM:NATIVE"),
    )
}

fn no_wx(image: &Image, _: &Context) -> Result<Verdict> {
    let both = pe::IMAGE_SCN_MEM_WRITE | pe::IMAGE_SCN_MEM_EXECUTE;
    let bad = image.sections.iter().filter(|s| s.has(both));
    verdict(
        bad.map(|s| format!("section {} is writable and executable", s.name))
            .collect(),
        format!("{} sections", image.sections.len()),
    )
}

fn alignment(image: &Image, _: &Context) -> Result<Verdict> {
    let alignment = image.optional().section_alignment.get(LE);
    let mut bad: Vec<_> = image
        .sections
        .iter()
        .filter(|s| !s.rva.is_multiple_of(4096))
        .map(|s| format!("section {} begins at {:#x}", s.name, s.rva))
        .collect();
    if alignment == 0 || !alignment.is_multiple_of(4096) {
        bad.push(format!(
            "SectionAlignment is {alignment:#x}, not a multiple of 0x1000"
        ));
    }
    verdict(bad, format!("{alignment:#x}"))
}

fn aslr(image: &Image, _: &Context) -> Result<Verdict> {
    let mut bad = Vec::new();
    let flags = image.optional().dll_characteristics.get(LE);
    if flags & pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE == 0 {
        bad.push("DYNAMIC_BASE is not set".into());
    }
    if image.file_characteristics() & pe::IMAGE_FILE_RELOCS_STRIPPED != 0 {
        bad.push("relocations are stripped".into());
    }
    if image
        .directory(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC)
        .is_none()
    {
        bad.push("no relocation table".into());
    }
    verdict(bad, "DYNAMIC_BASE, relocation table present")
}

fn nx(image: &Image, _: &Context) -> Result<Verdict> {
    let flags = image.optional().dll_characteristics.get(LE);
    require(
        flags & pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT != 0,
        "NX_COMPAT",
        "NX_COMPAT is not set",
    )
}

/// MS: PE format, "The Load Configuration Structure"; offsets of IMAGE_LOAD_CONFIG_DIRECTORY64.
fn cfg(image: &Image, _: &Context) -> Result<Verdict> {
    const CHECK_POINTER: u32 = 112;
    const DISPATCH_POINTER: u32 = 120;
    const FUNCTION_TABLE: u32 = 128;
    const FUNCTION_COUNT: u32 = 136;
    const GUARD_FLAGS: u32 = 144;
    const CF_INSTRUMENTED: u32 = 0x100;
    const CF_FUNCTION_TABLE_PRESENT: u32 = 0x400;

    let mut bad = Vec::new();
    let flags = image.optional().dll_characteristics.get(LE);
    if flags & pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF == 0 {
        bad.push("GUARD_CF is not set: link with /guard:cf".to_string());
    }
    let Some((config, size)) = image.directory(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG) else {
        bad.push("no load configuration: CFG does nothing without one".into());
        return Ok(Verdict::Fail(bad));
    };
    let stated = image.u32(config).unwrap_or(0);
    if size.min(stated) < GUARD_FLAGS + 4 {
        bad.push(format!(
            "load configuration of {} bytes has no CFG fields",
            size.min(stated)
        ));
        return Ok(Verdict::Fail(bad));
    }
    let pointer = |offset| image.u64(config + offset).and_then(|va| image.rva_of(va));
    // The kernel overwrites the slot of the kind that the machine's compilers use.
    let (slot, name) = match image.machine() {
        pe::IMAGE_FILE_MACHINE_AMD64 => (DISPATCH_POINTER, "dispatch"),
        _ => (CHECK_POINTER, "check"),
    };
    if pointer(slot)
        .and_then(|rva| image.section_at(rva))
        .is_none()
    {
        bad.push(format!(
            "the guard {name} function pointer does not point into the image"
        ));
    }
    let guard_flags = image.u32(config + GUARD_FLAGS).unwrap_or(0);
    for (bit, name) in [
        (CF_INSTRUMENTED, "CF_INSTRUMENTED"),
        (CF_FUNCTION_TABLE_PRESENT, "CF_FUNCTION_TABLE_PRESENT"),
    ] {
        if guard_flags & bit == 0 {
            bad.push(format!("GuardFlags {guard_flags:#x} lacks {name}"));
        }
    }
    let count = image.u64(config + FUNCTION_COUNT).unwrap_or(0);
    if count == 0 {
        bad.push("the guard function table is empty".into());
    }
    let stride = 4 + (guard_flags >> 28);
    let table = pointer(FUNCTION_TABLE);
    let mut before = None;
    for i in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        let entry = table.and_then(|t| image.u32(t.checked_add(i.checked_mul(stride)?)?));
        let Some(target) = entry else {
            bad.push("the guard function table runs out of the image".into());
            break;
        };
        if before.is_some_and(|b| b >= target) {
            bad.push(format!(
                "the guard function table is not sorted at {target:#x}"
            ));
            break;
        }
        if !image
            .section_at(target)
            .is_some_and(|s| s.has(pe::IMAGE_SCN_MEM_EXECUTE))
        {
            bad.push(format!("guard target {target:#x} is not code"));
        }
        before = Some(target);
    }
    verdict(bad, format!("{count} call targets"))
}

fn checksum(image: &Image, _: &Context) -> Result<Verdict> {
    let (stored, computed) = (
        image.optional().check_sum.get(LE),
        image.computed_checksum(),
    );
    require(
        stored == computed,
        format!("{stored:#010x}"),
        format!("CheckSum is {stored:#010x}, the file's is {computed:#010x}"),
    )
}

fn imports(image: &Image, context: &Context) -> Result<Verdict> {
    let rows = image.imports()?;
    let bad = rows
        .iter()
        .filter_map(|r| context.imports.complaint(r))
        .collect();
    verdict(bad, format!("{} imports", rows.len()))
}

fn version(image: &Image, context: &Context) -> Result<Verdict> {
    let Some((file, product)) = version::of_image(image) else {
        return Ok(Verdict::Fail(vec!["no VERSIONINFO resource".into()]));
    };
    let Some(wanted) = context.driver_ver else {
        return Ok(Verdict::Skip(format!(
            "file version {}; no INF beside the file to compare with (--inf FILE gives one)",
            version::show(file)
        )));
    };
    let wrong = [("FileVersion", file), ("ProductVersion", product)]
        .into_iter()
        .filter(|(_, v)| *v != wanted);
    verdict(
        wrong
            .map(|(name, v)| {
                format!(
                    "{name} {} but DriverVer {}",
                    version::show(v),
                    version::show(wanted)
                )
            })
            .collect(),
        version::show(file),
    )
}

fn stack(image: &Image, _: &Context) -> Result<Verdict> {
    let mut largest = 0;
    let mut bad = Vec::new();
    for frame in unwind::frames(image)? {
        if image
            .section_at(frame.rva)
            .is_some_and(|s| s.off_the_io_path())
        {
            continue;
        }
        largest = largest.max(frame.bytes);
        if frame.bytes > MAX_FRAME {
            bad.push(format!(
                "function at {:#x} takes {} bytes of stack",
                frame.rva, frame.bytes
            ));
        }
    }
    verdict(bad, format!("largest frame {largest} bytes"))
}

fn init(image: &Image, _: &Context) -> Result<Verdict> {
    let entry = image.optional().address_of_entry_point.get(LE);
    let Some(section) = image.section_at(entry) else {
        return Ok(Verdict::Fail(vec![format!(
            "entry point {entry:#x} lies in no section"
        )]));
    };
    let mut bad = Vec::new();
    if !section.name.starts_with("INIT") {
        bad.push(format!(
            "entry point {entry:#x} lies in {}, not in INIT",
            section.name
        ));
    }
    for s in image.sections.iter().filter(|s| s.name.starts_with("INIT")) {
        if !s.has(pe::IMAGE_SCN_MEM_DISCARDABLE) {
            bad.push(format!("section {} is not discardable", s.name));
        }
    }
    verdict(bad, format!("entry point {entry:#x} in {}", section.name))
}
