//! Messages of the vhost-user protocol as its front end sends them. // QEMU docs/interop/vhost-user.rst

use std::io::{ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// How long the back end may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Header flags: version 1 of the protocol.
const VERSION: u32 = 1;
/// Header flags: this is an answer.
const REPLY: u32 = 1 << 2;
/// Header flags: an answer is wanted.
const NEED_REPLY: u32 = 1 << 3;
/// Bytes of a header: request, flags, size.
const HEADER: usize = 12;
/// The longest answer that any message here has.
const LONGEST: usize = 4096;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Request {
    GetFeatures = 1,
    SetFeatures = 2,
    SetOwner = 3,
    SetMemTable = 5,
    SetVringNum = 8,
    SetVringAddr = 9,
    SetVringBase = 10,
    SetVringKick = 12,
    SetVringCall = 13,
    GetProtocolFeatures = 15,
    SetProtocolFeatures = 16,
    GetQueueNum = 17,
    SetVringEnable = 18,
    GetConfig = 24,
    SetConfig = 25,
}

/// The socket.
pub(super) struct Channel(UnixStream);

impl Channel {
    pub(super) fn new(socket: UnixStream) -> anyhow::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Sends a message that has an answer by itself, and returns its body.
    pub(super) fn ask(&mut self, request: Request, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.send(request, VERSION, body, None)?;
        self.answer(request)
    }

    /// Sends a message that has a number as its answer.
    pub(super) fn ask_number(&mut self, request: Request) -> anyhow::Result<u64> {
        number(&self.ask(request, &[])?)
    }

    /// Sends a message that has no answer. Until REPLY_ACK is negotiated nobody can know whether it was understood.
    pub(super) fn tell(&mut self, request: Request, body: &[u8]) -> anyhow::Result<()> {
        self.send(request, VERSION, body, None)
    }

    /// Sends a message, perhaps with a descriptor, and waits until it has been carried out: REPLY_ACK is negotiated.
    pub(super) fn order(
        &mut self,
        request: Request,
        body: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> anyhow::Result<()> {
        self.send(request, VERSION | NEED_REPLY, body, descriptor)?;
        let code = number(&self.answer(request)?)?;
        ensure!(code == 0, "{request:?} was refused with {code}");
        Ok(())
    }

    fn send(
        &self,
        request: Request,
        flags: u32,
        body: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> anyhow::Result<()> {
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        for word in [request as u32, flags, body.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(body);
        let descriptors: Vec<_> = descriptor.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ensure!(
                control.push(SendAncillaryMessage::ScmRights(&descriptors)),
                "no room for a descriptor in a control message"
            );
        }
        let sent = rustix::net::sendmsg(
            &self.0,
            &[IoSlice::new(&bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .with_context(|| format!("sending {request:?}"))?;
        ensure!(sent == bytes.len(), "{request:?} was sent in part");
        Ok(())
    }

    fn answer(&mut self, request: Request) -> anyhow::Result<Vec<u8>> {
        let mut header = [0; HEADER];
        self.receive(&mut header, request)?;
        let [r0, r1, r2, r3, f0, f1, f2, f3, s0, s1, s2, s3] = header;
        let code = u32::from_le_bytes([r0, r1, r2, r3]);
        let flags = u32::from_le_bytes([f0, f1, f2, f3]);
        let size = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
        if code != request as u32 || flags & REPLY == 0 || size > LONGEST {
            bail!("{request:?} was answered by message {code}, flags {flags:#x}, {size} bytes");
        }
        let mut body = vec![0; size];
        self.receive(&mut body, request)?;
        Ok(body)
    }

    fn receive(&mut self, to: &mut [u8], request: Request) -> anyhow::Result<()> {
        self.0.read_exact(to).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                anyhow::anyhow!("no answer to {request:?} within {PATIENCE:?}")
            }
            _ => anyhow::Error::from(error).context(format!("no answer to {request:?}")),
        })
    }
}

/// A body of two 32-bit numbers: a queue, and something of it.
pub(super) fn pair(queue: u16, value: u32) -> [u8; 8] {
    (u64::from(value) << 32 | u64::from(queue)).to_le_bytes()
}

fn number(body: &[u8]) -> anyhow::Result<u64> {
    let bytes = body
        .try_into()
        .with_context(|| format!("an answer of {} bytes where a number belongs", body.len()))?;
    Ok(u64::from_le_bytes(bytes))
}
