//! A child that is asked and answers, line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};

use super::{Run, die_with_parent, drain, kill_group, wait};

/// A running child; killed with its process group when dropped.
pub struct Conversation {
    line: String,
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    deadline: Duration,
}

impl Conversation {
    pub(super) fn start(mut run: Run) -> Result<Conversation> {
        let line = run.line();
        run.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_parent(&mut run.command);
        let mut child = run
            .command
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let (sender, answers) = channel();
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        let stderr = stderr.map(|pipe| thread::spawn(|| drain(pipe)));
        if let Some(pipe) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n') {
                    let Ok(line) = line else { return };
                    let line = String::from_utf8_lossy(&line).into_owned();
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Conversation {
            line,
            child,
            stdin,
            answers,
            stderr,
            deadline: run.deadline,
        })
    }

    /// Sends one line.
    ///
    /// # Errors
    ///
    /// The child has ended; the error holds what it said on standard error.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the conversation is over")?;
        if writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .is_err()
        {
            return Err(self.ended());
        }
        Ok(())
    }

    /// The next line of the child's output.
    ///
    /// # Errors
    ///
    /// The child has ended, or is silent for longer than the deadline.
    pub fn hear(&mut self) -> Result<String> {
        match self.answers.recv_timeout(self.deadline) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
            Err(RecvTimeoutError::Timeout) => bail!(
                "`{}` was stopped: no answer for {} s",
                self.line,
                self.deadline.as_secs()
            ),
        }
    }

    /// Closes the child's input and waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// It fails, or does not end before the deadline.
    pub fn finish(mut self) -> Result<()> {
        self.stdin = None;
        match wait(&mut self.child, self.deadline)? {
            Some(status) if status.success() => Ok(()),
            Some(_) => Err(self.ended()),
            None => bail!("`{}` was stopped: it did not end", self.line),
        }
    }

    /// Closes the child's input and gives it some time to clean up behind itself, whatever comes of it.
    pub fn leave(&mut self, patience: Duration) {
        self.stdin = None;
        // If it does not go by itself it was killed.
        let _ = wait(&mut self.child, patience);
    }

    /// The error for a child that is gone, with what it said last.
    fn ended(&mut self) -> Error {
        self.stdin = None;
        let status = match wait(&mut self.child, self.deadline) {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => "stopped: it did not end".to_owned(),
            Err(error) => return error,
        };
        let stderr = self.stderr.take().map(JoinHandle::join);
        let stderr = stderr.and_then(Result::ok).unwrap_or_default();
        anyhow!("`{}` failed ({status})\n{}", self.line, stderr.trim())
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // After it was waited for, the id may belong to somebody else.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_group(&mut self.child);
        }
    }
}

#[cfg(test)]
mod tests;
