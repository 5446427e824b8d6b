//! The pack: complete, as the manifest says, fit for Windows, and signed so that every changed byte shows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use driver_catalog::Catalog;

use super::{Context, Outcome, bill};
use winpv::drivers::{self, Arch, Driver};
use winpv::inf::{self, Inf};
use winpv::pack::MANIFEST;
use winpv::process::Run;
use winpv::sign;

/// Longest driver file: code that grows without need shows.
const MOST_BYTES: u64 = 96 << 10;

/// Files, checksums, manifest, INF.
pub fn pack(context: &Context) -> Result<Vec<Outcome>> {
    let dist = &context.dist;
    let mut outcomes = vec![
        Outcome::of(
            "manifest.json says for each package which devices and Windows it is for",
            || described(dist),
        ),
        Outcome::of("sbom.cdx.json names every program and its digest", || {
            bill::complete(dist)
        }),
    ];
    for (driver, arch, package) in packages(dist) {
        outcomes.push(Outcome::of(
            format!(
                "{} {arch}: signed, not over {MOST_BYTES} bytes",
                driver.name
            ),
            || {
                let bytes = fs::metadata(package.sys())?.len();
                ensure!(bytes <= MOST_BYTES, "it has {bytes}");
                Ok(())
            },
        ));
        outcomes.push(Outcome::of(format!("{} {arch}: INF", driver.name), || {
            let text = fs::read_to_string(package.inf())?;
            let files = package.files()?;
            let problems = inf::lint(
                &text,
                &driver,
                arch,
                &files.iter().map(String::as_str).collect::<Vec<_>>(),
            );
            ensure!(problems.is_empty(), "{}", problems.join("\n"));
            Ok(())
        }));
        outcomes.push(Outcome::of(
            format!("{} {arch}: symbols belong to the .sys", driver.name),
            || {
                let pdb = dist.join(driver.symbols(arch));
                symbols(&fs::read(package.sys())?, &fs::read(pdb)?, driver.name)
            },
        ));
    }
    Ok(outcomes)
}

/// Signatures and catalogs as another program sees them than `verify`, which has a step of its own.
pub fn signatures(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let root = scratch.path().join("root.pem");
    // The certificate that is shipped, not the one in .keys.
    Run::new("openssl")
        .args(["x509", "-inform", "DER", "-in"])
        .arg(context.dist.join("cert/winpv-test-root.cer"))
        .arg("-out")
        .arg(&root)
        .ok()?;
    let mut outcomes = Vec::new();
    for (driver, arch, package) in packages(&context.dist) {
        let mut test = |what: &str, check: &dyn Fn() -> Result<()>| {
            outcomes.push(Outcome::of(
                format!("{} {arch}: {what}", driver.name),
                check,
            ));
        };
        let work = scratch.path().join(format!("{}-{arch}", driver.name));
        fs::create_dir(&work)?;
        let flipped = |from: &Path, at: usize| flip(from, &work, at);
        let (sys, cat) = (package.sys(), package.cat());
        test(
            ".sys carries a good signature with page hashes (osslsigncode)",
            &|| {
                let output = sign::verify(&root, &sys)?;
                ensure!(output.status.success(), "{}", output.text());
                ensure!(
                    output.stdout.contains("Page hash"),
                    "no page hashes:\n{}",
                    output.stdout
                );
                Ok(())
            },
        );
        test(".sys is in the catalog (osslsigncode)", &|| {
            accepted(sign::verify_by_catalog(&root, &cat, &sys)?)
        });
        test(".cat carries a good signature (osslsigncode)", &|| {
            accepted(sign::verify(&root, &cat)?)
        });
        test(
            "flipped byte in .sys breaks its signature (osslsigncode)",
            &|| refused(sign::verify(&root, &flipped(&sys, CODE)?)?),
        );
        test(
            "flipped byte in .sys takes it out of the catalog (osslsigncode)",
            &|| refused(sign::verify_by_catalog(&root, &cat, &flipped(&sys, CODE)?)?),
        );
    }
    Ok(outcomes)
}

/// A byte in the first section, after the headers.
const CODE: usize = 0x480;

struct Package<'a> {
    dist: &'a Path,
    driver: Driver,
    arch: Arch,
}

