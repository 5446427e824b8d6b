//! One connection to a vhost-user back end: features, memory, rings, and the two eventfds of each queue.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use host_machine::ram::Ram;
use rustix::event::{EventfdFlags, epoll, eventfd};

use super::message::{Channel, Request, pair};

/// Feature bit: the back end has protocol features. // QEMU docs/interop/vhost-user.rst
const PROTOCOL_FEATURES: u64 = 1 << 30;
/// Feature bits that are between front end and back end, or of the legacy interface: NOTIFY_ON_EMPTY, LOG_ALL, ANY_LAYOUT.
const NOT_FOR_DRIVERS: u64 = 1 << 24 | 1 << 26 | 1 << 27 | PROTOCOL_FEATURES;
/// Protocol features: several queues, answers on demand, configuration space.
const PROTOCOL: u64 = 1 << 0 | 1 << 3 | 1 << 9;
/// Token of the socket in the epoll set; the queues' tokens are their numbers.
const SOCKET: u64 = u64::MAX;
/// Bytes of struct virtio_blk_config up to and with the fields of WRITE_ZEROES. // Virtio 1.3 §5.2.4
pub const CONFIG_LEN: usize = 60;

/// What went over the eventfds of all queues.
#[derive(Debug, Default)]
pub struct Counts {
    kicks: Cell<u64>,
    interrupts: Cell<u64>,
}

impl Counts {
    /// Notifications that were sent to the daemon.
    #[must_use]
    pub fn kicks(&self) -> u64 {
        self.kicks.get()
    }

    /// Interrupts that the daemon has raised: two before the first is taken count as two.
    #[must_use]
    pub fn interrupts(&self) -> u64 {
        self.interrupts.get()
    }
}

/// A split ring of the driver's, by device address. // Virtio 1.3 §2.7
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The queue.
    pub queue: u16,
    /// Descriptors.
    pub size: u16,
    /// Descriptor table.
    pub descriptor: u64,
    /// Available ring.
    pub driver: u64,
    /// Used ring.
    pub device: u64,
}

/// The connection. Dropping it stops the queues; only a new connection that the daemon answers shows that it has let go of
/// the memory, as it serves one after the other.
pub struct Link {
    channel: Channel,
    offered: u64,
    queues: u16,
    kicks: Vec<OwnedFd>,
    calls: Vec<OwnedFd>,
    epoll: OwnedFd,
    counts: Rc<Counts>,
    started: bool,
}

