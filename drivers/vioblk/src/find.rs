//! HwFindAdapter: is this a device that can be used, and what may StorPort ask of it?
#![forbid(unsafe_code)]

use crate::config::{Config, Raw, Refusal};
use crate::disk::{Disk, cache, notice, setup};
use crate::dump::{self, DUMP_QUEUE_SIZE};
use crate::events::{Event, Journal, code};
use crate::ffi::device_extension::{MAX_QUEUES, Memory};
use crate::ffi::dma::{StorPort, is_remapped, region};
use crate::ffi::extension;
use crate::ffi::lock::{Once, QueueCell};
use crate::ffi::registers;
use crate::identity::Place;
use crate::lifecycle::{PASSIVE_RESET_TIMEOUT_US, StallClock};
use crate::limits::{self, FIXED_DESCRIPTORS, Limits, PAGE};
use crate::pool::{MAX_PIECES, Pool};
use crate::request::{DESCRIPTOR_LEN, HEAD_LEN};
use crate::ring::{RequestQueue, Ring, Rules};
use crate::short;
use crate::state::State;
use crate::statistics::History;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use storport::sys::{
    SCSI_DMA64_MINIPORT_FULL64BIT_SUPPORTED, STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE,
    StorSynchronizeFullDuplex,
};
use storport::{Carver, Dma, Dpc, FindAdapter};
use virtio_core::mmio::MmioWindow;
use virtio_core::ring::{Layout, QueueMemory, Slot, Tables};
use virtio_core::spec::blk::{self, ZoneModel};
use virtio_core::spec::features::Features;
use virtio_core::transport::{CONFIG_LEN, DeviceStopped, Locations, Transport, TransportError};

/// What the driver accepts of what the device offers.
fn wanted(dump: bool) -> Features {
    let always = [
        Features::VERSION_1,
        Features::INDIRECT_DESC,
        // Virtio 1.3 §6.1: a driver should accept these two; a device may refuse one that does not.
        Features::ACCESS_PLATFORM,
        Features::ORDER_PLATFORM,
        blk::F_SIZE_MAX,
        blk::F_SEG_MAX,
        blk::F_RO,
        blk::F_BLK_SIZE,
        blk::F_FLUSH,
    ];
    let live = [
        Features::EVENT_IDX,
        // Not IN_ORDER: a disk finishes requests in any order, and would have to hold back those that are ready.
        Features::RING_PACKED,
        blk::F_TOPOLOGY,
        blk::F_CONFIG_WCE,
        blk::F_MQ,
        blk::F_DISCARD,
        blk::F_WRITE_ZEROES,
        blk::F_LIFETIME,
    ];
    // The dump stack only reads, writes and flushes.
    let live = if dump { &[][..] } else { &live };
    let all = always.iter().chain(live).copied();
    all.fold(Features::empty(), Features::union)
}

/// Requests that StorPort may have outstanding, whatever the queues could take.
const MAX_OUTSTANDING: u32 = 4096;
/// Slots of all queues together, for requests whose own memory is not contiguous.
const SLOTS: usize = 64;

/// What the administrator wants, from the registry (docs/vioblk.md).
#[derive(Clone, Copy)]
struct Settings {
    /// Most queues.
    queues: u16,
    /// Most requests that StorPort may have outstanding.
    depth: u32,
    /// Most interrupt messages.
    messages: u32,
    /// Most descriptors of a queue.
    queue_size: u16,
    /// It is for the dump stack.
    dump: bool,
}

impl Settings {
    fn read(find: &FindAdapter<'_>) -> Self {
        let value = |name, most| find.registry(name, 1..=most, most);
        Self {
            queues: u16::try_from(value(c"QueueCount", MAX_QUEUES)).unwrap_or(1),
            depth: value(c"QueueDepth", MAX_OUTSTANDING),
            messages: value(c"InterruptMessages", MAX_QUEUES.saturating_add(1)),
            queue_size: u16::MAX,
            dump: false,
        }
    }

    /// Those of the dump stack, where there is no registry.
    const DUMP: Self = Self {
        queues: 1,
        depth: 1,
        messages: 0,
        queue_size: DUMP_QUEUE_SIZE,
        dump: true,
    };
}

/// What was agreed with a device that can be used.
struct Found {
    settings: Settings,
    features: Features,
    config: Config,
    limits: Limits,
    queues: u16,
    queue_size: u16,
}

