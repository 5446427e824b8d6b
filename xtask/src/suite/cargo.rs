//! The workspace's own tests, and compilation for the Windows targets.

use std::time::Duration;

use anyhow::Result;

use super::{Context, Outcome};
use winpv::process::{Output, Run};

/// From cold, everything is compiled first.
const DEADLINE: Duration = Duration::from_secs(1800);

/// Targets on which nt-sys asserts its layouts at compile time.
const ABI_TARGETS: [&str; 3] = [
    "x86_64-pc-windows-msvc",
    "aarch64-pc-windows-msvc",
    "i686-pc-windows-msvc",
];

/// `cargo test` of every crate, each test counted.
pub fn unit_tests(context: &Context) -> Result<Vec<Outcome>> {
    let output = Run::new("cargo")
        .dir(&context.root)
        .args(["test", "--workspace", "--no-fail-fast", "--color", "never"])
        .deadline(DEADLINE)
        .output()?;
    Ok(outcomes(&output))
}

/// What a run of `cargo test` says.
pub fn outcomes(output: &Output) -> Vec<Outcome> {
    let mut outcomes = parse(&output.stdout);
    let failed = outcomes.iter().any(|outcome| outcome.result.is_err());
    if !output.status.success() && !failed {
        // Something did not compile, or a test program died before it could say what failed.
        outcomes.push(Outcome {
            name: "cargo test".to_owned(),
            result: Err(tail(&output.text())),
        });
    }
    outcomes
}

/// Reads the lines `test NAME ... ok` and the output that failed tests left.
pub fn parse(text: &str) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for line in text.lines() {
        let Some((name, verdict)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        let result = match verdict.split([' ', ',']).next() {
            Some("ok") => Ok(()),
            Some("ignored") => continue,
            _ => Err(captured(text, name)),
        };
        outcomes.push(Outcome {
            name: name.to_owned(),
            result,
        });
    }
    outcomes
}

/// What a failed test printed: the part under its `---- NAME stdout ----` line.
fn captured(text: &str, name: &str) -> String {
    let start = format!("---- {name} stdout ----\n");
    let Some((_, rest)) = text.split_once(&start) else {
        return "no output".to_owned();
    };
    let end = rest
        .find("\n---- ")
        .or(rest.find("\nfailures:"))
        .unwrap_or(rest.len());
    tail(rest[..end].trim())
}

/// The last lines of a long text.
pub fn tail(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// nt-sys for the three Windows targets, where its layout assertions are evaluated; and virtio-core where pointers have 32 bits,
/// as other projects may build it.
pub fn target_checks(context: &Context) -> Result<Vec<Outcome>> {
    let check = |package: &str, target: &str| {
        Outcome::of(format!("{package} for {target}"), || {
            Run::new("cargo")
                .dir(&context.root)
                .args(["check", "--quiet", "--no-default-features"])
                .args(["--package", package, "--target", target])
                .deadline(DEADLINE)
                .ok()
                .map(|_| ())
        })
    };
    let mut outcomes: Vec<_> = ABI_TARGETS
        .iter()
        .map(|target| check("nt-sys", target))
        .collect();
    outcomes.push(check("virtio-core", "i686-pc-windows-msvc"));
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn cargos_lines_are_counted_and_failures_keep_their_output() {
        let text = "running 4 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, slow\n\
            test src/lib.rs - (line 8) ... ok\n\nfailures:\n\n---- c stdout ----\nboom\nat x\n\nfailures:\n    c\n";
        let outcomes = parse(text);
        let names: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.name.as_str())
            .collect();
        assert_eq!(names, ["a::b", "c", "src/lib.rs - (line 8)"]);
        assert_eq!(outcomes[1].result, Err("boom\nat x".to_owned()));
        assert!(outcomes[0].result.is_ok() && outcomes[2].result.is_ok());
    }
}
