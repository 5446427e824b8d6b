//! Line coverage of the packed x64 drivers, measured by nt-host while it runs their scenarios.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use sys_coverage::{Code, Judgement, Unreached};

use super::{Context, Outcome};
use winpv::drivers::{Arch, Driver};

/// The least that the scenarios have to execute of the lines in the driver file, in percent.
const LEAST: usize = 90;

/// What is measured of a driver besides its own crate.
const SHARED: &str = "crates/storport";

/// A measurement that has begun.
pub struct Measurement {
    root: PathBuf,
    driver: &'static Driver,
    code: Code,
    map: PathBuf,
}

impl Measurement {
    /// Makes the map of a packed driver.
    pub fn begin(context: &Context, driver: &'static Driver) -> Result<Self> {
        let dist = &context.dist;
        let sys = dist.join(driver.file(Arch::Amd64, "sys"));
        let code = Code::read(&sys, &dist.join(driver.symbols(Arch::Amd64)))?;
        let folder = context.target_dir.join("coverage");
        fs::create_dir_all(&folder)?;
        let map = folder.join(format!("{}.map", driver.name));
        fs::write(&map, code.map()).with_context(|| format!("cannot write {}", map.display()))?;
        Ok(Self {
            root: context.root.clone(),
            driver,
            code,
            map,
        })
    }

    /// The map, for nt-host's `--coverage`.
    pub fn map(&self) -> &PathBuf {
        &self.map
    }

    /// What was executed up to now.
    pub fn judge(&self) -> Result<Judgement> {
        let map =
            fs::read(&self.map).with_context(|| format!("cannot read {}", self.map.display()))?;
        let list = self.root.join("tests/coverage/unreached.toml");
        let list =
            fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        let own = format!("drivers/{}", self.driver.source);
        Judgement::new(
            &self.root,
            &[&own, SHARED],
            &self.code.lines(&map)?,
            &Unreached::parse(&list)?,
        )
    }

    /// Prints what was executed of each file, and fails if it is not enough.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(format!("{}: coverage", self.driver.name), || {
            let judgement = self.judge()?;
            println!("{judgement}");
            ensure!(
                judgement.stale.is_empty(),
                "tests/coverage/unreached.toml: {}",
                judgement.stale.join("\n")
            );
            ensure!(
                judgement.reaches(LEAST),
                "less than {LEAST} % of the lines were executed; these were not:\n{}",
                judgement.missed()
            );
            Ok(())
        })
    }
}
