//! Programs that stand before those that `winpv inject` runs, and fail, lie, or kill it in the middle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Context, command, program};
use winpv::process::Run;

/// What goes wrong in the middle of writing.
#[derive(Clone, Copy)]
pub enum Fault {
    /// A program fails.
    Fails,
    /// A program says that it wrote a driver, and did not.
    Lies,
    /// Our process is killed.
    Killed,
}

/// wimlib-imagex: something happens to the command that writes.
fn wimlib(fault: Fault) -> &'static str {
    match fault {
        Fault::Fails => "[ \"$1\" = update ] && { echo 'disk on fire' >&2; exit 1; }",
        Fault::Lies => "[ \"$1\" = update ] && { sed /vioblk.sys/d | \"$real\" \"$@\"; exit; }",
        Fault::Killed => "[ \"$1\" = update ] && { \"$real\" \"$@\"; kill -9 $PPID; exit 1; }",
    }
}

/// guestfish: something happens when the third file is written.
fn guestfish(fault: Fault) -> String {
    let work = match fault {
        // Then it ends, as guestfish does after an error.
        Fault::Fails => "echo 'upload /none /none'; exit",
        Fault::Lies => "line='sync'",
        Fault::Killed => "kill -9 $PPID; exit",
    };
    format!(
        "case \" $* \" in *' --ro '*) exec \"$real\" \"$@\";; esac\n\
         number=0\n\
         while IFS= read -r line; do\n\
         case \"$line\" in upload*) number=$((number + 1)); [ $number = 3 ] && {{ {work}; }};; esac\n\
         printf '%s\\n' \"$line\"\n\
         done | \"$real\" \"$@\"; exit"
    )
}

/// Runs `winpv inject` with that fault; `name` is `wimlib-imagex` or `guestfish`.
pub fn run(
    context: &Context,
    name: &str,
    fault: Fault,
    image: &Path,
    arguments: &[&str],
) -> Result<Run> {
    let before = std::env::var("PATH").context("no PATH")?;
    let real = std::env::split_paths(&before)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no {name} in PATH"))?;
    let folder = image.with_extension(format!("{name}-{}", fault as u8));
    fs::create_dir_all(&folder)?;
    let work = if name == "guestfish" {
        guestfish(fault)
    } else {
        wimlib(fault).to_owned()
    };
    let script = format!(
        "#!/bin/sh\nreal='{}'\n{work}\nexec \"$real\" \"$@\"\n",
        real.display()
    );
    let file = folder.join(name);
    fs::write(&file, script)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    let run = command(context, image, arguments)?;
    // What a killed run leaves in the folder for temporary files goes with the test's own.
    let run = run.env("TMPDIR", &folder);
    Ok(run.env("PATH", format!("{}:{before}", folder.display())))
}

/// Runs `winpv inject` where no file can grow beyond this length, as on a disk that is full by then.
pub fn full_disk(context: &Context, image: &Path, length: u64, arguments: &[&str]) -> Result<Run> {
    Ok(Run::new("prlimit")
        .arg(format!("--fsize={length}"))
        .arg(program()?)
        .dir(&context.root)
        .arg("inject")
        .arg(image)
        .arg("--pack")
        .arg(&context.dist)
        .args(arguments)
        .deadline(super::DEADLINE))
}
