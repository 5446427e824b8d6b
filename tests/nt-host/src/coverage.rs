//! Records which instructions of a driver are executed.

use std::path::Path;

/// Records in this map what drivers execute that are loaded from now on.
///
/// # Errors
/// The map cannot be opened, or this is not an x64 host.
#[cfg(target_arch = "x86_64")]
pub fn record(map: &Path) -> anyhow::Result<()> {
    use anyhow::Context;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(map)
        .with_context(|| format!("cannot open {}", map.display()))?;
    host_machine::coverage::record(file);
    Ok(())
}

/// Refuses.
///
/// # Errors
/// Always.
#[cfg(not(target_arch = "x86_64"))]
pub fn record(map: &Path) -> anyhow::Result<()> {
    anyhow::bail!(
        "{}: coverage is recorded of x64 drivers only",
        map.display()
    )
}
