//! What the port driver knows: drivers, adapters and who is who.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use host_machine::image::Image;
use host_machine::mmio::Window;
use host_machine::ram::Ram;
use host_ntos::sched::TimerId;
use host_ntos::{callback, rules, sched};
use test_device::{Bar, Device, Observed};

use crate::counters::Counters;
use crate::events::{Event, Trace};
use crate::flow::Flow;
use crate::grants::Grants;
use crate::io::Io;
use crate::memory::{Buffers, Region, Slots};
use crate::options::{AdapterOptions, DriverOptions};
use crate::request::{Address, Limits};
use crate::scan::Unit;
use crate::srb::Kind;
use crate::timeout;

/// The device of an adapter.
pub type Dev = Observed<Box<dyn Device>>;

/// IRQL of every interrupt of an adapter: any of the device levels will do (3 to 11 on x64).
pub const DIRQL: u8 = 9;

/// The callbacks that routines are documented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callback {
    FindAdapter,
    Initialize,
    PassiveInitialize,
    BuildIo,
    StartIo,
    Interrupt,
    Dpc,
    Timer,
    ResetBus,
    AdapterControl(u32),
    UnitControl,
    StateChange,
    SynchronizedAccess,
    WorkItem,
}

/// What `HW_INITIALIZATION_DATA` said (ns-storport-_hw_initialization_data).
#[derive(Debug, Clone, Copy, Default)]
pub struct Init {
    pub size: u32,
    pub interface: u32,
    pub hw_initialize: usize,
    pub hw_start_io: usize,
    pub hw_interrupt: usize,
    pub hw_find_adapter: usize,
    pub hw_reset_bus: usize,
    pub hw_adapter_control: usize,
    pub hw_build_io: usize,
    pub hw_unit_control: usize,
    pub access_ranges: u32,
    pub device_extension: u32,
    pub lu_extension: u32,
    pub srb_extension: u32,
    pub map_buffers: u8,
    pub feature_support: u32,
    pub srb_type_flags: u32,
}

/// A loaded driver.
pub struct DriverState {
    pub name: String,
    pub options: DriverOptions,
    pub image: RefCell<Option<Image>>,
    /// DRIVER_OBJECT, its extension and the registry path.
    pub object: Region,
    pub init: Cell<Option<Init>>,
}

/// How interrupts of an adapter arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Not connected.
    None,
    /// The line, to HwInterrupt.
    Line,
    /// Messages to HwMSInterruptRoutine, each with a lock of its own or all with one.
    Messages { count: u16, per_message: bool },
    /// Messages to HwInterrupt, because there is no routine for messages.
    MessagesAsLine { count: u16 },
}

/// What HwFindAdapter left in PORT_CONFIGURATION_INFORMATION.
#[derive(Debug, Clone, Copy)]
pub struct Configured {
    pub limits: Limits,
    pub kind: Kind,
    pub map_buffers: u8,
    pub half_duplex: bool,
    pub ms_routine: usize,
    pub per_message: bool,
    pub buses: u8,
    pub targets: u8,
    pub logical_units: u8,
    pub caches_data: bool,
    pub lu_extension: u32,
}

/// Where an adapter is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Added, not started.
    New,
    /// In HwFindAdapter or HwInitialize.
    Starting,
    /// Takes requests.
    Running,
    /// Stopped for power management; it can be restarted.
    Stopped,
    /// Refused by its miniport or gone.
    Dead,
}

/// What StorPortInitializePerfOpts settled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Perf {
    pub flags: u32,
    pub channels: u32,
    pub first_message: u32,
    pub last_message: u32,
}

/// A DPC object of the miniport.
#[derive(Debug, Clone, Copy)]
pub struct Dpc {
    pub routine: usize,
    pub first: bool,
}

/// A timer of the miniport.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timer {
    pub pending: Option<TimerId>,
}

/// A work item of the miniport.
#[derive(Debug, Clone, Copy, Default)]
pub struct Worker {
    pub queued: bool,
}

/// A BAR that the miniport mapped.
pub enum Mapping {
    Memory(Window),
    /// Port numbers are their own addresses.
    Ports,
}

/// Numbers that name locks and DPCs of an adapter to the kernel.
pub struct Keys {
    space: Box<[u8; 4096]>,
}

impl Keys {
    fn at(&self, index: usize) -> usize {
        self.space.as_ptr() as usize + index.min(self.space.len() - 1)
    }
    pub fn start_io(&self) -> usize {
        self.at(0)
    }
    pub fn interrupt(&self) -> usize {
        self.at(1)
    }
    pub fn dispatch(&self, cpu: u32) -> usize {
        self.at(64 + cpu as usize)
    }
    pub fn completion(&self, cpu: u32) -> usize {
        self.at(256 + cpu as usize)
    }
    pub fn channel(&self, channel: u32) -> usize {
        self.at(512 + channel as usize)
    }
    pub fn message(&self, message: u16) -> usize {
        self.at(1024 + usize::from(message))
    }
}

