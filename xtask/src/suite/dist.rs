//! The pack: complete, as the manifest says, fit for Windows, and signed so that every changed byte shows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use driver_catalog::{Catalog, Signature};
use sha2::{Digest, Sha256};

use super::{Context, Outcome, bill};
use winpv::drivers::{self, Arch, Driver};
use winpv::inf::{self, Inf};
use winpv::pack::{MANIFEST, SUMS, hex};
use winpv::process::Run;
use winpv::sign;

/// Longest driver file: code that grows without need shows.
const MOST_BYTES: u64 = 96 << 10;

/// Files, checksums, manifest, INF.
pub fn pack(context: &Context) -> Result<Vec<Outcome>> {
    let dist = &context.dist;
    let mut outcomes = vec![
        Outcome::of("SHA256SUMS names every file and its digest", || sums(dist)),
        Outcome::of(
            "manifest.json names every file, its size and its digest",
            || manifest(dist),
        ),
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
            format!("{} {arch}: signed, not over {MOST_BYTES} bytes", driver.name),
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
            format!(
                "{} {arch}: INF, catalog and table name the same hardware ids",
                driver.name
            ),
            || {
                let catalog = Catalog::parse(&fs::read(package.cat())?)?;
                let table: Vec<String> = driver
                    .hardware_ids
                    .iter()
                    .map(|id| id.to_lowercase())
                    .collect();
                ensure!(
                    catalog.hardware_ids() == table,
                    "the catalog names {:?}",
                    catalog.hardware_ids()
                );
                let inf = Inf::parse(&fs::read(package.inf())?);
                let models = inf
                    .sections
                    .iter()
                    .filter(|section| section.name.starts_with("Models."));
                for section in models {
                    let ids: Vec<String> = section
                        .entries
                        .iter()
                        .filter_map(|entry| entry.value(1))
                        .map(|id| id.text.to_lowercase())
                        .collect();
                    ensure!(ids == table, "[{}] names {ids:?}", section.name);
                }
                Ok(())
            },
        ));
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

/// Signatures and catalogs, and that one flipped byte is caught.
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
        let (sys, inf, cat) = (package.sys(), package.inf(), package.cat());
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
        test(".inf and .sys are in the catalog (own reader)", &|| {
            let catalog = Catalog::parse(&fs::read(&cat)?)?;
            catalog.check(&format!("{}.inf", driver.name), &fs::read(&inf)?)?;
            catalog.check(&format!("{}.sys", driver.name), &fs::read(&sys)?)?;
            ensure!(catalog.members.len() == 2, "members: {:?}", catalog.members);
            Ok(())
        });
        test(
            "flipped byte in .inf and .sys is caught (own reader)",
            &|| {
                let catalog = Catalog::parse(&fs::read(&cat)?)?;
                for (path, at) in [(&inf, 0), (&inf, fs::read(&inf)?.len() / 2), (&sys, CODE)] {
                    let name = path
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned();
                    let bytes = fs::read(flipped(path, at)?)?;
                    ensure!(
                        catalog.check(&name, &bytes).is_err(),
                        "{name} with byte {at} flipped is accepted"
                    );
                }
                Ok(())
            },
        );
        test(
            "catalog's signature is that of the shipped certificate (openssl)",
            &|| catalog_signature(&fs::read(&cat)?, &root, &work),
        );
        test(
            "flipped byte in .cat is caught (own reader and openssl)",
            &|| {
                let bytes = fs::read(&cat)?;
                // Bytes of the list itself, of the signed attributes and of the signature.
                for at in [
                    bytes.len() / 8,
                    bytes.len() / 4,
                    bytes.len() - 300,
                    bytes.len() - 20,
                ] {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= 1;
                    ensure!(
                        catalog_signature(&damaged, &root, &work).is_err(),
                        "byte {at} flipped, and nobody noticed"
                    );
                }
                Ok(())
            },
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

fn sums(dist: &Path) -> Result<()> {
    let text = fs::read_to_string(dist.join(SUMS))?;
    let mut named = Vec::new();
    for line in text.lines() {
        let (sum, path) = line
            .split_once("  ")
            .with_context(|| format!("line {line:?}"))?;
        let bytes = fs::read(dist.join(path)).with_context(|| path.to_owned())?;
        ensure!(
            hex(&Sha256::digest(&bytes)) == sum,
            "{path} has another digest"
        );
        named.push(path.to_owned());
    }
    let mut present = files(dist, dist)?;
    present.retain(|path| path != SUMS);
    present.sort();
    named.sort();
    ensure!(named == present, "named {named:?}, present {present:?}");
    Ok(())
}

fn manifest(dist: &Path) -> Result<()> {
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dist.join(MANIFEST))?)?;
    let listed = manifest["files"].as_array().context("no list of files")?;
    let mut named = Vec::new();
    for file in listed {
        let path = file["path"].as_str().context("a file without a path")?;
        let bytes = fs::read(dist.join(path)).with_context(|| path.to_owned())?;
        ensure!(
            file["size"] == bytes.len() && file["sha256"] == hex(&Sha256::digest(&bytes)),
            "{path} has another size or digest"
        );
        named.push(path.to_owned());
    }
    let mut present = files(dist, dist)?;
    // The manifest lies on the ISO: neither can state its own digest, and SHA256SUMS has both.
    let iso = manifest["iso"]["path"].as_str().context("no ISO named")?;
    present.retain(|path| path != SUMS && path != MANIFEST && path != iso);
    present.sort();
    ensure!(named == present, "named {named:?}, present {present:?}");
    Ok(())
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

/// The second implementation: the reader says what was signed, openssl checks the arithmetic and the chain.
fn catalog_signature(cat: &[u8], root: &Path, work: &Path) -> Result<()> {
    let catalog = Catalog::parse(cat)?;
    ensure!(
        catalog.is_signed_content(),
        "the signature is not over this list"
    );
    let [
        Signature {
            signed_attributes,
            value,
            serial,
            ..
        },
    ] = catalog.signatures.as_slice()
    else {
        bail!("not exactly one signer");
    };
    let file = |name: &str| work.join(name);
    fs::write(file("attributes.der"), signed_attributes)?;
    fs::write(file("signature.bin"), value)?;
    for certificate in &catalog.certificates {
        fs::write(file("signer.der"), certificate)?;
        let openssl = |args: &[&str]| Run::new("openssl").dir(work).args(args).ok();
        let shown = openssl(&[
            "x509",
            "-inform",
            "DER",
            "-in",
            "signer.der",
            "-noout",
            "-serial",
        ])?
        .stdout;
        let digits = shown.trim().trim_start_matches("serial=").to_lowercase();
        // DER puts a zero before a number whose first bit is set.
        if hex(serial).trim_start_matches('0') != digits.trim_start_matches('0') {
            continue;
        }
        openssl(&[
            "x509",
            "-inform",
            "DER",
            "-in",
            "signer.der",
            "-out",
            "signer.pem",
        ])?;
        openssl(&[
            "x509",
            "-in",
            "signer.pem",
            "-noout",
            "-pubkey",
            "-out",
            "signer.pub",
        ])?;
        let root = root.to_string_lossy();
        openssl(&["verify", "-purpose", "any", "-CAfile", &root, "signer.pem"])?;
        openssl(&[
            "dgst",
            "-sha256",
            "-verify",
            "signer.pub",
            "-signature",
            "signature.bin",
            "attributes.der",
        ])?;
        return Ok(());
    }
    bail!("the signer's certificate is not in the catalog")
}
