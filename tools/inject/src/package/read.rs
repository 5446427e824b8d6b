//! Reads a pack: the folder that `winpv build` makes, its ISO, or a folder of another vendor's packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use driver_catalog::{Catalog, pkcs7};
use driver_inf::files::{Copied, catalog, copied, listed, locate, path_in_package};
use driver_inf::walk;
use driver_inf::{Field, Inf, Section};
use winpv_process::Run;

use super::{Certificate, Pack, Package, Service, guid_bytes};
use crate::programs;
use crate::registry::Value;
use crate::trust;
use crate::windows::Machine;

/// Processors for which a pack may hold packages.
const MACHINES: [Machine; 3] = [Machine::X86, Machine::AMD64, Machine::ARM64];
/// Folders of a pack made by WinPV.
const DRIVERS: &str = "drivers";
const CERTIFICATES: &str = "cert";

impl Pack {
    /// Reads a folder or an ISO.
    ///
    /// # Errors
    ///
    /// There is no package, or one is damaged: a file that is missing or that its catalog does not vouch for, or an INF or
    /// a signature that cannot be read.
    pub fn read(path: &Path) -> Result<Pack> {
        let metadata = fs::metadata(path).with_context(|| {
            format!(
                "no pack at {}: make one with `winpv build`, or name one with --pack",
                path.display()
            )
        })?;
        if metadata.is_dir() {
            return Pack::read_folder(path);
        }
        let scratch = tempfile::tempdir()?;
        extract(path, scratch.path())?;
        Pack::read_folder(scratch.path()).with_context(|| format!("in the ISO {}", path.display()))
    }

    fn read_folder(path: &Path) -> Result<Pack> {
        let drivers = path.join(DRIVERS);
        let drivers = if drivers.is_dir() {
            drivers
        } else {
            path.to_owned()
        };
        let mut infs = Vec::new();
        find(&drivers, "inf", &mut infs)?;
        infs.sort();
        let mut pack = Pack::default();
        for inf in infs {
            let of_inf = packages(&inf).with_context(|| format!("cannot use {}", inf.display()))?;
            pack.packages.extend(of_inf);
        }
        ensure!(
            !pack.packages.is_empty(),
            "no driver package in {}",
            path.display()
        );
        for (at, package) in pack.packages.iter().enumerate() {
            let same = |other: &Package| {
                other.machine == package.machine && other.name.eq_ignore_ascii_case(&package.name)
            };
            ensure!(
                !pack.packages[..at].iter().any(same),
                "{} has two packages named {} for {}: name a folder with one of them",
                path.display(),
                package.name,
                package.machine
            );
        }
        let mut certificates = Vec::new();
        if path.join(CERTIFICATES).is_dir() {
            find(&path.join(CERTIFICATES), "cer", &mut certificates)?;
        }
        certificates.sort();
        for file in certificates {
            pack.certificates.push(
                certificate(&file).with_context(|| format!("cannot use {}", file.display()))?,
            );
        }
        Ok(pack)
    }
}

/// Takes the files out of an ISO.
///
/// # Errors
///
/// There is no xorriso, or it cannot read the ISO.
pub fn extract(iso: &Path, to: &Path) -> Result<()> {
    programs::require(&programs::FOR_ISO)?;
    Run::new("xorriso")
        .args(["-osirrox", "on", "-indev"])
        .arg(iso)
        .args(["-extract", "/"])
        .arg(to)
        .deadline(Duration::from_secs(600))
        .ok()?;
    unlock(to)
}

/// Folders that are read-only on the medium could not be emptied and removed.
fn unlock(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unlock(&entry.path())?;
        }
    }
    Ok(())
}

/// Collects files with this ending.
fn find(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let is_wanted = path
            .extension()
            .is_some_and(|own| own.eq_ignore_ascii_case(ending));
        if path.is_dir() {
            find(&path, ending, found)?;
        } else if is_wanted {
            found.push(path);
        }
    }
    Ok(())
}

fn certificate(file: &Path) -> Result<Certificate> {
    let der = fs::read(file)?;
    let root = pkcs7::Certificate::parse(&der)?.is_self_issued();
    Ok(Certificate {
        name: file_name(file)?,
        der,
        root,
    })
}

fn file_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.context("a file name that is no text")?.to_owned())
}