impl Link {
    /// Agrees with the back end on the protocol and gives it the memory. Adds up in `counts` what follows.
    ///
    /// # Errors
    /// The back end does not answer, or lacks what is needed here.
    pub fn open(socket: UnixStream, ram: &Ram, counts: Rc<Counts>) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let token = epoll::EventData::new_u64(SOCKET);
        epoll::add(&epoll, &socket, token, epoll::EventFlags::RDHUP)?;
        let mut channel = Channel::new(socket)?;
        channel.tell(Request::SetOwner, &[])?;
        let features = channel.ask_number(Request::GetFeatures)?;
        ensure!(
            features & PROTOCOL_FEATURES != 0,
            "the back end has no protocol features, only {features:#x}"
        );
        let protocol = channel.ask_number(Request::GetProtocolFeatures)?;
        ensure!(
            protocol & PROTOCOL == PROTOCOL,
            "the back end lacks protocol features: has {protocol:#x}, needs {PROTOCOL:#x}"
        );
        channel.tell(Request::SetProtocolFeatures, &PROTOCOL.to_le_bytes())?;
        let queues = u16::try_from(channel.ask_number(Request::GetQueueNum)?)?;
        // One region: device addresses are its own, and addresses of this process too, as rings are named by those.
        let mut table = Vec::new();
        table.extend(1u64.to_le_bytes());
        for word in [0, ram.len() as u64, 0, 0] {
            table.extend(word.to_le_bytes());
        }
        channel.order(Request::SetMemTable, &table, Some(ram.file().as_fd()))?;
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let events = || (0..queues).map(|_| event()).collect::<Result<Vec<_>, _>>();
        let (kicks, calls) = (events()?, events()?);
        for (queue, call) in (0u64..).zip(&calls) {
            let token = epoll::EventData::new_u64(queue);
            epoll::add(&epoll, call, token, epoll::EventFlags::IN)?;
        }
        Ok(Self {
            channel,
            offered: features & !NOT_FOR_DRIVERS,
            queues,
            kicks,
            calls,
            epoll,
            counts,
            started: false,
        })
    }

    /// Features that a driver may take.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// Queues there are.
    #[must_use]
    pub fn queues(&self) -> u16 {
        self.queues
    }

    /// Whether the rings were given to the back end.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// The disk's configuration fields.
    ///
    /// # Errors
    /// The back end does not answer.
    pub fn config(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        for word in [0, CONFIG_LEN as u32, 0] {
            body.extend(word.to_le_bytes());
        }
        let header = body.len();
        body.resize(header + CONFIG_LEN, 0);
        let answer = self.channel.ask(Request::GetConfig, &body)?;
        let fields = answer.get(header..).unwrap_or_default();
        ensure!(
            fields.len() == CONFIG_LEN,
            "{} bytes of configuration",
            fields.len()
        );
        Ok(fields.to_vec())
    }

    /// Changes configuration fields from byte `at` on.
    ///
    /// # Errors
    /// The back end does not allow it.
    pub fn set_config(&mut self, at: u32, bytes: &[u8]) -> anyhow::Result<()> {
        let mut body = Vec::new();
        for word in [at, bytes.len() as u32, 0] {
            body.extend(word.to_le_bytes());
        }
        body.extend(bytes);
        self.channel.order(Request::SetConfig, &body, None)
    }

    /// Starts these rings, from their first entry, with the features that the driver took.
    ///
    /// # Errors
    /// The back end refuses them.
    pub fn start(&mut self, features: u64, rings: &[Ring]) -> anyhow::Result<()> {
        let features = features | PROTOCOL_FEATURES;
        let bytes = features.to_le_bytes();
        self.channel.order(Request::SetFeatures, &bytes, None)?;
        self.started = true;
        for ring in rings {
            let number = usize::from(ring.queue);
            let (Some(kick), Some(call)) = (self.kicks.get(number), self.calls.get(number)) else {
                bail!("the back end has no queue {number}");
            };
            let channel = &mut self.channel;
            let pair = |value| pair(ring.queue, value);
            channel.order(Request::SetVringNum, &pair(ring.size.into()), None)?;
            channel.order(Request::SetVringBase, &pair(0), None)?;
            let mut address = pair(0).to_vec();
            // Descriptors, used ring, available ring, log.
            for part in [ring.descriptor, ring.device, ring.driver, 0] {
                address.extend(part.to_le_bytes());
            }
            channel.order(Request::SetVringAddr, &address, None)?;
            let queue = u64::from(ring.queue).to_le_bytes();
            channel.order(Request::SetVringCall, &queue, Some(call.as_fd()))?;
            channel.order(Request::SetVringKick, &queue, Some(kick.as_fd()))?;
            channel.order(Request::SetVringEnable, &pair(1), None)?;
        }
        Ok(())
    }

    /// Tells the back end that a queue has something new.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn kick(&self, queue: u16) -> anyhow::Result<()> {
        let event = self.kicks.get(usize::from(queue));
        let event = event.with_context(|| format!("no queue {queue} to notify"))?;
        rustix::io::write(event, &1u64.to_ne_bytes()).context("an eventfd")?;
        self.counts.kicks.set(self.counts.kicks.get() + 1);
        Ok(())
    }

    /// Adds the queues that have interrupted to `queues`, waiting at most `wait` for the first.
    ///
    /// # Errors
    /// The back end has closed the connection.
    pub fn wait(&self, wait: Duration, queues: &mut Vec<u16>) -> anyhow::Result<()> {
        let timeout = rustix::event::Timespec::try_from(wait).context("a wait too long")?;
        let mut space = [const { MaybeUninit::<epoll::Event>::uninit() }; 16];
        let ready = match epoll::wait(&self.epoll, &mut space, Some(&timeout)) {
            Ok((ready, _)) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in ready {
            let token = event.data.u64();
            ensure!(
                token != SOCKET,
                "the storage daemon has closed the connection"
            );
            if let Some(call) = self.calls.get(token as usize) {
                let count = take(call)?;
                let interrupts = &self.counts.interrupts;
                interrupts.set(interrupts.get() + count);
                if count > 0 {
                    queues.push(token as u16);
                }
            }
        }
        Ok(())
    }
}

/// Resets an eventfd and returns what was in it.
fn take(event: &OwnedFd) -> anyhow::Result<u64> {
    let mut count = [0; 8];
    match rustix::io::read(event, &mut count) {
        Ok(_) => Ok(u64::from_ne_bytes(count)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
        Err(error) => {
            Err(anyhow::Error::from(error).context(format!("eventfd {}", event.as_raw_fd())))
        }
    }
}
