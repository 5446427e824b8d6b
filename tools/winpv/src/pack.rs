//! `cargo xtask pack`: builds, signs and lays out everything in `dist/`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use driver_catalog::Builder;
use serde_json::json;
use sha2::{Digest, Sha256};
use winpv_inject::trust::classify;

use crate::acceptance;
use crate::attestation;
use crate::build::{self, Form, Request};
use crate::drivers::{Arch, DRIVERS, Driver};
use crate::inf;
use crate::msi;
use crate::process::Run;
use crate::progress::Progress;
use crate::resource::{self, FileKind, Messages, VersionInfo};
use crate::sbom::{self, Binary};
use crate::sign::{Signer, Subject};
use crate::toolchain::Toolchain;
use crate::version::{Epoch, Version};

/// What manifest.json says is packed here.
const NAME: &str = "WinPV";
/// The list of checksums.
pub const SUMS: &str = "SHA256SUMS";
/// The description of the pack.
pub const MANIFEST: &str = "manifest.json";
/// The bill of materials, CycloneDX.
pub const BILL: &str = "sbom.cdx.json";

/// Endings of the files that carry a signature.
const SIGNED: [&str; 4] = ["sys", "cat", "msi", "cab"];

/// What to pack, and where.
pub struct Options<'a> {
    /// The source: a repository's folder.
    pub root: &'a Path,
    /// The folder to make; replaced as a whole if it is there.
    pub out: &'a Path,
    /// Cargo's target folder.
    pub target_dir: &'a Path,
    /// Signs everything.
    pub signer: &'a Signer,
    /// Date of the pack and of its signatures.
    pub epoch: Epoch,
    /// Where the steps are told.
    pub progress: &'a Progress,
}

/// One file of the pack.
pub struct Packed {
    /// Path below `dist/`.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Common name of the signing certificate.
    pub signed_by: Option<String>,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Packed {
    /// As manifest.json and `--json` have it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json!({
            "path": self.path,
            "size": self.size,
            "signed_by": self.signed_by,
            "sha256": self.sha256,
        })
    }
}

/// Makes the pack and returns its files, sorted by path.
pub fn pack(options: &Options<'_>) -> Result<Vec<Packed>> {
    writable(options.out)?;
    let toolchain = Toolchain::find()?;
    let parent = options.out.parent().context("dist/ has no parent folder")?;
    // Beside the final place, so that the last step is a rename within one file system.
    let new = tempfile::Builder::new()
        .prefix(".dist-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot write in {}", parent.display()))?;
    let packer = Packer {
        options,
        toolchain,
        version: Version::parse(env!("CARGO_PKG_VERSION"))?,
        dist: new.path(),
    };
    for driver in DRIVERS {
        for arch in Arch::ALL {
            packer.driver(driver, arch)?;
        }
    }
    for arch in Arch::ALL {
        packer.msi(arch)?;
    }
    packer.certificates()?;
    for arch in Arch::ALL {
        attestation::make(
            packer.dist,
            arch,
            packer.version,
            options.signer,
            options.epoch,
        )?;
    }
    packer.bill_of_materials()?;
    let files = packer.describe()?;
    fs::set_permissions(new.path(), fs::Permissions::from_mode(0o755))?;
    replace(new.path(), options.out)?;
    // Renamed: there is nothing left to clean up.
    let _ = new.keep();
    Ok(files)
}

/// Prints the closing table.
pub fn print_table(files: &[Packed]) {
    let width = files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    println!(
        "\n{:width$}  {:>9}  {:20}  sha256",
        "file", "size", "signed by"
    );
    for file in files {
        let signer = file.signed_by.as_deref().unwrap_or("-");
        println!(
            "{:width$}  {:>9}  {signer:20}  {}",
            file.path,
            file.size,
            &file.sha256[..16]
        );
    }
}

