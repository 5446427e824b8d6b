//! MSI-X messages as events: the server side of QEMU's ivshmem-doorbell device.
//!
//! The device under test is told to send its messages to the doorbell register of an ivshmem device, and that device
//! signals one eventfd per vector. QEMU's docs/specs/ivshmem-spec gives the protocol and the register.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context;
use rustix::event::{EventfdFlags, epoll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// Offset of the doorbell register in the ivshmem device's BAR 0.
pub(super) const REGISTER: u64 = 0xc;

/// Token of the qtest socket in the epoll set; the vectors' tokens are their numbers.
const SOCKET: u64 = u64::MAX;

/// The peer whose eventfds we hold. QEMU itself is peer 0.
const PEER: u32 = 1;

/// What to write to the doorbell register for `vector`.
pub(super) fn value(vector: u16) -> u32 {
    PEER << 16 | u32::from(vector)
}

/// One eventfd per vector.
pub(super) struct Doorbell {
    events: Vec<OwnedFd>,
    epoll: OwnedFd,
    // QEMU removes the peer when the server's socket closes.
    _server: UnixStream,
}

impl Doorbell {
    /// Makes the eventfds and the socket whose other end QEMU gets, with everything QEMU will ask for already in it.
    pub(super) fn new(vectors: u16) -> anyhow::Result<(Self, OwnedFd)> {
        let (server, client) = UnixStream::pair()?;
        let memory = rustix::fs::memfd_create("winpv-doorbell", rustix::fs::MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&memory, 4096)?;
        // Protocol version, own id, then the shared memory.
        send(&server, 0, None)?;
        send(&server, 0, None)?;
        send(&server, -1, Some(memory.as_fd()))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut events = Vec::new();
        for vector in 0..vectors {
            let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            send(&server, PEER.into(), Some(event.as_fd()))?;
            let token = epoll::EventData::new_u64(vector.into());
            epoll::add(&epoll, &event, token, epoll::EventFlags::IN)?;
            events.push(event);
        }
        // QEMU's own vectors come last; nobody rings them.
        for _ in 0..vectors {
            let own = rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?;
            send(&server, 0, Some(own.as_fd()))?;
        }
        let doorbell = Self {
            events,
            epoll,
            _server: server,
        };
        Ok((doorbell, client.into()))
    }

    /// Vectors there are.
    pub(super) fn vectors(&self) -> u16 {
        self.events.len().try_into().unwrap_or(u16::MAX)
    }

    /// Also end a wait when `socket` becomes readable.
    pub(super) fn watch(&self, socket: BorrowedFd<'_>) -> anyhow::Result<()> {
        let token = epoll::EventData::new_u64(SOCKET);
        epoll::add(&self.epoll, socket, token, epoll::EventFlags::IN)
            .context("cannot watch the qtest socket")
    }

    /// Takes the vectors that were rung into `vectors`, waiting at most `wait`; true if the watched socket is readable.
    pub(super) fn poll(&self, wait: Duration, vectors: &mut Vec<u16>) -> anyhow::Result<bool> {
        let timeout = rustix::event::Timespec::try_from(wait).context("a wait too long")?;
        let mut space = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        let ready = match epoll::wait(&self.epoll, &mut space, Some(&timeout)) {
            Ok((ready, _)) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut socket = false;
        for event in ready {
            let token = event.data.u64();
            if token == SOCKET {
                socket = true;
            } else if let Some(fd) = self.events.get(token as usize)
                && take(fd)?
            {
                vectors.push(token as u16);
            }
        }
        vectors.sort_unstable();
        Ok(socket)
    }

    /// Forgets what was rung so far.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        for event in &self.events {
            take(event)?;
        }
        Ok(())
    }
}

/// Resets an eventfd; false if it was not signalled.
fn take(event: &OwnedFd) -> anyhow::Result<bool> {
    let mut count = [0; 8];
    match rustix::io::read(event, &mut count) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
        Err(error) => {
            Err(anyhow::Error::from(error).context(format!("eventfd {}", event.as_raw_fd())))
        }
    }
}

/// Sends one message of the server protocol: a 64-bit number and perhaps a descriptor.
fn send(
    server: &UnixStream,
    number: i64,
    descriptor: Option<BorrowedFd<'_>>,
) -> anyhow::Result<()> {
    let bytes = number.to_le_bytes();
    let descriptors: Vec<_> = descriptor.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        anyhow::ensure!(
            control.push(SendAncillaryMessage::ScmRights(&descriptors)),
            "no room for a descriptor in a control message"
        );
    }
    let sent = rustix::net::sendmsg(
        server,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    anyhow::ensure!(sent == bytes.len(), "short write to the doorbell socket");
    Ok(())
}
