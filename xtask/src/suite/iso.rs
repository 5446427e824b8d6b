//! The ISO: every file under its Joliet and its Rock Ridge name with the pack's bytes, read by another program than wrote it.

mod answer_file;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use driver_catalog::Catalog;
use serde_json::Value;

use super::{Context, Outcome};
use winpv::drivers::{Arch, DRIVERS, Driver};
use winpv::inf;
use winpv::iso::{self, Entry, layout};
use winpv::pack::MANIFEST;
use winpv::process::Run;
use winpv::version::{Epoch, Version};

/// A sector of a medium, in bytes. ECMA-119 §6.1.2
const SECTOR: usize = 2048;

/// Every check on the ISO of the pack.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let dist = &context.dist;
    let manifest: Value = serde_json::from_str(&fs::read_to_string(dist.join(MANIFEST))?)?;
    let entries = entries(&manifest)?;
    let name = manifest["iso"]["path"].as_str().context("no ISO named")?;
    let file = dist.join(name);
    let mut outcomes = vec![
        Outcome::of(
            "holds what the pack has for users, and nothing else",
            || {
                let found = files(dist)?;
                let wanted = layout::layout(
                    &found
                        .into_iter()
                        .filter(|path| path != name)
                        .collect::<Vec<_>>(),
                )?;
                let wanted: Vec<&Entry> = wanted
                    .iter()
                    .filter(|entry| entry.from != "SHA256SUMS")
                    .collect();
                ensure!(entries.iter().eq(wanted), "the manifest has {entries:?}");
                Ok(())
            },
        ),
        Outcome::of(
            "each file has its Rock Ridge and its Joliet name, and the pack's bytes (isoinfo)",
            || check(&file, dist, &entries),
        ),
        Outcome::of("names of plain ISO 9660: none is lost (isoinfo)", || {
            let plain = listing(&file, None)?.len();
            ensure!(plain == entries.len(), "{plain} of {}", entries.len());
            Ok(())
        }),
        Outcome::of("a missing file and a changed byte are noticed", || {
            mutations(&file, dist, &entries)
        }),
        Outcome::of("one folder has all that Windows Setup is to load", || {
            boot(dist, &entries)
        }),
        Outcome::of(
            "autounattend.xml names that folder, for each processor",
            || {
                let file = dist.join("examples/autounattend.xml");
                answer_file::check(&fs::read_to_string(file)?, &entries)
            },
        ),
        Outcome::of(
            "autounattend.xml: each part that Setup needs is missed",
            || {
                let file = dist.join("examples/autounattend.xml");
                answer_file::mutations(&fs::read_to_string(file)?, &entries)
            },
        ),
    ];
    for driver in DRIVERS {
        let Some((other, names)) = driver.compatible().zip(driver.compatible) else {
            continue;
        };
        outcomes.push(Outcome::of(
            format!(
                "{} is a package of its own, in each folder that others look in",
                other.name
            ),
            || compatible(dist, driver, &other, names.folder, &entries),
        ));
    }
    Ok(outcomes)
}

/// What the manifest says lies on the ISO.
fn entries(manifest: &Value) -> Result<Vec<Entry>> {
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .context("a file without a path")
    };
    manifest["iso"]["files"]
        .as_array()
        .context("the manifest has no files for the ISO")?
        .iter()
        .map(|file| {
            Ok(Entry {
                path: text(&file["path"])?,
                from: text(&file["from"])?,
            })
        })
        .collect()
}

/// Where a file lies in the ISO, and its length in bytes.
type Extent = (usize, usize);

/// Files of the ISO by path, as isoinfo lists them: by `-R` or `-J` names, or by plain ones.
fn listing(iso: &Path, names: Option<&str>) -> Result<BTreeMap<String, Extent>> {
    let output = Run::new("isoinfo")
        .args(names)
        .args(["-l", "-i"])
        .arg(iso)
        .ok()?;
    let mut files = BTreeMap::new();
    let mut folder = "";
    for line in output.stdout.lines() {
        if let Some(path) = line.strip_prefix("Directory listing of /") {
            folder = path;
            continue;
        }
        // Mode, links, owner, group, size, date, [ sector flags ], name.
        let Some((left, right)) = line.split_once('[') else {
            continue;
        };
        let (place, name) = right.split_once(']').with_context(|| line.to_owned())?;
        if left.starts_with('d') {
            continue;
        }
        let number = |text: Option<&str>| {
            text.and_then(|text| text.parse().ok())
                .with_context(|| line.to_owned())
        };
        let sector: usize = number(place.split_whitespace().next())?;
        let size: usize = number(left.split_whitespace().nth(4))?;
        files.insert(format!("{folder}{}", name.trim()), (sector * SECTOR, size));
    }
    Ok(files)
}

/// Each entry is there under both names, nothing else is, and the bytes are those of the pack's file.
fn check(iso: &Path, dist: &Path, entries: &[Entry]) -> Result<()> {
    let image = fs::read(iso)?;
    for names in ["-R", "-J"] {
        let mut found = listing(iso, Some(names))?;
        for Entry { path, from } in entries {
            let (at, size) = found
                .remove(path)
                .with_context(|| format!("{names}: {path} is missing"))?;
            let bytes = image
                .get(at..at + size)
                .with_context(|| format!("{path} lies outside"))?;
            ensure!(
                bytes == fs::read(dist.join(from))?,
                "{names}: {path} is not {from}"
            );
        }
        ensure!(found.is_empty(), "{names}: also there: {:?}", found.keys());
    }
    Ok(())
}

