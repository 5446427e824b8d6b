//! The documentation says what is so: its commands are commands, its links lead somewhere, its tests are those that run, and what
//! it says of the report from a real Windows fits the schema.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use clap::error::ErrorKind;
use serde_json::{Value, json};
use winpv::process::Run;

use super::{Context, Outcome, STEPS};

const SCHEMA: &str = "docs/collect/report.schema.json";
const EXAMPLE: &str = "docs/collect/example.json";
const VERIFICATION: &str = "docs/verification.md";

/// Every check.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let root = &context.root;
    let mut outcomes = Vec::new();
    let mut commands = 0;
    for page in pages(root)? {
        let text = fs::read_to_string(&page)?;
        let name = page.strip_prefix(root)?.display().to_string();
        let written = written(&text);
        commands += written.len();
        outcomes.push(Outcome::of(format!("{name}: commands"), || {
            let wrong: Vec<String> = written.iter().filter_map(Command::problem).collect();
            ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
            Ok(())
        }));
        outcomes.push(Outcome::of(format!("{name}: links"), || {
            let wrong = broken_links(root, &page, &text);
            ensure!(wrong.is_empty(), "they lead nowhere: {}", wrong.join(", "));
            Ok(())
        }));
    }
    outcomes.push(Outcome::of("commands and links are found at all", || {
        ensure!(commands >= 40, "only {commands} commands");
        let bad = written("    winpv biuld --out x\n    winpv inject --dry-rum a.wim\n");
        ensure!(
            bad.len() == 2 && bad.iter().all(|command| command.problem().is_some()),
            "a wrong command is taken"
        );
        let lost = broken_links(
            root,
            &root.join("README.md"),
            "[a](docs/none.md) [b](docs/install.md#none)",
        );
        ensure!(lost.len() == 2, "a broken link is taken: only {lost:?}");
        Ok(())
    }));
    outcomes.push(Outcome::of(
        "verification.md names the steps that run",
        || steps(&fs::read_to_string(root.join(VERIFICATION))?),
    ));
    outcomes.extend(report(root)?);
    for name in ["virtio-core", "driver-catalog"] {
        outcomes.push(Outcome::of(format!("{name} can be packaged"), || {
            packaged(context, name)
        }));
    }
    Ok(outcomes)
}

/// A library makes a package that has all that another project needs, as its read-me file promises.
fn packaged(context: &Context, name: &str) -> Result<()> {
    let package = |arguments: &[&str]| {
        Run::new("cargo")
            .dir(&context.root)
            .args(["package", "--offline", "--allow-dirty", "--quiet"])
            .args(["--package", name])
            .args(arguments)
            .ok()
    };
    let listed = package(&["--list"])?.stdout;
    for needed in ["src/lib.rs", "README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        ensure!(
            listed.lines().any(|line| line == needed),
            "{needed} is not in it"
        );
    }
    package(&["--no-verify"])?;
    Ok(())
}

/// The pages for readers: those in the root and in docs/, and the read-mes of crates.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = Run::new("git")
        .dir(root)
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.md",
        ])
        .ok()?
        .stdout;
    let pages: Vec<PathBuf> = listed.lines().map(|line| root.join(line)).collect();
    ensure!(pages.len() > 10, "only {} pages", pages.len());
    Ok(pages)
}

/// A command of ours as a page has it.
struct Command {
    words: Vec<String>,
    /// In running text an argument may be left out.
    in_prose: bool,
}

impl Command {
    fn problem(&self) -> Option<String> {
        let result = match self.words.first().map(String::as_str) {
            Some("winpv") => winpv::cli::Cli::try_parse_from(&self.words).map(|_| ()),
            _ => crate::commands::Cli::try_parse_from(&self.words).map(|_| ()),
        };
        let error = result.err()?;
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
            ErrorKind::MissingRequiredArgument
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                if self.in_prose =>
            {
                None
            }
            _ => Some(format!("{}: {error}", self.words.join(" "))),
        }
    }
}

/// The commands in code blocks and code spans.
fn written(page: &str) -> Vec<Command> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            found.extend(command(line, false));
        } else {
            // Every second piece stands between back quotes.
            found.extend(
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .filter_map(|span| command(span, true)),
            );
        }
    }
    found
}

