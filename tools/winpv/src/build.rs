//! Compiles a driver crate to a static library and links it into a .sys, the same bytes from any folder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::drivers::Arch;
use crate::process::Run;
use crate::toolchain::Toolchain;

/// The longest that one driver may take from cold.
const BUILD_DEADLINE: Duration = Duration::from_secs(900);

/// What to build.
pub struct Request<'a> {
    /// The crate's `Cargo.toml`, or its workspace's.
    pub manifest: &'a Path,
    /// Package name; also the .sys file's name.
    pub package: &'a str,
    /// Cargo features, comma separated; empty for none.
    pub features: &'a str,
    /// Processor.
    pub arch: Arch,
    /// Cargo's target folder.
    pub target_dir: &'a Path,
    /// Folder for the .sys and .pdb; emptied of earlier ones first.
    pub out: &'a Path,
    /// File stem of the .sys and .pdb.
    pub stem: &'a str,
    /// Resources in .res form to link in.
    pub resources: Option<&'a [u8]>,
}

/// The two files that a build leaves.
#[derive(Debug)]
pub struct Built {
    /// The unsigned driver.
    pub sys: PathBuf,
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
    // Paths end up in panic locations and debug information: each root gets a name that is the same everywhere.
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Ccontrol-flow-guard".to_owned(),
        remap(source_root, "/src"),
        remap(&toolchain.cargo_home, "/cargo"),
        remap(&toolchain.rust_src, "/rustc"),
    ];
    let mut run = Run::new(&toolchain.cargo)
        .arg("rustc")
        .arg("--quiet")
        .arg("--manifest-path")
        .arg(&manifest)
        .args(["--package", request.package, "--lib"])
        .args(["--profile", "driver", "--crate-type", "staticlib"])
        .args(["--target", request.arch.target()])
        .arg("--target-dir")
        .arg(request.target_dir)
        .args(["-Zbuild-std=core,compiler_builtins"])
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

/// Links in the output folder with relative names only, as the command line is recorded in the PDB and its hash in the .sys.
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
        .arg(format!("/OUT:{}", file("sys")))
        .args(["/DRIVER", "/SUBSYSTEM:NATIVE,10.0", "/OSVERSION:10.0"])
        .args(["/ENTRY:DriverEntry", "/NODEFAULTLIB"])
        .arg(format!("/MACHINE:{}", request.arch.machine()))
        .args(["/DYNAMICBASE", "/NXCOMPAT", "/HIGHENTROPYVA"])
        .args(["/GUARD:CF", "/OPT:REF,ICF", "/DEBUG"])
        .arg(format!("/PDB:{}", file("pdb")))
        .args(["/PDBALTPATH:%_PDB%", "/PDBSOURCEPATH:/src"])
        .args(["/BREPRO", "/RELEASE"])
        // Code that only DriverEntry uses: the kernel frees it after the driver has started.
        .args(["/SECTION:INIT,ERD"]);
    if let Some(resources) = request.resources {
        fs::write(out.join(file("res")), resources)?;
        run = run.arg(file("res"));
    }
    run.arg(file("lib"))
        .ok()
        .with_context(|| format!("cannot link {} for {}", file("sys"), request.arch))?;
    fs::remove_file(&copied)?;
    if request.resources.is_some() {
        fs::remove_file(out.join(file("res")))?;
    }
    Ok(Built {
        sys: out.join(file("sys")),
        pdb: out.join(file("pdb")),
    })
}
