//! `cargo xtask pack`: builds, signs and lays out everything in `dist/`.

mod manifest;
mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use driver_catalog::Builder;
use sha2::{Digest, Sha256};

use crate::attestation;
use crate::build::{self, Form, Request};
use crate::drivers::{self, Arch, Driver};
use crate::inf;
use crate::iso;
use crate::msi;
use crate::process::Run;
use crate::progress::Progress;
use crate::resource::{self, FileKind, Messages, VersionInfo};
use crate::sbom::{self, Binary};
use crate::sign::{Signer, Subject};
use crate::toolchain::Toolchain;
use crate::version::{Epoch, Version};

pub use manifest::{Packed, hex};

/// What manifest.json says is packed here.
pub const NAME: &str = "WinPV";
/// The list of checksums.
pub const SUMS: &str = "SHA256SUMS";
/// The description of the pack.
pub const MANIFEST: &str = "manifest.json";
/// The bill of materials, CycloneDX.
pub const BILL: &str = "sbom.cdx.json";

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

/// Makes the pack and returns its files, sorted by path.
pub fn pack(options: &Options<'_>) -> Result<Vec<Packed>> {
    place::writable(options.out)?;
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
    for driver in drivers::packages() {
        for arch in Arch::ALL {
            packer.driver(&driver, arch)?;
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
    iso::write_texts(packer.dist, options.root, packer.version)?;
    let files = packer.describe()?;
    fs::set_permissions(new.path(), fs::Permissions::from_mode(0o755))?;
    place::replace(new.path(), options.out)?;
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

struct Packer<'a> {
    options: &'a Options<'a>,
    toolchain: Toolchain,
    version: Version,
    dist: &'a Path,
}

impl Packer<'_> {
    fn driver(&self, driver: &Driver, arch: Arch) -> Result<()> {
        let name = driver.name;
        let out = self.dist.join(driver.folder(arch));
        let symbols = self.dist.join(driver.symbols(arch));
        fs::create_dir_all(&out)?;
        fs::create_dir_all(symbols.parent().context("symbols without a folder")?)?;

        let built = self.step(&format!("compile and link {name} for {arch}"), || {
            self.link(driver, arch)
        })?;
        let sys = self.dist.join(driver.file(arch, "sys"));
        copy(&built.image, &sys)?;
        copy(&built.pdb, &symbols)?;

        let inf = self.dist.join(driver.file(arch, "inf"));
        let template = inf::template(self.options.root, driver);
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
            let cat = self.dist.join(driver.file(arch, "cat"));
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

    /// Writes what the drivers, and the programs in the MSIs, are made of.
    fn bill_of_materials(&self) -> Result<()> {
        let mut binaries = Vec::new();
        for driver in drivers::packages() {
            for arch in Arch::ALL {
                let path = driver.file(arch, "sys");
                binaries.push(Binary {
                    package: driver.image,
                    arch,
                    sha256: hex(&Sha256::digest(fs::read(self.dist.join(&path))?)),
                    path,
                    kind: "device-driver",
                });
            }
        }
        for arch in Arch::ALL {
            binaries.extend(msi::binaries(self.dist, arch, self.version)?);
        }
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

    /// Writes manifest.json, the ISO and SHA256SUMS.
    fn describe(&self) -> Result<Vec<Packed>> {
        let compiler = Run::new(&self.toolchain.rustc)
            .arg("--version")
            .ok()?
            .stdout;
        self.step("write the ISO", || {
            manifest::describe(
                self.dist,
                &manifest::About {
                    version: self.version,
                    epoch: self.options.epoch,
                    compiler: compiler.trim(),
                    signer: self.options.signer.name(),
                },
            )
        })
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
    let messages = Messages::read(
        &root
            .join("drivers")
            .join(driver.source)
            .join("messages.toml"),
    )?;
    build::build(
        toolchain,
        &Request {
            manifest: &root.join("Cargo.toml"),
            package: driver.image,
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

/// Where the pack goes unless `--out` says otherwise.
pub fn default_out(root: &Path) -> PathBuf {
    root.join("dist")
}
