//! A row of the table, and how it is run.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ring_rig::{Mode, Rig};

/// The longest that a row may take in one mode: no lie may make the driver spin.
const DEADLINE: Duration = Duration::from_secs(30);

/// What comes of a lie. Names are those of error variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<Name = &'static str> {
    /// The queue closes with this error, reported once; every token comes back when the device has stopped.
    Closed(Name),
    /// The call fails with this error.
    Failed(Name),
    /// The driver does not let its caller break the rule: the request is refused with this error.
    Refused(Name),
    /// The lie changes nothing: honest work that follows succeeds.
    Ignored,
    /// As far as the driver can see it is no lie; nothing is lost, doubled or overrun.
    Harmless,
    /// The rule binds the driver, and the driver keeps it.
    Kept,
}

/// What a row saw.
pub type Outcome = Verdict<String>;

impl Outcome {
    /// The queue closed with `error`.
    pub fn closed(error: &impl fmt::Debug) -> Self {
        Self::Closed(variant(error))
    }

    /// The call failed with `error`.
    pub fn failed(error: &impl fmt::Debug) -> Self {
        Self::Failed(variant(error))
    }

    /// The request was refused with `error`.
    pub fn refused(error: &impl fmt::Debug) -> Self {
        Self::Refused(variant(error))
    }
}

/// The name of the innermost variant: of `Outer(Inner { .. })` it is `Inner`.
fn variant(error: &impl fmt::Debug) -> String {
    let text = format!("{error:?}");
    let names = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    // Wrappers open with a parenthesis; fields come after a brace or a space.
    let wrappers = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '(' || *c == '_')
        .filter(|c| *c == '(')
        .count();
    names
        .filter(|name| !name.is_empty())
        .take_while(|name| name.starts_with(char::is_uppercase))
        .take(wrappers + 1)
        .last()
        .unwrap_or_default()
        .to_owned()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(name) => write!(f, "closed: {name}"),
            Self::Failed(name) => write!(f, "failed: {name}"),
            Self::Refused(name) => write!(f, "refused: {name}"),
            Self::Ignored => write!(f, "ignored"),
            Self::Harmless => write!(f, "harmless"),
            Self::Kept => write!(f, "kept"),
        }
    }
}

/// Which registers the device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// virtio 1.0 and later.
    Modern,
    /// The I/O-port BAR of legacy and transitional devices. // Virtio 1.3 §4.1.4.10
    Legacy,
}

/// How a row is run.
pub enum Run {
    /// On a fresh rig in every ring mode that the filter keeps.
    Ring(fn(Mode) -> bool, fn(&mut Rig) -> Outcome),
    /// On each of these interfaces.
    Transport(&'static [Interface], fn(Interface) -> Outcome),
}

/// One row.
pub struct Row {
    /// A letter and three digits, never used for another row: R any ring, S split, P packed, T transport, F features and
    /// initialisation.
    pub id: &'static str,
    /// `Virtio 1.3 §…`, or another specification by name.
    pub section: &'static str,
    /// What the device does, or what the driver must not.
    pub lie: &'static str,
    /// What has to come of it.
    pub verdict: Verdict,
    /// How it is run.
    pub run: Run,
}

impl Row {
    /// Runs the row in every mode that it applies to; returns how many those were.
    ///
    /// # Errors
    ///
    /// What went wrong, and in which mode.
    pub fn check(&self) -> Result<usize, String> {
        let mut ran = 0;
        match self.run {
            Run::Ring(applies, run) => {
                for mode in Mode::judged().into_iter().filter(|mode| applies(*mode)) {
                    for size in sizes(mode) {
                        let name = format!("{mode:?} size {size}");
                        self.one(&name, move || {
                            let mut rig = Rig::new(mode, *size);
                            let seen = run(&mut rig);
                            // Whatever came of it: every token comes back once, and no byte was touched that was not lent.
                            let _ = rig.end();
                            seen
                        })?;
                        ran += 1;
                    }
                }
            }
            Run::Transport(interfaces, run) => {
                for interface in interfaces {
                    self.one(&format!("{interface:?}"), move || run(*interface))?;
                    ran += 1;
                }
            }
        }
        Ok(ran)
    }

    /// Runs the row in one mode, on a thread of its own, as it may not end.
    fn one(
        &self,
        mode: &str,
        run: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<(), String> {
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let seen = catch_unwind(AssertUnwindSafe(run));
            // Nobody listens any more after the deadline.
            let _ = send.send(seen.map_err(|panic| message(&*panic)));
        });
        let problem = match receive.recv_timeout(DEADLINE) {
            Ok(Ok(seen)) if same(&self.verdict, &seen) => return Ok(()),
            Ok(Ok(seen)) => format!("expected {:?}, saw {seen:?}", self.verdict),
            Ok(Err(panic)) => panic,
            Err(_) => format!("did not end within {DEADLINE:?}"),
        };
        Err(format!("{} ({}), {mode}: {problem}", self.id, self.lie))
    }
}

/// Sizes at which ring rows run: room for a few chains, and where the format allows it no power of two.
fn sizes(mode: Mode) -> &'static [u16] {
    if mode.packed { &[8, 11] } else { &[8, 16] }
}

fn same(want: &Verdict, seen: &Outcome) -> bool {
    match (want, seen) {
        (Verdict::Closed(want), Verdict::Closed(seen))
        | (Verdict::Failed(want), Verdict::Failed(seen))
        | (Verdict::Refused(want), Verdict::Refused(seen)) => want == seen,
        (Verdict::Ignored, Verdict::Ignored)
        | (Verdict::Harmless, Verdict::Harmless)
        | (Verdict::Kept, Verdict::Kept) => true,
        _ => false,
    }
}

/// What a panic said.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic without a message")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Interface, Outcome, Row, Run, Verdict, variant};

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug only")]
    enum Example {
        Plain,
        Data { inner: u8 },
        Wrapper(Inner),
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug only")]
    enum Inner {
        Fields { at: u8 },
        Number(u8),
    }

    #[test]
    fn names_are_those_of_the_innermost_variant() {
        assert_eq!(variant(&Example::Plain), "Plain");
        assert_eq!(variant(&Example::Data { inner: 1 }), "Data");
        assert_eq!(
            variant(&Example::Wrapper(Inner::Fields { at: 1 })),
            "Fields"
        );
        assert_eq!(variant(&Example::Wrapper(Inner::Number(1))), "Number");
    }

    #[test]
    fn wrong_outcomes_and_panics_are_failures() {
        let row = |verdict, run| Row {
            id: "T000",
            section: "",
            lie: "a row",
            verdict,
            run: Run::Transport(&[Interface::Modern], run),
        };
        let ignored = |_| Outcome::Ignored;
        assert_eq!(row(Verdict::Ignored, ignored).check(), Ok(1));
        for verdict in [Verdict::Harmless, Verdict::Closed("Region")] {
            assert!(row(verdict, ignored).check().is_err());
        }
        let failed = |_| Outcome::failed(&Inner::Number(1));
        assert_eq!(row(Verdict::Failed("Number"), failed).check(), Ok(1));
        assert!(row(Verdict::Failed("Plain"), failed).check().is_err());
        let panics = row(Verdict::Ignored, |_| panic!("said {}", 1)).check();
        assert_eq!(panics, Err("T000 (a row), Modern: said 1".to_owned()));
    }
}
