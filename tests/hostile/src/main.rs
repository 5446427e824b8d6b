//! `--write` writes README.md; without arguments the table goes to standard output.

use std::process::ExitCode;

fn main() -> ExitCode {
    let text = hostile_table::readme(&hostile_table::rows());
    match std::env::args().nth(1).as_deref() {
        None => print!("{text}"),
        Some("--write") => {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
            if let Err(error) = std::fs::write(path, text) {
                eprintln!("cannot write {path}: {error}");
                return ExitCode::FAILURE;
            }
        }
        Some(other) => {
            eprintln!(
                "unknown argument {other}: --write writes README.md, nothing prints the table"
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