/// Looks at the device, tells StorPort what it can do, and sets everything up that needs no interrupt. PASSIVE_LEVEL, or, in the
/// dump stack, HIGH_LEVEL.
pub fn find(find: &mut FindAdapter<'_>, memory: Memory, dump: bool) -> Result<(), Event> {
    let transport = map(find)?;
    let settings = if dump {
        Settings::DUMP
    } else {
        Settings::read(find)
    };
    let found = negotiate(find.adapter(), &transport, &memory, settings).and_then(|found| {
        tell_storport(find, &found);
        Ok((take_memory(find, &found, &memory)?, found))
    });
    match found {
        Ok((taken, found)) => {
            set_up(find, transport, &found, taken, memory);
            Ok(())
        }
        Err(event) => {
            // The device is left as it was found: without a driver. Virtio 1.3 §3.1.1
            transport.fail();
            let _ = transport.reset(&StallClock::new(find.adapter()), PASSIVE_RESET_TIMEOUT_US);
            Err(event)
        }
    }
}

/// Finds the virtio structures and maps them.
#[inline(never)] // so that the frames of the start do not add up
fn map(find: &FindAdapter<'_>) -> Result<Transport<MmioWindow>, Event> {
    let mut pci = [0xff; CONFIG_LEN];
    if find.pci_config(&mut pci) < CONFIG_LEN {
        pci = [0xff; CONFIG_LEN];
    }
    let bar_len = |bar| {
        let range = find.bar(&pci, bar)?;
        (range.RangeInMemory != 0).then_some(u64::from(range.RangeLength))
    };
    let locations = Locations::find(&pci, bar_len).map_err(|error| Event::DeviceNotVirtio {
        code: code::capability(&error),
    })?;
    let mut bars = registers::Bars::new();
    Transport::modern(&locations, &StorPort(find.adapter()), |location| {
        let range = find.bar(&pci, location.bar)?;
        bars.window(find, &range, location)
    })
    .map_err(|error| Event::DeviceNotVirtio {
        code: code::transport(&error),
    })
}

fn failed(step: u32) -> impl Fn(TransportError) -> Event {
    move |error| Event::InitializationFailed {
        step,
        code: code::transport(&error),
    }
}

/// Negotiates with the device and reads what it is, without starting it.
#[inline(never)] // as above
fn negotiate(
    adapter: storport::Adapter,
    transport: &Transport<MmioWindow>,
    memory: &Memory,
    settings: Settings,
) -> Result<Found, Event> {
    let stopped: DeviceStopped = transport
        .reset(&StallClock::new(adapter), PASSIVE_RESET_TIMEOUT_US)
        .map_err(failed(1))?;
    let offered = transport.acknowledge(stopped).map_err(failed(4))?;
    let unreadable = |error| Event::ConfigUnreadable {
        code: code::config(&error),
    };
    if offered.contains(blk::F_ZONED) {
        // A driver may read what is offered before it accepts. Virtio 1.3 §2.5, §3.1.1 step 4
        let model = core::mem::offset_of!(blk::Config, zone_model);
        let model = transport.read_config(|view| view.u8(model));
        if ZoneModel(model.map_err(unreadable)?) == ZoneModel::HOST_MANAGED {
            return Err(Event::Refused(Refusal::HostManagedZones));
        }
    }
    let features = offered.intersection(wanted(settings.dump));
    transport.accept(features).map_err(|error| match error {
        TransportError::FeaturesRefused(_) | TransportError::NotModern => Event::FeaturesRefused {
            offered: offered.bits(),
            accepted: features.bits(),
        },
        error => failed(6)(error),
    })?;
    let raw = transport
        .read_config(|view| Raw::read(view, features))
        .map_err(unreadable)?;
    let config = Config::check(&raw)
        .map_err(Event::Refused)?
        .with_features(features);
    let present = transport.queue_count().map_err(failed(7))?;
    let present = present.min(settings.queues);
    let (queues, queue_size) = queues(
        transport,
        features,
        &config,
        present,
        memory,
        settings.queue_size,
    )?;
    let limits = Limits::new(&config, queue_size).map_err(Event::Refused)?;
    // Bounce pages belong to one queue, so that what waits for a page is looked at when a page comes back.
    let queues = if limits.bounce { 1 } else { queues };
    Ok(Found {
        settings,
        features,
        config,
        limits,
        queues,
        queue_size,
    })
}

