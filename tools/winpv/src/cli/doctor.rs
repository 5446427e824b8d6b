//! `winpv doctor`: which tools are there.

use anyhow::Result;
use serde_json::json;

use crate::setup;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "\
Examples:
  winpv doctor
  winpv doctor --json";

/// Arguments of `doctor`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints what was found and what is missing, and how to get it; false if something is missing.
///
/// # Errors
///
/// None at present: what cannot be found out is reported as missing.
pub fn run(args: &Args) -> Result<bool> {
    let report = setup::report();
    if args.json {
        let tools: Vec<_> = report
            .tools
            .iter()
            .map(|tool| json!({ "name": tool.name, "ok": tool.ok, "detail": tool.detail }))
            .collect();
        println!(
            "{}",
            json!({ "complete": report.complete(), "tools": tools, "advice": report.advice })
        );
    } else {
        for tool in &report.tools {
            let word = if tool.ok { "ok     " } else { "MISSING" };
            println!("{word}  {}: {}", tool.name, tool.detail);
        }
        if !report.advice.is_empty() {
            println!(
                "\nTo install what is missing:\n  {}",
                report.advice.join("\n  ")
            );
        }
    }
    Ok(report.complete())
}
