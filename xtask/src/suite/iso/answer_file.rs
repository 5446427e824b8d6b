//! The answer file on the ISO: what Windows Setup needs to find a driver by it.
//!
//! Names and values are those of the example at MS: "DriverPaths" (Microsoft-Windows-PnpCustomizationsWinPE), and of MS:
//! "Windows Setup Automation Overview" for the namespaces.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use winpv::drivers::Arch;
use winpv::iso::{Entry, layout};

use super::folder;

/// An element's attributes.
type Attributes<'a> = BTreeMap<&'a str, &'a str>;

/// The elements around a path, from the outside in, and what each must say.
const AROUND: [(&str, &[(&str, &str)]); 5] = [
    (
        "unattend",
        &[
            ("xmlns", "urn:schemas-microsoft-com:unattend"),
            (
                "xmlns:wcm",
                "http://schemas.microsoft.com/WMIConfig/2002/State",
            ),
        ],
    ),
    ("settings", &[("pass", "windowsPE")]),
    (
        "component",
        &[
            ("name", "Microsoft-Windows-PnpCustomizationsWinPE"),
            ("publicKeyToken", "31bf3856ad364e35"),
            ("language", "neutral"),
            ("versionScope", "nonSxS"),
        ],
    ),
    ("DriverPaths", &[]),
    ("PathAndCredentials", &[("wcm:action", "add")]),
];
const COMPONENT: usize = 2;
const ITEM: usize = 4;

/// Each path in use stands where Setup looks for it, under the component for the processor of the folder that it names, with a key
/// of its own; both processors have one; every element is closed.
pub fn check(text: &str, entries: &[Entry]) -> Result<()> {
    let plain = without_comments(text)?;
    let mut open: Vec<(&str, Attributes<'_>)> = Vec::new();
    let mut keys = BTreeSet::new();
    let mut found = BTreeSet::new();
    for piece in plain.split('<').skip(1) {
        let (tag, content) = piece.split_once('>').context("a tag without an end")?;
        let name = tag.split_whitespace().next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            let closed = open.pop().map(|(open, _)| open);
            ensure!(closed == Some(name), "</{name}> closes nothing");
        } else if name == "Path" {
            let arch = around(&open)?;
            let (_, item) = &open[ITEM];
            let key = item.get("wcm:keyValue").context("a path without a key")?;
            ensure!(keys.insert((arch, *key)), "key {key} twice for {arch}");
            let (_, place) = content
                .split_once(":\\")
                .context("a path without a drive")?;
            let place = place.replace('\\', "/");
            let wanted = format!("{}/{arch}", layout::BOOT);
            ensure!(place == wanted, "{place} for {arch}, and not {wanted}");
            ensure!(
                folder(entries, &place)
                    .keys()
                    .any(|name| name.ends_with(".inf")),
                "no INF in {place}"
            );
            found.insert(arch);
            open.push((name, Attributes::new()));
        } else if !tag.ends_with('/') && !tag.starts_with('?') {
            open.push((name, attributes(tag)?));
        }
    }
    ensure!(open.is_empty(), "not closed: {open:?}");
    ensure!(found == Arch::ALL.map(Arch::name).into(), "only {found:?}");
    Ok(())
}

/// The processor of the component that a path stands in.
fn around<'a>(open: &[(&str, Attributes<'a>)]) -> Result<&'a str> {
    let names: Vec<&str> = open.iter().map(|(name, _)| *name).collect();
    ensure!(names == AROUND.map(|(name, _)| name), "a path in {names:?}");
    for ((name, attributes), (_, wanted)) in open.iter().zip(AROUND) {
        for (key, value) in wanted {
            let is = attributes.get(key);
            ensure!(is == Some(value), "{name}: {key} is {is:?}");
        }
    }
    let (_, component) = &open[COMPONENT];
    let arch = component.get("processorArchitecture");
    arch.copied().context("a component for no processor")
}

fn attributes(tag: &str) -> Result<Attributes<'_>> {
    let mut rest = tag
        .split_once(char::is_whitespace)
        .map_or("", |(_, rest)| rest)
        .trim();
    let mut found = Attributes::new();
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').context("a value without an end")?;
        found.insert(key, value);
        rest = after.trim();
    }
    ensure!(rest.is_empty(), "{rest:?} is no attribute");
    Ok(found)
}

fn without_comments(text: &str) -> Result<String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        plain.push_str(before);
        let (_, after) = after
            .split_once("-->")
            .context("a comment without an end")?;
        rest = after;
    }
    Ok(plain + rest)
}

/// With each of these changed at its first place outside of comments, the file must not pass.
pub fn mutations(text: &str, entries: &[Entry]) -> Result<()> {
    let plain = without_comments(text)?;
    for (from, to) in [
        ("urn:schemas-microsoft-com:unattend", "urn:unattend"),
        ("2002/State", "2003/State"),
        ("\"windowsPE\"", "\"specialize\""),
        ("PnpCustomizationsWinPE", "PnpCustomizationsNonWinPE"),
        ("\"amd64\"", "\"x64\""),
        ("\"amd64\"", "\"arm64\""),
        ("31bf3856ad364e35", "31bf3856ad364e36"),
        ("neutral", "en-US"),
        ("nonSxS", "SxS"),
        ("DriverPaths", "DriverPath"),
        ("wcm:action=\"add\" ", ""),
        ("wcm:action=\"add\"", "wcm:action=\"modify\""),
        ("wcm:keyValue=\"2\"", "wcm:keyValue=\"1\""),
        (" wcm:keyValue=\"1\"", ""),
        ("boot\\amd64", "drivers\\vioblk\\amd64"),
        ("</settings>", ""),
    ] {
        ensure!(plain.contains(from), "no {from} in it");
        if check(&plain.replacen(from, to, 1), entries).is_ok() {
            bail!("{to:?} instead of {from:?} is taken");
        }
    }
    Ok(())
}
