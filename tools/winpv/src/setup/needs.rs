//! The table of programs that are needed, with their minimum versions.

use std::fmt;
use std::time::Duration;

use crate::process::Run;

/// What a program is needed for; a later purpose includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// `cargo xtask pack`.
    Pack,
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask test --full`.
    Full,
    /// `cargo xtask fuzz`, which needs nothing of the others.
    Fuzz,
}

impl Purpose {
    /// Whether it takes what is there for `other`.
    pub fn takes(self, other: Purpose) -> bool {
        match self {
            Purpose::Fuzz => other == Purpose::Fuzz,
            _ => other <= self,
        }
    }
}

/// A program that is needed.
#[derive(Debug)]
pub struct Need {
    /// Its name on PATH.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// The oldest version that serves; 0 for a program that cannot say its version.
    pub minimum: Number,
    /// What for.
    pub purpose: Purpose,
    /// Makes it print its version; words are separated by spaces.
    pub ask: &'static str,
    /// What stands before the version in its answer.
    pub before: &'static str,
}

/// Every program that is needed. The minimum versions are those of Debian 12.
pub const NEEDS: &[Need] = &[
    Need {
        program: "openssl",
        package: "openssl",
        minimum: Number([3, 0, 0]),
        purpose: Purpose::Pack,
        ask: "version",
        before: "OpenSSL ",
    },
    Need {
        program: "osslsigncode",
        package: "osslsigncode",
        minimum: Number([2, 5, 0]),
        purpose: Purpose::Pack,
        ask: "--version",
        before: "osslsigncode ",
    },
    Need {
        program: "xorriso",
        package: "xorriso",
        minimum: Number([1, 5, 4]),
        purpose: Purpose::Pack,
        ask: "--version",
        before: "xorriso ",
    },
    Need {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        minimum: Number([7, 2, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "version ",
    },
    Need {
        program: "qemu-img",
        package: "qemu-utils",
        minimum: Number([7, 2, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "version ",
    },
    Need {
        program: "qemu-aarch64",
        package: "qemu-user",
        minimum: Number([7, 2, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "version ",
    },
    Need {
        program: "wine",
        package: "wine",
        minimum: Number([8, 0, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "wine-",
    },
    Need {
        program: "msiinfo",
        package: "msitools",
        minimum: Number([0, 101, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "version ",
    },
    Need {
        program: "cabextract",
        package: "cabextract",
        minimum: Number([1, 9, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "version ",
    },
    Need {
        program: "wimlib-imagex",
        package: "wimtools",
        minimum: Number([1, 13, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "wimlib-imagex ",
    },
    Need {
        program: "ntfsfix",
        package: "ntfs-3g",
        minimum: Number([2022, 10, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "ntfsfix v",
    },
    // A token in software, and what lets OpenSSL use keys in tokens.
    Need {
        program: "softhsm2-util",
        package: "softhsm2",
        minimum: Number([2, 6, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "",
    },
    Need {
        program: "openssl",
        package: "libengine-pkcs11-openssl",
        minimum: Number([0; 3]),
        purpose: Purpose::Test,
        ask: "engine pkcs11",
        before: "(pkcs11) ",
    },
    Need {
        program: "isoinfo",
        package: "genisoimage",
        minimum: Number([1, 1, 11]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "isoinfo ",
    },
    Need {
        program: "jsonschema",
        package: "python3-jsonschema",
        minimum: Number([4, 10, 0]),
        purpose: Purpose::Test,
        ask: "--version",
        before: "",
    },
    Need {
        program: "guestfish",
        package: "libguestfs-tools",
        minimum: Number([1, 48, 0]),
        purpose: Purpose::Full,
        ask: "--version",
        before: "guestfish ",
    },
    Need {
        program: "virt-inspector",
        package: "guestfs-tools",
        minimum: Number([1, 48, 0]),
        purpose: Purpose::Full,
        ask: "--version",
        before: "virt-inspector ",
    },
    Need {
        program: "virt-v2v",
        package: "virt-v2v",
        minimum: Number([2, 2, 0]),
        purpose: Purpose::Full,
        ask: "--version",
        before: "virt-v2v ",
    },
    Need {
        program: "nbdkit",
        package: "nbdkit",
        minimum: Number([1, 32, 0]),
        purpose: Purpose::Full,
        ask: "--version",
        before: "nbdkit ",
    },
    Need {
        program: "nbdcopy",
        package: "libnbd-bin",
        minimum: Number([1, 14, 0]),
        purpose: Purpose::Full,
        ask: "--version",
        before: "nbdcopy ",
    },
    // What virt-v2v runs scripts with in the guest; a program for Windows.
    Need {
        program: "dpkg-query",
        package: "rhsrvany",
        minimum: Number([1, 1, 0]),
        purpose: Purpose::Full,
        ask: "--show --showformat=${Version} rhsrvany",
        before: "",
    },
    Need {
        program: "hivexregedit",
        package: "libhivex-bin",
        minimum: Number([0, 0, 0]),
        purpose: Purpose::Test,
        ask: "--help",
        before: "",
    },
    // The kernel that libguestfs boots, and the guest of «vioblk in QEMU».
    Need {
        program: "linux-version",
        package: "linux-image-amd64",
        minimum: Number([5, 10, 0]),
        purpose: Purpose::Full,
        ask: "list",
        before: "",
    },
    Need {
        program: "g++",
        package: "g++",
        minimum: Number([12, 0, 0]),
        purpose: Purpose::Fuzz,
        ask: "--version",
        before: ") ",
    },
];

/// A version: up to three numbers, the missing ones 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub [u32; 3]);

impl Number {
    /// Reads the numbers at the start of `text`, up to the first character that is neither digit nor dot.
    pub fn parse(text: &str) -> Option<Number> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut number = [0; 3];
        let parts = text[..end].trim_end_matches('.').split('.');
        for (slot, part) in number.iter_mut().zip(parts) {
            *slot = part.parse().ok()?;
        }
        Some(Number(number))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}")?;
        if patch == 0 {
            Ok(())
        } else {
            write!(f, ".{patch}")
        }
    }
}

/// What was found out about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It serves.
    Found(Number),
    /// It is there but too old.
    TooOld {
        /// What is there.
        found: Number,
        /// What is needed.
        minimum: Number,
    },
    /// It is not on PATH or does not run.
    Missing,
    /// It runs, but its answer holds no version.
    Unclear(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Found(number) => write!(f, "version {number}"),
            Verdict::TooOld { found, minimum } => {
                write!(
                    f,
                    "version {found} is too old, {minimum} or later is needed"
                )
            }
            Verdict::Missing => f.write_str("not found"),
            Verdict::Unclear(answer) => write!(f, "answers {answer:?}, which holds no version"),
        }
    }
}

impl Need {
    /// What it is called in reports: the program, or the package where another program is only asked about it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.ask.contains(' ') {
            self.package
        } else {
            self.program
        }
    }

    /// Runs the program to ask for its version.
    pub fn probe(&self) -> Verdict {
        match Run::new(self.program)
            .args(self.ask.split(' '))
            .deadline(Duration::from_secs(20))
            .output()
        {
            Ok(output) => self.judge(&output.text()),
            Err(_) => Verdict::Missing,
        }
    }

    /// Judges the program's answer.
    pub fn judge(&self, answer: &str) -> Verdict {
        let version = answer
            .split_once(self.before)
            .and_then(|(_, rest)| Number::parse(rest));
        match version {
            None if self.minimum == Number([0; 3])
                && !answer.is_empty()
                && answer.contains(self.before) =>
            {
                Verdict::Found(self.minimum)
            }
            None => Verdict::Unclear(answer.lines().next().unwrap_or_default().to_owned()),
            Some(found) if found < self.minimum => Verdict::TooOld {
                found,
                minimum: self.minimum,
            },
            Some(found) => Verdict::Found(found),
        }
    }
}