/// ISOs that lack a file or have another byte must be refused by [`check`].
fn mutations(iso: &Path, dist: &Path, entries: &[Entry]) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (epoch, version) = (Epoch(1_700_000_000), Version([0, 0, 1, 0]));
    for entry in entries.iter().step_by(7) {
        fs::create_dir_all(
            scratch
                .path()
                .join(&entry.from)
                .parent()
                .context("a folder")?,
        )?;
        fs::copy(dist.join(&entry.from), scratch.path().join(&entry.from))?;
    }
    let some: Vec<Entry> = entries.iter().step_by(7).cloned().collect();
    iso::write(scratch.path(), &some, version, epoch)?;
    let made = scratch.path().join(iso::file_name(version));
    check(&made, dist, &some)?;
    iso::write(scratch.path(), &some[1..], version, epoch)?;
    ensure!(
        check(&made, dist, &some).is_err(),
        "nobody missed {}",
        some[0].path
    );

    let (at, size) = *listing(iso, Some("-R"))?
        .get("README.txt")
        .context("no README.txt")?;
    let mut image = fs::read(iso)?;
    image[at + size / 2] ^= 1;
    fs::write(&made, image)?;
    ensure!(
        check(&made, dist, entries).is_err(),
        "nobody saw a changed byte"
    );
    Ok(())
}

/// The names of the files in one folder of the ISO, and where they come from.
fn folder<'a>(entries: &'a [Entry], folder: &str) -> BTreeMap<&'a str, &'a str> {
    entries
        .iter()
        .filter_map(|entry| {
            let name = entry.path.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/')).then_some((name, entry.from.as_str()))
        })
        .collect()
}

/// A folder holds this package whole: by the rules for INF files and by its own catalog.
fn complete(dist: &Path, files: &BTreeMap<&str, &str>, driver: &Driver, arch: Arch) -> Result<()> {
    let read = |name: String| -> Result<Vec<u8>> {
        let from = files
            .get(name.as_str())
            .with_context(|| format!("{name} is missing"))?;
        Ok(fs::read(dist.join(from))?)
    };
    let text = read(format!("{}.inf", driver.name))?;
    let names: Vec<&str> = files.keys().copied().collect();
    let problems = inf::lint(&String::from_utf8(text.clone())?, driver, arch, &names);
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    let catalog = Catalog::parse(&read(format!("{}.cat", driver.name))?)?;
    catalog.check(&format!("{}.inf", driver.name), &text)?;
    let sys = format!("{}.sys", driver.name);
    catalog.check(&sys, &read(sys.clone())?)?;
    Ok(())
}

/// Every boot driver lies whole in the folder of its processor, which has nothing below it to browse to.
fn boot(dist: &Path, entries: &[Entry]) -> Result<()> {
    for arch in Arch::ALL {
        let place = format!("{}/{arch}", layout::BOOT);
        let files = folder(entries, &place);
        for driver in DRIVERS.iter().filter(|driver| driver.boot_start) {
            complete(dist, &files, driver, arch).with_context(|| place.clone())?;
        }
        let all = entries
            .iter()
            .filter(|entry| entry.path.starts_with(&format!("{place}/")));
        ensure!(all.count() == files.len(), "{place} is not flat");
    }
    Ok(())
}

/// The package with the other name: whole in each folder, and the .sys and the INF know no other name.
fn compatible(
    dist: &Path,
    driver: &Driver,
    other: &Driver,
    names: &str,
    entries: &[Entry],
) -> Result<()> {
    for (system, archs) in layout::SYSTEMS {
        for &arch in archs {
            let mut places = vec![format!("{names}/{system}/{}", layout::spelling(arch))];
            if arch == Arch::Amd64 {
                places.push(format!("{}/{system}", layout::spelling(arch)));
            }
            for place in places {
                complete(dist, &folder(entries, &place), other, arch)
                    .with_context(|| place.clone())?;
            }
        }
    }
    for arch in Arch::ALL {
        let sys = fs::read(dist.join(other.file(arch, "sys")))?;
        for (name, wanted) in [(other.name, true), (driver.name, false)] {
            // OriginalFilename in the version resource, the name of the symbols in the debug directory.
            let wide: Vec<u8> = format!("{name}.sys")
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect();
            let symbols = format!("{name}.pdb");
            let has = |bytes: &[u8]| sys.windows(bytes.len()).any(|window| window == bytes);
            ensure!(has(&wide) == wanted, "{arch}: OriginalFilename {name}.sys");
            ensure!(
                has(symbols.as_bytes()) == wanted,
                "{arch}: symbols {symbols}"
            );
        }
        let inf = fs::read_to_string(dist.join(other.file(arch, "inf")))?;
        ensure!(
            !inf.contains(driver.name),
            "{arch}: the INF says {}",
            driver.name
        );
    }
    Ok(())
}

/// Every file below a folder, by relative path, sorted.
fn files(base: &Path) -> Result<Vec<String>> {
    let mut found = super::dist::files(base, base)?;
    found.sort();
    Ok(found)
}