/// How many queues of which size: one for each processor at most, all of the same size.
fn queues(
    transport: &Transport<MmioWindow>,
    features: Features,
    config: &Config,
    present: u16,
    memory: &Memory,
    most: u16,
) -> Result<(u16, u16), Event> {
    let room = u16::try_from(memory.queues()).unwrap_or(u16::MAX);
    let count = config.queues.min(present).min(room).max(1);
    let mut size = most;
    for queue in 0..count {
        size = size.min(transport.queue_max_size(queue).map_err(failed(7))?);
    }
    let slots = memory.slots().checked_div(usize::from(count)).unwrap_or(0);
    let size = size.min(u16::try_from(slots).unwrap_or(u16::MAX));
    let size = match size.checked_ilog2() {
        // Split rings need a power of two: the largest that is not larger. Virtio 1.3 §2.7, §2.8.10.1
        Some(bits) if !features.contains(Features::RING_PACKED) => 1u16 << bits,
        _ => size,
    };
    if u32::from(size) <= FIXED_DESCRIPTORS {
        return Err(Event::Refused(Refusal::QueueTooSmall(size)));
    }
    Ok((count, size))
}

/// Fills in what HwFindAdapter has to: limits, DMA, interrupts.
fn tell_storport(find: &mut FindAdapter<'_>, found: &Found) {
    let limits = &found.limits;
    let depth = outstanding(found);
    let config = find.config();
    config.MaximumTransferLength = limits.max_transfer;
    config.NumberOfPhysicalBreaks = limits.breaks;
    // MS: ns-storport-_port_configuration_information, SrbExtensionSize: set before StorPortGetUncachedExtension.
    config.SrbExtensionSize = extension::size(limits.segments);
    config.AlignmentMask = 3;
    config.ScatterGather = 1;
    config.Master = 1;
    config.Dma64BitAddresses = SCSI_DMA64_MINIPORT_FULL64BIT_SUPPORTED;
    config.CachesData = u8::from(found.features.contains(blk::F_FLUSH));
    config.SynchronizationModel = StorSynchronizeFullDuplex;
    config.NumberOfBuses = 1;
    config.MaximumNumberOfTargets = 1;
    config.MaximumNumberOfLogicalUnits = 1;
    config.MaxNumberOfIO = depth;
    if limits.bounce {
        config.MapBuffers = STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE;
    }
    // HwInterrupt is what the dump stack polls.
    if !found.settings.dump {
        crate::ffi::entry::set_interrupt_routine(config);
    }
    crate::ffi::entry::set_depth(config, depth);
}

/// Requests that the queues can hold: one descriptor each with indirect tables, else a few.
fn outstanding(found: &Found) -> u32 {
    let descriptors = u32::from(found.queues).saturating_mul(u32::from(found.queue_size));
    let requests = if found.features.contains(Features::INDIRECT_DESC) {
        descriptors
    } else {
        // Header, status and two pieces of data.
        descriptors >> 2
    };
    requests.clamp(1, found.settings.depth)
}

/// What the disk has of the uncached extension: its queues, and the page that may be written anything to.
struct Taken {
    queues: &'static [QueueCell],
    scratch: u64,
    remapped: bool,
}

/// Takes memory for rings and pools.
#[inline(never)] // as above
fn take_memory(find: &mut FindAdapter<'_>, found: &Found, memory: &Memory) -> Result<Taken, Event> {
    let none = |bytes: usize| Event::NoMemory {
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
    };
    let ring_len = RequestQueue::layout(found.queue_size, found.features)
        .map_err(|_| Event::Refused(Refusal::QueueTooSmall(found.queue_size)))?
        .len();
    let plan = Plan::new(found, ring_len);
    let bytes = plan.bytes(found.queues);
    let uncached = if found.settings.dump {
        dump::uncached(find)
    } else {
        u32::try_from(bytes)
            .ok()
            .and_then(|bytes| find.uncached(bytes))
    };
    let mut carver = uncached.ok_or(none(bytes))?;

    let mut slots = memory.slot_parts(usize::from(found.queue_size));
    let mut rings = core::iter::from_fn(|| {
        let ring = plan.carve(&mut carver)?;
        Some(Ring::new(
            QueueMemory {
                ring: region(ring.memory)?,
                slots: slots.next()?,
            },
            ring.slots,
            ring.pages,
        ))
    });
    let queues = memory
        .queue_cells(usize::from(found.queues), || rings.next())
        .ok_or(none(bytes))?;
    let scratch = carver.take(PAGE as usize, Layout::ALIGN);
    let scratch = scratch.map_err(|_| none(bytes))?;
    let translated = found.features.contains(Features::ACCESS_PLATFORM);
    // The dump stack follows a driver that found this out.
    let remapped = if found.settings.dump {
        translated
    } else {
        is_remapped(scratch)
    };
    if remapped && !translated {
        return Err(failed(6)(TransportError::Untranslated));
    }
    Ok(Taken {
        queues,
        scratch: scratch.address(),
        remapped,
    })
}

