//! The dump stack: after a bug check, or for hibernation, the kernel loads the miniport a second time under a port driver of its own.
//!
//! What is different there is said by MS: "Restrictions on Miniport Drivers that Manage the Boot Drive": DriverEntry has no arguments,
//! everything is called above PASSIVE_LEVEL (HwFindAdapter: nc-storport-hw_find_adapter, HIGH_LEVEL), one request at a time; no
//! DPCs, no time from the system, nothing that needs PASSIVE_LEVEL; 32 KiB of memory; bus resets are disregarded. That HwInterrupt
//! is polled, that no interrupt is connected and that the pool is missing is what Microsoft's storahci sample says of it.
//!
//! What Microsoft does not say is strict here: whatever is not in [`ALLOWED`] breaks a rule.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use host_machine::image;
use host_machine::ram::Placement;
use host_ntos::{callback, export, rules, sched};
use test_device::Device;

use crate::adapter::{Adapter, Failure, StartError, run_thread};
use crate::codes::nt;
use crate::driver::LoadFailure;
use crate::io::{self, Waiting};
use crate::memory::Region;
use crate::options::{AdapterOptions, DriverOptions};
use crate::request::{Limits, Outcome, Request};
use crate::rules::{DUMP_CALL, DUMP_MEMORY, DUMP_UNMARKED};
use crate::start;
use crate::state::{self, AdapterState, Callback, DriverState, Phase};
use crate::{complete, driver, interrupt};

mod nothing;

use self::nothing::Nothing;

/// `PORT_CONFIGURATION_INFORMATION::DumpMode` (`DUMP_MODE_*`, storport.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The structure does not say. MS: "Restrictions on Miniport Drivers that Manage the Boot Drive" names two signals: a DriverEntry
    /// without arguments and "dump=1" in HwFindAdapter's ArgumentString; here the second stands alone.
    ByArgument = 0,
    /// A crash dump is written.
    Crash = 1,
    /// The hibernation file is written.
    Hibernate = 2,
    /// The miniport says which memory it needs, and no more.
    MarkMemory = 3,
    /// The hibernation file is read back.
    Resume = 4,
}

/// "The miniport driver should not attempt to allocate more than 32 kilobytes of memory."
const MEMORY: usize = 32 << 10;
/// Between two polls of HwInterrupt, microseconds.
const POLL_US: u64 = 50;
/// How long one step may take on the kernel's clock before the run is given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// What may be called: routines of the port driver and, by their names, notifications and extended functions.
const ALLOWED: &[&str] = &[
    "StorPortInitialize",
    "StorPortNotification",
    "ScsiPortNotification",
    "StorPortExtendedFunction",
    // HwFindAdapter has to find the device and its memory.
    "StorPortGetBusData",
    "StorPortSetBusDataByOffset",
    "StorPortGetDeviceBase",
    "StorPortFreeDeviceBase",
    "StorPortGetUncachedExtension",
    "MarkDumpMemory",
    // HwBuildIo and HwStartIo have to describe a request to it.
    "StorPortGetPhysicalAddress",
    "StorPortGetVirtualAddress",
    "StorPortGetScatterGatherList",
    "StorPortGetLogicalUnit",
    "StorPortGetSrb",
    "StorPortGetSystemAddress",
    "GetSystemAddress",
    // And end it.
    "RequestComplete",
    "NextRequest",
    "NextLuRequest",
    "ResetDetected",
    "StorPortCompleteRequest",
    // nf-wdm-kestallexecutionprocessor: any IRQL, and no clock.
    "StorPortStallExecution",
    // Memory and registers.
    "StorPortMoveMemory",
    "ScsiPortMoveMemory",
    "StorPortConvertUlongToPhysicalAddress",
    "StorPortConvertPhysicalAddressToUlong",
    "GetCurrentIrql",
    "BufferOverrunDetected",
    "StorPortDebugPrint",
];

/// Routines whose names begin so read and write registers.
const REGISTERS: &[&str] = &[
    "StorPortReadRegister",
    "StorPortWriteRegister",
    "StorPortReadPort",
    "StorPortWritePort",
];

thread_local! {
    /// The CPU on which code of a dump stack runs.
    static RUNNING: Cell<Option<u32>> = const { Cell::new(None) };
}

fn permitted(name: &str) -> bool {
    ALLOWED.contains(&name) || REGISTERS.iter().any(|start| name.starts_with(start))
}

fn judge(name: &'static str) {
    if !permitted(name) {
        rules::violate(DUMP_CALL, format!("{name} is called in the dump stack"));
    }
}

