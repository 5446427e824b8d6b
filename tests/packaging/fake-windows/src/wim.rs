//! WIM files, made by wimlib-imagex.

use std::path::Path;

use anyhow::Result;
use winpv_process::Run;

use crate::Windows;

/// Makes a WIM with one image for each of `systems`.
///
/// # Errors
///
/// wimlib fails.
pub fn make(wim: &Path, systems: &[Windows], scratch: &Path) -> Result<()> {
    for (number, windows) in (1..).zip(systems) {
        let tree = scratch.join(format!("tree-{number}"));
        windows.write(&tree)?;
        let action = if number == 1 { "capture" } else { "append" };
        let mut run = Run::new("wimlib-imagex")
            .arg(action)
            .arg(&tree)
            .arg(wim)
            .arg(format!("image {number}"));
        if number == 1 {
            // With a table of checksums, as on Microsoft's media.
            run = run.args(["--compress=XPRESS", "--check"]);
        }
        run.ok()?;
    }
    Ok(())
}
