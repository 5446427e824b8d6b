//! Reads the many spellings in which Microsoft states at which IRQL a function may be called.
//!
//! Used by build.rs (which turns the statements into tables) and by the tests.

/// The lowest and highest IRQL at which a call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Lowest allowed level.
    pub min: u8,
    /// Highest allowed level.
    pub max: u8,
}

/// HIGH_LEVEL of x64 and ARM64 (wdm.h).
pub const HIGH_LEVEL: u8 = 15;
/// The highest level of a device interrupt on x64 (wdm.h: CLOCK_LEVEL is 13).
pub const DIRQL_MAX: u8 = 12;

impl Range {
    /// No restriction.
    pub const ANY: Range = Range {
        min: 0,
        max: HIGH_LEVEL,
    };

    /// The stricter of two statements; where they exclude each other, the one with the lower top.
    #[must_use]
    pub fn stricter(self, other: Range) -> Range {
        let both = Range {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        };
        if both.min <= both.max {
            both
        } else if self.max <= other.max {
            self
        } else {
            other
        }
    }
}

/// A level by one of its names; the first name found wins, so longer names come first.
fn level(text: &str) -> Option<u8> {
    const NAMES: [(&str, u8); 9] = [
        ("PASSIVE", 0),
        ("APC_LEVEL", 1),
        ("DISPATCH", 2),
        ("DPC_LEVEL", 2),
        ("DIRQL", DIRQL_MAX),
        ("IPI_LEVEL", 14),
        ("PROFILE_LEVEL", HIGH_LEVEL),
        ("HIGH_LEVEL", HIGH_LEVEL),
        ("SYNCH_LEVEL", DIRQL_MAX),
    ];
    NAMES
        .iter()
        .filter_map(|(name, value)| text.find(name).map(|at| (at, *value)))
        .min()
        .map(|(_, value)| value)
}

/// The range that a `req.irql` line of the documentation states, `None` when it states none.
///
/// "See Remarks" after a level is ignored: the level itself still stands.
#[must_use]
pub fn from_docs(text: &str) -> Option<Range> {
    let upper = text.to_uppercase();
    let statement = match upper.find("SEE ") {
        Some(0) => return None,
        Some(at) => &upper[..at],
        None => &upper,
    };
    // Statements with a condition are true only in part: a level for one case says nothing of the other.
    if statement.contains(" IF ") || statement.contains(" OR <") {
        return None;
    }
    let Some(level) = level(statement) else {
        return statement.contains("ANY").then_some(Range::ANY);
    };
    let top = Range { min: 0, max: level };
    Some(
        if statement.contains("<=") || statement.contains("REQUIRES_MAX") {
            top
        } else if statement.contains('<') {
            Range {
                min: 0,
                max: level.saturating_sub(1),
            }
        } else if statement.contains(">=") || statement.contains("GREATER THAN OR EQUAL") {
            Range {
                min: level,
                max: HIGH_LEVEL,
            }
        } else if statement.contains("DIRQL") {
            // "DIRQL" names the level of the device's interrupt, whichever that is.
            Range {
                min: 3,
                max: DIRQL_MAX,
            }
        } else {
            Range {
                min: level,
                max: level,
            }
        },
    )
}

/// The range that the header annotations of one function state together, `None` when they state none.
#[must_use]
pub fn from_annotations<'a>(annotations: impl Iterator<Item = &'a str>) -> Option<Range> {
    let mut found = None;
    for annotation in annotations {
        let Some((name, value)) = annotation.trim().split_once(' ') else {
            continue;
        };
        let Some(value) = annotated_level(value) else {
            continue;
        };
        let range = match name {
            "_IRQL_requires_max_" => Range { min: 0, max: value },
            "_IRQL_requires_min_" => Range {
                min: value,
                max: HIGH_LEVEL,
            },
            "_IRQL_requires_" => Range {
                min: value,
                max: value,
            },
            _ => continue,
        };
        found = Some(found.map_or(range, |known: Range| known.stricter(range)));
    }
    found
}

/// A level as annotations write it: a number, a name, or a number plus or minus one.
fn annotated_level(text: &str) -> Option<u8> {
    let text = text.replace(' ', "");
    if let Some((base, add)) = text.split_once('+') {
        return Some(base.parse::<u8>().ok()?.saturating_add(add.parse().ok()?));
    }
    if let Some((base, take)) = text.split_once('-') {
        return Some(base.parse::<u8>().ok()?.saturating_sub(take.parse().ok()?));
    }
    text.parse().ok().or_else(|| level(&text.to_uppercase()))
}