/// Interrupts of an adapter on their way.
#[derive(Default)]
pub struct Lines {
    /// Messages delivered to a CPU whose routine has not begun.
    pub pending: BTreeMap<u16, ()>,
    /// The same for the line.
    pub line_pending: bool,
    /// Calls in a row that did not claim the line.
    pub unclaimed: u32,
}

/// A callback that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Under {
    /// Which.
    pub callback: Callback,
    /// The adapter was stopped before it began.
    pub halted: bool,
}

/// One adapter.
pub struct AdapterState {
    pub number: u32,
    pub driver: Rc<DriverState>,
    pub options: AdapterOptions,
    pub ram: Ram,
    pub device: RefCell<Dev>,
    pub bars: RefCell<Vec<Bar>>,
    pub keys: Keys,
    pub phase: Cell<Phase>,
    pub extension: RefCell<Option<Rc<Region>>>,
    pub config_block: RefCell<Option<Rc<Region>>>,
    pub configured: Cell<Option<Configured>>,
    pub connection: Cell<Connection>,
    pub lines: RefCell<Lines>,
    pub uncached: RefCell<Option<Rc<Region>>>,
    pub contiguous: RefCell<BTreeMap<usize, Region>>,
    pub lu_extensions: RefCell<BTreeMap<Address, Region>>,
    pub slots: RefCell<Slots>,
    pub buffers: RefCell<Buffers>,
    pub grants: RefCell<Grants>,
    /// Whose memory the chains that the device holds touch, by chain number.
    pub chains: RefCell<HashMap<u64, Vec<usize>>>,
    /// The queues as last checked.
    pub rings: RefCell<Vec<test_device::Part>>,
    pub io: RefCell<Io>,
    pub flow: RefCell<Flow>,
    pub perf: Cell<Perf>,
    pub passive_routine: Cell<usize>,
    pub dpcs: RefCell<BTreeMap<usize, Dpc>>,
    pub timers: RefCell<BTreeMap<usize, Timer>>,
    pub request_timer: RefCell<Timer>,
    pub workers: RefCell<BTreeMap<usize, Worker>>,
    pub handles: Cell<usize>,
    pub registry_buffer: RefCell<Option<Region>>,
    pub mappings: RefCell<BTreeMap<usize, Mapping>>,
    pub supported: RefCell<Vec<bool>>,
    pub unit_supported: RefCell<Vec<bool>>,
    pub units: RefCell<Vec<Unit>>,
    pub unit_attributes: RefCell<BTreeMap<Address, u32>>,
    pub events: RefCell<Vec<Event>>,
    /// What was told to event tracing.
    pub traces: RefCell<Vec<Trace>>,
    pub counters: RefCell<Counters>,
    pub calls: RefCell<Vec<Vec<Under>>>,
    /// A requester is being told from within RequestComplete.
    pub telling: Cell<bool>,
    /// What bus resets have left, as long as DPC routines may still complete it.
    pub left: RefCell<Vec<timeout::Left>>,
    /// ScsiStopAdapter was carried out.
    pub halted: Cell<bool>,
    pub state_change: Cell<bool>,
    pub rescan: Cell<bool>,
    pub written_registry: RefCell<crate::options::Registry>,
    /// It belongs to a dump stack.
    pub dump: Cell<Option<crate::dump::Mode>>,
    /// Memory that the miniport marked for hibernation: address and bytes.
    pub marked: RefCell<Vec<(usize, usize)>>,
}

/// Everything of one run.
pub struct Port {
    pub ram: Ram,
    pub drivers: Vec<Rc<DriverState>>,
    pub adapters: Vec<Rc<AdapterState>>,
    /// The driver whose DriverEntry runs for a dump stack, without arguments.
    pub dumping: Option<Rc<DriverState>>,
}

thread_local! {
    static PORT: RefCell<Option<Port>> = const { RefCell::new(None) };
}

/// Starts anew with this memory.
pub fn reset(ram: &Ram) {
    let old = PORT.with_borrow_mut(|port| {
        port.replace(Port {
            ram: ram.clone(),
            drivers: Vec::new(),
            adapters: Vec::new(),
            dumping: None,
        })
    });
    drop(old);
}

/// Forgets everything.
pub fn clear() {
    let old = PORT.take();
    drop(old);
}

/// Access to the whole. No driver code runs inside.
pub fn with<R>(f: impl FnOnce(&mut Port) -> R) -> Option<R> {
    PORT.with_borrow_mut(|port| port.as_mut().map(f))
}

/// All adapters.
pub fn adapters() -> Vec<Rc<AdapterState>> {
    with(|port| port.adapters.clone()).unwrap_or_default()
}

/// The adapter with this HwDeviceExtension. Another address is a violation.
pub fn adapter(extension: usize, who: &str) -> Option<Rc<AdapterState>> {
    let found = adapters()
        .into_iter()
        .find(|a| a.extension_at() == extension && extension != 0);
    if found.is_none() {
        rules::violate(
            crate::rules::PARAMETER,
            format!("{who}: {extension:#x} is no device extension of an adapter"),
        );
    }
    found
}

