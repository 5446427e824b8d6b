//! The place of a pack: what may be replaced, and how the new pack gets there whole or not at all.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{MANIFEST, NAME};

/// Fails early, and with advice, if the old `dist/` cannot be replaced.
pub fn writable(out: &Path) -> Result<()> {
    let Ok(metadata) = fs::metadata(out) else {
        return Ok(());
    };
    if !metadata.is_dir() {
        bail!(
            "{} is there but is not a folder: move it away",
            out.display()
        );
    }
    // The permission bits are looked at because root may write in spite of them, but was told not to.
    if metadata.permissions().readonly() {
        bail!(
            "{} is read-only: run `chmod u+w {0}`, or choose another folder with --out",
            out.display()
        );
    }
    let empty = fs::read_dir(out)?.next().is_none();
    if !empty && !is_pack(out) {
        bail!(
            "{} holds something other than a pack of WinPV: choose another folder, or empty this one",
            out.display()
        );
    }
    Ok(())
}

/// Whether a folder was made by us, so that it may be replaced.
fn is_pack(dir: &Path) -> bool {
    let manifest = fs::read_to_string(dir.join(MANIFEST)).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap_or_default();
    manifest["name"] == NAME
}

/// Puts the new folder in the old one's place, which is given up only once the new one is there.
pub fn replace(new: &Path, out: &Path) -> Result<()> {
    let parent = new.parent().context("the new pack has no parent folder")?;
    let old = tempfile::Builder::new()
        .prefix(".dist-old-")
        .tempdir_in(parent)?;
    let aside = old.path().join("pack");
    let there = out.exists();
    if there {
        fs::rename(out, &aside)
            .with_context(|| format!("cannot move the old {} aside", out.display()))?;
    }
    let placed = fs::rename(new, out);
    if placed.is_err() && there {
        fs::rename(&aside, out)
            .with_context(|| format!("the old pack is in {} now", old.keep().display()))?;
    }
    placed.with_context(|| format!("cannot put the pack at {}", out.display()))
}
