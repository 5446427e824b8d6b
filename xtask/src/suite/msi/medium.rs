//! The ISO's script for Windows PE in Wine's command interpreter, as far as it goes without Windows PE's drvload.

use anyhow::{Context as _, ensure};
use winpv::drivers::DRIVERS;
use winpv::iso::{self, layout};
use winpv::version::Version;

use super::prefix::{Template, Windows};
use super::{Context, Outcome};

/// The script finds the medium on its drive and every boot driver on the medium.
pub fn script(context: &Context, template: &Template) -> Outcome {
    Outcome::of("winpv.cmd finds each boot driver on the ISO", || {
        let scratch = tempfile::tempdir()?;
        let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
        let medium = scratch.path().join("medium");
        iso::extract(&context.dist.join(iso::file_name(version)), &medium)?;
        let prefix = template.prefix(Windows::Ten)?;
        let own = format!(
            "Z:{}\\examples\\winpv.cmd",
            medium.to_string_lossy().replace('/', "\\")
        );
        let (code, text) = prefix.run("cmd", &["/c", &own])?;
        ensure!(
            code == 1 && text.contains("no WinPV medium found"),
            "without the medium: {code}\n{text}"
        );
        prefix.drive('q', &medium).context("drive Q")?;
        let (code, text) = prefix.run("cmd", &["/c", r"Q:\examples\winpv.cmd"])?;
        ensure!(code == 0, "with the medium: {code}\n{text}");
        let found: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("winpv: loading "))
            .map(str::to_lowercase)
            .collect();
        let mut wanted: Vec<String> = DRIVERS
            .iter()
            .filter(|driver| driver.boot_start)
            .map(|driver| format!(r"q:\{}\amd64\{}.inf", layout::BOOT, driver.name))
            .collect();
        wanted.sort();
        ensure!(found == wanted, "{text}");
        Ok(())
    })
}
