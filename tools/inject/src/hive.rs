//! A registry hive in a file, read and edited by hivex.
//!
//! The programs of libhivex-bin are used instead of a parser of ours: libguestfs and virt-v2v have edited the hives of
//! Windows guests with hivex since 2009.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use winpv_process::Run;

use crate::refusal::Refusal;
use crate::registry::{Edit, Value, parse_values, reg_text, removal_text};

/// A copy of a hive, outside the image.
pub struct Hive {
    file: PathBuf,
}

impl Hive {
    /// Opens a copy of the hive `name`.
    ///
    /// # Errors
    ///
    /// The file is no hive, or changes that Windows has only in its log files are missing in it.
    pub fn open(file: impl Into<PathBuf>, name: &str) -> Result<Hive> {
        let file = file.into();
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        check_base_block(&bytes, name)?;
        Ok(Hive { file })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All values of a key; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// hivex cannot read the hive.
    pub fn values(&self, key: &str) -> Result<Option<Vec<(String, Value)>>> {
        let output = Run::new("hivexget")
            .env("LC_ALL", "C.UTF-8")
            .arg(&self.file)
            .arg(format!("\\{key}"))
            .output()?;
        if output.status.success() {
            return parse_values(&output.stdout)
                .with_context(|| format!("cannot read what hivexget says of {key}"))
                .map(Some);
        }
        if output.stderr.contains("not found") {
            return Ok(None);
        }
        bail!("hivexget cannot read {key}: {}", output.stderr.trim())
    }

    /// One value, if it is there. Names are compared as Windows does, without regard to case.
    ///
    /// # Errors
    ///
    /// As [`Hive::values`].
    pub fn value(&self, key: &str, name: &str) -> Result<Option<Value>> {
        let values = self.values(key)?.unwrap_or_default();
        Ok(values
            .into_iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value))
    }

    /// The text of a value, if it is there and is text.
    ///
    /// # Errors
    ///
    /// As [`Hive::values`].
    pub fn text(&self, key: &str, name: &str) -> Result<Option<String>> {
        Ok(match self.value(key, name)? {
            Some(Value::String(text) | Value::Expand(text)) => Some(text),
            _ => None,
        })
    }

    /// The names of a key's subkeys; none if there is no such key.
    ///
    /// # Errors
    ///
    /// hivex cannot read the hive.
    pub fn subkeys(&self, key: &str) -> Result<Vec<String>> {
        let script = self.file.with_extension("script");
        fs::write(&script, format!("cd \\{key}\nls\n"))?;
        let output = Run::new("hivexsh")
            .env("LC_ALL", "C.UTF-8")
            .arg("-f")
            .arg(&script)
            .arg(&self.file)
            .output()?;
        if output.status.success() {
            return Ok(output.stdout.lines().map(str::to_owned).collect());
        }
        if output.stderr.contains("not found") {
            return Ok(Vec::new());
        }
        bail!("hivexsh cannot list {key}: {}", output.stderr.trim())
    }

    /// Keeps only the edits that would change something.
    ///
    /// # Errors
    ///
    /// As [`Hive::values`].
    pub fn missing(&self, edits: Vec<Edit>) -> Result<Vec<Edit>> {
        let mut missing = Vec::new();
        for edit in edits {
            if self.value(&edit.key, &edit.name)?.as_ref() != Some(&edit.value) {
                missing.push(edit);
            }
        }
        Ok(missing)
    }

    /// Removes keys with all below them, and looks that they are gone.
    ///
    /// # Errors
    ///
    /// hivex fails, or a key is still there.
    pub fn remove(&self, keys: &[String]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.run_script(&removal_text(keys))?;
        for key in keys {
            ensure!(
                self.values(key)?.is_none(),
                "{}: {key} is still there after it was removed",
                self.file.display()
            );
        }
        Ok(())
    }

    fn run_script(&self, text: &str) -> Result<()> {
        let script = self.file.with_extension("reg");
        fs::write(&script, text)?;
        Run::new("hivexregedit")
            .env("LC_ALL", "C.UTF-8")
            .arg("--merge")
            .arg(&self.file)
            .arg(&script)
            .ok()
            .map(|_| ())
    }

    /// Makes the edits and reads every one of them back.
    ///
    /// # Errors
    ///
    /// hivex fails, or what it wrote is not what was asked for.
    pub fn merge(&self, edits: &[Edit]) -> Result<()> {
        if edits.is_empty() {
            return Ok(());
        }
        self.run_script(&reg_text(edits))?;
        for edit in edits {
            let found = self.value(&edit.key, &edit.name)?;
            ensure!(
                found.as_ref() == Some(&edit.value),
                "{}: {:?} of {} is {found:?} after it was set to {}",
                self.file.display(),
                edit.name,
                edit.key,
                edit.value
            );
        }
        Ok(())
    }
}

/// Base block of a hive: signature "regf", primary and secondary sequence number, checksum at 508 (the XOR of the 127 words
/// before it). If the numbers differ or the checksum is wrong, Windows completes the hive from its log files at the next
/// boot, and an edit made now would mix with theirs; otherwise it ignores the log files (msuhanov/regf, "Windows registry
/// file format specification", "Dirty state of a hive").
fn check_base_block(bytes: &[u8], name: &str) -> Result<(), Refusal> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    };
    let damaged = || Refusal::HiveDamaged(name.to_owned());
    if bytes.get(..4) != Some(b"regf") {
        return Err(damaged());
    }
    let (primary, secondary) = (word(4).ok_or_else(damaged)?, word(8).ok_or_else(damaged)?);
    let mut sum = 0;
    for at in (0..508).step_by(4) {
        sum ^= word(at).ok_or_else(damaged)?;
    }
    // 0 and all ones are stored as their neighbours (the same specification).
    let sum = match sum {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        other => other,
    };
    if primary != secondary || word(508) != Some(sum) {
        return Err(Refusal::HiveDirty(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
