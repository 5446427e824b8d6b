//! All cases, in rounds: in each, the clients take turns on one daemon.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use test_device::image::Image;
use test_device::vhost_user::{Daemon, Medium};

use crate::load::{BLOCK, BLOCKS, Once, Timed};
use crate::native::{Memory, Wake};
use crate::sample::Sample;
use crate::{driver, native};

/// Queues of the disk.
const QUEUES: [u16; 3] = [1, 2, 4];
/// Requests in flight.
const DEPTHS: [u32; 2] = [1, 32];
/// Before each run, unseen.
const WARM_UP: Duration = Duration::from_millis(50);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// vioblk.sys in nt-host.
    Vioblk,
    /// The native client.
    Native(Wake),
}

impl Who {
    /// In the order of the tables.
    pub const ALL: [Self; 3] = [
        Self::Vioblk,
        Self::Native(Wake::Interrupts),
        Self::Native(Wake::Polling),
    ];

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Vioblk => "vioblk.sys in nt-host",
            Self::Native(Wake::Interrupts) => "native, interrupts",
            Self::Native(Wake::Polling) => "native, polling",
        }
    }
}

/// What lies behind the disk, by name.
pub const MEDIA: [&str; 2] = ["null-co", "raw file"];

/// The runs of one client in one case.
pub struct Row {
    /// One of [`MEDIA`].
    pub medium: &'static str,
    /// Queues of the disk.
    pub queues: u16,
    /// Requests in flight.
    pub depth: u32,
    /// The client.
    pub who: Who,
    /// One for each round.
    pub samples: Vec<Sample>,
}

impl Row {
    /// The smallest, the middle and the largest of something of the samples.
    pub fn spread(&self, of: impl Fn(&Sample) -> f64) -> [f64; 3] {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        let last = values.len().saturating_sub(1);
        [at(0), at(last / 2), at(last)]
    }
}

/// Runs everything; `time` is what one run of one client takes.
pub fn all(sys: &Path, rounds: u32, time: Duration) -> Result<Vec<Row>> {
    let image = Image::new(BLOCKS * BLOCK as u64)?;
    let mut rows = Vec::new();
    for medium in MEDIA {
        let behind = match medium {
            "null-co" => Medium::Null(BLOCKS * BLOCK as u64),
            _ => Medium::Raw(image.path().to_owned()),
        };
        for queues in QUEUES {
            let daemon = Rc::new(RefCell::new(Daemon::start(&behind, queues)?));
            let first = rows.len();
            for depth in DEPTHS {
                rows.extend(Who::ALL.map(|who| Row {
                    medium,
                    queues,
                    depth,
                    who,
                    samples: Vec::new(),
                }));
            }
            if medium != "null-co" {
                fill(&daemon, queues)?;
            }
            for round in 0..rounds {
                eprintln!("{medium}, {queues} queues: round {} of {rounds}", round + 1);
                // Who begins changes, so that nobody always follows the same one.
                for turn in 0..Who::ALL.len() {
                    let who = Who::ALL[(turn + round as usize) % Who::ALL.len()];
                    let samples = session(sys, &daemon, queues, who, round, time)
                        .with_context(|| format!("{medium}, {queues} queues, {}", who.words()))?;
                    for (depth, sample) in samples {
                        let row = rows[first..]
                            .iter_mut()
                            .find(|row| row.depth == depth && row.who == who);
                        row.context("a case that is in no row")?
                            .samples
                            .push(sample);
                    }
                }
            }
        }
    }
    Ok(rows)
}

/// Writes every block once, so that no run meets a hole.
fn fill(daemon: &RefCell<Daemon>, queues: u16) -> Result<()> {
    let mut memory = Memory::new(queues)?;
    let mut client = native::Client::start(daemon, &mut memory)?;
    let mut load = Once::new(BLOCKS, true, 0);
    client.run(&mut load, 32, Wake::Interrupts).map(|_| ())
}

/// One connection of one client, with every depth.
fn session(
    sys: &Path,
    daemon: &Rc<RefCell<Daemon>>,
    queues: u16,
    who: Who,
    round: u32,
    time: Duration,
) -> Result<Vec<(u32, Sample)>> {
    let seed = u64::from(round);
    match who {
        Who::Vioblk => {
            let mut client = driver::Client::start(sys, daemon, queues, true)?;
            let mut samples = Vec::new();
            for depth in DEPTHS {
                client.run(Timed::new(seed, WARM_UP), depth)?;
                let (_, sample) = client.run(Timed::new(seed, time), depth)?;
                samples.push((depth, sample));
            }
            client.end()?;
            Ok(samples)
        }
        Who::Native(wake) => {
            let mut memory = Memory::new(queues)?;
            let mut client = native::Client::start(daemon, &mut memory)?;
            let mut samples = Vec::new();
            for depth in DEPTHS {
                client.run(&mut Timed::new(seed, WARM_UP), depth, wake)?;
                let sample = client.run(&mut Timed::new(seed, time), depth, wake)?;
                samples.push((depth, sample));
            }
            Ok(samples)
        }
    }
}
