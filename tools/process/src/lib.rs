//! Child processes that never outlive their parent or their deadline.

mod conversation;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use conversation::Conversation;

/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(10);

/// What a finished child left behind.
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Its standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// Standard output followed by standard error.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A command with a deadline, in a process group of its own.
pub struct Run {
    command: Command,
    deadline: Duration,
    echo: bool,
}

impl Run {
    /// Prepares `program`; two minutes are allowed unless [`Run::deadline`] says otherwise.
    pub fn new(program: impl AsRef<OsStr>) -> Run {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Run {
            command,
            deadline: Duration::from_secs(120),
            echo: false,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Run {
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Run {
        self.command.args(args);
        self
    }

    /// Sets one environment variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(key, value);
        self
    }

    /// Takes one environment variable away.
    pub fn env_remove(mut self, key: &str) -> Run {
        self.command.env_remove(key);
        self
    }

    /// Sets the working folder.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Run {
        self.command.current_dir(dir);
        self
    }

    /// Lets the child read a file as its standard input, which is empty otherwise.
    pub fn stdin(mut self, file: &Path) -> Result<Run> {
        let file = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        self.command.stdin(file);
        Ok(self)
    }

    /// Starts the child to talk with it line by line; the deadline then holds for each answer.
    pub fn start(self) -> Result<Conversation> {
        Conversation::start(self)
    }

    /// Sets how long the child may run.
    pub fn deadline(mut self, deadline: Duration) -> Run {
        self.deadline = deadline;
        self
    }

    /// Lets the child write to our own output instead of capturing it.
    pub fn echo(mut self) -> Run {
        self.echo = true;
        self
    }

    /// The command line, for messages.
    pub fn line(&self) -> String {
        let mut line = self.command.get_program().to_string_lossy().into_owned();
        for arg in self.command.get_args() {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }

    /// Runs to the end, whatever the exit status; an error means that it could not start or ran out of time.
    pub fn output(mut self) -> Result<Output> {
        let line = self.line();
        if !self.echo {
            self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        die_with_parent(&mut self.command);
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        // Both pipes are drained while we wait: a full pipe would stop the child.
        let stdout = child
            .stdout
            .take()
            .map(|pipe| thread::spawn(|| drain(pipe)));
        let stderr = child
            .stderr
            .take()
            .map(|pipe| thread::spawn(|| drain(pipe)));
        let status = wait(&mut child, self.deadline);
        let collect = |reader: Option<thread::JoinHandle<String>>| {
            reader.map_or_else(String::new, |reader| reader.join().unwrap_or_default())
        };
        let (stdout, stderr) = (collect(stdout), collect(stderr));
        match status? {
            Some(status) => Ok(Output {
                status,
                stdout,
                stderr,
            }),
            None => bail!(
                "`{line}` was stopped: not done after {} s\n{stdout}{stderr}",
                self.deadline.as_secs()
            ),
        }
    }

    /// Runs to the end and fails, with everything the child said, unless it exits with 0.
    pub fn ok(self) -> Result<Output> {
        let line = self.line();
        let output = self.output()?;
        if !output.status.success() {
            bail!("`{line}` failed ({})\n{}", output.status, output.text());
        }
        Ok(output)
    }
}

fn drain(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // A read error ends the text early; the exit status still tells how the child fared.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for the child; `None` means that the deadline came and its whole process group was killed.
fn wait(child: &mut Child, deadline: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > deadline {
            kill_group(child)?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Kills a child that is not yet waited for, with its whole process group, and waits for it.
fn kill_group(child: &mut Child) -> Result<()> {
    let group = i32::try_from(child.id()).context("process id out of range")?;
    // SAFETY: kill() touches no memory of ours; the child is not yet waited for, so its id still names its group.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    child.wait()?;
    Ok(())
}

/// Puts the child in its own process group and has the kernel kill it when the calling thread ends.
fn die_with_parent(command: &mut Command) {
    command.process_group(0);
    let hook = || {
        // SAFETY: prctl() with these arguments is async-signal-safe, which is all that a child may use between fork and exec.
        let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if result == 0 {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
        }
    };
    // SAFETY: the hook allocates nothing and takes no lock.
    unsafe { command.pre_exec(hook) };
}
