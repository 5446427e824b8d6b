//! Says what a long command is doing: a bar on a terminal, a line a step elsewhere, nothing for tests.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar moves while a step is under way.
const TICK: Duration = Duration::from_millis(120);

/// Where progress goes. It is never part of a command's output: it goes to the standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Says nothing.
    #[must_use]
    pub fn silent() -> Progress {
        Progress { bar: None }
    }

    /// A bar if the standard error is a terminal, otherwise a line for each finished step. `steps` is their number, if it is known.
    #[must_use]
    pub fn new(steps: Option<u64>) -> Progress {
        let bar = ProgressBar::with_draw_target(steps, ProgressDrawTarget::stderr());
        let template = if steps.is_some() {
            "{spinner} [{bar:24}] {pos}/{len} {msg} {elapsed}"
        } else {
            "{spinner} {msg} {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress { bar: Some(bar) }
    }

    /// Runs one step and says afterwards how long it took. A step may have steps in it; the bar shows the innermost.
    ///
    /// # Errors
    ///
    /// Those of `work`.
    pub fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(bar) = &self.bar else {
            return work();
        };
        let start = Instant::now();
        let around = bar.message();
        bar.set_message(what.to_owned());
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        let result = work();
        if around.is_empty() {
            bar.disable_steady_tick();
        }
        bar.set_message(around);
        let value = result?;
        bar.inc(1);
        let line = format!("{what}: {:.1} s", start.elapsed().as_secs_f32());
        // A hidden bar prints nothing at all.
        if bar.is_hidden() {
            eprintln!("{line}");
        } else {
            bar.println(line);
        }
        Ok(value)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
