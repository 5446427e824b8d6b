//! Bad input gets a clear error: what is wrong, and what to do.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Context, Outcome};
use winpv::process::{Output, Run};

/// All of them fail before anything is built.
const DEADLINE: Duration = Duration::from_secs(120);

/// Runs this very program with bad input.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    Ok(vec![
        Outcome::of("verify: a .sys that is not one", || {
            let file = dir.join("not.sys");
            fs::write(&file, "MZ, but not a driver")?;
            says(
                xtask(context, &["verify", &file.to_string_lossy()]).output()?,
                &["not.sys"],
            )
        }),
        Outcome::of("verify: a .sys that is not there", || {
            says(
                xtask(context, &["verify", "/nowhere/x.sys"]).output()?,
                &["/nowhere/x.sys", "cannot read"],
            )
        }),
        Outcome::of("host: a .sys that is not one", || {
            let file = dir.join("text.sys");
            fs::write(&file, "hello")?;
            let host = super::build_host(super::Profile::Dev)?;
            let output = Run::new(host)
                .arg("scenarios")
                .arg("--sys")
                .arg(&file)
                .deadline(DEADLINE)
                .output()?;
            says(output, &["text.sys"])
        }),
        Outcome::of("pack: a missing key", || {
            let keys = dir.join("keys");
            fs::create_dir(&keys)?;
            let output = xtask(context, &["pack", "--keys", &keys.to_string_lossy()]).output()?;
            says(output, &["missing key", "root.key", "put it back"])
        }),
        Outcome::of("pack: a read-only dist/", || {
            let out = dir.join("dist");
            fs::create_dir(&out)?;
            fs::set_permissions(&out, fs::Permissions::from_mode(0o555))?;
            let output = xtask(context, &["pack", "--out", &out.to_string_lossy()]).output()?;
            fs::set_permissions(&out, fs::Permissions::from_mode(0o755))?;
            says(output, &["read-only", "chmod u+w"])
        }),
        Outcome::of("pack: dist is a file", || {
            let out = dir.join("file");
            fs::write(&out, "")?;
            says(
                xtask(context, &["pack", "--out", &out.to_string_lossy()]).output()?,
                &["not a folder"],
            )
        }),
        Outcome::of("pack: a SOURCE_DATE_EPOCH that is no number", || {
            says(
                xtask(context, &["pack"])
                    .env("SOURCE_DATE_EPOCH", "today")
                    .output()?,
                &["SOURCE_DATE_EPOCH", "today"],
            )
        }),
        Outcome::of("doctor: a QEMU that is too old", || {
            let path = fake(
                dir,
                "qemu-system-x86_64",
                "QEMU emulator version 5.2.0 (Debian 1:5.2+dfsg-11+deb11u3)",
            )?;
            let output = xtask(context, &["doctor"]).env("PATH", path).output()?;
            says(
                output,
                &["qemu-system-x86_64", "5.2 is too old", "7.2", "install"],
            )
        }),
        Outcome::of("doctor: an osslsigncode that is too old", || {
            let path = fake(dir, "osslsigncode", "osslsigncode 2.1, using:")?;
            says(
                xtask(context, &["doctor"]).env("PATH", path).output()?,
                &["osslsigncode", "2.1 is too old", "2.5"],
            )
        }),
    ])
}

fn xtask(context: &Context, arguments: &[&str]) -> Run {
    let program = env::current_exe().unwrap_or_else(|_| "xtask".into());
    Run::new(program)
        .dir(&context.root)
        .args(arguments)
        .deadline(DEADLINE)
}

/// Failed, says each of these, and shows no panic and no backtrace.
fn says(output: Output, words: &[&str]) -> Result<()> {
    let text = output.text();
    ensure!(!output.status.success(), "no error:\n{text}");
    for word in words {
        ensure!(
            text.contains(word),
            "{word:?} is not in the message:\n{text}"
        );
    }
    for noise in ["panicked", "stack backtrace"] {
        ensure!(!text.contains(noise), "{noise} in the message:\n{text}");
    }
    Ok(())
}

/// A PATH on which a program of that name comes first and prints that answer.
fn fake(dir: &Path, program: &str, answer: &str) -> Result<String> {
    let bin = dir.join(format!("bin-{program}"));
    fs::create_dir(&bin)?;
    let script = bin.join(program);
    fs::write(&script, format!("#!/bin/sh\necho '{answer}'\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(format!(
        "{}:{}",
        bin.display(),
        env::var("PATH").unwrap_or_default()
    ))
}
