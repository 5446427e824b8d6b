//! The native client: a program's own virtqueues on the daemon, with nothing between them and it.
//!
//! It is what there is instead of fio's libblkio engine, which Debian's fio lacks. Requests lie in memory that the daemon reads
//! and writes, and are sent again from where they are: no copy, no allocation and no system call but for kicks and interrupts.

use std::cell::RefCell;
use std::hint;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use host_machine::ram::Ram;
use test_device::vhost_user::{Counts, Daemon, Link, QUEUE_SIZE, Ring};
use virtio_core::mem::DmaRegion;
use virtio_core::ring::{Armed, Queue, QueueMemory, Slot};
use virtio_core::spec::blk;
use virtio_core::spec::features::Features;

use crate::load::{BLOCK, Load, Operation};
use crate::memory::Shared;
use crate::sample::{Sample, Watch};

/// Requests in flight at most.
const MOST: usize = 64;
/// Bytes of a request's header, and where its status byte lies. // Virtio 1.3 §5.2.6
const HEADER: usize = 16;
/// Bytes between the headers of requests: a cache line each.
const STRIDE: usize = 64;
/// How long the daemon may do nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// How it learns that requests are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It sleeps until the daemon signals an eventfd, as a driver waits for interrupts.
    Interrupts,
    /// It looks at the rings without end and wants no interrupt.
    Polling,
}

/// Its memory.
pub struct Memory {
    ram: Ram,
    slots: Vec<Vec<Slot<u16>>>,
}

impl Memory {
    /// For so many queues.
    pub fn new(queues: u16) -> Result<Self> {
        let slots = || (0..QUEUE_SIZE).map(|_| Slot::EMPTY).collect();
        Ok(Self {
            ram: Ram::new(4 << 20, 1).context("cannot make the client's memory")?,
            slots: (0..queues).map(|_| slots()).collect(),
        })
    }
}

/// A connected client.
pub struct Client<'m> {
    link: Link,
    counts: Rc<Counts>,
    queues: Vec<Queue<'m, u16>>,
    headers: DmaRegion,
    data: DmaRegion,
}

/// A request that is in flight.
#[derive(Clone, Copy)]
struct Flying {
    operation: Operation,
    begun: Instant,
}

/// A load under way.
struct Run<'a, L> {
    load: &'a mut L,
    watch: Watch,
    flying: Vec<Option<Flying>>,
    in_flight: u32,
}

impl<'m> Client<'m> {
    /// Connects, with as many queues as the memory is for.
    pub fn start(daemon: &RefCell<Daemon>, memory: &'m mut Memory) -> Result<Self> {
        let counts = Rc::new(Counts::default());
        let socket = daemon.borrow_mut().connect()?;
        let mut link = Link::open(socket, &memory.ram, Rc::clone(&counts))?;
        let wanted = Features::VERSION_1 | Features::EVENT_IDX | blk::F_MQ | blk::F_FLUSH;
        let features = Features::from_bits_retain(link.offered()).intersection(wanted);
        let layout = Queue::<u16>::layout(QUEUE_SIZE, features)?;
        let mut lengths = vec![layout.len(); memory.slots.len()];
        lengths.extend([MOST * STRIDE, MOST * BLOCK]);
        let mut regions = Shared::new(&memory.ram).cut(&lengths)?;
        let (Some(data), Some(headers)) = (regions.pop(), regions.pop()) else {
            bail!("no memory for requests");
        };
        let mut queues = Vec::new();
        for (ring, slots) in regions.into_iter().zip(&mut memory.slots) {
            let memory = QueueMemory { ring, slots };
            queues.push(Queue::new(QUEUE_SIZE, features, memory)?);
        }
        let rings: Vec<_> = (0..)
            .zip(&queues)
            .map(|(number, queue)| {
                let at = queue.addresses();
                Ring {
                    queue: number,
                    size: QUEUE_SIZE,
                    descriptor: at.descriptor.get(),
                    driver: at.driver.get(),
                    device: at.device.get(),
                }
            })
            .collect();
        link.start(features.bits(), &rings)?;
        Ok(Self {
            link,
            counts,
            queues,
            headers,
            data,
        })
    }