/// The BARs of a device, by their index.
pub fn sorted_bars(device: &dyn Device) -> Vec<Bar> {
    let mut bars = device.bars();
    bars.sort_by_key(|bar| bar.index);
    bars
}

impl AdapterState {
    /// A new adapter for `device`.
    pub fn new(
        number: u32,
        driver: Rc<DriverState>,
        device: Box<dyn Device>,
        options: AdapterOptions,
        ram: &Ram,
    ) -> Self {
        let bars = RefCell::new(sorted_bars(&*device));
        let cpus = sched::cpus() as usize;
        Self {
            number,
            driver,
            options,
            ram: ram.clone(),
            device: RefCell::new(Observed::new(device, ram)),
            bars,
            keys: Keys {
                space: Box::new([0; 4096]),
            },
            phase: Cell::new(Phase::New),
            extension: RefCell::default(),
            config_block: RefCell::default(),
            configured: Cell::new(None),
            connection: Cell::new(Connection::None),
            lines: RefCell::default(),
            uncached: RefCell::default(),
            contiguous: RefCell::default(),
            lu_extensions: RefCell::default(),
            slots: RefCell::default(),
            buffers: RefCell::default(),
            grants: RefCell::default(),
            chains: RefCell::default(),
            rings: RefCell::default(),
            io: RefCell::new(Io::new(cpus)),
            flow: RefCell::default(),
            perf: Cell::default(),
            passive_routine: Cell::new(0),
            dpcs: RefCell::default(),
            timers: RefCell::default(),
            request_timer: RefCell::default(),
            workers: RefCell::default(),
            handles: Cell::new(0x5707_0000),
            registry_buffer: RefCell::default(),
            mappings: RefCell::default(),
            supported: RefCell::default(),
            unit_supported: RefCell::default(),
            units: RefCell::default(),
            unit_attributes: RefCell::default(),
            events: RefCell::default(),
            traces: RefCell::default(),
            counters: RefCell::default(),
            calls: RefCell::new(vec![Vec::new(); cpus.max(1)]),
            telling: Cell::new(false),
            left: RefCell::default(),
            halted: Cell::new(false),
            state_change: Cell::new(false),
            rescan: Cell::new(false),
            written_registry: RefCell::default(),
            dump: Cell::new(None),
            marked: RefCell::default(),
        }
    }

    /// HwDeviceExtension, 0 before there is one.
    pub fn extension_at(&self) -> usize {
        self.extension
            .borrow()
            .as_ref()
            .map_or(0, |region| region.at())
    }

    /// What the driver registered. All zeros before StorPortInitialize, when no adapter can exist.
    pub fn init(&self) -> Init {
        self.driver.init.get().unwrap_or_default()
    }

    /// What HwFindAdapter said, after it said it.
    pub fn config(&self) -> Option<Configured> {
        self.configured.get()
    }

    /// Calls the miniport at the current IRQL and keeps note of where it is.
    pub fn call(
        &self,
        callback: Callback,
        name: &'static str,
        address: usize,
        args: &[u64],
    ) -> u64 {
        let cpu = sched::cpu() as usize;
        let name = match self.dump.get() {
            Some(_) => crate::dump::callback_name(name),
            None => name,
        };
        self.push(cpu, callback);
        let result = callback::call(name, address, args);
        self.pop(cpu, callback);
        if callback == Callback::Dpc {
            timeout::dpc_ended(self, cpu);
        }
        result
    }

    fn push(&self, cpu: usize, callback: Callback) {
        if let Some(stack) = self.calls.borrow_mut().get_mut(cpu) {
            let halted = self.halted.get();
            stack.push(Under { callback, halted });
        }
    }

    fn pop(&self, cpu: usize, callback: Callback) {
        if let Some(stack) = self.calls.borrow_mut().get_mut(cpu) {
            // Threads of one CPU may interleave below DISPATCH_LEVEL, so it need not be the innermost.
            if let Some(at) = stack.iter().rposition(|under| under.callback == callback) {
                stack.remove(at);
            }
        }
    }

    /// The innermost callback on this CPU.
    pub fn callback(&self) -> Option<Callback> {
        self.calls
            .borrow()
            .get(sched::cpu() as usize)?
            .last()
            .map(|under| under.callback)
    }

    /// A violation unless the miniport is in one of these callbacks.
    pub fn require(&self, what: &str, allowed: &[Callback]) -> bool {
        let now = self.callback();
        let fine = now.is_some_and(|now| allowed.contains(&now));
        if !fine {
            rules::violate(
                crate::rules::CALL_CONTEXT,
                format!("{what} called in {now:?}, documented for {allowed:?}"),
            );
        }
        fine
    }

    /// A new opaque handle, never an address.
    pub fn handle(&self) -> usize {
        let handle = self.handles.get();
        self.handles.set(handle + 16);
        handle
    }

    /// Whether the miniport said that it supports this adapter control type.
    pub fn supports(&self, control: u32) -> bool {
        self.supported
            .borrow()
            .get(control as usize)
            .copied()
            .unwrap_or(false)
    }
}
