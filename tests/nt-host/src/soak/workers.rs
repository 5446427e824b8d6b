//! Runs plans in processes of their own and watches over them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::enumerate;
use super::life::{self, Found, Ground};
use super::plan::Plan;

/// Plans of the first process, and of the last: each has more than the one before, as one that goes on is the faster, and few plans
/// are for all processors.
const FIRST_CHUNK: usize = 64;
const LAST_CHUNK: usize = 400;

/// Time that one plan may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Failures that are told in full.
const MOST_TOLD: usize = 20;

/// What a worker says, a line each.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    /// It begins a plan.
    Begin(String),
    /// It has finished the plan.
    End(Found),
}

/// What came of all.
#[derive(Debug, Default)]
pub struct Sum {
    /// Plans that ran, by kind.
    pub plans: BTreeMap<String, u64>,
    /// Those that the driver did not survive.
    pub failed: Vec<(String, Vec<String>)>,
    /// Requests that ended, those of them that were cut off, calls that failed, starts that were refused.
    pub counts: [u64; 4],
    /// Time that it took.
    pub seconds: f64,
}

/// A worker's part: plan names on its standard input, lines on its standard output.
///
/// # Errors
/// The driver cannot be read, or nobody listens.
pub fn work(sys: &Path) -> Result<()> {
    let bytes = std::fs::read(sys)?;
    let mut ground = Ground::default();
    enumerate::learn(&bytes, &mut ground)?;
    let mut out = std::io::stdout().lock();
    let mut tell = |line: &Line| -> Result<()> {
        writeln!(out, "{}", serde_json::to_string(line)?)?;
        Ok(out.flush()?)
    };
    for name in std::io::stdin().lock().lines() {
        let name = name?;
        tell(&Line::Begin(name.clone()))?;
        let mut found = match Plan::named(&name) {
            Ok(plan) => life::run(&plan, &bytes, &mut ground),
            Err(error) => Found {
                wrong: vec![format!("{error:#}")],
                ..Found::default()
            },
        };
        found.calls.clear();
        tell(&Line::End(found))?;
    }
    Ok(())
}

struct Worker {
    child: Child,
    names: Vec<String>,
    output: PathBuf,
    read: u64,
    done: usize,
    last: Instant,
    lines: Vec<u8>,
}

