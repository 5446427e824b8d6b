//! The decorations of models sections: which Windows they are for. MS: inf-manufacturer-section.

use std::fmt;

use crate::number;

/// A Windows version: major, minor, build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Build(pub u32, pub u32, pub u32);

impl Build {
    /// Older than every Windows that has INF files.
    pub const OLDEST: Build = Build(0, 0, 0);
    /// The first build that takes build numbers in decorations. MS: inf-manufacturer-section.
    pub const DECORATED: Build = Build(10, 0, 14310);
    /// Windows 10 1709: runs drivers from the driver store. MS: run-from-driver-store.
    pub const RUNS_FROM_STORE: Build = Build(10, 0, 16299);
    /// Windows 10 1809: where InfVerif /w starts to ask for isolation. MS: running-infverif-from-the-command-line, /wbuild.
    pub const ISOLATED: Build = Build(10, 0, 17763);
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Build(0, ..) => f.write_str("any older Windows"),
            Build(major, minor, 0) => write!(f, "Windows {major}.{minor}"),
            Build(_, _, build) => write!(f, "build {build}"),
        }
    }
}

/// The builds from the first to before the last; without an end, all later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub from: Build,
    /// The first that is no longer in it.
    pub to: Option<Build>,
}

impl Range {
    /// Some of it is at or after this build.
    #[must_use]
    pub fn reaches(&self, build: Build) -> bool {
        self.to.is_none_or(|to| to > build)
    }

    /// Both hold on some Windows.
    #[must_use]
    pub fn overlaps(&self, other: &Range) -> bool {
        self.reaches(other.from) && other.reaches(self.from)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Build::OLDEST, None) => f.write_str("every Windows"),
            (Build::OLDEST, Some(to)) => write!(f, "Windows before {to}"),
            (from, None) => write!(f, "{from} and later"),
            (from, Some(to)) => write!(f, "{from} to before {to}"),
        }
    }
}

/// A TargetOSVersion decoration: `NT[arch][.[major][.[minor][.[product][.[suite][.[build]]]]]]`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Target {
    /// Processor in lower case; empty if none is named.
    pub arch: String,
    /// Major version.
    pub major: Option<u32>,
    /// Minor version.
    pub minor: Option<u32>,
    /// VER_NT_* product type.
    pub product: Option<u32>,
    /// VER_SUITE_* mask.
    pub suite: Option<u32>,
    /// Least build.
    pub build: Option<u32>,
}

/// Processors that a decoration can name.
pub const ARCHES: [&str; 5] = ["x86", "ia64", "amd64", "arm", "arm64"];

impl Target {
    /// Reads a decoration; None if it is malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Target> {
        let text = text.to_lowercase();
        let mut parts = text.split('.');
        let arch = parts.next()?.strip_prefix("nt")?.to_owned();
        if !arch.is_empty() && !ARCHES.contains(&arch.as_str()) {
            return None;
        }
        let mut numbers = Vec::new();
        for part in parts {
            numbers.push(match part {
                "" => None,
                digits => Some(number(digits)?),
            });
        }
        if numbers.len() > 5 {
            return None;
        }
        let at = |index: usize| numbers.get(index).copied().flatten();
        Some(Target {
            arch,
            major: at(0),
            minor: at(1),
            product: at(2),
            suite: at(3),
            build: at(4),
        })
    }

    /// The first Windows it is for.
    #[must_use]
    pub fn first(&self) -> Build {
        Build(
            self.major.unwrap_or(0),
            self.minor.unwrap_or(0),
            self.build.unwrap_or(0),
        )
    }
}
