//! `winpv completions` and `winpv man`: both are made from the same description of the commands as `--help`.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

/// What `completions --help` shows below the options.
pub const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  winpv completions bash > /usr/share/bash-completion/completions/winpv
  winpv completions zsh  > /usr/share/zsh/vendor-completions/_winpv
  winpv completions fish > /usr/share/fish/vendor_completions.d/winpv.fish";

/// What `man --help` shows below the options.
pub const MAN_EXAMPLES: &str = "\
Examples:
  winpv man > winpv.1
  winpv man | man -l -";

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
pub struct CompletionArgs {
    /// The shell
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub struct ManArgs {}

/// Prints the completion script.
///
/// # Errors
///
/// The script cannot be written to the standard output.
pub fn completions(args: &CompletionArgs) -> Result<bool> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "winpv", &mut script);
    print(&script)
}

/// Prints the manual page.
///
/// # Errors
///
/// The page cannot be written to the standard output.
pub fn man(_: &ManArgs) -> Result<bool> {
    print(&page()?)
}

fn print(bytes: &[u8]) -> Result<bool> {
    io::stdout()
        .write_all(bytes)
        .context("cannot write to the standard output")?;
    Ok(true)
}

/// One page with every command: a page a command would have to be installed a page a command.
///
/// # Errors
///
/// None in practice: the page is written to memory.
pub fn page() -> Result<Vec<u8>> {
    let mut command = Cli::command();
    // Gives every command its full name, as `--help` shows it.
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("WinPV");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    for subcommand in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        section(&mut page, subcommand)?;
    }
    writeln!(page, ".SH \"EXIT STATUS\"")?;
    for (code, text) in [
        (super::OK, "done, nothing wrong"),
        (
            super::FOUND,
            "done, and something wrong was found; the report says what",
        ),
        (super::USAGE, "wrong arguments"),
        (
            super::FAILED,
            "not done; the reason is on the standard error",
        ),
    ] {
        writeln!(page, ".TP\n{code}\n{text}")?;
    }
    Ok(page)
}

/// One command: what it does, its options and its examples.
fn section(page: &mut Vec<u8>, command: &Command) -> Result<()> {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
    let man = Man::new(command.clone());
    let mut part = Vec::new();
    man.render_synopsis_section(&mut part)?;
    man.render_description_section(&mut part)?;
    man.render_options_section(&mut part)?;
    // The command is a section of this page, its own sections become parts of it.
    let part = String::from_utf8(part)?.replace(".SH ", ".SS ");
    page.write_all(part.as_bytes())?;
    if let Some(examples) = command.get_after_help() {
        let examples = examples
            .to_string()
            .replace('\\', "\\e")
            .replace('-', "\\-");
        writeln!(page, ".PP\n.nf\n{examples}\n.fi")?;
    }
    Ok(())
}