/// Judges calls of the port driver from the dump stack; what the kernel exports is left to its documented IRQL.
fn judge_import(name: &'static str) -> bool {
    let of_port = name.starts_with("StorPort") || name.starts_with("ScsiPort");
    let here = RUNNING.get() == Some(sched::cpu());
    if of_port && here {
        judge(name);
    }
    of_port && here
}

/// Judges a notification or an extended function. False: the adapter is no dump stack's.
pub fn judge_call(adapter: &AdapterState, name: &'static str) -> bool {
    let dump = adapter.dump.get().is_some();
    if dump {
        judge(name);
    }
    dump
}

/// The name that stands for a callback at HIGH_LEVEL, for which no IRQL is documented but that of HwFindAdapter.
pub fn callback_name(name: &'static str) -> &'static str {
    match name {
        "HW_FIND_ADAPTER" => "HW_FIND_ADAPTER (dump)",
        "HW_INITIALIZE" => "HW_INITIALIZE (dump)",
        "HW_BUILDIO" => "HW_BUILDIO (dump)",
        "HW_STARTIO" => "HW_STARTIO (dump)",
        "HW_INTERRUPT" => "HW_INTERRUPT (dump)",
        "HW_RESET_BUS" => "HW_RESET_BUS (dump)",
        _ => "a callback of the dump stack",
    }
}

/// StorPortGetUncachedExtension: "not guaranteed align" (storahci), and with the device extension within the limit.
pub fn uncached_extension(adapter: &AdapterState, length: usize) -> Option<Region> {
    // Its size was said by a DriverEntry that did not know.
    let unknowing = adapter.dump.get() == Some(Mode::ByArgument);
    let extension = match adapter.init().device_extension as usize {
        _ if unknowing => 0,
        size => size,
    };
    if extension + length > MEMORY {
        rules::violate(
            DUMP_MEMORY,
            format!("{extension} bytes of device extension and {length} of uncached extension"),
        );
    }
    Region::aligned_to_8(&adapter.ram, length, Placement::Contiguous, 0xb5)
}

/// A bug check: every CPU stops where it is, with requests of the adapter in flight. The adapter does nothing any more, but its
/// device goes on.
pub fn crash(adapter: &Adapter) {
    complete::observe(&adapter.state);
    sched::halt();
    interrupt::disconnect(&adapter.state);
    adapter.state.phase.set(Phase::Dead);
}

/// The miniport in a dump stack.
pub struct Dump {
    adapter: Rc<AdapterState>,
}

impl Dump {
    /// Loads the driver for the dump stack of `adapter` and calls its DriverEntry at HIGH_LEVEL, without arguments unless the mode is
    /// [`Mode::ByArgument`].
    ///
    /// # Errors
    /// It is no driver, its DriverEntry fails, or the run cannot go on.
    pub fn load(
        sys: &[u8],
        name: &str,
        adapter: &Adapter,
        mode: Mode,
    ) -> Result<Self, LoadFailure> {
        let ram = state::with(|port| port.ram.clone()).ok_or(LoadFailure::NotInstalled)?;
        // "The driver name will have a prefix of dump_."
        let name = format!("dump_{name}");
        let image = image::load(sys, &name, &mut |dll, name| export::resolve(dll, name))
            .map_err(LoadFailure::Image)?;
        rules::add_image(&image.name, image.base, image.size);
        let entry = image.entry;
        let object = driver::object(&ram, &image, &name).ok_or(LoadFailure::NotInstalled)?;
        let args = match mode {
            Mode::ByArgument => driver::arguments(&object),
            _ => [0, 0],
        };
        let driver = Rc::new(DriverState {
            name,
            options: DriverOptions::default(),
            image: Some(image).into(),
            object,
            init: None.into(),
        });
        state::with(|port| port.dumping = Some(Rc::clone(&driver)));
        let status =
            at_high_level(move || callback::call("DRIVER_INITIALIZE (dump)", entry, &args) as u32)?
                .unwrap_or(nt::NOT_SUPPORTED);
        state::with(|port| port.dumping = None);
        // NT_SUCCESS
        if status.cast_signed() < 0 {
            return Err(LoadFailure::Entry(status));
        }
        if driver.init.get().is_none() {
            return Err(LoadFailure::NoMiniport);
        }
        if let Some(image) = driver.image.borrow().as_ref() {
            image.discard_init();
        }
        let number = state::adapters().len() as u32;
        let options = AdapterOptions {
            // Only what the port driver gives has a device address.
            dma_remapping: true,
            driver_parameter: "dump=1".into(),
            ..adapter.state.options.clone()
        };
        let mut dump = AdapterState::new(number, driver, Box::new(Nothing), options, &ram);
        dump.bars.clone_from(&adapter.state.bars);
        let dump = Rc::new(dump);
        dump.dump.set(Some(mode));
        state::with(|port| port.adapters.push(Rc::clone(&dump)));
        Ok(Self { adapter: dump })
    }

    /// Has the miniport mark its memory, while the device is in use by the other instance: this one finds no register at all.
    ///
    /// # Errors
    /// The miniport says no, or the run cannot go on.
    pub fn mark_memory(&self) -> Result<(), StartError> {
        self.find(Mode::MarkMemory)
    }

    /// Takes the device over as it is and starts it: HwFindAdapter and HwInitialize.
    ///
    /// # Errors
    /// The miniport says no, or the run cannot go on.
    pub fn start(&self, from: &Adapter, mode: Mode) -> Result<(), StartError> {
        self.adapter.device.swap(&from.state.device);
        self.restart(mode)
    }

    /// Starts it once more: after hibernation its memory is what it was when that was saved, and the device is as it is.
    ///
    /// # Errors
    /// The miniport says no, or the run cannot go on.
    pub fn restart(&self, mode: Mode) -> Result<(), StartError> {
        // What had been sent is of a time that is over; the device still has it.
        complete::observe(&self.adapter);
        let old: Vec<_> = self.adapter.io.borrow_mut().outstanding.drain().collect();
        for (_, old) in old {
            io::revoke(&self.adapter, &old.slot, old.buffer.as_ref());
        }
        self.find(mode)?;
        let this = Rc::clone(&self.adapter);
        let started = at_high_level(move || {
            let args = [this.extension_at() as u64];
            let routine = this.init().hw_initialize;
            this.call(Callback::Initialize, "HW_INITIALIZE", routine, &args) as u8 != 0
        })?;
        complete::observe_rings(&self.adapter);
        self.forget_messages()?;
        match started {
            Some(true) => Ok(()),
            _ => Err(StartError::Refused {
                stage: "HwInitialize",
                code: 0,
            }),
        }
    }

    /// A device in another process may have sent messages before it was reset that are seen only now. It has answered the reset, so
    /// all of them are here.
    fn forget_messages(&self) -> Result<(), StartError> {
        let mut device = self.adapter.device.borrow_mut();
        while !device.deterministic() {
            let raised = Device::poll(&mut *device, Duration::ZERO)
                .map_err(|error| StartError::Impossible(format!("{error:#}")))?;
            if raised.messages.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn find(&self, mode: Mode) -> Result<(), StartError> {
        let adapter = Rc::clone(&self.adapter);
        adapter.dump.set(Some(mode));
        if adapter.extension.borrow().is_none() {
            let size = adapter.init().device_extension as usize;
            let region = Region::aligned_to_8(&adapter.ram, size, Placement::Scattered, 0);
            let region = region.ok_or_else(|| StartError::Impossible("memory is short".into()))?;
            *adapter.extension.borrow_mut() = Some(Rc::new(region));
        }
        adapter.marked.borrow_mut().clear();
        let found = at_high_level(move || start::find_adapter(&adapter, 0))?;
        found.unwrap_or_else(|| Err(StartError::Impossible("HwFindAdapter did not end".into())))?;
        if matches!(mode, Mode::MarkMemory | Mode::Hibernate) {
            self.check_marks();
        }
        Ok(())
    }

    /// "At a minimum" in these two modes.
    fn check_marks(&self) {
        let marked = self.adapter.marked.borrow();
        for (what, region) in [
            ("device extension", &self.adapter.extension),
            ("uncached extension", &self.adapter.uncached),
        ] {
            let region = region.borrow();
            let Some(region) = region.as_ref() else {
                continue;
            };
            let (start, end) = (region.at(), region.at() + region.len());
            let covered = |&(at, len): &(usize, usize)| at <= start && at + len >= end;
            if !marked.iter().any(covered) {
                rules::violate(
                    DUMP_UNMARKED,
                    format!("the {what} is not among the marks {marked:x?}"),
                );
            }
        }
    }

    /// What the miniport promised.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        self.adapter.config().map(|config| config.limits)
    }

    /// Sends a request and polls HwInterrupt until it ends. `None`: it did not within its timeout; the bus was reset, which the
    /// miniport is to disregard.
    ///
    /// # Errors
    /// The request cannot be sent, or the run cannot go on.
    pub fn execute(&self, request: Request) -> Result<Option<Outcome>, Failure> {
        let (this, timeout) = (Rc::clone(&self.adapter), request.timeout);
        let answer = self.send(request)?;
        let result = Rc::clone(&answer);
        at_high_level(move || {
            let end = sched::now() + timeout;
            while result.borrow().is_none() && sched::now() < end {
                poll(&this);
                sched::stall(POLL_US);
            }
            if result.borrow().is_none() {
                let args = [this.extension_at() as u64, 0];
                let routine = this.init().hw_reset_bus;
                this.call(Callback::ResetBus, "HW_RESET_BUS", routine, &args);
            }
        })?;
        Ok(answer.take())
    }

    /// Sends a request and does not look after it.
    ///
    /// # Errors
    /// As [`Dump::execute`].
    pub fn send(&self, request: Request) -> Result<Rc<RefCell<Option<Outcome>>>, Failure> {
        let answer: Rc<RefCell<Option<Outcome>>> = Rc::default();
        let put = Rc::clone(&answer);
        let request = request.on_complete(move |outcome| *put.borrow_mut() = Some(outcome));
        let this = Rc::clone(&self.adapter);
        at_high_level(move || send(&this, request))?;
        Ok(answer)
    }

    /// Chains that the device still holds.
    #[must_use]
    pub fn held(&self) -> usize {
        complete::observe(&self.adapter);
        self.adapter.device.borrow().outstanding().len()
    }

    /// Interrupts that the device raised while it was polled.
    #[must_use]
    pub fn interrupts(&self) -> u64 {
        self.adapter.counters.borrow().interrupts
    }
}

/// One HwBuildIo and one HwStartIo.
fn send(adapter: &Rc<AdapterState>, request: Request) {
    let Some(config) = adapter.config() else {
        return;
    };
    let waiting = Waiting {
        request,
        submitted: sched::now(),
        bypass: true,
    };
    let Some((srb, id)) = io::prepare(adapter, sched::cpu(), &config, waiting) else {
        return;
    };
    let init = adapter.init();
    let args = [adapter.extension_at() as u64, srb as u64];
    if init.hw_build_io != 0 {
        let go = adapter.call(Callback::BuildIo, "HW_BUILDIO", init.hw_build_io, &args) as u8 != 0;
        if !go || !io::is_outstanding(adapter, srb, id) {
            return;
        }
    }
    adapter.call(Callback::StartIo, "HW_STARTIO", init.hw_start_io, &args);
}

/// Lets the device run, then calls HwInterrupt.
fn poll(adapter: &Rc<AdapterState>) {
    let polled = Device::poll(&mut *adapter.device.borrow_mut(), Duration::ZERO);
    complete::observe(adapter);
    complete::observe_rings(adapter);
    match polled {
        Ok(raised) => adapter.counters.borrow_mut().interrupts += raised.messages.len() as u64,
        Err(error) => rules::violate(
            crate::rules::DEVICE,
            format!("the device is gone: {error:#}"),
        ),
    }
    let args = [adapter.extension_at() as u64];
    let routine = adapter.init().hw_interrupt;
    adapter.call(Callback::Interrupt, "HW_INTERRUPT", routine, &args);
}

/// Runs `f` on the boot processor at HIGH_LEVEL, by the rules of the dump stack.
fn at_high_level<R: 'static>(f: impl FnOnce() -> R + 'static) -> Result<Option<R>, sched::Stuck> {
    export::set_judge(Some(judge_import));
    let result = run_thread("dump stack", PATIENCE, move || {
        sched::at_irql(sched::HIGH, || {
            RUNNING.set(Some(sched::cpu()));
            let result = f();
            RUNNING.set(None);
            result
        })
    });
    export::set_judge(None);
    result
}

#[cfg(test)]
mod tests {
    use super::permitted;

    #[test]
    fn what_needs_a_running_system_is_not_permitted() {
        for name in [
            "InitializeDpc",
            "IssueDpc",
            "AcquireSpinLock",
            "EnablePassiveInitialization",
            "RequestTimerCall",
            "AllocatePool",
            "LogSystemEvent",
            "InitializeTimer",
            "QueueWorkItem",
            "StorPortRegistryRead",
            "StorPortAllocateRegistryBuffer",
            "StorPortLogError",
            "StorPortQuerySystemTime",
            "QueryPerformanceCounter",
            "StateChangeDetectedCall",
        ] {
            assert!(!permitted(name), "{name}");
        }
        for name in [
            "StorPortGetBusData",
            "StorPortWriteRegisterUlong",
            "RequestComplete",
        ] {
            assert!(permitted(name), "{name}");
        }
    }
}
