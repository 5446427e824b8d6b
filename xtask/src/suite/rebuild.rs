//! The pack from another folder, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::{Context, Outcome};
use winpv::keys::Keys;
use winpv::pack::{self, Options};
use winpv::process::Run;
use winpv::sign::Signer;
use winpv::version::Epoch;

/// Copies the source to another folder, packs it there with the same key and date, and compares every file.
pub fn two_folders(context: &Context) -> Result<Vec<Outcome>> {
    let other = tempfile::Builder::new()
        .prefix("winpv-elsewhere-")
        .tempdir()?;
    let source = other
        .path()
        .join("a folder of another name and depth/source");
    copy_source(&context.root, &source)?;
    let signer = Signer::test(&Keys::open(&context.root.join(".keys"))?)?;
    let out = source.join("dist");
    pack::pack(&Options {
        root: &source,
        out: &out,
        target_dir: &source.join("target"),
        signer: &signer,
        epoch: Epoch::find(&context.root)?,
        progress: &winpv::progress::Progress::silent(),
    })?;
    let (here, there) = (read(&context.dist)?, read(&out)?);
    let mut outcomes = Vec::new();
    for path in here
        .keys()
        .chain(there.keys().filter(|path| !here.contains_key(*path)))
    {
        outcomes.push(Outcome::of(path.clone(), || {
            match (here.get(path), there.get(path)) {
                (Some(a), Some(b)) => match a.iter().zip(b).position(|(a, b)| a != b) {
                    None if a.len() == b.len() => Ok(()),
                    None => bail!("{} bytes here, {} bytes there", a.len(), b.len()),
                    Some(at) => bail!("differs from byte {at:#x} on"),
                },
                (Some(_), None) => bail!("was not made there"),
                _ => bail!("was not made here"),
            }
        }));
    }
    Ok(outcomes)
}

/// Copies what git tracks or would track, which leaves out everything that was built.
fn copy_source(root: &Path, to: &Path) -> Result<()> {
    let list = Run::new("git")
        .dir(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .ok()
        .context("the source cannot be listed: run the tests in a git clone")?;
    for path in list.stdout.split_terminator('\0') {
        let (from, to) = (root.join(path), to.join(path));
        // A file that was deleted but not yet committed is still listed.
        if !from.is_file() {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Every file below a folder, by relative path.
fn read(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    fn walk(base: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
        for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                walk(base, &path, files)?;
            } else {
                files.insert(
                    path.strip_prefix(base)?.to_string_lossy().into_owned(),
                    fs::read(&path)?,
                );
            }
        }
        Ok(())
    }
    let mut files = BTreeMap::new();
    walk(dir, dir, &mut files)?;
    Ok(files)
}