/// Fails early, and with advice, if the old `dist/` cannot be replaced.
fn writable(out: &Path) -> Result<()> {
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
fn replace(new: &Path, out: &Path) -> Result<()> {
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

struct Packer<'a> {
    options: &'a Options<'a>,
    toolchain: Toolchain,
    version: Version,
    dist: &'a Path,
}

impl Packer<'_> {
    fn driver(&self, driver: &Driver, arch: Arch) -> Result<()> {
        let name = driver.name;
        let out = self.dist.join("drivers").join(name).join(arch.name());
        let symbols = self.dist.join("symbols").join(name).join(arch.name());
        fs::create_dir_all(&out)?;
        fs::create_dir_all(&symbols)?;

        let built = self.step(&format!("compile and link {name} for {arch}"), || {
            self.link(driver, arch)
        })?;
        let sys = out.join(format!("{name}.sys"));
        copy(&built.image, &sys)?;
        copy(&built.pdb, &symbols.join(format!("{name}.pdb")))?;

        let inf = out.join(format!("{name}.inf"));
        let template = self.options.root.join("inf").join(format!("{name}.inx"));
        let template = fs::read_to_string(&template)
            .with_context(|| format!("cannot read {}", template.display()))?;
        let text = inf::render(&template, driver, arch, self.version, self.options.epoch)?;
        let files = [format!("{name}.sys"), format!("{name}.cat")];
        let problems = inf::lint(&text, driver, arch, &files.each_ref().map(String::as_str));
        if !problems.is_empty() {
            bail!(
                "{name}.inf for {arch} is not fit for Windows:\n  {}",
                problems.join("\n  ")
            );
        }
        fs::write(&inf, &text)?;

        self.step(&format!("sign {name} for {arch}"), || {
            self.options.signer.sign(
                &sys,
                Subject::Image,
                driver.description,
                self.options.epoch,
            )?;
            let mut catalog = Builder::new(arch.catalog_os(), self.options.epoch.0)?;
            for id in driver.hardware_ids {
                catalog.hardware_id(id);
            }
            catalog
                .file(&format!("{name}.inf"), text.as_bytes())?
                .file(&format!("{name}.sys"), &fs::read(&sys)?)?;
            let cat = out.join(format!("{name}.cat"));
            fs::write(&cat, catalog.unsigned()?)?;
            self.options.signer.sign(
                &cat,
                Subject::Catalog,
                driver.description,
                self.options.epoch,
            )
        })
    }

    fn link(&self, driver: &Driver, arch: Arch) -> Result<build::Built> {
        build_driver(
            &self.toolchain,
            self.options.root,
            self.options.target_dir,
            driver,
            arch,
            self.version,
        )
    }

    fn msi(&self, arch: Arch) -> Result<()> {
        let options = self.options;
        let helper = self.step(&format!("compile and link winpv-setup for {arch}"), || {
            msi::build_helper(
                &self.toolchain,
                options.root,
                options.target_dir,
                arch,
                self.version,
            )
        })?;
        let symbols = self.dist.join("symbols/winpv-setup").join(arch.name());
        fs::create_dir_all(&symbols)?;
        for image in [&helper.setup, &helper.check] {
            let name = image.pdb.file_name().context("no file name")?;
            copy(&image.pdb, &symbols.join(name))?;
        }
        self.step(&format!("write and sign the MSI for {arch}"), || {
            msi::make(&msi::Options {
                dist: self.dist,
                helper: &helper,
                arch,
                version: self.version,
                signer: options.signer,
                epoch: options.epoch,
            })
        })
    }

    fn certificates(&self) -> Result<()> {
        let dir = self.dist.join("cert");
        fs::create_dir_all(&dir)?;
        for (pem, name) in self.options.signer.certificates() {
            Run::new("openssl")
                .args(["x509", "-outform", "DER", "-in"])
                .arg(pem)
                .arg("-out")
                .arg(dir.join(name))
                .ok()?;
        }
        Ok(())
    }

    /// Writes what the drivers are made of.
    fn bill_of_materials(&self) -> Result<()> {
        let mut binaries = Vec::new();
        for driver in DRIVERS {
            for arch in Arch::ALL {
                let path = self.driver_path(driver, arch);
                let sha256 = hex(&Sha256::digest(fs::read(self.dist.join(&path))?));
                binaries.push((driver.name, arch, path, sha256));
            }
        }
        let binaries: Vec<_> = binaries
            .iter()
            .map(|(package, arch, path, sha256)| Binary {
                package,
                arch: *arch,
                path,
                sha256,
                kind: "device-driver",
            })
            .collect();
        let bill = sbom::write(
            &self.toolchain,
            self.options.root,
            self.version,
            self.options.epoch,
            &binaries,
        )?;
        fs::write(self.dist.join(BILL), bill)?;
        Ok(())
    }

    /// Where a driver's .sys lies below `dist/`.
    fn driver_path(&self, driver: &Driver, arch: Arch) -> String {
        let name = driver.name;
        format!("drivers/{name}/{arch}/{name}.sys")
    }

    /// A driver's signature, and where Windows accepts it.
    fn accepted(&self, driver: &Driver, arch: Arch) -> Result<serde_json::Value> {
        let path = self.driver_path(driver, arch);
        let trust = classify(&fs::read(self.dist.join(&path))?).with_context(|| path.clone())?;
        Ok(json!({
            "driver": path,
            "signature": acceptance::class(trust),
            "accepted_by": acceptance::table(trust),
        }))
    }

    /// Writes manifest.json and SHA256SUMS.
    fn describe(&self) -> Result<Vec<Packed>> {
        let signer = self.options.signer.name();
        let mut files = Vec::new();
        list(self.dist, self.dist, signer, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let rustc = Run::new(&self.toolchain.rustc)
            .arg("--version")
            .ok()?
            .stdout;
        let mut packages = Vec::new();
        for driver in DRIVERS {
            for arch in Arch::ALL {
                packages.push(self.accepted(driver, arch)?);
            }
        }
        let manifest = json!({
            "name": NAME,
            "version": self.version.to_string(),
            "date": self.options.epoch.us_date(),
            "source_date_epoch": self.options.epoch.0,
            "compiler": rustc.trim(),
            "minimum_windows": "Windows 10 1607, Windows Server 2016",
            "drivers": DRIVERS.iter().map(|driver| json!({
                "name": driver.name,
                "description": driver.description,
                "hardware_ids": driver.hardware_ids,
                "architectures": Arch::ALL.map(Arch::name),
            })).collect::<Vec<_>>(),
            "packages": packages,
            "files": files.iter().map(Packed::json).collect::<Vec<_>>(),
        });
        let path = self.dist.join(MANIFEST);
        fs::write(&path, serde_json::to_string_pretty(&manifest)? + "\n")?;
        files.push(packed(self.dist, &path, signer)?);
        let sums: String = files
            .iter()
            .map(|file| format!("{}  {}\n", file.sha256, file.path))
            .collect();
        fs::write(self.dist.join(SUMS), sums)?;
        Ok(files)
    }

    fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.options.progress.step(what, work)
    }
}