/// The packages of one INF: one for each processor it has models for and whose driver lies beside it.
fn packages(path: &Path) -> Result<Vec<Package>> {
    let bytes = fs::read(path)?;
    let inf = Inf::parse(&bytes);
    if let Some(problem) = inf.problems.first() {
        bail!("line {}: {:?}", problem.at.line, problem.kind);
    }
    let walked = walk::Package::new(&inf);
    let mut packages = Vec::new();
    for machine in MACHINES {
        // The newest Windows' section: what it copies and which service it adds is the same for the others.
        let install = walked
            .installs
            .iter()
            .filter(|install| install.arch.eq_ignore_ascii_case(machine.name()))
            .max_by_key(|install| install.first());
        let Some(install) = install else {
            continue;
        };
        let Some(service) = service(&inf, &install.name)? else {
            // An INF without a driver, such as one for a device that needs none.
            continue;
        };
        let mut hardware_ids: Vec<String> = Vec::new();
        for models in &walked.models {
            if !models.arch.eq_ignore_ascii_case(machine.name()) {
                continue;
            }
            for id in models.devices().flat_map(|device| device.values.get(1)) {
                let id = inf.text(id);
                if !hardware_ids
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(&id))
                {
                    hardware_ids.push(id);
                }
            }
        }
        let of_machine = |file: &Copied| {
            let install = walked.installs.get(file.install);
            install.is_some_and(|install| install.arch.eq_ignore_ascii_case(machine.name()))
        };
        let copied = Vec::from_iter(copied(&walked).into_iter().filter(of_machine));
        let content = Content::read(path, &bytes, &inf, machine, &copied)?;
        packages.push(package(
            path,
            &inf,
            machine,
            service,
            hardware_ids,
            content,
            &copied,
        )?);
    }
    Ok(packages)
}

/// What lies in a package, each file vouched for by the catalog.
struct Content {
    /// Every file: its path in the package and its bytes.
    files: Vec<(String, Vec<u8>)>,
    /// Where the files came from: their paths as the INF has them, in lower case.
    sources: Vec<(String, String)>,
}

impl Content {
    fn read(
        path: &Path,
        bytes: &[u8],
        inf: &Inf,
        machine: Machine,
        copied: &[Copied],
    ) -> Result<Content> {
        let folder = path.parent().context("an INF without a folder")?;
        let catalog = catalog(inf, machine.name()).with_context(|| {
            format!("no CatalogFile for {machine}: Windows installs no unsigned package")
        })?;
        let mut content = Content {
            files: vec![(file_name(path)?, bytes.to_vec())],
            sources: Vec::new(),
        };
        for file in copied {
            let source = in_package(inf, &file.source, machine);
            if !content.add(folder, &source)? {
                bail!("its file {source} is missing{}", compressed(inf, machine));
            }
        }
        // Windows asks for what is copied only.
        for name in listed(inf, machine.name()) {
            content.add(folder, &in_package(inf, name, machine))?;
        }
        // MS: inf-version-section, CatalogFile: it lies where the INF does.
        let list = locate(folder, &catalog.to_lowercase())
            .with_context(|| format!("its file {catalog} is missing"))?;
        let list_bytes = fs::read(list)?;
        let list = Catalog::parse(&list_bytes).with_context(|| format!("{catalog} is damaged"))?;
        for (path, bytes) in &content.files {
            // A catalog names its members without their folders.
            list.check(path.rsplit('/').next().unwrap_or(path), bytes)?;
        }
        content.files.push((catalog, list_bytes));
        Ok(content)
    }

    /// Adds a file, once; false if it is not there.
    fn add(&mut self, folder: &Path, source: &str) -> Result<bool> {
        if self.sources.iter().any(|(known, _)| known == source) {
            return Ok(true);
        }
        // It becomes part of a path in the image, and of commands of wimlib's and guestfish's.
        let is_plain = |c: char| !c.is_control() && !['\'', '"', ':', '\\'].contains(&c);
        ensure!(
            source.chars().all(is_plain) && !source.split('/').any(|part| part == ".."),
            "{source:?} is no path of a file in the package"
        );
        let Some(real) = locate(folder, source) else {
            return Ok(false);
        };
        // As it is written on disk.
        let path = real.strip_prefix(folder)?.to_str();
        let path = path.context("a file name that is no text")?.to_owned();
        self.files.push((path.clone(), fs::read(&real)?));
        self.sources.push((source.to_owned(), path));
        Ok(true)
    }
}

/// Where the INF says that a file lies: its path in lower case.
fn in_package(inf: &Inf, name: &str, machine: Machine) -> String {
    path_in_package(inf, name, machine.name()).unwrap_or_else(|| name.to_lowercase())
}

/// MS: inf-sourcedisksnames-section: what does not lie there by itself, Windows takes out of a cabinet that the disk's entry names.
fn compressed(inf: &Inf, machine: Machine) -> String {
    let sections = [
        format!("SourceDisksNames.{}", machine.name()),
        "SourceDisksNames".to_owned(),
    ];
    let sections = sections.iter().filter_map(|name| inf.section(name));
    let mut names = sections
        .flat_map(|section| &section.entries)
        .filter_map(|entry| Some(inf.text(entry.value(1)?)));
    match names.find(|name| name.to_lowercase().ends_with(".cab")) {
        Some(name) => format!(": if it is in {name}, unpack that beside the INF (`cabextract`)"),
        None => String::new(),
    }
}

