//! What the properties choose.

use anyhow::{Context as _, Result, ensure};

use super::kit::{INSTALLED, Kit, PROGRAM_FILES, published};
use super::prefix::exit;

/// Nothing but the helper.
pub fn none(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    // The test-signed pack: without its boot driver nothing is refused.
    prefix.msiexec_ends(&["/i", &kit.shipped.path, "ADDLOCAL=WinPV"], exit::SUCCESS)?;
    let folder = kit.shipped.folder();
    ensure!(prefix.find(&format!(r"{folder}\winpv-setup.exe")).is_some());
    prefix.lacks(&format!(r"{folder}\vioblk"))?;
    prefix.unregistered(INSTALLED)
}

pub fn stage(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    let args = ["/i", &kit.trusted.path, "WINPV_STAGEONLY=1"];
    prefix.msiexec_ends(&args, exit::SUCCESS)?;
    kit.trusted.is_installed(&prefix)?;
    prefix.logged("present devices keep their driver, as was asked for")?;
    let log = prefix.log();
    ensure!(!log.contains("updated in place"), "{log}");
    Ok(())
}

/// Two drivers, of which one comes, then the other, and the first goes again.
pub fn alone(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    let two = &kit.two;
    let [first, second] = two.content.drivers.as_slice() else {
        anyhow::bail!("not two drivers");
    };
    let there = |driver: &winpv_msi::Driver, expected: bool| -> Result<()> {
        for (name, bytes) in &driver.files {
            let path = format!(r"{}\{}\{name}", two.folder(), driver.name);
            if expected {
                prefix.holds(&path, bytes)?;
            } else {
                prefix.lacks(&path)?;
            }
        }
        let records = prefix.registry(INSTALLED)?;
        let record = records
            .lines()
            .any(|line| line.trim().starts_with(&driver.name));
        ensure!(record == expected, "{}: {records}", driver.name);
        Ok(())
    };
    let run = |argument: &str| prefix.msiexec_ends(&["/i", &two.path, argument], exit::SUCCESS);
    // Windows installs a feature's parent with it (MS: "Feature Table"), Wine does not.
    run(&format!("ADDLOCAL=WinPV,{}", second.name))?;
    there(first, false)?;
    there(second, true)?;
    published(&prefix, first)
        .err()
        .context("the other driver is published")?;
    run(&format!("ADDLOCAL={}", first.name))?;
    there(first, true)?;
    there(second, true)?;
    two.is_installed(&prefix)?;
    run(&format!("REMOVE={}", second.name))?;
    there(first, true)?;
    there(second, false)?;
    prefix.logged(&format!("{}: ", second.name))?;
    prefix.msiexec_ends(&["/x", &two.path], exit::SUCCESS)?;
    two.is_absent(&prefix)?;
    prefix.lacks(PROGRAM_FILES)
}
