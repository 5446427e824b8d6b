//! The instructions of a driver and the source lines that they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use iced_x86::{Decoder, DecoderOptions};
use object::read::pe::PeFile64;
use object::{LittleEndian as LE, Object, ObjectSection};
use pdb_addr2line::{ContextPdbData, pdb};

/// Where the build maps the repository to, so that no PDB depends on the folder that it was built in (docs/building.md).
const SOURCES: &str = "/src/";

// The marks of nt-host's `--coverage` (host_machine::coverage).
const AWAITED: u8 = b'i';
const EXECUTED: u8 = b'x';

/// A file and a line in it, counted from 1.
type Line = (u32, u32);

/// The executed state of each line that has code, by file (relative to the repository) and line.
pub type Lines = BTreeMap<String, BTreeMap<u32, bool>>;

/// The instructions of a driver.
pub struct Code {
    /// Bytes of the driver in memory, in whole pages.
    size: usize,
    files: Vec<String>,
    /// The lines of each instruction, by its offset from the image's start.
    instructions: BTreeMap<u32, Vec<Line>>,
}

impl Code {
    /// Reads a driver and its PDB.
    ///
    /// # Errors
    /// One of the two cannot be read, they do not belong together, or a function does not decode.
    pub fn read(sys: &Path, symbols: &Path) -> Result<Self> {
        let bytes = fs::read(sys).with_context(|| format!("cannot read {}", sys.display()))?;
        let image = PeFile64::parse(&*bytes)
            .with_context(|| format!("{} is not a 64-bit driver", sys.display()))?;
        let file =
            File::open(symbols).with_context(|| format!("cannot open {}", symbols.display()))?;
        let mut pdb =
            pdb::PDB::open(file).with_context(|| format!("{} is not a PDB", symbols.display()))?;
        let named = image
            .pdb_info()?
            .with_context(|| format!("{} names no PDB", sys.display()))?;
        ensure!(
            named.guid() == pdb.pdb_information()?.guid.to_bytes_le(),
            "{} is the PDB of another build than {}: pack again",
            symbols.display(),
            sys.display()
        );
        let data = ContextPdbData::try_from_pdb(pdb)?;
        let context = data.make_context()?;
        let size = image.nt_headers().optional_header.size_of_image.get(LE);
        let mut code = Self {
            size: (size as usize).next_multiple_of(4096),
            files: Vec::new(),
            instructions: BTreeMap::new(),
        };
        let mut numbers = BTreeMap::new();
        for function in context.functions() {
            let name = function.name.unwrap_or_default();
            let Some(end) = function.end_rva else {
                continue;
            };
            let bytes = at(&image, function.start_rva, end)
                .with_context(|| format!("{name} lies outside the file"))?;
            for rva in starts(bytes, function.start_rva)
                .with_context(|| format!("{name} of {}", sys.display()))?
            {
                let mut lines = BTreeSet::new();
                let found = context.find_frames(rva)?;
                for frame in found.iter().flat_map(|found| &found.frames) {
                    let (Some(file), Some(line @ 1..)) = (&frame.file, frame.line) else {
                        continue;
                    };
                    let Some(file) = file.strip_prefix(SOURCES) else {
                        continue;
                    };
                    let number = *numbers.entry(file.to_owned()).or_insert_with(|| {
                        code.files.push(file.to_owned());
                        code.files.len() as u32 - 1
                    });
                    lines.insert((number, line));
                }
                code.instructions.insert(rva, lines.into_iter().collect());
            }
        }
        ensure!(
            !code.files.is_empty(),
            "{} names no source of this repository",
            symbols.display()
        );
        Ok(code)
    }

    /// A map in which nothing is executed yet.
    #[must_use]
    pub fn map(&self) -> Vec<u8> {
        let mut map = vec![0; self.size];
        for rva in self.instructions.keys() {
            map[*rva as usize] = AWAITED;
        }
        map
    }

    /// The lines that a map shows as executed, and those that it does not.
    ///
    /// # Errors
    /// It is the map of another driver.
    pub fn lines(&self, map: &[u8]) -> Result<Lines> {
        ensure!(
            map.len() == self.size,
            "the coverage map was made for another driver"
        );
        let mut lines = Lines::new();
        for (rva, of) in &self.instructions {
            let executed = match map[*rva as usize] {
                AWAITED => false,
                EXECUTED => true,
                other => bail!("the coverage map has a mark {other:#x} at {rva:#x}"),
            };
            for (file, line) in of {
                let name = &self.files[*file as usize];
                if !lines.contains_key(name) {
                    lines.insert(name.clone(), BTreeMap::new());
                }
                if let Some(file) = lines.get_mut(name) {
                    *file.entry(*line).or_default() |= executed;
                }
            }
        }
        Ok(lines)
    }
}

/// The bytes of an image from one offset to another.
fn at<'a>(image: &PeFile64<'a>, start: u32, end: u32) -> Option<&'a [u8]> {
    let base = image.relative_address_base();
    image.sections().find_map(|section| {
        let section_start = u32::try_from(section.address() - base).ok()?;
        let from = start.checked_sub(section_start)? as usize;
        let data = section.data().ok()?;
        data.get(from..from + end.checked_sub(start)? as usize)
    })
}

/// Where the instructions of a function start.
fn starts(bytes: &[u8], rva: u32) -> Result<Vec<u32>> {
    let decoder = Decoder::with_ip(64, bytes, rva.into(), DecoderOptions::NONE);
    decoder
        .into_iter()
        .map(|instruction| {
            ensure!(
                !instruction.is_invalid(),
                "no instruction at {:#x}",
                instruction.ip()
            );
            Ok(instruction.ip() as u32)
        })
        .collect()
}