/// Runs these plans, `jobs` processes at once, until all have run or the time is up.
///
/// # Errors
/// A process cannot be started.
pub fn run(
    sys: &Path,
    mut names: impl Iterator<Item = String>,
    jobs: usize,
    until: Option<Instant>,
) -> Result<Sum> {
    let start = Instant::now();
    let folder = tempfile::tempdir()?;
    let mut waiting: VecDeque<String> = VecDeque::new();
    let mut workers: Vec<Worker> = Vec::new();
    let mut sum = Sum::default();
    let mut number = 0;
    let mut chunk = FIRST_CHUNK;
    loop {
        let in_time = until.is_none_or(|end| Instant::now() < end);
        while workers.len() < jobs.max(1) && in_time {
            waiting.extend(names.by_ref().take(chunk.saturating_sub(waiting.len())));
            if waiting.is_empty() {
                break;
            }
            let names = waiting.drain(..chunk.min(waiting.len())).collect();
            number += 1;
            chunk = (chunk * 5 / 4).min(LAST_CHUNK);
            workers.push(Worker::start(
                sys,
                names,
                folder.path().join(number.to_string()),
            )?);
        }
        if workers.is_empty() {
            sum.seconds = start.elapsed().as_secs_f64();
            return Ok(sum);
        }
        let mut at = 0;
        while let Some(worker) = workers.get_mut(at) {
            if worker.look(&mut sum)? {
                // What a worker that died had not begun is for another one.
                let worker = workers.swap_remove(at);
                for name in worker.names.iter().skip(worker.done).rev() {
                    waiting.push_front(name.clone());
                }
            } else {
                at += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Sum {
    /// Plans of a kind that the driver did not survive.
    #[must_use]
    pub fn failed(&self, kind: &str) -> usize {
        self.failures(kind).count()
    }

    fn failures(&self, kind: &str) -> impl Iterator<Item = &(String, Vec<String>)> {
        let of_kind = format!("{kind}:");
        self.failed
            .iter()
            .filter(move |(name, _)| name.starts_with(&of_kind))
    }
}

impl Worker {
    fn start(sys: &Path, names: Vec<String>, output: PathBuf) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut input = tempfile::tempfile()?;
        input.write_all(names.join("\n").as_bytes())?;
        input.rewind()?;
        let child = Command::new(&program)
            .args(["soak", "--worker", "--sys"])
            .arg(sys)
            .stdin(input)
            .stdout(File::create(&output)?)
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            names,
            output,
            read: 0,
            done: 0,
            last: Instant::now(),
            lines: Vec::new(),
        })
    }

    /// Takes in what it has said; true if it is over.
    fn look(&mut self, sum: &mut Sum) -> Result<bool> {
        let status = self.child.try_wait()?;
        let hangs = status.is_none() && self.last.elapsed() > DEADLINE;
        if hangs {
            self.child.kill()?;
            self.child.wait()?;
        }
        let mut file = File::open(&self.output)?;
        file.seek(std::io::SeekFrom::Start(self.read))?;
        let mut new = Vec::new();
        file.read_to_end(&mut new)?;
        if !new.is_empty() {
            self.last = Instant::now();
        }
        self.read += new.len() as u64;
        self.lines.extend(new);
        let whole = self
            .lines
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let rest = self.lines.split_off(whole);
        let lines = std::mem::replace(&mut self.lines, rest);
        for line in BufReader::new(&lines[..]).lines() {
            if let Ok(Line::End(found)) = serde_json::from_str(&line?) {
                self.end(found, sum);
            }
        }
        let ended = match status {
            _ if hangs => Some(format!("it did not end in {} s", DEADLINE.as_secs())),
            Some(status) if self.done < self.names.len() => {
                Some(format!("the host ended with {status}"))
            }
            _ => None,
        };
        if let Some(why) = ended {
            self.end(
                Found {
                    wrong: vec![why],
                    ..Found::default()
                },
                sum,
            );
            return Ok(true);
        }
        Ok(status.is_some())
    }

    fn end(&mut self, found: Found, sum: &mut Sum) {
        let Some(name) = self.names.get(self.done) else {
            return;
        };
        self.done += 1;
        let kind = name.split(':').next().unwrap_or_default();
        *sum.plans.entry(kind.to_owned()).or_default() += 1;
        let counts = [
            found.requests,
            found.disturbed,
            found.fired,
            found.refused.into(),
        ];
        for (sum, count) in sum.counts.iter_mut().zip(counts) {
            *sum += count;
        }
        if !found.wrong.is_empty() {
            sum.failed.push((name.clone(), found.wrong));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Ended already, unless we are on the way out with an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells of all: a line for each kind of plan, and of what failed how to see it again.
pub fn tell(sum: &Sum, sys: &Path) {
    for (kind, count) in &sum.plans {
        let failed = sum.failed(kind);
        let word = if failed == 0 { "ok    " } else { "FAILED" };
        println!("{word} {kind:<8} {count} plans, {failed} of them not survived");
        for (name, wrong) in sum.failures(kind).take(MOST_TOLD) {
            println!(
                "       {name}: {}",
                wrong.join("\n       ").replace('\n', "\n       ")
            );
            println!(
                "       again: cargo xtask host soak --sys {} --one {name}",
                sys.display()
            );
        }
    }
    let [requests, disturbed, fired, refused] = sum.counts;
    let plans: u64 = sum.plans.values().sum();
    println!(
        "       {plans} plans in {:.1} s: {:.0} a second, so a million take {:.1} hours; {requests} requests, {disturbed} cut off, {fired} calls failed, {refused} starts refused",
        sum.seconds,
        plans as f64 / sum.seconds,
        sum.seconds / (plans as f64) * 1e6 / 3600.0
    );
}
