//! Puts the package into cabinets and an MSI, and breaks those.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context as _, Result};
use winpv::drivers::Arch;
use winpv::msi;
use winpv::process::Run;
use winpv::version::Version;

use super::Mutation;
use super::bench::Bench;

const CABINET: &str = "package.cab";
const INSTALLER: &str = "package.msi";
const ISO: &str = "package.iso";

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        what: "a signed cabinet with the package is good",
        breaks: &[],
        make: |bench| signed_cabinet(bench, &members(bench)?),
    },
    Mutation {
        what: "the cabinet is not signed",
        breaks: &["signature-missing"],
        make: |bench| {
            bench.pack()?;
            cabinet(bench, &members(bench)?)?;
            bench.describe()
        },
    },
    Mutation {
        what: "the cabinet was changed after it was signed",
        breaks: &["signature-digest", "archive-unreadable"],
        make: |bench| {
            signed_cabinet(bench, &members(bench)?)?;
            let middle = bench.get(CABINET)?.len() / 2;
            bench.flip(CABINET, middle)?;
            bench.describe()
        },
    },
    Mutation {
        what: "the cabinet holds another package of that name",
        breaks: &["pack-differs"],
        make: |bench| {
            let own = members(bench)?;
            bench.recatalog(&bench.parts()?)?;
            signed_cabinet(bench, &own)
        },
    },
    Mutation {
        what: "the cabinet holds no package",
        breaks: &["archive-empty"],
        make: |bench| signed_cabinet(bench, &[("read.me".to_owned(), b"nothing".to_vec())]),
    },
    Mutation {
        what: "a file in the cabinet would be written outside",
        breaks: &["archive-path"],
        make: |bench| {
            let mut members = members(bench)?;
            members.push((r"..\..\outside".to_owned(), b"harm".to_vec()));
            signed_cabinet(bench, &members)
        },
    },
    Mutation {
        what: "a package in the cabinet was changed",
        breaks: &["file-changed", "pack-differs"],
        make: |bench| {
            let mut members = members(bench)?;
            members[0].1.extend(b"; more\r\n");
            signed_cabinet(bench, &members)
        },
    },
    Mutation {
        what: "an ISO with the package is good",
        breaks: &[],
        make: |bench| iso(bench, None),
    },
    Mutation {
        what: "an ISO with a link that leads out of it",
        breaks: &["archive-path"],
        make: |bench| iso(bench, Some("/etc/hostname")),
    },
    Mutation {
        what: "an ISO that was cut off",
        breaks: &["archive-unreadable"],
        make: |bench| {
            iso(bench, None)?;
            // The folders are there, what is in the files is not.
            bench.put(ISO, &bench.get(ISO)?[..60_000])
        },
    },
    Mutation {
        what: "an MSI whose icon is not in its tables",
        breaks: &["msi-tables", "signature-missing"],
        make: |bench| {
            let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
            let name = msi::file_name(version, Arch::Amd64);
            bench.put(INSTALLER, &fs::read(bench.dist.join(name))?)?;
            bench.unsign(INSTALLER)?;
            Run::new("msibuild")
                .arg(bench.path(INSTALLER))
                .args([
                    "-q",
                    "UPDATE `Property` SET `Value` = 'none.ico' WHERE `Property` = 'ARPPRODUCTICON'",
                ])
                .ok()
                .map(|_| ())
        },
    },
];

/// The package's files, in a folder of their own.
fn members(bench: &Bench) -> Result<Vec<(String, Vec<u8>)>> {
    let of = |ending: &str| {
        let name = bench.file(ending);
        Ok((format!(r"one\{name}"), bench.get(&name)?))
    };
    ["inf", "sys", "cat"].into_iter().map(of).collect()
}

fn cabinet(bench: &Bench, members: &[(String, Vec<u8>)]) -> Result<()> {
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    bench.put(CABINET, &winpv_msi::cabinet(&members, 1_790_000_000)?)
}

/// A small pack with a cabinet in it.
fn signed_cabinet(bench: &Bench, members: &[(String, Vec<u8>)]) -> Result<()> {
    bench.pack()?;
    cabinet(bench, members)?;
    bench.sign(CABINET, "good", &[]).context("cabinet")?;
    bench.describe()
}

/// An ISO with the package, and a link to this path.
fn iso(bench: &Bench, link: Option<&str>) -> Result<()> {
    let tree = tempfile::tempdir()?;
    for (name, bytes) in members(bench)? {
        let path = tree.path().join(name.replace('\\', "/"));
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(path, bytes)?;
    }
    if let Some(link) = link {
        symlink(link, tree.path().join("one/link.txt"))?;
    }
    Run::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-J", "-R", "-o"])
        .arg(bench.path(ISO))
        .arg(tree.path())
        .ok()
        .map(|_| ())
}
