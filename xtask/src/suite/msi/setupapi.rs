//! The drivers' INFs in Wine's setupapi.
//!
//! It knows neither build numbers in decorations nor DIRID 13, so it gets the form for the oldest Windows, which copies to
//! System32\drivers, under a plain decoration.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use winpv::drivers::{self, Arch, Driver};
use winpv::inf;

use super::prefix::{Template, Windows};
use super::{Context, Outcome};

/// Installs every driver's section.
pub fn all(context: &Context, template: &Template) -> Result<Vec<Outcome>> {
    Ok(drivers::packages()
        .map(|driver| {
            Outcome::of(
                format!("Wine's setupapi installs {}.inf (derived)", driver.name),
                || install(context, template, &driver),
            )
        })
        .collect())
}

fn install(context: &Context, template: &Template, driver: &Driver) -> Result<()> {
    let name = driver.name;
    let dir = context.dist.join(driver.folder(Arch::Amd64));
    let text = fs::read_to_string(dir.join(format!("{name}.inf")))?;
    let derived = inf::oldest_form(&text).with_context(|| format!("{name}.inf"))?;
    let scratch = tempfile::tempdir()?;
    let path = scratch.path().join(format!("{name}.inf"));
    fs::write(&path, derived)?;
    let sys = format!("{name}.sys");
    fs::copy(dir.join(&sys), scratch.path().join(&sys))?;

    let prefix = template.prefix(Windows::Ten)?;
    let target = format!(r"windows\system32\drivers\{sys}");
    let service = format!(r"HKLM\System\CurrentControlSet\Services\{name}");
    prefix.lacks(&target)?;
    prefix.unregistered(&service)?;
    let call = format!(
        "setupapi.dll,InstallHinfSection Install_1607.NT 128 Z:{}",
        path.to_string_lossy().replace('/', r"\")
    );
    let arguments: Vec<&str> = call.split(' ').collect();
    prefix.run("rundll32", &arguments)?;
    prefix.holds(&target, &fs::read(dir.join(&sys))?)?;
    let start = if driver.boot_start { "0x0" } else { "0x3" };
    prefix.registered(
        &service,
        &[
            ("Type", "0x1"),
            ("Start", start),
            ("ErrorControl", "0x1"),
            ("DisplayName", driver.description),
        ],
    )?;
    let image = prefix.registry(&service)?;
    ensure!(
        image
            .lines()
            .any(|line| line.contains("ImagePath") && line.contains(&sys)),
        "{image}"
    );
    Ok(())
}