/// Reads one command, without what the shell does with its output.
fn command(text: &str, in_prose: bool) -> Option<Command> {
    let text = text.split(" #").next()?.replace("\\|", "|");
    let text = [" | ", " > ", " >> ", " && ", "; "]
        .iter()
        .fold(text.as_str(), |text, end| {
            text.split(end).next().unwrap_or(text)
        });
    let mut words: Vec<String> = words(text);
    // Variables may stand before the program.
    let is_variable = |word: &String| word.contains('=') && !word.starts_with('-');
    let first = words.iter().position(|word| !is_variable(word))?;
    words.drain(..first);
    if in_prose {
        // A number that the reader chooses.
        for word in words.iter_mut().filter(|word| *word == "N") {
            "1".clone_into(word);
        }
    }
    let words = match words.first()?.as_str() {
        "cargo" if words.get(1).is_some_and(|word| word == "xtask") => {
            [&["cargo xtask".to_owned()], &words[2..]].concat()
        }
        "winpv" | "target/release/winpv" => [&["winpv".to_owned()], &words[1..]].concat(),
        _ => return None,
    };
    (words.len() > 1 || !in_prose).then_some(Command { words, in_prose })
}

/// Splits at spaces, but not between quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, piece) in text.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(piece.to_owned());
        } else {
            words.extend(piece.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Links to files of this repository that are not there, or to headings that are not in them.
fn broken_links(root: &Path, page: &Path, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for piece in text.split("](").skip(1) {
        let target = piece.split(')').next().unwrap_or_default();
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let path = match file {
            "" => page.to_owned(),
            file if file.starts_with('/') => root.join(file.trim_start_matches('/')),
            file => page.parent().unwrap_or(root).join(file),
        };
        let has_heading = || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.lines()
                .filter(|line| line.starts_with('#'))
                .any(|line| anchor(line) == heading)
        };
        if !path.exists() || !(heading.is_empty() || has_heading()) {
            broken.push(target.to_owned());
        }
    }
    broken
}

/// The name that a heading gets: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

/// The table of claims names every step, and no step that is not there.
fn steps(page: &str) -> Result<()> {
    let named: BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('«').skip(1))
        .filter_map(|piece| piece.split('»').next())
        .collect();
    let there: BTreeSet<&str> = STEPS.iter().map(|step| step.name).collect();
    let unknown: Vec<_> = named.difference(&there).collect();
    let unnamed: Vec<_> = there.difference(&named).collect();
    ensure!(
        unknown.is_empty() && unnamed.is_empty(),
        "no such step: {unknown:?}; not named: {unnamed:?}"
    );
    Ok(())
}

/// The example of a report fits the schema, and reports with faults do not (jsonschema).
fn report(root: &Path) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let example: Value = serde_json::from_str(
        &fs::read_to_string(root.join(EXAMPLE)).with_context(|| format!("no {EXAMPLE}"))?,
    )?;
    let file = scratch.path().join("report.json");
    let fits = |report: &Value| -> Result<bool> {
        fs::write(&file, report.to_string())?;
        let output = Run::new("jsonschema")
            .arg("-i")
            .arg(&file)
            .arg(root.join(SCHEMA))
            .output()?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => bail!("{}", output.text()),
        }
    };
    let mut outcomes = vec![Outcome::of(
        "schema of the report: the example fits",
        || {
            ensure!(fits(&example)?, "it does not");
            Ok(())
        },
    )];
    for (name, place, value) in [
        ("another format", "/format", json!(2)),
        ("no time", "/collected", json!("yesterday")),
        (
            "a part too many",
            "/items/more",
            json!({"state": "failed", "reason": "x"}),
        ),
        ("an unknown state", "/items/verifier/state", json!("maybe")),
        (
            "a failure without a reason",
            "/items/infverif/reason",
            json!(""),
        ),
        (
            "a digest that is none",
            "/items/packages/data/files/0/sha256",
            json!("12"),
        ),
        (
            "a part without data",
            "/items/os",
            json!({"state": "ok", "reason": ""}),
        ),
    ] {
        outcomes.push(Outcome::of(
            format!("schema of the report: {name} does not fit"),
            || {
                let mut report = example.clone();
                let (parent, key) = place.rsplit_once('/').context("no place")?;
                let parent = report
                    .pointer_mut(parent)
                    .with_context(|| format!("no {parent} in the example"))?;
                match parent {
                    Value::Object(fields) => {
                        fields.insert(key.to_owned(), value.clone());
                    }
                    _ => bail!("{place} is no field"),
                }
                ensure!(!fits(&report)?, "it fits");
                Ok(())
            },
        ));
    }
    Ok(outcomes)
}
