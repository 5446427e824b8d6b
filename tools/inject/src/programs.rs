//! The programs of others that do the work, and what to install where one is missing.

use std::time::Duration;

use anyhow::{Result, bail};
use winpv_process::Run;

/// A program, what makes it answer quickly, and its Debian package.
pub struct Program(&'static str, &'static str, &'static str);

const HIVEXGET: Program = Program("hivexget", "--help", "libhivex-bin");
const HIVEXSH: Program = Program("hivexsh", "--help", "libhivex-bin");
const HIVEXREGEDIT: Program = Program("hivexregedit", "--help", "libhivex-bin");

/// What a WIM needs.
pub const FOR_WIM: [Program; 4] = [
    HIVEXGET,
    HIVEXSH,
    HIVEXREGEDIT,
    Program("wimlib-imagex", "--version", "wimtools"),
];

/// What a disk needs.
pub const FOR_DISK: [Program; 5] = [
    HIVEXGET,
    HIVEXSH,
    HIVEXREGEDIT,
    Program("qemu-img", "--version", "qemu-utils"),
    Program("guestfish", "--version", "libguestfs-tools"),
];

/// What a pack in an ISO needs.
pub const FOR_ISO: [Program; 1] = [Program("xorriso", "--version", "xorriso")];

/// Checks that the programs are there.
///
/// # Errors
///
/// Names those that are not, and the packages that have them.
pub fn require(programs: &[Program]) -> Result<()> {
    let missing: Vec<&Program> = programs
        .iter()
        .filter(|Program(name, ask, _)| {
            let run = Run::new(name).arg(ask).deadline(Duration::from_secs(60));
            run.output().is_err()
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|Program(name, _, _)| *name).collect();
    let mut packages: Vec<_> = missing
        .iter()
        .map(|Program(_, _, package)| *package)
        .collect();
    packages.dedup();
    bail!(
        "not found: {}; run `sudo apt-get install --no-install-recommends {}`",
        names.join(", "),
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::{Program, require};

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let there = Program("true", "--version", "coreutils");
        assert!(require(&[there]).is_ok());
        let missing = [
            Program("true", "--version", "coreutils"),
            Program("no-such-program", "--version", "its-package"),
            Program("nor-this-one", "--version", "its-package"),
        ];
        let error = require(&missing).unwrap_err().to_string();
        assert!(error.contains("no-such-program, nor-this-one"), "{error}");
        assert!(error.ends_with("its-package`"), "{error}");
    }
}
