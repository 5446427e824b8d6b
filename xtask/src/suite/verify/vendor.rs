//! Another vendor's folder, in the layout that virtio-win made known: judged by what Windows takes, not by our own rules.

use anyhow::{Context as _, Result, ensure};
use driver_catalog::Builder;
use winpv::verify::report::{Level, Report};
use winpv::verify::{self, Options};

use super::bench::Bench;
use crate::suite::Outcome;

/// The vendor's driver and where it lies.
const NAME: &str = "acmestor";
const FOLDER: &str = "acmestor/w10/amd64";

pub fn all(bench: &Bench) -> Vec<Outcome> {
    let made = make(bench);
    let mut outcomes = vec![Outcome::of("another vendor's folder: no error", || {
        made.as_ref()
            .map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let report = judge(bench, false)?;
        ensure!(report.is_good(), "{}", lines(&report));
        ensure!(
            report.counts.packages == 1
                && report.counts.members == 2
                && report.counts.signatures == 2,
            "{}",
            report.summary()
        );
        // What the INF does otherwise than ours, and what was not signed as ours is, is told of.
        for rule in ["INF301", "page-hashes-missing", "file-unlisted"] {
            let finding = report.findings.iter().find(|finding| finding.rule == rule);
            let finding = finding.with_context(|| format!("no {rule}:\n{}", lines(&report)))?;
            ensure!(finding.level == Level::Warning, "{finding}");
        }
        Ok(())
    })];
    outcomes.push(Outcome::of(
        "another vendor's folder, held to our rules: errors",
        || {
            let report = judge(bench, true)?;
            ensure!(report.count(Level::Error) >= 3, "{}", lines(&report));
            ensure!(report.count(Level::Warning) == 0, "{}", lines(&report));
            Ok(())
        },
    ));
    outcomes.push(Outcome::of(
        "another vendor's folder with a changed driver: an error",
        || {
            bench.flip(&format!("{FOLDER}/{NAME}.sys"), 0x480)?;
            let report = judge(bench, false)?;
            let has = |rule| {
                report
                    .findings
                    .iter()
                    .any(|finding| finding.rule == rule && finding.level == Level::Error)
            };
            ensure!(
                has("file-changed") && has("signature-digest"),
                "{}",
                lines(&report)
            );
            Ok(())
        },
    ));
    outcomes
}

/// The package under another vendor's name: an INF that copies to System32\drivers, a driver signed without page hashes.
fn make(bench: &Bench) -> Result<()> {
    let inf = String::from_utf8(bench.get(&bench.file("inf"))?)?;
    let own = bench.file("inf").replace(".inf", "");
    let inf = inf
        .replace(&own, NAME)
        .replace("WinPV", "Acme")
        .replace("DefaultDestDir = 13", "DefaultDestDir = 12")
        .replace("%13%", "%12%");
    let parts = bench.parts()?;
    let place = |ending: &str| format!("{FOLDER}/{NAME}.{ending}");
    bench.put(&place("inf"), inf.as_bytes())?;
    bench.put(&place("sys"), &bench.get(&bench.file("sys"))?)?;
    bench.put(&format!("{FOLDER}/helper.exe"), b"MZ")?;
    bench.unsign(&place("sys"))?;
    bench.sign(&place("sys"), "other", &[])?;
    let mut catalog = Builder::new(parts.os, 1_790_000_000)?;
    for id in &parts.ids {
        catalog.hardware_id(id);
    }
    catalog
        .file(&format!("{NAME}.inf"), inf.as_bytes())?
        .file(&format!("{NAME}.sys"), &bench.get(&place("sys"))?)?;
    bench.put(&place("cat"), &catalog.unsigned()?)?;
    bench.sign(&place("cat"), "other", &[])?;
    for ending in ["inf", "sys", "cat"] {
        bench.delete(&bench.file(ending))?;
    }
    Ok(())
}

fn judge(bench: &Bench, strict: bool) -> Result<Report> {
    let options = Options {
        roots: vec![bench.kit.path("root.pem")],
        strict,
        ..Options::default()
    };
    verify::verify(&bench.dir, &options)
}

fn lines(report: &Report) -> String {
    let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
