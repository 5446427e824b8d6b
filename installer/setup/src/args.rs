//! The command line.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::engine::{Command, Install, Uninstall};
use crate::policy::{Candidate, UnknownClass};

/// What the program prints when it was called wrongly or with `--help`.
pub const USAGE: &str = "\
usage: winpv-setup COMMAND [--dry-run]
  check      --class test|attestation|whcp [--boot-start] [--accept-attestation-on-server]
  begin      --product CODE
  install    --driver NAME --inf FILE --class test|attestation|whcp --product CODE --version VERSION
             [--boot-start] [--accept-attestation-on-server] [--devices ID,ID] [--force] [--stage-only]
  uninstall  --driver NAME --inf FILE --product CODE
  commit     --product CODE
  rollback   --product CODE
The MSI runs these; --dry-run prints what a command would do and changes nothing, not even the log.
Exit codes: 0 done, 1 wrong command line, 2 refused (Windows would not start), 3 a Windows function failed.
The log is \\Windows\\Logs\\WinPV\\setup.log.";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The usage text.
    Help,
    /// A command.
    Run {
        /// Which one.
        command: Command,
        /// Change nothing.
        dry_run: bool,
    },
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// No such command.
    #[error("there is no command {0:?}")]
    Command(String),
    /// No such option for this command, or it is there twice.
    #[error("option {0:?} does not belong here")]
    Option(String),
    /// The option's value is missing.
    #[error("option {0} is missing or has no value")]
    Missing(&'static str),
    /// The class is none.
    #[error("{0}")]
    Class(#[from] UnknownClass),
}

/// Splits a Windows command line and drops the program's name.
///
/// Quotation marks group; a backslash is an ordinary character, because every argument here that has one is a path.
#[must_use]
pub fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.into_iter().skip(1).collect()
}

/// Options that were given, until a command takes them.
struct Options(Vec<(String, Option<String>)>);

impl Options {
    fn parse(words: &[String]) -> Result<Options, Wrong> {
        let mut options = Vec::new();
        let mut words = words.iter().peekable();
        while let Some(name) = words.next() {
            if !name.starts_with("--") {
                return Err(Wrong::Option(name.clone()));
            }
            let value = words.next_if(|word| !word.starts_with("--"));
            options.push((name.clone(), value.cloned()));
        }
        Ok(Options(options))
    }

    fn take(&mut self, name: &str) -> Option<Option<String>> {
        let at = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.remove(at).1)
    }

    fn value(&mut self, name: &'static str) -> Result<String, Wrong> {
        self.take(name)
            .flatten()
            .filter(|value| !value.is_empty())
            .ok_or(Wrong::Missing(name))
    }

    fn flag(&mut self, name: &str) -> Result<bool, Wrong> {
        match self.take(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => Err(Wrong::Option(value)),
        }
    }
}

/// Reads the words after the program's name.
pub fn parse(words: &[String]) -> Result<Request, Wrong> {
    let Some((name, rest)) = words.split_first() else {
        return Ok(Request::Help);
    };
    if ["--help", "-h", "/?", "help"].contains(&name.as_str()) {
        return Ok(Request::Help);
    }
    let mut options = Options::parse(rest)?;
    let dry_run = options.flag("--dry-run")?;
    let product = |options: &mut Options| options.value("--product");
    let candidate = |options: &mut Options| -> Result<Candidate, Wrong> {
        Ok(Candidate {
            class: options.value("--class")?.parse()?,
            boot_start: options.flag("--boot-start")?,
            attestation_on_server: options.flag("--accept-attestation-on-server")?,
        })
    };
    let command = match name.as_str() {
        "check" => Command::Check(candidate(&mut options)?),
        "begin" => Command::Begin(product(&mut options)?),
        "commit" => Command::Commit(product(&mut options)?),
        "rollback" => Command::Rollback(product(&mut options)?),
        "install" => Command::Install(Install {
            driver: options.value("--driver")?,
            inf: options.value("--inf")?,
            candidate: candidate(&mut options)?,
            product: product(&mut options)?,
            version: options.value("--version")?,
            devices: match options.take("--devices") {
                None => Vec::new(),
                Some(ids) => ids
                    .ok_or(Wrong::Missing("--devices"))?
                    .split(',')
                    .map(ToString::to_string)
                    .collect(),
            },
            force: options.flag("--force")?,
            stage_only: options.flag("--stage-only")?,
        }),
        "uninstall" => Command::Uninstall(Uninstall {
            driver: options.value("--driver")?,
            inf: options.value("--inf")?,
            product: product(&mut options)?,
        }),
        _ => return Err(Wrong::Command(name.to_string())),
    };
    match options.0.first() {
        Some((name, _)) => Err(Wrong::Option(name.clone())),
        None => Ok(Request::Run { command, dry_run }),
    }
}
