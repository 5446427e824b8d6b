//! Installs Debian packages, from backports where the release's own ones are too old or do not fit.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Run;

/// apt may wait for another process's lock and for slow mirrors.
const APT_DEADLINE: Duration = Duration::from_secs(900);
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);

/// How the packages can be had.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The packages.
    pub packages: Vec<String>,
    /// The release to take them from with `-t`, if not the default one.
    pub release: Option<String>,
    /// A line that the list of package sources still lacks.
    pub source: Option<String>,
}

/// Where the missing line goes.
const SOURCE_FILE: &str = "/etc/apt/sources.list.d/winpv-backports.list";

impl Plan {
    /// The commands that a person can type.
    pub fn shell(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(source) = &self.source {
            lines.push(format!("echo '{source}' | sudo tee {SOURCE_FILE}"));
        }
        lines.push("sudo apt-get update".to_owned());
        lines.push(format!(
            "sudo apt-get {}",
            self.install_arguments().join(" ")
        ));
        lines
    }

    fn install_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "install".to_owned(),
            "--yes".to_owned(),
            "--no-install-recommends".to_owned(),
        ];
        if let Some(release) = &self.release {
            arguments.extend(["-t".to_owned(), release.clone()]);
        }
        arguments.extend(self.packages.iter().cloned());
        arguments
    }
}

/// Installs the packages as root; otherwise stops and says what to run. `stale`: the release's own versions are too old.
pub fn provide(packages: &[&str], stale: bool) -> Result<()> {
    if !is_root()? {
        let plan = plan(packages, stale)?;
        bail!(
            "not root, so nothing was installed; run\n  {}",
            plan.shell().join("\n  ")
        );
    }
    // Without this the lists may be missing or name files that the mirror has replaced. If it fails, they may still do:
    // another source of this machine may be out of reach.
    if let Err(error) = apt(&["update".to_owned()]) {
        println!("{error:#}");
    }
    let mut plan = plan(packages, stale)?;
    if let Some(source) = &plan.source {
        println!("Debian's own packages do not fit; adding to {SOURCE_FILE}: {source}");
        fs::write(SOURCE_FILE, format!("{source}\n"))
            .with_context(|| format!("cannot write {SOURCE_FILE}"))?;
        apt(&["update".to_owned()])?;
        // A package that only backports have needs no more than this; the others then stay the release's own.
        plan = self::plan(packages, stale)?;
    }
    println!("installing {}", plan.packages.join(", "));
    apt(&plan.install_arguments())
}

/// Finds out, by simulation, whether the default release serves or backports are needed.
pub fn plan(packages: &[&str], stale: bool) -> Result<Plan> {
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        os.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
    };
    if field("ID").trim_matches('"') != "debian" || !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "this is not Debian: install {} with your system's own package manager",
            packages.join(", ")
        );
    }
    let backports = format!("{}-backports", field("VERSION_CODENAME").trim_matches('"'));
    let simulation = if stale {
        Simulation::Fails
    } else {
        simulate(packages)?
    };
    let known = Run::new("apt-cache").arg("policy").ok()?.stdout;
    Ok(decide(packages, &backports, simulation, &known))
}

/// What a simulated installation from the default release says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulation {
    /// It would work.
    Works,
    /// apt cannot fit the packages to what is installed, or has only versions that are too old.
    Fails,
}

/// Chooses the release; `known` is the output of `apt-cache policy`.
pub fn decide(packages: &[&str], backports: &str, simulation: Simulation, known: &str) -> Plan {
    let packages = packages.iter().map(|&package| package.to_owned()).collect();
    match simulation {
        Simulation::Works => Plan {
            packages,
            release: None,
            source: None,
        },
        Simulation::Fails => {
            let has_backports = known.contains(&format!("n={backports}"));
            let line = format!("deb http://deb.debian.org/debian {backports} main");
            Plan {
                packages,
                release: Some(backports.to_owned()),
                source: (!has_backports).then_some(line),
            }
        }
    }
}

fn simulate(packages: &[&str]) -> Result<Simulation> {
    let output = Run::new("apt-get")
        .env("LC_ALL", "C")
        .args(["install", "--simulate", "--no-install-recommends"])
        .args(packages)
        .deadline(APT_DEADLINE)
        .output()?;
    Ok(if output.status.success() {
        Simulation::Works
    } else {
        Simulation::Fails
    })
}

fn apt(arguments: &[String]) -> Result<()> {
    let mut attempt = 1;
    loop {
        let run = Run::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C")
            .args(["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"])
            .args(arguments)
            .deadline(APT_DEADLINE);
        match run.ok() {
            Ok(_) => return Ok(()),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => {
                println!("apt-get {} failed, trying again", arguments[0]);
                thread::sleep(PAUSE);
                attempt += 1;
            }
        }
    }
}

fn is_root() -> Result<bool> {
    Ok(Run::new("id").arg("-u").ok()?.stdout.trim() == "0")
}