fn package(
    path: &Path,
    inf: &Inf,
    machine: Machine,
    service: Service,
    hardware_ids: Vec<String>,
    content: Content,
    copied: &[Copied],
) -> Result<Package> {
    let guid = inf.value("Version", "ClassGuid").context("no ClassGuid")?;
    let binary = service.binary.clone();
    // What it is copied from may have another name, and lie in another folder.
    let source = copied
        .iter()
        .find(|file| file.name.eq_ignore_ascii_case(&binary))
        .map(|file| in_package(inf, &file.source, machine))
        .with_context(|| {
            format!(
                "the service's file {binary} is not copied, so it is one of Windows' own: name a folder without this INF"
            )
        })?;
    let driver = content
        .sources
        .into_iter()
        .find_map(|(known, path)| (known == source).then_some(path))
        .with_context(|| format!("{source} was not read"))?;
    let mut package = Package {
        name: path
            .file_stem()
            .map(|stem| stem.to_string_lossy().to_lowercase())
            .unwrap_or_default(),
        machine,
        inf: file_name(path)?,
        class: guid_bytes(&guid).with_context(|| format!("ClassGuid is {guid}, no GUID"))?,
        hardware_ids,
        service,
        trust: trust::Trust::Unsigned,
        files: content.files,
        driver,
    };
    let image = package.driver();
    ensure!(
        Machine::of_pe(image) == Some(machine),
        "{binary} is not a driver for {machine}"
    );
    package.trust = trust::classify(image).with_context(|| binary)?;
    Ok(package)
}

/// The service that drives the device: the one that AddService marks as such. MS: inf-addservice-directive.
fn service(inf: &Inf, install: &str) -> Result<Option<Service>> {
    const SPSVCINST_ASSOCSERVICE: u32 = 2;
    let Some(section) = inf.section(&format!("{install}.Services")) else {
        return Ok(None);
    };
    for entry in section.all("AddService") {
        let flags = entry.value(1).and_then(|field| inf.number(field));
        let (Some(name), Some(of)) = (entry.value(0), entry.value(2)) else {
            continue;
        };
        if flags.unwrap_or(0) & SPSVCINST_ASSOCSERVICE == 0 {
            continue;
        }
        let of = inf.text(of);
        let section = inf
            .section(&of)
            .with_context(|| format!("no section [{of}]"))?;
        return read_service(inf, inf.text(name), section).map(Some);
    }
    Ok(None)
}

fn read_service(inf: &Inf, name: String, section: &Section) -> Result<Service> {
    let first = |key: &str| section.entry(key).and_then(|entry| entry.value(0));
    let number = |key: &str| {
        first(key)
            .and_then(|field| inf.number(field))
            .with_context(|| format!("the service has no {key}"))
    };
    let binary = first("ServiceBinary")
        .map(|field| inf.text(field))
        .context("the service has no ServiceBinary")?;
    let mut values = Vec::new();
    for list in section.all("AddReg").flat_map(|entry| &entry.values) {
        let list = inf.text(list);
        let lines = inf
            .section(&list)
            .with_context(|| format!("no section [{list}]"))?;
        for line in &lines.entries {
            values.extend(registry_value(inf, &line.values)?);
        }
    }
    Ok(Service {
        name,
        kind: number("ServiceType")?,
        start: number("StartType")?,
        error_control: number("ErrorControl")?,
        group: first("LoadOrderGroup").map_or_else(String::new, |field| inf.text(field)),
        binary: binary.rsplit('\\').next().unwrap_or(&binary).to_owned(),
        values,
    })
}

/// One line of an AddReg section, if it sets a value below the service's key. MS: inf-addreg-directive.
fn registry_value(inf: &Inf, fields: &[Field]) -> Result<Option<(String, String, Value)>> {
    let text = |at: usize| {
        fields
            .get(at)
            .map_or_else(String::new, |field| inf.text(field))
    };
    if !text(0).eq_ignore_ascii_case("HKR") || text(2).is_empty() {
        return Ok(None);
    }
    let flags = fields
        .get(3)
        .and_then(|field| inf.number(field))
        .unwrap_or(0);
    // FLG_ADDREG_TYPE_MASK: bit 0 and the upper half.
    let value = match flags & 0xffff_0001 {
        0x0000_0000 => Value::String(text(4)),
        0x0002_0000 => Value::Expand(text(4)),
        0x0001_0000 => Value::Multi((4..fields.len()).map(text).collect()),
        0x0001_0001 => {
            let number = fields.get(4).and_then(|field| inf.number(field));
            Value::Dword(number.with_context(|| format!("{} is no number", text(2)))?)
        }
        other => bail!("{}: a value of type 0x{other:08x}", text(2)),
    };
    Ok(Some((text(1), text(2), value)))
}

#[cfg(test)]
mod tests;
