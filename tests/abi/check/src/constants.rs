//! The constants of nt-sys against enums.json and constants.json.

use crate::facts::Facts;
use crate::source::Source;

/// What is wrong with the constants of nt-sys.
#[must_use]
pub fn check(source: &Source, facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, item) in &source.constants {
        let Some(measured) = facts.constant(name, &item.type_name) else {
            continue;
        };
        match (measured, item.value) {
            (Err(why), _) => wrong.push(format!("{name}: {why}")),
            (Ok(_), None) => wrong.push(format!(
                "{name}: measured, but its value here is not written as a number"
            )),
            // Both are compared as 32 bits: Windows' statuses are negative or unsigned as one likes.
            (Ok(measured), Some(value)) if measured as u32 != value as u32 => {
                wrong.push(format!("{name}: {value:#x} here, measured {measured:#x}"));
            }
            (Ok(_), Some(_)) => {}
        }
    }
    wrong
}
