//! The pack's version and date, which every file takes from here.

use std::env;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::Run;

/// Four numbers, as DriverVer and VERSIONINFO want them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub [u16; 4]);

impl Version {
    /// Reads `a.b.c`, the workspace's version; the fourth number is 0.
    pub fn parse(text: &str) -> Result<Version> {
        let parts: Vec<&str> = text.split('.').collect();
        let [major, minor, patch] = parts[..] else {
            bail!("version {text} is not of the form a.b.c");
        };
        let number = |part: &str| {
            part.parse::<u16>()
                .with_context(|| format!("version {text}: {part} is not a number below 65536"))
        };
        Ok(Version([number(major)?, number(minor)?, number(patch)?, 0]))
    }

    /// Two 32-bit halves, most significant first.
    pub fn halves(self) -> [u32; 2] {
        let [a, b, c, d] = self.0.map(u32::from);
        [a << 16 | b, c << 16 | d]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// When the source was made: seconds after 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl Epoch {
    /// SOURCE_DATE_EPOCH, otherwise the time of the last commit, so that the same source gives the same files.
    pub fn find(root: &Path) -> Result<Epoch> {
        if let Ok(text) = env::var("SOURCE_DATE_EPOCH") {
            let seconds = text.trim().parse().with_context(|| {
                format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds")
            })?;
            return Ok(Epoch(seconds));
        }
        let time = Run::new("git")
            .dir(root)
            .args(["log", "-1", "--format=%ct"])
            .ok()
            .context("no date for the pack: set SOURCE_DATE_EPOCH to seconds after 1970, or build from a git clone")?;
        Ok(Epoch(time.stdout.trim().parse().context("git's answer")?))
    }

    /// The UTC date as `mm/dd/yyyy`, the form of DriverVer (MS: INF DriverVer directive).
    pub fn us_date(self) -> String {
        let (year, month, day) = civil(self.0 / (24 * 60 * 60));
        format!("{month:02}/{day:02}/{year:04}")
    }

    /// The UTC time as RFC 3339 writes it.
    pub fn rfc3339(self) -> String {
        let (year, month, day) = civil(self.0 / (24 * 60 * 60));
        let of_day = self.0 % (24 * 60 * 60);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Days after 1970-01-01 as year, month, day in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let len = if leap(year) { 366 } else { 365 };
        if days < len {
            break;
        }
        days -= len;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, len) in (1..).zip(months) {
        if days < len {
            return (year, month, days + 1);
        }
        days -= len;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::{Epoch, Version};

    #[test]
    fn versions() {
        assert_eq!(Version::parse("1.2.3").unwrap().to_string(), "1.2.3.0");
        assert_eq!(Version([1, 2, 3, 4]).halves(), [0x0001_0002, 0x0003_0004]);
        for bad in ["1.2", "1.2.3.4", "1.2.x", "1.2.65536", "1.2.3-rc1"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates() {
        for (seconds, date) in [
            (0, "01/01/1970"),
            (951_782_400, "02/29/2000"),
            (1_700_000_000, "11/14/2023"),
            (1_735_689_599, "12/31/2024"),
        ] {
            assert_eq!(Epoch(seconds).us_date(), date);
        }
        assert_eq!(Epoch(1_735_689_599).rfc3339(), "2024-12-31T23:59:59Z");
    }
}
