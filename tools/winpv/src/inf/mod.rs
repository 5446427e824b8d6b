//! Fills in a driver's INF template, and checks what came out.

mod ours;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::drivers::{Arch, Driver, PROVIDER};
use crate::version::{Epoch, Version};

pub use driver_inf::Inf;
pub use ours::lint;

/// Where a driver's template lies in the sources.
#[must_use]
pub fn template(root: &Path, driver: &Driver) -> PathBuf {
    root.join("inf").join(format!("{}.inx", driver.source))
}

/// The INF's text, with the line ends that Windows wants.
///
/// # Errors
///
/// The template has a field or processor that is not known, or a block without an end.
pub fn render(
    template: &str,
    driver: &Driver,
    arch: Arch,
    version: Version,
    epoch: Epoch,
) -> Result<String> {
    let mut out = String::new();
    let mut only: Option<&str> = None;
    for (number, line) in (1..).zip(template.lines()) {
        let place = || format!("{}.inx, line {number}", driver.source);
        if line.starts_with(";;") {
            continue;
        }
        if let Some(wanted) = block(line, "ONLY") {
            let known = Arch::ALL.iter().any(|arch| arch.name() == wanted);
            ensure!(known, "{}: no processor {wanted:?}", place());
            only = Some(wanted);
            continue;
        }
        if line == "@END@" {
            ensure!(only.is_some(), "{}: @END@ without @ONLY@", place());
            only = None;
            continue;
        }
        if only.is_some_and(|wanted| wanted != arch.name()) {
            continue;
        }
        let mut filled = line
            .replace("@NAME@", driver.name)
            .replace("@CLASS@", driver.class.name())
            .replace("@CLASSGUID@", driver.class.guid())
            .replace("@DATE@", &epoch.us_date())
            .replace("@VERSION@", &version.to_string())
            .replace("@PROVIDER@", PROVIDER)
            .replace("@START@", start(driver))
            .replace("@DESCRIPTION@", driver.description);
        if let Some(section) = block(&filled, "MODELS") {
            let models = driver
                .hardware_ids
                .iter()
                .map(|id| format!("%DeviceName% = {section}, {id}"));
            filled = models.collect::<Vec<_>>().join("\r\n");
        }
        if let Some(at) = filled.find('@') {
            bail!("{}: unknown field at column {}", place(), at + 1);
        }
        out.push_str(&filled);
        out.push_str("\r\n");
    }
    ensure!(only.is_none(), "{}.inx: @ONLY@ without @END@", driver.name);
    // The template's own comment leaves empty lines at the top.
    Ok(out.trim_start_matches("\r\n").to_owned())
}

/// StartType of a driver's service (winnt.h).
const fn start(driver: &Driver) -> &'static str {
    if driver.boot_start {
        "0 ; SERVICE_BOOT_START"
    } else {
        "3 ; SERVICE_DEMAND_START"
    }
}

/// What stands after the colon in a line `@NAME:VALUE@`.
fn block<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix('@')?
        .strip_prefix(name)?
        .strip_prefix(':')?
        .strip_suffix('@')
}

/// The INF as a setup that knows neither build numbers nor the driver store can use it: the oldest models only, decorated with the
/// processor alone. Wine's setup is one; nothing of it is shipped.
///
/// # Errors
///
/// The INF has not exactly one line of manufacturers, or no decorated models.
pub fn oldest_form(text: &str) -> Result<String> {
    let inf = Inf::parse(text.as_bytes());
    let section = inf
        .section("Manufacturer")
        .context("no [Manufacturer] section")?;
    let [line] = section.entries.as_slice() else {
        bail!("[Manufacturer] does not have exactly one line");
    };
    let [models, oldest, newer @ ..] = line.values.as_slice() else {
        bail!("[Manufacturer] names no decorated models");
    };
    let arch = oldest.text.split('.').next().unwrap_or_default();
    let header = |decoration: &str| format!("[{}.{decoration}]", models.text).to_lowercase();
    let dropped: Vec<String> = newer.iter().map(|field| header(&field.text)).collect();
    let mut out = String::new();
    let mut skip = false;
    for (number, written) in (1..).zip(text.lines()) {
        let lower = written.trim().to_lowercase();
        if lower.starts_with('[') {
            skip = dropped.contains(&lower);
        }
        if skip {
            continue;
        }
        if number == line.at.line {
            let name = line.key.as_ref().map_or("", |key| &key.text);
            out.push_str(&format!("{name} = {}, {arch}", models.text));
        } else if lower == header(&oldest.text) {
            out.push_str(&format!("[{}.{arch}]", models.text));
        } else {
            out.push_str(written);
        }
        out.push_str("\r\n");
    }
    Ok(out)
}
