//! The guest's kernel and its initial RAM disk: one program with its libraries, the driver under test, a few modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use cpio::newc::{Builder, ModeFileType};
use winpv::process::Run;

/// What the guest loads, with what these need: the tested driver's way to the device, and Linux's own driver.
const MODULES: [&str; 4] = ["vfio_iommu_type1", "vfio-pci", "virtio_pci", "virtio_blk"];

/// Where the guest's file systems are mounted.
const MOUNTS: [&str; 4] = ["dev", "proc", "sys", "tmp"];

/// A kernel of this machine.
pub struct Kernel {
    /// The image.
    pub image: PathBuf,
    folder: PathBuf,
}

impl Kernel {
    /// The newest one that is installed.
    pub fn newest() -> Result<Kernel> {
        let list = Run::new("linux-version").args(["list"]).ok()?.stdout;
        let sorted = Run::new("linux-version")
            .arg("sort")
            .args(list.split_whitespace())
            .ok()?
            .stdout;
        let version = sorted
            .split_whitespace()
            .next_back()
            .context("no kernel is installed: `apt-get install linux-image-amd64`")?;
        Ok(Kernel {
            image: Path::new("/boot").join(format!("vmlinuz-{version}")),
            folder: Path::new("/lib/modules").join(version),
        })
    }

    /// Its version.
    pub fn version(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The modules in the order in which they need each other, without those that are built in.
    fn modules(&self) -> Result<Vec<PathBuf>> {
        let read = |name: &str| {
            let path = self.folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let needs = read("modules.dep")?;
        let built_in = read("modules.builtin")?;
        let needs: BTreeMap<&str, &str> = needs
            .lines()
            .filter_map(|line| line.split_once(':'))
            .collect();
        let mut order = Vec::new();
        for wanted in MODULES {
            let is_it = |path: &&str| module_name(path) == wanted.replace('-', "_");
            if built_in.lines().any(|path| is_it(&path)) {
                continue;
            }
            let found = needs.iter().find(|(path, _)| is_it(path));
            let (path, needs) =
                found.with_context(|| format!("this kernel has no module {wanted}"))?;
            // What is needed is listed last first.
            let first = needs.split_whitespace().rev();
            for path in first.chain([*path]).map(PathBuf::from) {
                if !order.contains(&path) {
                    order.push(path);
                }
            }
        }
        Ok(order)
    }
}

/// `kernel/drivers/vfio/pci/vfio-pci.ko.xz` is `vfio_pci`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.replace('-', "_")
}

/// Writes the archive.
pub fn write(to: &Path, kernel: &Kernel, init: &Path, sys: &Path, steps: &str) -> Result<()> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    files.insert("init".to_owned(), read(init)?);
    files.insert("vioblk.sys".to_owned(), read(sys)?);
    files.insert("steps".to_owned(), steps.into());
    for library in libraries(init)? {
        files.insert(
            library.trim_start_matches('/').to_owned(),
            read(library.as_ref())?,
        );
    }
    let mut order = String::new();
    for path in kernel.modules()? {
        let name = module_name(&path.to_string_lossy());
        files.insert(
            format!("modules/{name}"),
            module(&kernel.folder.join(&path))?,
        );
        order += &format!("{name}\n");
    }
    files.insert("modules/order".to_owned(), order.into());

    let mut folders: BTreeSet<&str> = MOUNTS.into();
    for name in files.keys() {
        folders.extend(name.match_indices('/').map(|(at, _)| &name[..at]));
    }
    let mut file = File::create(to)?;
    for folder in folders {
        let entry = Builder::new(folder)
            .mode(0o755)
            .set_mode_file_type(ModeFileType::Directory);
        file = entry.write(file, 0).finish()?;
    }
    for (inode, (name, bytes)) in (1..).zip(&files) {
        let entry = Builder::new(name)
            .ino(inode)
            .mode(0o755)
            .set_mode_file_type(ModeFileType::Regular);
        let mut writer = entry.write(file, u32::try_from(bytes.len())?);
        writer.write_all(bytes)?;
        file = writer.finish()?;
    }
    cpio::newc::trailer(file)?;
    Ok(())
}

/// The files that a program is linked with at run time, the loader among them, by what the loader says.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let said = Run::new("ldd").arg(program).ok()?.stdout;
    let found = linked(&said);
    ensure!(
        found.iter().any(|path| path.contains("/ld-linux")),
        "`ldd {}` names no loader:\n{said}",
        program.display()
    );
    Ok(found)
}

/// Lines of `ldd` are `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, and `/lib64/ld-linux-x86-64.so.2 (0x…)` for the loader.
fn linked(said: &str) -> Vec<String> {
    said.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(str::to_owned)
        .collect()
}

/// A module's bytes. Later Debians compress them.
fn module(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        let scratch = tempfile::tempdir()?;
        let copy = scratch.path().join("module.ko.xz");
        fs::copy(path, &copy)?;
        Run::new("xz").arg("-d").arg(&copy).ok()?;
        return Ok(fs::read(copy.with_extension(""))?);
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{linked, module_name};

    #[test]
    fn modules_have_one_name() {
        assert_eq!(
            module_name("kernel/drivers/vfio/pci/vfio-pci.ko.xz"),
            "vfio_pci"
        );
        assert_eq!(
            module_name("kernel/drivers/block/virtio_blk.ko"),
            "virtio_blk"
        );
    }

    #[test]
    fn libraries_are_found_and_the_loader_too() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(linked(said), expected);
    }
}
