//! A driver of one queue: set up, one request at a time, an interrupt for each.

use std::time::Duration;

use test_device::memory::GuestMemory;
use virtio_core::mem::DmaRegion;
use virtio_core::ring::{Armed, IndirectChain, Part, Queue, QueueMemory, Slot};
use virtio_core::spec::features::Features;
use virtio_core::spec::pci::Isr;
use virtio_core::transport::{DeviceStopped, Doorbell, Interface, Transport};

use crate::{Machine, Window};

/// How long the device may take to stop, in microseconds.
const RESET_TIMEOUT_US: u64 = 10_000_000;
/// Most descriptors that the driver has room for.
const MOST: u16 = 1024;

/// A device with one working queue.
pub struct Driver<'a> {
    /// The machine that it is in.
    pub machine: &'a Machine,
    /// Its registers.
    pub transport: Transport<Window>,
    /// What was negotiated.
    pub features: Features,
    /// Its queue 0.
    pub queue: Queue<'static, u32>,
    doorbell: Doorbell,
    vector: Option<u16>,
    table: Option<DmaRegion>,
}

/// One chain: what the device reads, what it may write, and whether they lie in a table.
pub struct Request<'a> {
    /// Parts that the device reads.
    pub readable: &'a [Part],
    /// Parts that the device writes.
    pub writable: &'a [Part],
    /// Whether by an indirect table.
    pub indirect: bool,
}

impl<'a> Driver<'a> {
    /// Resets the device, accepts of its features those in `wanted`, and sets its queue 0 up.
    ///
    /// # Panics
    ///
    /// When the device does not do as the specification says.
    #[must_use]
    pub fn start(machine: &'a Machine, interface: &Interface, wanted: Features) -> Self {
        let transport = machine.transport(interface);
        let stopped = transport.reset(machine, RESET_TIMEOUT_US).unwrap();
        Self::bring_up(machine, transport, stopped, wanted)
    }

    /// Resets the device, empties the queue and starts again.
    ///
    /// # Panics
    ///
    /// As [`Driver::start`].
    #[must_use]
    pub fn restart(self, wanted: Features) -> Self {
        let stopped = self.stop();
        Self::bring_up(self.machine, self.transport, stopped, wanted)
    }

    /// Resets the device.
    ///
    /// # Panics
    ///
    /// When it does not stop.
    pub fn stop(&self) -> DeviceStopped {
        self.transport
            .reset(self.machine, RESET_TIMEOUT_US)
            .unwrap()
    }

    fn bring_up(
        machine: &'a Machine,
        transport: Transport<Window>,
        stopped: DeviceStopped,
        wanted: Features,
    ) -> Self {
        let features = transport.acknowledge(stopped).unwrap() & wanted;
        transport.accept(features).unwrap();
        let vectors = match machine.line() {
            true => [None, None],
            false => [Some(0), Some(1)],
        };
        transport.set_config_vector(vectors[0]).unwrap();
        let size = transport.queue_size(0, MOST).unwrap();
        let queue = new_queue(machine, size, features);
        let doorbell = transport.enable_queue(0, &queue, vectors[1]).unwrap();
        transport.driver_ok().unwrap();
        Self {
            machine,
            transport,
            features,
            queue,
            doorbell,
            vector: vectors[1],
            table: None,
        }
    }

    /// Resets the queue alone, and gives it a ring of at most `most` descriptors.
    ///
    /// # Panics
    ///
    /// When the device does not do as the specification says.
    pub fn reset_queue(&mut self, most: u16) {
        let (transport, machine) = (&self.transport, self.machine);
        let stopped = transport
            .reset_queue(0, &self.queue, machine, RESET_TIMEOUT_US)
            .unwrap();
        while self.queue.drain(&stopped).is_some() {}
        let size = transport.queue_size(0, most).unwrap();
        self.queue = new_queue(machine, size, self.features);
        self.doorbell = transport
            .enable_queue_again(stopped, &self.queue, self.vector)
            .unwrap();
    }

