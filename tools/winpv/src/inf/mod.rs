//! Fills in a driver's INF template.

mod lint;
mod text;

#[cfg(test)]
mod tests;

use anyhow::{Result, bail};

use crate::drivers::{Arch, Driver};
use crate::version::{Epoch, Version};

pub use lint::lint;
pub use text::Inf;

/// The INF's text, with the line ends that Windows wants.
pub fn render(
    template: &str,
    driver: &Driver,
    arch: Arch,
    version: Version,
    epoch: Epoch,
) -> Result<String> {
    let mut out = String::new();
    for line in template.lines().filter(|line| !line.starts_with(";;")) {
        let mut filled = line
            .replace("@NAME@", driver.name)
            .replace("@ARCH@", arch.name())
            .replace("@DATE@", &epoch.us_date())
            .replace("@VERSION@", &version.to_string())
            .replace("@DESCRIPTION@", driver.description);
        if let Some(section) = filled
            .strip_prefix("@MODELS:")
            .and_then(|rest| rest.strip_suffix('@'))
        {
            let models = driver
                .hardware_ids
                .iter()
                .map(|id| format!("%DeviceName% = {section}, {id}"));
            filled = models.collect::<Vec<_>>().join("\r\n");
        }
        if let Some(at) = filled.find('@') {
            bail!(
                "{}.inx: unknown field in {line:?} at column {}",
                driver.name,
                at + 1
            );
        }
        out.push_str(&filled);
        out.push_str("\r\n");
    }
    // The template's own comment leaves empty lines at the top.
    Ok(out.trim_start_matches("\r\n").to_owned())
}
