//! A conversation with guestfish, the shell of libguestfs.

use std::env;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use winpv_process::{Conversation, Run};

/// For one answer; the first one waits for the appliance to boot, which takes some 20 s without KVM.
const DEADLINE: Duration = Duration::from_secs(600);
/// For its end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stands after each command's output.
const END: &str = "--end of answer--";

/// Whether the image may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Writes go to a throw-away overlay.
    Read,
    /// Writes go to the image.
    Write,
}

/// An appliance with one disk.
pub struct Guestfish {
    shell: Conversation,
}

impl Guestfish {
    /// Boots the appliance.
    ///
    /// # Errors
    ///
    /// libguestfs is missing or cannot open the disk.
    pub fn launch(disk: &Path, format: &str, access: Access) -> Result<Guestfish> {
        let mut run = Run::new("guestfish")
            .deadline(DEADLINE)
            .env("LC_ALL", "C.UTF-8")
            .env("LIBGUESTFS_BACKEND", "direct");
        // Where /dev/kvm is there but broken the appliance hangs; whoever sets the variable knows better.
        if env::var_os("LIBGUESTFS_BACKEND_SETTINGS").is_none() {
            run = run.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
        }
        if access == Access::Read {
            run = run.arg("--ro");
        }
        let shell = run
            .arg(format!("--format={format}"))
            .arg("--add")
            .arg(disk)
            .start()?;
        let mut guestfish = Guestfish { shell };
        guestfish.run(&["run"])?;
        Ok(guestfish)
    }

    /// Runs one command and returns the lines that it prints.
    ///
    /// # Errors
    ///
    /// The command fails, and with it the conversation.
    pub fn run(&mut self, command: &[&str]) -> Result<Vec<String>> {
        self.shell.say(&line(command))?;
        self.answer()
    }

    /// Runs one command that prints bytes, and puts them into a file.
    ///
    /// # Errors
    ///
    /// The command fails, and with it the conversation.
    pub fn run_into(&mut self, command: &[&str], file: &Path) -> Result<()> {
        // What stands behind the bar is a command for the shell.
        let file = file.display().to_string().replace('\'', r"'\''");
        self.shell
            .say(&format!("{} | cat > '{file}'", line(command)))?;
        self.answer().map(|_| ())
    }

    fn answer(&mut self) -> Result<Vec<String>> {
        self.shell.say(&format!("echo \"{END}\""))?;
        let mut lines = Vec::new();
        loop {
            let line = self.shell.hear()?;
            if line == END {
                return Ok(lines);
            }
            lines.push(line);
        }
    }

    /// Writes everything out and ends the appliance.
    ///
    /// # Errors
    ///
    /// Something could not be written.
    pub fn finish(mut self) -> Result<()> {
        self.run(&["umount-all"])?;
        self.run(&["sync"])?;
        self.run(&["shutdown"])?;
        Ok(())
    }
}

impl Drop for Guestfish {
    fn drop(&mut self) {
        // It removes its files in the temporary folder only when it ends by itself.
        self.shell.leave(PATIENCE);
    }
}

/// A command line in which every argument is quoted.
fn line(command: &[&str]) -> String {
    let [name, arguments @ ..] = command else {
        return String::new();
    };
    let mut line = (*name).to_owned();
    for argument in arguments {
        line.push_str(" \"");
        for character in argument.chars() {
            if matches!(character, '"' | '\\') {
                line.push('\\');
            }
            line.push(character);
        }
        line.push('"');
    }
    line
}
