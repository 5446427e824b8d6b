//! What one run of one client gave.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use test_device::vhost_user::Counts;

/// A finished run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Requests finished in a second.
    pub iops: f64,
    /// Half of the requests took no longer than this, µs.
    pub median: f64,
    /// 99 of 100 requests took no longer than this, µs.
    pub p99: f64,
    /// Processor time of the client's thread for a request, µs.
    pub cpu: f64,
    /// Notifications sent for a request.
    pub kicks: f64,
    /// Interrupts raised for a request.
    pub interrupts: f64,
}

/// A run under way.
pub struct Watch {
    start: Instant,
    cpu: Duration,
    kicks: u64,
    interrupts: u64,
    latencies: Vec<u32>,
}

impl Watch {
    /// From now on.
    pub fn start(counts: &Counts) -> Result<Self> {
        Ok(Self {
            cpu: thread_time()?,
            kicks: counts.kicks(),
            interrupts: counts.interrupts(),
            latencies: Vec::with_capacity(1 << 20),
            start: Instant::now(),
        })
    }

    /// A request ended that was begun then.
    pub fn done(&mut self, begun: Instant) {
        let nanoseconds = begun.elapsed().as_nanos();
        self.latencies
            .push(u32::try_from(nanoseconds).unwrap_or(u32::MAX));
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// Ends it.
    pub fn end(mut self, counts: &Counts) -> Result<Sample> {
        let seconds = self.start.elapsed().as_secs_f64();
        let cpu = thread_time()?.saturating_sub(self.cpu);
        let requests = self.latencies.len().max(1) as f64;
        self.latencies.sort_unstable();
        let at = |part: f64| {
            let place = (self.latencies.len() as f64 * part) as usize;
            let nanoseconds = self.latencies.get(place).copied().unwrap_or_default();
            f64::from(nanoseconds) / 1e3
        };
        Ok(Sample {
            iops: self.latencies.len() as f64 / seconds,
            median: at(0.5),
            p99: at(0.99),
            cpu: cpu.as_secs_f64() * 1e6 / requests,
            kicks: (counts.kicks() - self.kicks) as f64 / requests,
            interrupts: (counts.interrupts() - self.interrupts) as f64 / requests,
        })
    }
}

/// Processor time of this thread. // Linux Documentation/scheduler/sched-stats.rst: /proc/<pid>/schedstat
fn thread_time() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next();
    let nanoseconds = first.and_then(|word| word.parse().ok());
    Ok(Duration::from_nanos(
        nanoseconds.context("schedstat begins with no number")?,
    ))
}
