//! Runs many scenarios, each in a process of its own with a deadline.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::scenario::Scenario;
use crate::table::Kind;
use crate::verdict::Verdict;

/// Time a child gets beyond its scenario's own deadlines before it is killed.
const GRACE: Duration = Duration::from_secs(60);

/// A scenario to run on a driver.
#[derive(Debug, Clone)]
pub struct Job {
    /// The driver.
    pub sys: PathBuf,
    /// The scenario.
    pub scenario: Scenario,
}

/// A scenario under way.
struct Running {
    job: Job,
    child: Child,
    output: File,
    errors: File,
    start: Instant,
}

/// What the children are given.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Which kind of device the drivers are for.
    pub kind: Kind,
    /// Of every choice.
    pub seed: u64,
    /// Operations instead of the scenario's own.
    pub operations: Option<u64>,
    /// Whether SRB extensions are contiguous.
    pub contiguous_extensions: bool,
    /// Where they record what the driver executes.
    pub coverage: Option<PathBuf>,
    /// Processes at once.
    pub jobs: usize,
}

impl Matrix {
    /// Runs `jobs` and tells of each as it ends, in that order.
    ///
    /// # Errors
    /// A child cannot be started.
    pub fn run(
        &self,
        jobs: &[Job],
        mut tell: impl FnMut(&Job, &Verdict),
    ) -> anyhow::Result<Vec<Verdict>> {
        let mut waiting = jobs.iter();
        let mut running: Vec<Running> = Vec::new();
        let mut verdicts = Vec::new();
        loop {
            while running.len() < self.jobs.max(1) {
                let Some(scenario) = waiting.next() else {
                    break;
                };
                running.push(self.start(scenario)?);
            }
            if running.is_empty() {
                return Ok(verdicts);
            }
            let mut at = 0;
            while let Some(one) = running.get_mut(at) {
                match self.ended(one)? {
                    Some(verdict) => {
                        tell(&one.job, &verdict);
                        verdicts.push(verdict);
                        running.swap_remove(at);
                    }
                    None => at += 1,
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn start(&self, job: &Job) -> anyhow::Result<Running> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let output = tempfile::tempfile()?;
        let errors = tempfile::tempfile()?;
        let mut command = Command::new(&program);
        command
            .arg("scenario")
            .arg(&job.scenario.name)
            .arg("--sys")
            .arg(&job.sys)
            .args([
                "--kind",
                self.kind.name(),
                "--seed",
                &self.seed.to_string(),
                "--json",
                "--die-with-parent",
            ])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(errors.try_clone()?);
        if let Some(operations) = self.operations {
            command.args(["--requests", &operations.to_string()]);
        }
        if self.contiguous_extensions {
            command.arg("--contiguous-extensions");
        }
        if let Some(map) = &self.coverage {
            command.arg("--coverage").arg(map);
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Running {
            job: job.clone(),
            child,
            output,
            errors,
            start: Instant::now(),
        })
    }

    /// The verdict of a child that has ended, or that has to end now.
    fn ended(&self, running: &mut Running) -> anyhow::Result<Option<Verdict>> {
        let status = running.child.try_wait()?;
        let elapsed = running.start.elapsed();
        let why = match status {
            Some(status) => {
                let text = contents(&mut running.output);
                if let Ok(verdict) = serde_json::from_str(&text) {
                    return Ok(Some(verdict));
                }
                format!("the host ended with {status} and no verdict")
            }
            None if elapsed < running.job.scenario.deadline + GRACE => return Ok(None),
            None => {
                running.child.kill()?;
                running.child.wait()?;
                format!("killed after {} s", elapsed.as_secs())
            }
        };
        let said = contents(&mut running.errors);
        let why = format!("{why}; it said: {}", said.trim());
        let mut verdict = Verdict::not_run(&running.job.scenario.name, self.seed, why);
        verdict.seconds = elapsed.as_secs_f64();
        Ok(Some(verdict))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, unless we are on the way out with an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn contents(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    text
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Blk => "blk",
            Self::Scsi => "scsi",
        }
    }
}

/// Where the driver is, made absolute, and readable.
///
/// # Errors
/// There is no such file.
pub fn driver_path(path: &Path) -> anyhow::Result<PathBuf> {
    std::fs::canonicalize(path).with_context(|| {
        format!(
            "there is no driver at {}; `cargo xtask pack` makes ours",
            path.display()
        )
    })
}
