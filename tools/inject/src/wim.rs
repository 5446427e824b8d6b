//! WIM files, by wimlib-imagex.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use winpv_process::Run;

use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::windows::{BootStores, Tree};

/// For commands that read or write a whole WIM of several gigabytes.
const LONG: Duration = Duration::from_secs(3600);

/// Length of the header.
pub const HEADER: u64 = 208;
/// FLAG_HEADER_READONLY, FLAG_HEADER_WRITE_IN_PROGRESS and the version of a WIM with solid compression
/// (MS: "Windows Imaging File Format (WIM)", WIMHEADER_V1_PACKED; the version of an ESD: wimlib, `include/wimlib/header.h`).
const READ_ONLY: u32 = 0x4;
const WRITE_IN_PROGRESS: u32 = 0x40;
const SOLID: u32 = 0x0e00;

/// Which images of a WIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Every one.
    All,
    /// This one; the first is 1.
    One(u32),
}

impl std::str::FromStr for Index {
    type Err = String;

    fn from_str(text: &str) -> Result<Index, String> {
        match text.parse() {
            _ if text == "all" => Ok(Index::All),
            Ok(number) if number > 0 => Ok(Index::One(number)),
            _ => Err("a number from 1, or `all`".to_owned()),
        }
    }
}

/// The fields of the header that decide whether a WIM can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    version: u32,
    flags: u32,
    part: u16,
    parts: u16,
    /// How many images it has.
    pub images: u32,
}

impl Header {
    /// Reads the header; `None` if the file is no WIM.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; 208] = bytes.get(..208)?.try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]));
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        // MS: "Windows Imaging File Format (WIM)": ImageTag, cbSize, dwVersion, dwFlags, dwCompressionSize, gWIMGuid,
        // usPartNumber, usTotalParts, dwImageCount.
        bytes.starts_with(b"MSWIM\0\0\0").then(|| Header {
            version: word(12),
            flags: word(16),
            part: half(40),
            parts: half(42),
            images: word(44),
        })
    }

    /// Refuses what cannot be changed in place.
    ///
    /// # Errors
    ///
    /// Split, solid, read-only, or being written.
    pub fn check(&self, name: &str) -> Result<(), Refusal> {
        if self.parts > 1 {
            return Err(Refusal::SplitWim {
                part: self.part,
                parts: self.parts,
                name: name.to_owned(),
            });
        }
        if self.version == SOLID {
            return Err(Refusal::Esd);
        }
        if self.flags & WRITE_IN_PROGRESS != 0 {
            return Err(Refusal::WimInProgress);
        }
        if self.flags & READ_ONLY != 0 {
            return Err(Refusal::WimReadOnly);
        }
        Ok(())
    }

    /// The numbers of the images that are asked for.
    ///
    /// # Errors
    ///
    /// There is no such image.
    pub fn select(&self, index: Index) -> Result<Vec<u32>, Refusal> {
        match index {
            Index::All => Ok((1..=self.images).collect()),
            Index::One(index) if index <= self.images => Ok(vec![index]),
            Index::One(index) => Err(Refusal::NoSuchIndex {
                index,
                images: self.images,
            }),
        }
    }
}

/// wimlib-imagex with what all its uses have in common.
fn wimlib() -> Run {
    Run::new("wimlib-imagex")
        // Windows does not tell `System32` from `system32`.
        .env("WIMLIB_IMAGEX_IGNORE_CASE", "1")
        .env("LC_ALL", "C.UTF-8")
        .deadline(LONG)
}

/// Reads all of the WIM and compares checksums.
///
/// # Errors
///
/// Something does not match.
pub fn verify(wim: &Path) -> Result<()> {
    let output = wimlib().arg("verify").arg(wim).output()?;
    if !output.status.success() {
        let text = output.stderr.trim();
        return Err(Refusal::WimDamaged(text.to_owned()).into());
    }
    Ok(())
}

/// One image of a WIM.
pub struct WimImage<'a> {
    /// The file.
    pub wim: &'a Path,
    /// Which image of it.
    pub index: u32,
}

impl Tree for WimImage<'_> {
    fn name(&self) -> String {
        format!("image {}", self.index)
    }

    fn system_root(&self) -> String {
        "Windows".to_owned()
    }

    fn fetch(&mut self, path: &str, to: &Path) -> Result<bool> {
        // One file at a time into an empty folder: wimlib keeps the file's own name.
        let folder = tempfile::tempdir_in(to.parent().context("no folder to copy to")?)?;
        let output = wimlib()
            .arg("extract")
            .arg(self.wim)
            .arg(self.index.to_string())
            .arg(format!("/{path}"))
            .args(["--no-acls", "--no-attributes"])
            .arg("--dest-dir")
            .arg(folder.path())
            .output()?;
        if !output.status.success() {
            // WIMLIB_ERR_PATH_DOES_NOT_EXIST
            if output.stderr.contains("does not exist") {
                return Ok(false);
            }
            bail!("wimlib cannot read {path}: {}", output.stderr.trim());
        }
        let files: Vec<_> = fs::read_dir(folder.path())?.collect::<Result<_, _>>()?;
        let [file] = files.as_slice() else {
            bail!("wimlib extracted {} files for {path}", files.len());
        };
        ensure!(file.file_type()?.is_file(), "{path} is not a file");
        fs::rename(file.path(), to)?;
        Ok(true)
    }

    fn boot_stores(&mut self, _: &Path) -> Result<Option<BootStores>> {
        // The BCD lies beside the WIM on the medium, or on the disk that the WIM is applied to.
        Ok(None)
    }
}

/// Carries a plan out in a copy of the WIM, then reads everything back.
///
/// # Errors
///
/// wimlib fails, or what is read back is not what was written.
pub fn apply(wim: &Path, index: u32, plan: &Plan, scratch: &Path) -> Result<()> {
    plan.edit_hives()?;
    let files = plan.files.iter().map(|file| (&file.local, &file.path));
    let hives = plan.hives.iter().map(|hive| (hive.hive.file(), &hive.path));
    let all: Vec<(PathBuf, &String)> = files
        .map(|(local, path)| (local.clone(), path))
        .chain(hives.map(|(local, path)| (local.to_owned(), path)))
        .collect();
    let mut commands = String::new();
    for (local, path) in &all {
        commands.push_str(&format!("add '{}' '/{path}'\n", local.display()));
    }
    let script = scratch.join("commands");
    fs::write(&script, commands)?;
    wimlib()
        .arg("update")
        .arg(wim)
        .arg(index.to_string())
        .stdin(&script)?
        .ok()?;
    let mut image = WimImage { wim, index };
    let back = scratch.join("back");
    for (local, path) in &all {
        ensure!(
            image.fetch(path, &back)? && fs::read(&back)? == fs::read(local)?,
            "{path} is not in image {index} as it was written"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
