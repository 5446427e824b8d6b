//! virtio-drivers: its `VirtQueue` and its PCI transport, over the cheapest `Hal` there can be.

use std::ptr::NonNull;

use ring_device::Setup;
use ring_subjects::{Mode, RING_SIZE};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use ring_subjects::memory::Arena;
use ring_subjects::registers::{BAR_LEN, Function};
use ring_subjects::work::{DATA, HEADER, Held, STATUS, Subject, Taken, Token, fail};

/// Device addresses are the process's own: sharing a buffer costs nothing.
struct Identity;

// SAFETY: memory is handed out zeroed, on pages, and never taken back; addresses are valid as they are.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let at = Arena::new(pages * PAGE_SIZE).take(pages * PAGE_SIZE, PAGE_SIZE);
        match NonNull::new(at) {
            Some(at) => (at.as_ptr().expose_provenance() as PhysAddr, at),
            None => fail("no memory"),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        match NonNull::new(std::ptr::with_exposed_provenance_mut(address as usize)) {
            Some(at) => at,
            None => fail("no registers"),
        }
    }

    #[inline(always)]
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr().expose_provenance() as PhysAddr
    }

    #[inline(always)]
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// The function's configuration space.
#[derive(Clone)]
struct Config([u8; 256]);

impl ConfigurationAccess for Config {
    fn read_word(&self, _: DeviceFunction, offset: u8) -> u32 {
        let at = usize::from(offset & !3);
        self.0[at..]
            .first_chunk()
            .map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
    }

    fn write_word(&mut self, _: DeviceFunction, offset: u8, value: u32) {
        // PCI 3.0 §6.2.5.1: the address bits below the BAR's length, and its type, do not change.
        let value = match offset {
            0x10 => value & !(BAR_LEN as u32 - 1) | 4,
            0x14 => value,
            _ => return,
        };
        let at = usize::from(offset);
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    unsafe fn unsafe_clone(&self) -> Self {
        self.clone()
    }
}

/// The queue, the transport, and the requests by the numbers that the queue gave them.
pub struct Theirs {
    queue: VirtQueue<Identity, { RING_SIZE as usize }>,
    transport: PciTransport,
    held: Held,
    setup: Setup,
}

/// The parts of a request as slices, which is what the queue takes.
macro_rules! with_parts {
    ($token:expr, $three:expr, |$inputs:ident, $outputs:ident| $work:expr) => {{
        let token: Token = $token;
        // SAFETY: the header is memory of its own; the device, on this thread, only reads it.
        let header = unsafe { std::slice::from_raw_parts(token.header, HEADER) };
        // SAFETY: the data is memory of its own, to which nobody else refers.
        let data = unsafe { std::slice::from_raw_parts_mut(token.data, DATA) };
        let $inputs = &[header];
        if $three {
            // SAFETY: as for the data.
            let status = unsafe { std::slice::from_raw_parts_mut(token.status, STATUS) };
            let $outputs = &mut [data, status];
            $work
        } else {
            let $outputs = &mut [data];
            $work
        }
    }};
}

impl Theirs {
    pub fn new(arena: &mut Arena, mode: Mode) -> Self {
        let function = Function::new(arena, RING_SIZE);
        let bar = function.bar;
        let mut root = PciRoot::new(Config(function.config));
        let at = DeviceFunction {
            bus: 0,
            device: 1,
            function: 0,
        };
        let mut transport = PciTransport::new::<Identity, _>(&mut root, at)
            .unwrap_or_else(|error| fail(&error.to_string()));
        let queue = VirtQueue::new(&mut transport, 0, mode.indirect, mode.event_idx)
            .unwrap_or_else(|error| fail(&error.to_string()));
        // Virtio 1.3 §4.1.4.3: what the transport told the device.
        let address = |offset: usize| {
            // SAFETY: the BAR is memory, and the offset lies in it and is aligned.
            unsafe { bar.wrapping_add(offset).cast::<u64>().read_volatile() }
        };
        Self {
            setup: Setup {
                packed: false,
                size: RING_SIZE,
                descriptor: address(32),
                driver: address(40),
                device: address(48),
                indirect: mode.indirect,
                event_idx: mode.event_idx,
                in_order: false,
            },
            queue,
            transport,
            held: Held::new(),
        }
    }
}

impl Subject for Theirs {
    type Kick = bool;

    const DOORBELL: bool = true;

    fn setup(&self) -> Setup {
        self.setup
    }

    #[inline(always)]
    fn add(&mut self, token: Token, three: bool) {
        let added = with_parts!(token, three, |inputs, outputs| {
            // SAFETY: the buffers live for ever, and are not touched before the request comes back.
            unsafe { self.queue.add(inputs, outputs) }
        });
        match added {
            Ok(id) => self.held.put(id, token),
            Err(_) => fail("request refused"),
        }
    }

    #[inline(always)]
    fn publish(&mut self) -> bool {
        self.queue.should_notify()
    }

    fn needed(kick: &bool) -> bool {
        *kick
    }

    #[inline(always)]
    fn notify(&mut self, kick: bool) {
        if kick {
            self.transport.notify(0);
        }
    }

    #[inline(always)]
    fn disarm(&mut self) {
        self.queue.set_dev_notify(false);
    }

    #[inline(always)]
    fn take(&mut self, three: bool) -> Option<Taken> {
        let id = self.queue.peek_used()?;
        let token = self.held.take(id);
        let popped = with_parts!(token, three, |inputs, outputs| {
            // SAFETY: these are the buffers that were added under this number.
            unsafe { self.queue.pop_used(id, inputs, outputs) }
        });
        match popped {
            Ok(written) => Some(Taken { token, written }),
            Err(_) => fail("request not given back"),
        }
    }

    #[inline(always)]
    fn arm(&mut self) -> bool {
        self.queue.set_dev_notify(true);
        self.queue.can_pop()
    }
}
