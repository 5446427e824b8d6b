//! Compiles a crate to a static library and links it into a .sys, .exe or .dll, the same bytes from any folder.

#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::drivers::Arch;
use crate::process::Run;
use crate::sign::PASSWORD;
use crate::toolchain::Toolchain;

/// The longest that one image may take from cold.
const BUILD_DEADLINE: Duration = Duration::from_secs(900);

/// What kind of image comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// A kernel driver.
    Driver,
    /// A console program whose entry point is `start`. It may allocate; there is no C runtime.
    Program,
    /// A library without an entry point that exports these functions.
    Library(&'a [&'a str]),
}

impl Form<'_> {
    const fn extension(self) -> &'static str {
        match self {
            Form::Driver => "sys",
            Form::Program => "exe",
            Form::Library(_) => "dll",
        }
    }

    /// The parts of the standard library that are compiled with the crate.
    const fn libraries(self) -> &'static str {
        match self {
            // Nothing in a driver can allocate without the kernel's pool: the crate for it is not even there.
            Form::Driver => "-Zbuild-std=core,compiler_builtins",
            Form::Program | Form::Library(_) => "-Zbuild-std=core,alloc,compiler_builtins",
        }
    }

    fn linker_flags(self) -> Vec<String> {
        // LOAD_LIBRARY_SEARCH_SYSTEM32 (libloaderapi.h): imports come from System32 only, not from the program's folder.
        const SYSTEM32: &str = "/DEPENDENTLOADFLAG:0x800";
        let fixed: &[&str] = match self {
            Form::Driver => &[
                "/DRIVER",
                "/SUBSYSTEM:NATIVE,10.0",
                "/OSVERSION:10.0",
                "/ENTRY:DriverEntry",
                // Code that only DriverEntry uses: the kernel frees it after the driver has started.
                "/SECTION:INIT,ERD",
            ],
            Form::Program => &["/SUBSYSTEM:CONSOLE,10.0", "/ENTRY:start", SYSTEM32],
            Form::Library(_) => &["/DLL", "/NOENTRY", "/SUBSYSTEM:WINDOWS,10.0", SYSTEM32],
        };
        let mut flags: Vec<String> = fixed.iter().map(|&flag| flag.to_owned()).collect();
        if let Form::Library(exports) = self {
            // An import library would be written beside it otherwise.
            flags.push("/NOIMPLIB".to_owned());
            flags.extend(exports.iter().map(|name| format!("/EXPORT:{name}")));
        }
        flags
    }
}

/// What to build.
pub struct Request<'a> {
    /// The crate's `Cargo.toml`, or its workspace's.
    pub manifest: &'a Path,
    /// Package name.
    pub package: &'a str,
    /// Cargo features, comma separated; empty for none.
    pub features: &'a str,
    /// Processor.
    pub arch: Arch,
    /// Cargo's target folder.
    pub target_dir: &'a Path,
    /// Folder for the image and its .pdb.
    pub out: &'a Path,
    /// File stem of both.
    pub stem: &'a str,
    /// What the image is.
    pub form: Form<'a>,
    /// Resources in .res form to link in.
    pub resources: Option<&'a [u8]>,
}

/// The two files that a build leaves.
#[derive(Debug)]
pub struct Built {
    /// The unsigned .sys, .exe or .dll.
    pub image: PathBuf,
    /// Its symbols.
    pub pdb: PathBuf,
}

/// Compiles and links.
pub fn build(toolchain: &Toolchain, request: &Request<'_>) -> Result<Built> {
    let library = compile(toolchain, request)?;
    link(toolchain, request, &library)
}