impl Package<'_> {
    fn file(&self, extension: &str) -> PathBuf {
        self.dist.join(self.driver.file(self.arch, extension))
    }

    fn sys(&self) -> PathBuf {
        self.file("sys")
    }

    fn inf(&self) -> PathBuf {
        self.file("inf")
    }

    fn cat(&self) -> PathBuf {
        self.file("cat")
    }

    fn files(&self) -> Result<Vec<String>> {
        fs::read_dir(self.dist.join(self.driver.folder(self.arch)))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }
}

fn packages(dist: &Path) -> Vec<(Driver, Arch, Package<'_>)> {
    let mut packages = Vec::new();
    for driver in drivers::packages() {
        for arch in Arch::ALL {
            packages.push((driver, arch, Package { dist, driver, arch }));
        }
    }
    packages
}

fn accepted(output: winpv::process::Output) -> Result<()> {
    ensure!(output.status.success(), "{}", output.text());
    Ok(())
}

fn refused(output: winpv::process::Output) -> Result<()> {
    ensure!(!output.status.success(), "accepted:\n{}", output.text());
    Ok(())
}

/// A copy with one byte flipped.
fn flip(from: &Path, dir: &Path, at: usize) -> Result<PathBuf> {
    let mut bytes = fs::read(from)?;
    *bytes
        .get_mut(at)
        .with_context(|| format!("{} has no byte {at}", from.display()))? ^= 1;
    let path = dir.join(from.file_name().context("no file name")?);
    fs::write(&path, bytes)?;
    Ok(path)
}

/// What the manifest says of each package agrees with the package's own files.
fn described(dist: &Path) -> Result<()> {
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dist.join(MANIFEST))?)?;
    let listed = manifest["packages"].as_array().context("no packages")?;
    let all = packages(dist);
    ensure!(listed.len() == all.len(), "{} packages", listed.len());
    for (driver, arch, package) in all {
        let path = driver.file(arch, "sys");
        let entry = listed
            .iter()
            .find(|entry| entry["driver"] == path)
            .with_context(|| path.clone())?;
        let catalog = Catalog::parse(&fs::read(package.cat())?)?;
        let ids: Vec<String> = entry["hardware_ids"]
            .as_array()
            .context("no hardware ids")?
            .iter()
            .filter_map(|id| Some(id.as_str()?.to_lowercase()))
            .collect();
        ensure!(ids == catalog.hardware_ids(), "{path}: {ids:?}");
        let inf = Inf::parse(&fs::read(package.inf())?);
        let stamp = inf
            .section("Version")
            .and_then(|section| section.all("DriverVer").next());
        let version = stamp
            .and_then(|entry| entry.value(1))
            .context("no DriverVer")?;
        ensure!(entry["version"] == version.text.as_str(), "{path}: version");
        // The models' decorations end with the first build that they are for.
        let first = inf
            .sections
            .iter()
            .filter_map(|section| {
                section
                    .name
                    .strip_prefix("Models.")?
                    .rsplit('.')
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .min()
            .context("no build number in the INF")?;
        let ranges = entry["windows"].as_array().context("no Windows")?;
        ensure!(!ranges.is_empty(), "{path}: for no Windows");
        for range in ranges {
            let (from, to) = (range["first_build"].as_u64(), range["last_build"].as_u64());
            ensure!(from == Some(first) && from < to, "{path}: {range}");
        }
    }
    Ok(())
}

/// Every file below `dir`: paths from `base` on.
pub(super) fn files(base: &Path, dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(base, &path)?);
        } else {
            found.push(path.strip_prefix(base)?.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// The CodeView record of the .sys names the PDB by file name only and carries the PDB's GUID.
fn symbols(sys: &[u8], pdb: &[u8], name: &str) -> Result<()> {
    let at = sys
        .windows(4)
        .position(|window| window == b"RSDS")
        .context("the .sys has no CodeView record")?;
    let guid = sys.get(at + 4..at + 20).context("cut off")?;
    let path = sys
        .get(at + 24..)
        .and_then(|rest| rest.split(|&byte| byte == 0).next())
        .unwrap_or_default();
    ensure!(
        path == format!("{name}.pdb").as_bytes(),
        "the .sys names {}",
        String::from_utf8_lossy(path)
    );
    ensure!(
        pdb.windows(16).any(|window| window == guid),
        "the PDB does not hold the GUID of the .sys"
    );
    Ok(())
}
