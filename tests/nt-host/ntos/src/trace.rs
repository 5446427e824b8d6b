//! A running hash of what happened, and optionally its text: two runs from one seed give the same.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

struct State {
    hash: u64,
    count: u64,
    text: Option<BufWriter<File>>,
}

/// The FNV-1a offset and prime for 64 bits (RFC 9923).
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State { hash: OFFSET, count: 0, text: None }) };
}

/// Forgets everything.
pub(crate) fn boot() {
    STATE.replace(State {
        hash: OFFSET,
        count: 0,
        text: None,
    });
}

/// Adds an event. `values` must not be addresses of this process: they differ from run to run.
pub fn event(what: &str, values: &[u64]) {
    STATE.with_borrow_mut(|s| {
        s.count += 1;
        let bytes = what
            .bytes()
            .chain([0])
            .chain(values.iter().flat_map(|v| v.to_le_bytes()));
        s.hash = bytes.fold(s.hash, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });
        if let Some(text) = &mut s.text {
            let mut line = what.to_owned();
            for value in values {
                line.push_str(&format!(" {value:#x}"));
            }
            // The text is an aid: a full disk must not change what the driver sees.
            if writeln!(text, "{line}").is_err() {
                s.text = None;
            }
        }
    });
}

/// Writes each event as a line of text to `path` from now on.
///
/// # Errors
/// When the file cannot be created.
pub fn text_to(path: &Path) -> io::Result<()> {
    let file = BufWriter::new(File::create(path)?);
    STATE.with_borrow_mut(|s| s.text = Some(file));
    Ok(())
}

/// The hash of all events so far.
#[must_use]
pub fn hash() -> u64 {
    STATE.with_borrow(|s| s.hash)
}

/// How many events there were.
#[must_use]
pub fn count() -> u64 {
    STATE.with_borrow(|s| s.count)
}

/// Writes out what is buffered.
pub(crate) fn flush() {
    STATE.with_borrow_mut(|s| {
        if let Some(text) = &mut s.text {
            let _ = text.flush();
        }
    });
}