/// Builds the disk and puts it in its place.
#[inline(never)] // as above
fn set_up(
    find: &mut FindAdapter<'_>,
    transport: Transport<MmioWindow>,
    found: &Found,
    taken: Taken,
    memory: Memory,
) {
    let config = find.config();
    let place = Place {
        bus: config.SystemIoBusNumber,
        slot: config.SlotNumber,
    };
    memory.finish(Disk {
        adapter: find.adapter(),
        transport,
        rules: Rules {
            adapter: find.adapter(),
            limits: found.limits,
            features: found.features,
            tables: Tables::new(found.features),
            config: found.config,
            sectors_per_block: found.config.sectors_per_block().into(),
            room: extension::room(&found.limits),
            scratch: taken.scratch,
            remapped: taken.remapped,
            short: short::table(&found.limits, found.features),
            polled: found.settings.dump,
        },
        place,
        queue_size: found.queue_size,
        queues: taken.queues,
        service: Dpc::new(),
        work: AtomicU32::new(0),
        in_setup: AtomicU32::new(setup::NOBODY),
        state: State::new(
            found.settings.dump,
            found.features.contains(blk::F_RO),
            found.features.contains(blk::F_FLUSH),
            found.config.cache_mode,
        ),
        troubles: AtomicU32::new(0),
        late: AtomicU32::new(0),
        most_messages: found.settings.messages,
        messages: AtomicU32::new(0),
        blocks: AtomicU64::new(found.config.blocks),
        notice: AtomicU8::new(notice::NONE),
        cache: AtomicU8::new(cache::AS_IT_IS),
        serial: Once::new(),
        journal: Journal::default(),
        history: History::default(),
        failed: AtomicBool::new(false),
    });
}

/// What one queue takes of the uncached extension.
struct Plan {
    ring_len: usize,
    slot_len: usize,
    slots: usize,
    pages: usize,
}

/// One queue's part.
struct Part {
    memory: Dma,
    slots: Pool,
    pages: Pool,
}

impl Plan {
    fn new(found: &Found, ring_len: usize) -> Self {
        let rows = limits::rows(found.limits.segments) as usize;
        // One request at a time takes one of each.
        let most = if found.settings.dump { 2 } else { MAX_PIECES };
        let share = SLOTS.checked_div(usize::from(found.queues)).unwrap_or(1);
        Self {
            ring_len: ring_len.next_multiple_of(Layout::ALIGN),
            slot_len: HEAD_LEN
                .saturating_add(rows.saturating_mul(DESCRIPTOR_LEN))
                .next_multiple_of(Layout::ALIGN),
            slots: share.clamp(2, most),
            pages: if found.limits.bounce { most } else { 0 },
        }
    }

    fn bytes(&self, queues: u16) -> usize {
        let slots = self.slots.saturating_mul(self.slot_len);
        let pages = self.pages.saturating_mul(PAGE as usize);
        let queue = self.ring_len.saturating_add(slots).saturating_add(pages);
        // One page for what is read and dropped. The block itself may begin anywhere.
        queue
            .saturating_mul(usize::from(queues))
            .saturating_add(PAGE as usize)
            .saturating_add(Layout::ALIGN)
    }

    fn carve(&self, carver: &mut Carver) -> Option<Part> {
        let memory = carver.take(self.ring_len, Layout::ALIGN).ok()?;
        let mut pool = |count: usize, len: usize| {
            if count == 0 {
                return Some(Pool::EMPTY);
            }
            let block = carver.take(count.saturating_mul(len), Layout::ALIGN).ok()?;
            Some(Pool::new(block, len))
        };
        Some(Part {
            memory,
            slots: pool(self.slots, self.slot_len)?,
            pages: pool(self.pages, PAGE as usize)?,
        })
    }
}

const _: () = assert!(size_of::<Slot<crate::ffi::extension::Token>>() <= 24);