/// Compiles and links one driver of the table, with its version and its messages.
pub fn build_driver(
    toolchain: &Toolchain,
    root: &Path,
    target_dir: &Path,
    driver: &Driver,
    arch: Arch,
    version: Version,
) -> Result<build::Built> {
    let file_name = format!("{}.sys", driver.name);
    let info = VersionInfo {
        version,
        description: driver.description,
        file_name: &file_name,
        kind: FileKind::Driver,
        company: "WinPV",
    };
    let messages = Messages::read(&root.join("drivers").join(driver.name).join("messages.toml"))?;
    build::build(
        toolchain,
        &Request {
            manifest: &root.join("Cargo.toml"),
            package: driver.name,
            features: "",
            arch,
            target_dir: &target_dir.join("driver"),
            out: &target_dir.join("sys").join(driver.name).join(arch.name()),
            stem: driver.name,
            form: Form::Driver,
            resources: Some(&resource::write(&info, &messages)),
        },
    )
}

/// Copies with ordinary permissions: the linker marks its output executable.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

fn list(dist: &Path, dir: &Path, signer: &str, files: &mut Vec<Packed>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            list(dist, &path, signer, files)?;
        } else {
            files.push(packed(dist, &path, signer)?);
        }
    }
    Ok(())
}

fn packed(dist: &Path, path: &Path, signer: &str) -> Result<Packed> {
    let bytes = fs::read(path)?;
    let signed = path
        .extension()
        .is_some_and(|extension| SIGNED.iter().any(|signed| extension == *signed));
    Ok(Packed {
        path: path.strip_prefix(dist)?.to_string_lossy().into_owned(),
        size: bytes.len() as u64,
        signed_by: signed.then(|| signer.to_owned()),
        sha256: hex(&Sha256::digest(&bytes)),
    })
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the pack goes unless `--out` says otherwise.
pub fn default_out(root: &Path) -> PathBuf {
    root.join("dist")
}
