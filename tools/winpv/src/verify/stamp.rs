//! What an MSI of WinPV says about its drivers' signatures.
//!
//! Installing goes by it: a boot-start driver with a weaker signature than the MSI says would leave a Windows that does not start.

use winpv_inject::trust::Trust;
use winpv_msi::check::{Msi, text};

use crate::msi::class;

/// The commands of the helper program that get a class.
const COMMANDS: [&str; 2] = ["check ", "install "];

/// What is wrong with the class that an MSI names, for drivers of which the weakest has this signature.
pub fn check(msi: &Msi, weakest: Trust) -> Vec<String> {
    let wanted = class(weakest);
    let mut problems = Vec::new();
    let mut compare = |place: &str, found: Option<&str>| {
        if found != Some(wanted) {
            problems.push(format!(
                "{place} names the class {:?}, but the weakest signature of its drivers is {weakest}, which is {wanted:?}",
                found.unwrap_or_default()
            ));
        }
    };
    compare("WinPVSignature", msi.property("WinPVSignature"));
    for row in msi.rows("CustomAction") {
        let command = text(row, "Target");
        if COMMANDS.iter().any(|name| command.starts_with(name)) {
            let mut words = command.split_whitespace();
            let found = words
                .find(|word| *word == "--class")
                .and_then(|_| words.next());
            compare(text(row, "Action"), found);
        }
    }
    problems
}