    /// Keeps `depth` requests of the load in flight until it ends.
    pub fn run<L: Load>(&mut self, load: &mut L, depth: u32, wake: Wake) -> Result<Sample> {
        ensure!(depth as usize <= MOST, "at most {MOST} requests in flight");
        let mut run = Run {
            load,
            watch: Watch::start(&self.counts)?,
            flying: vec![None; MOST],
            in_flight: 0,
        };
        let count = self.queues.len();
        if wake == Wake::Interrupts {
            // Before the first request is sent, so that it cannot end unnoticed: each queue's first end interrupts.
            for queue in &mut self.queues {
                ensure!(
                    queue.arm() == Armed::Idle,
                    "a request ended that was not sent"
                );
            }
        }
        for slot in 0..depth as u16 {
            self.submit(&mut run, slot, usize::from(slot) % count)?;
        }
        for number in 0..count {
            self.publish(number)?;
        }
        match wake {
            Wake::Interrupts => self.sleep(&mut run)?,
            Wake::Polling => self.spin(&mut run)?,
        }
        run.watch.end(&self.counts)
    }

    /// Adds the load's next request to a queue.
    fn submit<L: Load>(&mut self, run: &mut Run<'_, L>, slot: u16, number: usize) -> Result<()> {
        let Some(operation) = run.load.next() else {
            return Ok(());
        };
        let (head, data) = (usize::from(slot) * STRIDE, usize::from(slot) * BLOCK);
        let kind = if operation.write {
            blk::RequestType::OUT
        } else {
            blk::RequestType::IN
        };
        let sector = operation.block * (BLOCK as u64 / 512);
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&kind.0.to_le_bytes());
        header[8..].copy_from_slice(&sector.to_le_bytes());
        self.headers.write(head, header)?;
        // No status that a device gives.
        self.headers.write(head + HEADER, u8::MAX)?;
        if operation.write && run.load.looks() {
            let mut bytes = [0; BLOCK];
            run.load.fill(operation, &mut bytes);
            self.data.write(data, bytes)?;
        }
        let header = self.headers.part(head, HEADER as u32)?;
        let status = self.headers.part(head + HEADER, 1)?;
        let data = self.data.part(data, BLOCK as u32)?;
        let queue = self.queues.get_mut(number).context("no such queue")?;
        let added = if operation.write {
            queue.add_direct(slot, [header, data], [status])
        } else {
            queue.add_direct(slot, [header], [data, status])
        };
        added.map_err(|rejected| rejected.error)?;
        let begun = Instant::now();
        run.flying[usize::from(slot)] = Some(Flying { operation, begun });
        run.in_flight += 1;
        Ok(())
    }

    fn publish(&mut self, number: usize) -> Result<()> {
        let queue = self.queues.get_mut(number).context("no such queue")?;
        if queue.publish().needed() {
            self.link.kick(number as u16)?;
        }
        Ok(())
    }

    /// Takes all that a queue has finished, and sends as many new ones.
    fn take<L: Load>(&mut self, run: &mut Run<'_, L>, number: usize) -> Result<()> {
        loop {
            let queue = self.queues.get_mut(number).context("no such queue")?;
            let Some(done) = queue.completed()? else {
                break;
            };
            let slot = usize::from(done.token);
            let flying = run.flying.get_mut(slot).and_then(Option::take);
            let Flying { operation, begun } = flying.context("a request ended twice")?;
            run.watch.done(begun);
            run.in_flight -= 1;
            let status: u8 = self.headers.read(slot * STRIDE + HEADER)?;
            ensure!(status == 0, "{operation:?} ended with status {status}");
            if !operation.write {
                ensure!(
                    done.written as usize == BLOCK + 1,
                    "{} bytes read",
                    done.written
                );
                if run.load.looks() {
                    let bytes: [u8; BLOCK] = self.data.read(slot * BLOCK)?;
                    run.load.take(operation, &bytes);
                }
            }
            self.submit(run, done.token, number)?;
        }
        self.publish(number)
    }

    fn sleep<L: Load>(&mut self, run: &mut Run<'_, L>) -> Result<()> {
        let mut ready = Vec::new();
        while run.in_flight > 0 {
            self.link.wait(PATIENCE, &mut ready)?;
            ensure!(
                !ready.is_empty(),
                "{} requests unanswered for {PATIENCE:?}",
                run.in_flight
            );
            for number in ready.drain(..).map(usize::from) {
                loop {
                    self.queues[number].disarm();
                    self.take(run, number)?;
                    if self.queues[number].arm() == Armed::Idle {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn spin<L: Load>(&mut self, run: &mut Run<'_, L>) -> Result<()> {
        self.queues.iter_mut().for_each(Queue::disarm);
        let (mut seen, mut since) = (0, Instant::now());
        while run.in_flight > 0 {
            for number in 0..self.queues.len() {
                self.take(run, number)?;
            }
            if run.watch.requests() != seen {
                (seen, since) = (run.watch.requests(), Instant::now());
            } else {
                ensure!(
                    since.elapsed() < PATIENCE,
                    "{} requests unanswered for {PATIENCE:?}",
                    run.in_flight
                );
                hint::spin_loop();
            }
        }
        Ok(())
    }
}