fn compile(toolchain: &Toolchain, request: &Request<'_>) -> Result<PathBuf> {
    let manifest = request
        .manifest
        .canonicalize()
        .with_context(|| format!("no manifest {}", request.manifest.display()))?;
    let source_root = manifest.parent().context("manifest without a folder")?;
    let target_dir = std::path::absolute(request.target_dir)?;
    // Paths end up in panic locations and debug information: each root gets a name that is the same everywhere. Of two that
    // fit the later counts, which matters for a target folder among the sources.
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Ccontrol-flow-guard".to_owned(),
        remap(source_root, "/src"),
        remap(&target_dir, "/target"),
        remap(&toolchain.cargo_home, "/cargo"),
        remap(&toolchain.rust_src, "/rustc"),
    ];
    flags.extend(
        crate_folders(source_root, &toolchain.cargo_home)?
            .iter()
            .map(|folder| remap(folder, "/crates")),
    );
    let mut run = Run::new(&toolchain.cargo)
        // Build scripts of others have no business with it.
        .env_remove(PASSWORD)
        .arg("rustc")
        .arg("--quiet")
        .arg("--manifest-path")
        .arg(&manifest)
        .args(["--package", request.package, "--lib"])
        .args(["--profile", "driver", "--crate-type", "staticlib"])
        .args(["--target", request.arch.target()])
        .arg("--target-dir")
        .arg(request.target_dir)
        .arg(request.form.libraries())
        .args(["-Zbuild-std-features=compiler-builtins-mem"])
        .deadline(BUILD_DEADLINE)
        .dir(source_root)
        // build-std is the one unstable thing used; the compiler itself stays the pinned stable one.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", &toolchain.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    for (key, _) in env::vars_os() {
        // What cargo set for xtask itself must not reach the driver's build.
        let key = key.to_string_lossy();
        if key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_PROFILE_") || key == "RUSTFLAGS"
        {
            run = run.env_remove(&key);
        }
    }
    if !request.features.is_empty() {
        run = run.args(["--features", request.features]);
    }
    run.ok()
        .with_context(|| format!("cannot compile {} for {}", request.package, request.arch))?;
    let library = request
        .target_dir
        .join(request.arch.target())
        .join("driver")
        .join(format!("{}.lib", request.package.replace('-', "_")));
    if !library.is_file() {
        bail!("cargo left no {}", library.display());
    }
    Ok(library)
}

/// Where crates of others lie: in cargo's folder, or where the sources' own configuration says that they were put by `cargo vendor`.
fn crate_folders(source_root: &Path, cargo_home: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    let registries = cargo_home.join("registry/src");
    if registries.is_dir() {
        for entry in fs::read_dir(&registries)? {
            folders.push(entry?.path());
        }
    }
    let config = source_root.join(".cargo/config.toml");
    if config.is_file() {
        let text = fs::read_to_string(&config)?;
        let config: toml::Table =
            toml::from_str(&text).with_context(|| format!("cannot read {}", config.display()))?;
        let sources = config.get("source").and_then(toml::Value::as_table);
        folders.extend(
            sources
                .into_iter()
                .flat_map(toml::Table::values)
                .filter_map(|source| source.get("directory")?.as_str())
                .map(|directory| source_root.join(directory)),
        );
    }
    folders.sort();
    Ok(folders)
}

/// Links in the output folder with relative names only, as the command line is recorded in the PDB and its hash in the image.
fn link(toolchain: &Toolchain, request: &Request<'_>, library: &Path) -> Result<Built> {
    let out = request.out;
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let file = |extension: &str| format!("{}.{extension}", request.stem);
    let copied = out.join(file("lib"));
    fs::copy(library, &copied).with_context(|| format!("cannot write {}", copied.display()))?;
    let mut run = Run::new(&toolchain.rust_lld)
        .dir(out)
        // rust-lld would otherwise take library folders from a Windows developer's environment.
        .env_remove("LIB")
        .args(["-flavor", "link", "/NOLOGO"])
        .arg(format!("/OUT:{}", file(request.form.extension())))
        .args(request.form.linker_flags())
        .arg("/NODEFAULTLIB")
        .arg(format!("/MACHINE:{}", request.arch.machine()))
        .args(["/DYNAMICBASE", "/NXCOMPAT", "/HIGHENTROPYVA"])
        .args(["/GUARD:CF", "/OPT:REF,ICF", "/DEBUG"])
        .arg(format!("/PDB:{}", file("pdb")))
        .args(["/PDBALTPATH:%_PDB%", "/PDBSOURCEPATH:/src"])
        .args(["/BREPRO", "/RELEASE"]);
    if let Some(resources) = request.resources {
        fs::write(out.join(file("res")), resources)?;
        run = run.arg(file("res"));
    }
    run.arg(file("lib"))
        .ok()
        .with_context(|| format!("cannot link {} for {}", request.stem, request.arch))?;
    fs::remove_file(&copied)?;
    if request.resources.is_some() {
        fs::remove_file(out.join(file("res")))?;
    }
    Ok(Built {
        image: out.join(file(request.form.extension())),
        pdb: out.join(file("pdb")),
    })
}
