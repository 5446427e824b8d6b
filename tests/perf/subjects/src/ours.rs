//! virtio-core, as a driver of this project uses it, doing the work of one case.

use std::cell::Cell;
use std::ptr::NonNull;

use ring_device::Setup;
use ring_subjects::memory::Arena;
use ring_subjects::registers::{BAR_LEN, Function};
use ring_subjects::work::{self, DATA, HEADER, STATUS, Subject, Taken, Token, fail};
use ring_subjects::{BATCH, Mode, RING_SIZE};
use virtio_core::Clock;
use virtio_core::mem::{DeviceAddress, Dma, DmaRegion};
use virtio_core::mmio::MmioWindow;
use virtio_core::ring::{Armed, IndirectChain, Kick, Part, Queue, QueueMemory, Slot};
use virtio_core::spec::features::Features;
use virtio_core::transport::{Doorbell, Locations, Transport};

fn main() {
    let case = work::case();
    let arena = &mut Arena::for_program();
    let ours = Ours::new(arena, case.mode);
    if case.mode.indirect {
        work::run(&case, arena, With::<true>(ours));
    } else {
        work::run(&case, arena, With::<false>(ours));
    }
}

/// A clock that moves when it is looked at.
struct Ticks(Cell<u64>);

impl Clock for Ticks {
    fn now_us(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }

    fn wait_us(&self, us: u32) {
        self.0.set(self.0.get() + u64::from(us));
    }
}

/// Queue, doorbell and, for each request, the memory of an indirect table.
struct Ours {
    queue: Queue<'static, Token>,
    transport: Transport<MmioWindow>,
    doorbell: Doorbell,
    features: Features,
    tables: Vec<DmaRegion>,
    setup: Setup,
}

/// Memory of the arena that the device sees at the same address.
fn region(arena: &mut Arena, len: usize, align: usize) -> DmaRegion {
    let base = NonNull::new(arena.take(len, align)).unwrap_or_else(|| fail("no memory"));
    // SAFETY: the arena hands out each byte once and never takes it back.
    unsafe { SameAddress.lend(base, len) }.unwrap_or_else(|| fail("no memory"))
}

/// The device uses the processor's addresses.
struct SameAddress;

// SAFETY: that is what the device of the benchmark does.
unsafe impl Dma for SameAddress {
    fn translates(&self) -> bool {
        false
    }

    fn locate(&self, base: NonNull<u8>, _: usize) -> Option<DeviceAddress> {
        // SAFETY: as above.
        Some(unsafe { Self::given(base.as_ptr().expose_provenance() as u64) })
    }
}

impl Ours {
    fn new(arena: &mut Arena, mode: Mode) -> Self {
        let mut features = Features::VERSION_1;
        features.set(Features::RING_PACKED, mode.packed);
        features.set(Features::INDIRECT_DESC, mode.indirect);
        features.set(Features::EVENT_IDX, mode.event_idx);
        features.set(Features::IN_ORDER, mode.in_order);
        let function = Function::new(arena, RING_SIZE);
        let locations =
            Locations::find(&function.config, |bar| (bar == 0).then_some(BAR_LEN as u64))
                .expect("a capability list");
        let transport = Transport::modern(&locations, &SameAddress, |location| {
            // SAFETY: the BAR is mapped and stays so, and the offset lies in it.
            let base = unsafe { function.bar.add(location.offset as usize) };
            // SAFETY: as above, for the length too; nothing refers to these bytes.
            Some(unsafe { MmioWindow::new(NonNull::new(base)?, location.len as usize) })
        })
        .expect("structures in the BAR");
        let clock = Ticks(Cell::new(0));
        let stopped = transport.reset(&clock, 1_000_000).expect("a reset");
        transport.acknowledge(stopped).expect("a device");
        transport.accept(features).expect("the features");
        let layout = Queue::<Token>::layout(RING_SIZE, features).expect("a legal size");
        let memory = QueueMemory {
            ring: region(arena, layout.len(), 4096),
            slots: Vec::from_iter((0..RING_SIZE).map(|_| Slot::EMPTY)).leak(),
        };
        let queue = Queue::new(RING_SIZE, features, memory).expect("memory made to measure");
        let doorbell = transport
            .enable_queue(0, &queue, None)
            .expect("the device's queue");
        transport.driver_ok().expect("a live device");
        let addresses = queue.addresses();
        Self {
            setup: Setup {
                packed: mode.packed,
                size: RING_SIZE,
                descriptor: addresses.descriptor.get(),
                driver: addresses.driver.get(),
                device: addresses.device.get(),
                indirect: mode.indirect,
                event_idx: mode.event_idx,
                in_order: mode.in_order,
            },
            queue,
            transport,
            doorbell,
            features,
            tables: (0..BATCH).map(|_| region(arena, 64, 64)).collect(),
        }
    }
}

/// A part of a request.
#[inline(always)]
fn part(at: *mut u8, len: usize) -> Part {
    // SAFETY: the device uses the processor's addresses, and a request's buffers stay.
    let address = unsafe { SameAddress::given(at.addr() as u64) };
    Part::new(address, len as u32)
}

/// As in a driver, direct or indirect is settled once for a queue: `INDIRECT` is not looked up for each request.
struct With<const INDIRECT: bool>(Ours);

impl<const INDIRECT: bool> Subject for With<INDIRECT> {
    type Kick = Kick;

    const DOORBELL: bool = true;

    fn setup(&self) -> Setup {
        self.0.setup
    }

    #[inline(always)]
    fn add(&mut self, token: Token, three: bool) {
        let ours = &mut self.0;
        let readable = [part(token.header, HEADER)];
        let data = part(token.data, DATA);
        let status = part(token.status, STATUS);
        let added = if INDIRECT {
            let Some(table) = ours.tables.get_mut(token.index as usize) else {
                fail("no table");
            };
            let chain = if three {
                IndirectChain::write(table, ours.features, readable, [data, status])
            } else {
                IndirectChain::write(table, ours.features, readable, [data])
            };
            match chain {
                Ok(chain) => ours.queue.add_indirect(token, chain),
                Err(_) => fail("table refused"),
            }
        } else if three {
            ours.queue.add_direct(token, readable, [data, status])
        } else {
            ours.queue.add_direct(token, readable, [data])
        };
        if added.is_err() {
            fail("request refused");
        }
    }

    #[inline(always)]
    fn publish(&mut self) -> Kick {
        self.0.queue.publish()
    }

    fn needed(kick: &Kick) -> bool {
        kick.needed()
    }

    #[inline(always)]
    fn notify(&mut self, kick: Kick) {
        self.0.transport.ring(&self.0.doorbell, kick);
    }

    #[inline(always)]
    fn disarm(&mut self) {
        self.0.queue.disarm();
    }

    #[inline(always)]
    fn take(&mut self, _three: bool) -> Option<Taken> {
        match self.0.queue.completed() {
            Ok(Some(done)) => Some(Taken {
                token: done.token,
                written: done.written,
            }),
            Ok(None) => None,
            Err(_) => fail("queue closed"),
        }
    }

    #[inline(always)]
    fn arm(&mut self) -> bool {
        self.0.queue.arm() == Armed::WorkPending
    }
}
