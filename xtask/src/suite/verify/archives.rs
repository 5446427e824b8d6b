//! Puts the package into cabinets and an MSI, and breaks those.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use winpv::msi;
use winpv::pack::{MANIFEST, NAME};
use winpv::process::Run;
use winpv::version::Version;
use winpv_msi::Content;

use super::Mutation;
use super::bench::{ARCH, Bench, digest};
use super::packs::CODE;

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
        what: "an INF on the ISO was changed",
        breaks: &["file-changed", "pack-differs"],
        make: |bench| changed_on_iso(bench, INF),
    },
    Mutation {
        what: "a driver on the ISO was changed",
        breaks: &[
            "file-changed",
            "checksum",
            "signature-digest",
            "pack-differs",
        ],
        make: |bench| changed_on_iso(bench, DRIVER),
    },
    Mutation {
        what: "a catalog on the ISO was changed",
        breaks: &["signature-wrong", "pack-differs"],
        make: |bench| changed_on_iso(bench, CATALOG),
    },
    Mutation {
        what: "an ISO with its manifest is good",
        breaks: &[],
        make: |bench| described_iso(bench, "", ""),
    },
    Mutation {
        what: "the manifest on the ISO has another digest for a file there",
        breaks: &["manifest-wrong"],
        make: |bench| {
            let own = digest(&members(bench)?[DRIVER].1);
            let other = digest(b"another driver");
            described_iso(bench, &own, &other)
        },
    },
    Mutation {
        what: "the manifest says that a file on the ISO is another file of the pack",
        breaks: &["manifest-wrong"],
        make: |bench| {
            let from = |ending| format!(r#""from":"{}""#, bench.file(ending));
            described_iso(bench, &from("inf"), &from("cat"))
        },
    },
    Mutation {
        what: "the manifest names a file that is not on the ISO",
        breaks: &["manifest-wrong"],
        make: |bench| {
            let more = r#""files":[{"path":"more.txt","from":"README.txt"},{"path":"one/"#;
            described_iso(bench, r#""files":[{"path":"one/"#, more)
        },
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
        what: "an MSI with the package is good",
        breaks: &[],
        make: |bench| installer(bench, |_| Ok(())),
    },
    Mutation {
        what: "an MSI that calls test-signed drivers attestation-signed",
        breaks: &["msi-class"],
        make: |bench| {
            installer(bench, |content| {
                ensure!(content.signature == "test", "{}", content.signature);
                content.signature = "attestation".to_owned();
                Ok(())
            })
        },
    },
    Mutation {
        what: "an MSI whose helper is told another class than its property names",
        breaks: &["msi-class", "signature-missing"],
        make: |bench| {
            bench.put(INSTALLER, &shipped(bench)?)?;
            bench.unsign(INSTALLER)?;
            let judge = "check --class whcp --boot-start [WinPVAcceptOption]";
            let query = format!(
                "UPDATE `CustomAction` SET `Target` = '{judge}' WHERE `Action` = 'WinPVJudge'"
            );
            Run::new("msibuild")
                .arg(bench.path(INSTALLER))
                .args(["-q", &query])
                .ok()
                .map(|_| ())
        },
    },
    Mutation {
        what: "an INF in the MSI was changed",
        breaks: &["file-changed", "pack-differs"],
        make: |bench| {
            installer(bench, |content| {
                in_installer(bench, content, "inf")?.extend(b"; more\r\n");
                Ok(())
            })
        },
    },
    Mutation {
        what: "a driver in the MSI was changed",
        breaks: &[
            "file-changed",
            "checksum",
            "signature-digest",
            "pack-differs",
        ],
        make: |bench| {
            installer(bench, |content| {
                in_installer(bench, content, "sys")?[CODE] ^= 1;
                Ok(())
            })
        },
    },
    Mutation {
        what: "a catalog in the MSI was changed",
        breaks: &["signature-wrong", "pack-differs"],
        make: |bench| {
            installer(bench, |content| {
                let changed = other_signature(bench)?;
                *in_installer(bench, content, "cat")? = changed;
                Ok(())
            })
        },
    },
    Mutation {
        what: "an MSI whose icon is not in its tables",
        breaks: &["msi-tables", "signature-missing"],
        make: |bench| {
            bench.put(INSTALLER, &shipped(bench)?)?;
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

/// The places of the package's files among [`members`].
const INF: usize = 0;
const DRIVER: usize = 1;
const CATALOG: usize = 2;

/// The package's files, in a folder of their own.
fn members(bench: &Bench) -> Result<Vec<(String, Vec<u8>)>> {
    let of = |ending: &str| {
        let name = bench.file(ending);
        Ok((format!(r"one\{name}"), bench.get(&name)?))
    };
    ["inf", "sys", "cat"].into_iter().map(of).collect()
}

/// The catalog with one bit of its signature changed.
fn other_signature(bench: &Bench) -> Result<Vec<u8>> {
    let value = bench.signature_value()?;
    let mut bytes = bench.get(&bench.file("cat"))?;
    let at = bytes.windows(value.len()).position(|part| part == value);
    bytes[at.context("no signature")? + value.len() / 2] ^= 1;
    Ok(bytes)
}

/// The pack's MSI.
fn shipped(bench: &Bench) -> Result<Vec<u8>> {
    let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
    let path = bench.dist.join(msi::file_name(version, ARCH));
    fs::read(&path).with_context(|| path.display().to_string())
}

/// A small pack with an MSI in it that was written and signed after this was done to what the pack's MSI holds.
fn installer(bench: &Bench, change: impl FnOnce(&mut Content) -> Result<()>) -> Result<()> {
    bench.pack()?;
    let mut content = winpv_msi::read(&shipped(bench)?)?;
    change(&mut content)?;
    bench.put(INSTALLER, &winpv_msi::write(&content)?)?;
    bench.sign(INSTALLER, "good", &[]).context("MSI")?;
    bench.describe()
}

/// The package's file with this ending in what an MSI holds.
fn in_installer<'a>(
    bench: &Bench,
    content: &'a mut Content,
    ending: &str,
) -> Result<&'a mut Vec<u8>> {
    let wanted = bench.file(ending);
    let files = content
        .drivers
        .iter_mut()
        .flat_map(|driver| &mut driver.files);
    let mut found = files.filter(|(name, _)| *name == wanted);
    let (_, bytes) = found.next().with_context(|| format!("no {wanted}"))?;
    Ok(bytes)
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
    let tree = tree(&members(bench)?)?;
    if let Some(link) = link {
        symlink(link, tree.path().join("one/link.txt"))?;
    }
    write_iso(bench, tree.path())
}

/// A small pack with an ISO in it, on which one file of the package is another.
fn changed_on_iso(bench: &Bench, which: usize) -> Result<()> {
    bench.pack()?;
    let mut members = members(bench)?;
    let bytes = &mut members[which].1;
    match which {
        INF => bytes.extend(b"; more\r\n"),
        DRIVER => bytes[CODE] ^= 1,
        _ => *bytes = other_signature(bench)?,
    }
    write_iso(bench, tree(&members)?.path())?;
    bench.describe()
}

/// An ISO with the package and a manifest of a pack as `winpv build` puts it there, in which one text is replaced by another.
fn described_iso(bench: &Bench, from: &str, to: &str) -> Result<()> {
    let (mut files, mut places) = (Vec::new(), Vec::new());
    for (path, bytes) in members(bench)? {
        let path = path.replace('\\', "/");
        let name = path.trim_start_matches("one/");
        files.push(json!({ "path": name, "size": bytes.len(), "sha256": digest(&bytes) }));
        places.push(json!({ "path": path, "from": name }));
    }
    let manifest = json!({ "name": NAME, "files": files, "iso": { "path": ISO, "files": places } });
    let text = manifest.to_string();
    ensure!(text.contains(from), "no {from} in {text}");
    let text = text.replacen(from, to, 1);
    let mut members = members(bench)?;
    members.push((MANIFEST.to_owned(), text.into_bytes()));
    write_iso(bench, tree(&members)?.path())
}

/// A folder with these files.
fn tree(members: &[(String, Vec<u8>)]) -> Result<TempDir> {
    let tree = tempfile::tempdir()?;
    for (name, bytes) in members {
        let path = tree.path().join(name.replace('\\', "/"));
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(tree)
}

fn write_iso(bench: &Bench, tree: &Path) -> Result<()> {
    Run::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-J", "-R", "-o"])
        .arg(bench.path(ISO))
        .arg(tree)
        .ok()
        .map(|_| ())
}