    /// Hands a request over, waits for its interrupt, and returns the bytes that the device says it wrote.
    ///
    /// # Panics
    ///
    /// When the request does not come back by one interrupt, as the only one.
    pub fn run(&mut self, request: &Request<'_>) -> u32 {
        const TOKEN: u32 = 0x1234_5678;
        assert_eq!(self.queue.arm(), Armed::Idle);
        let parts = || {
            (
                request.readable.iter().copied(),
                request.writable.iter().copied(),
            )
        };
        let (readable, writable) = parts();
        if request.indirect {
            let table = self.table.take();
            let mut table = table.unwrap_or_else(|| self.machine.lend(4096, 16));
            let chain =
                IndirectChain::write(&mut table, self.features, readable, writable).unwrap();
            self.table = Some(table);
            self.queue.add_indirect(TOKEN, chain).unwrap();
        } else {
            self.queue.add_direct(TOKEN, readable, writable).unwrap();
        }
        let kick = self.queue.publish();
        self.transport.ring(&self.doorbell, kick);
        let interrupts = self.machine.interrupt();
        if self.machine.line() {
            assert!(interrupts.line && interrupts.messages.is_empty());
            assert_eq!(self.transport.isr(), Ok(Isr::QUEUE));
            let again = self.machine.poll(Duration::ZERO);
            assert!(!again.line, "reading the ISR status lowers the line");
        } else {
            assert_eq!(interrupts.messages, [1]);
        }
        self.queue.disarm();
        let completion = self.queue.completed().unwrap().expect("used");
        assert_eq!(completion.token, TOKEN);
        assert_eq!(self.queue.completed(), Ok(None));
        completion.written
    }
}

fn new_queue(machine: &Machine, size: u16, features: Features) -> Queue<'static, u32> {
    let layout = Queue::<u32>::layout(size, features).unwrap();
    let slots = std::iter::repeat_with(|| Slot::EMPTY).take(size.into());
    let memory = QueueMemory {
        ring: machine.lend(layout.len(), layout.align()),
        slots: slots.collect::<Vec<_>>().leak(),
    };
    Queue::new(size, features, memory).unwrap()
}

/// A block device behind a driver. // Virtio 1.3 §5.2
pub struct Disk<'a> {
    /// Its driver.
    pub driver: Driver<'a>,
    memory: GuestMemory,
    buffer: u64,
}

const SECTOR: u32 = 512;

impl<'a> Disk<'a> {
    /// The disk of a running driver.
    #[must_use]
    pub fn new(driver: Driver<'a>) -> Self {
        Self {
            buffer: driver.machine.lend(4096, 4096).address().get(),
            memory: driver.machine.memory(),
            driver,
        }
    }

    /// Sectors that it says it has.
    ///
    /// # Panics
    ///
    /// When its configuration cannot be read.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        let read = self.driver.transport.read_config(|config| config.u64(0));
        read.unwrap()
    }

    /// Writes a sector.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn write(&mut self, sector: u64, data: &[u8; SECTOR as usize], indirect: bool) {
        assert!(self.memory.write(self.buffer + 512, data));
        let [header, data, status] = self.request(1, sector);
        self.run(&[header, data], &[status], indirect);
    }

    /// Reads a sector.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn read(&mut self, sector: u64, indirect: bool) -> [u8; SECTOR as usize] {
        assert!(
            self.memory
                .write(self.buffer + 512, &[0xee; SECTOR as usize])
        );
        let [header, data, status] = self.request(0, sector);
        self.run(&[header], &[data, status], indirect);
        let mut found = [0; SECTOR as usize];
        assert!(self.memory.read(self.buffer + 512, &mut found));
        found
    }

    fn request(&self, kind: u32, sector: u64) -> [Part; 3] {
        let mut header = [0; 17];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..16].copy_from_slice(&sector.to_le_bytes());
        header[16] = 0xff;
        assert!(self.memory.write(self.buffer, &header));
        let part = |offset, len| Part::new(Machine::at(self.buffer + offset), len);
        [part(0, 16), part(512, SECTOR), part(16, 1)]
    }

    fn run(&mut self, readable: &[Part], writable: &[Part], indirect: bool) {
        let written = self.driver.run(&Request {
            readable,
            writable,
            indirect,
        });
        let room: u32 = writable.iter().map(|part| part.len).sum();
        assert_eq!(written, room);
        let mut status = [0];
        assert!(self.memory.read(self.buffer + 16, &mut status));
        assert_eq!(status, [0]);
    }
}
