//! The qtest protocol: one line of text per access, one line back, interrupts in between.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvFlags, SendFlags};

use super::process::Process;

/// How long QEMU may take to answer one line; its start is the longest.
const ANSWER: Duration = Duration::from_secs(30);

/// Replies left unread at most. QEMU stops its main loop when about 279 have filled the socket.
const UNREAD: usize = 64;

/// A connection to a QEMU started with `-qtest`.
pub(super) struct Session {
    socket: UnixStream,
    process: Process,
    received: Vec<u8>,
    parsed: usize,
    unread: usize,
    lines: u64,
}

impl Session {
    pub(super) fn new(socket: UnixStream, process: Process) -> Self {
        Self {
            socket,
            process,
            received: Vec::new(),
            parsed: 0,
            unread: 0,
            lines: 0,
        }
    }

    /// Sends a command and returns what follows `OK`.
    pub(super) fn ask(&mut self, command: &str) -> anyhow::Result<String> {
        while self.unread > 0 {
            self.reply()?;
        }
        self.send(command)?;
        self.reply().with_context(|| format!("qtest `{command}`"))
    }

    /// Sends a command that has no result; its reply is read later.
    pub(super) fn post(&mut self, command: &str) -> anyhow::Result<()> {
        self.send(command)?;
        self.unread += 1;
        while self.unread >= UNREAD {
            self.reply()?;
        }
        Ok(())
    }

    /// Sends a command and parses its one number.
    pub(super) fn value(&mut self, command: &str) -> anyhow::Result<u64> {
        let reply = self.ask(command)?;
        u64::from_str_radix(reply.trim_start_matches("0x"), 16)
            .with_context(|| format!("qtest `{command}` gave {reply:?}, not a number"))
    }

    /// Reads whatever has come in, without blocking.
    pub(super) fn take_in(&mut self) -> anyhow::Result<()> {
        while self.receive()? {}
        while self.unread > 0 {
            let Some(line) = self.line() else { break };
            if self.interpret(line)?.is_some() {
                self.unread -= 1;
            }
        }
        // With no reply due, only interrupts can be left.
        while self.unread == 0 {
            let Some(line) = self.line() else { break };
            if let Some(reply) = self.interpret(line)? {
                bail!("QEMU answered {reply:?} to nothing");
            }
        }
        Ok(())
    }

    /// Whether the intercepted interrupt line `number` is asserted, as far as [`Session::take_in`] has read.
    pub(super) fn line_asserted(&self, number: u32) -> bool {
        self.lines & 1u64.checked_shl(number).unwrap_or(0) != 0
    }

    /// Ends QEMU.
    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    /// What QEMU said on its error output, and whether it still runs.
    pub(super) fn last_words(&mut self) -> String {
        self.process.last_words()
    }

    /// Reads one reply, noting interrupts on the way.
    fn reply(&mut self) -> anyhow::Result<String> {
        let deadline = Instant::now() + ANSWER;
        loop {
            while let Some(line) = self.line() {
                if let Some(reply) = self.interpret(line)? {
                    self.unread = self.unread.saturating_sub(1);
                    return Ok(reply);
                }
            }
            if self.receive()? {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "QEMU did not answer within {ANSWER:?}; {}",
                    self.process.last_words()
                );
            }
            wait_readable(self.socket.as_fd(), left)?;
        }
    }

    fn send(&mut self, command: &str) -> anyhow::Result<()> {
        let line = format!("{command}\n");
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match rustix::net::send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => bail!(
                    "cannot send to QEMU ({error}); {}",
                    self.settled_last_words()
                ),
            }
        }
        Ok(())
    }

    /// Reads what is there; false if nothing is.
    fn receive(&mut self) -> anyhow::Result<bool> {
        let mut bytes = [0; 4096];
        match rustix::net::recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => bail!(
                "QEMU closed its qtest socket; {}",
                self.settled_last_words()
            ),
            Ok((_, len)) => {
                self.received.extend_from_slice(&bytes[..len]);
                Ok(true)
            }
            Err(rustix::io::Errno::AGAIN) => Ok(false),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => bail!(
                "cannot receive from QEMU ({error}); {}",
                self.settled_last_words()
            ),
        }
    }

    /// A process that closed its socket is about to end; give it a moment to have a status.
    fn settled_last_words(&mut self) -> String {
        std::thread::sleep(Duration::from_millis(50));
        self.process.last_words()
    }

    fn line(&mut self) -> Option<String> {
        let rest = self.received.get(self.parsed..)?;
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.parsed += end + 1;
        if self.parsed == self.received.len() {
            self.received.clear();
            self.parsed = 0;
        }
        Some(line)
    }

    /// The reply in a line, or none if it told of an interrupt.
    fn interpret(&mut self, line: String) -> anyhow::Result<Option<String>> {
        if let Some(event) = line.strip_prefix("IRQ ") {
            let mut words = event.split(' ');
            let raise = words.next() == Some("raise");
            let number: u32 = words
                .next()
                .and_then(|word| word.parse().ok())
                .with_context(|| format!("QEMU sent {line:?}"))?;
            let bit = 1u64.checked_shl(number).unwrap_or(0);
            self.lines = if raise {
                self.lines | bit
            } else {
                self.lines & !bit
            };
            return Ok(None);
        }
        match line.strip_prefix("OK") {
            Some(reply) => Ok(Some(reply.trim().to_owned())),
            None => bail!("QEMU refused a qtest command: {line}"),
        }
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn wait_readable(fd: BorrowedFd<'_>, wait: Duration) -> anyhow::Result<()> {
    let timeout = rustix::event::Timespec::try_from(wait).context("a wait too long")?;
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
