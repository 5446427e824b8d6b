//! Stopping, restarting, removing and surprise-removing an adapter.
//!
//! ScsiStopAdapter: "Storport ensures that there are no uncompleted requests and issues an SRB_FUNCTION_FLUSH request" before it; the
//! miniport's resources stay while the adapter is shut down for power management and are released by the port driver when it
//! is removed. MS: ne-storport-scsi_adapter_control_type, nc-storport-hw_adapter_control.

use std::rc::Rc;

use host_machine::ram::Placement;
use host_ntos::abi::STOR_ADAPTER_CONTROL_POWER as Power;
use host_ntos::abi::enums::{
    SCSI_ADAPTER_CONTROL_TYPE as control, SCSI_UNIT_CONTROL_TYPE as unit,
    STOR_DEVICE_POWER_STATE as power_state, STOR_PNP_ACTION as pnp,
    STOR_POWER_ACTION as power_action,
};
use host_ntos::{rules, sched};

use crate::adapter::{Failure, StartError};
use crate::complete;
use crate::io::Io;
use crate::memory::Region;
use crate::request::{Address, Data, Function, Request};
use crate::rules::{
    DMA_AFTER_STOP, LEAK_DMA_MEMORY, LEAK_REGISTRY_BUFFER, LEAK_TIMER, LEAK_WORKER, LOST_REQUEST,
};
use crate::start::{self, adapter_control};
use crate::state::{AdapterState, Mapping, Perf, Phase, sorted_bars};
use crate::{interrupt, scan, timeout};

/// No request is queued, outstanding or untold.
pub fn idle(adapter: &AdapterState) -> bool {
    all_told(&adapter.io.borrow())
}

fn all_told(io: &Io) -> bool {
    io.outstanding.is_empty() && io.queued() == 0 && io.untold() == 0
}

fn running(adapter: &AdapterState) -> Result<(), Failure> {
    match adapter.phase.get() {
        Phase::Running => Ok(()),
        other => Err(Failure::State(format!("{other:?}").to_lowercase())),
    }
}

fn drain(adapter: &Rc<AdapterState>, over: fn(&Io) -> bool) {
    let this = Rc::clone(adapter);
    let done = Box::new(move || over(&this.io.borrow()));
    if !sched::block_until(
        "all requests to be completed",
        Some(adapter.options.patience),
        done,
    ) {
        lost(adapter, "before the adapter was stopped");
    }
}

/// Sends nothing more and waits for what the miniport has. What it does not have yet, a scan's next request say, waits until the
/// adapter runs again.
fn hold(adapter: &Rc<AdapterState>) {
    adapter.phase.set(Phase::Stopped);
    drain(adapter, |io| io.outstanding.is_empty() && io.untold() == 0);
}

fn lost(adapter: &AdapterState, when: &str) {
    let srbs: Vec<usize> = adapter.io.borrow().outstanding.keys().copied().collect();
    if !srbs.is_empty() {
        rules::violate(
            LOST_REQUEST,
            format!(
                "{} requests were not completed {when}: {srbs:x?}",
                srbs.len()
            ),
        );
    }
}

fn ask(adapter: &Rc<AdapterState>, address: Address, function: Function, data: Data) {
    let request = Request {
        timeout: adapter.options.reset_timeout,
        ..Request::new(address, function, data)
    };
    timeout::run(adapter, request, adapter.options.patience, true);
}

fn units(adapter: &AdapterState) -> Vec<Address> {
    adapter.units.borrow().iter().map(|u| u.address).collect()
}

/// Flushes what caches: only if the miniport set CachesData.
fn flush(adapter: &Rc<AdapterState>, function: &Function) {
    if adapter.config().is_some_and(|c| c.caches_data) {
        for address in units(adapter) {
            ask(adapter, address, function.clone(), Data::None);
        }
    }
}

/// The power request to the adapter: by HwAdapterControl if it supports that, by SRB otherwise.
fn power(adapter: &Rc<AdapterState>, state: u32, action: u32) -> bool {
    if !adapter.supports(control::ScsiAdapterPower) {
        let function = Function::Power {
            state,
            action,
            adapter: true,
        };
        ask(adapter, Address::default(), function, Data::None);
        return false;
    }
    let Some(region) = Region::new(&adapter.ram, Power::SIZE, Placement::Contiguous, 0) else {
        return true;
    };
    // STOR_POWER_CONTROL_HEADER: version 1 and the size of the whole.
    host_ntos::guest::write_u32(region.at(), 1);
    host_ntos::guest::write_u32(region.at() + 4, Power::SIZE as u32);
    Power::PowerAction.set(region.at(), action.into());
    Power::PowerState.set(region.at(), state.into());
    adapter_control(adapter, control::ScsiAdapterPower, region.at());
    true
}

/// Powers the adapter down. Runs in a thread.
pub fn stop(adapter: &Rc<AdapterState>) -> Result<(), Failure> {
    running(adapter)?;
    hold(adapter);
    flush(adapter, &Function::Flush);
    if !power(
        adapter,
        power_state::StorPowerDeviceD3,
        power_action::StorPowerActionSleep,
    ) {
        stop_adapter(adapter)?;
    }
    interrupt::disconnect(adapter);
    check_stopped(adapter);
    Ok(())
}

fn stop_adapter(adapter: &AdapterState) -> Result<(), Failure> {
    match adapter_control(adapter, control::ScsiStopAdapter, 0) {
        Some(0) => {
            // Only after ScsiStopAdapter, for whoever needs bus data to be restored.
            adapter_control(adapter, control::ScsiSetBootConfig, 0);
            Ok(())
        }
        Some(code) => Err(Failure::Failed {
            stage: "ScsiStopAdapter",
            code,
        }),
        None => {
            rules::violate(
                crate::rules::CALLBACK_RESULT,
                "HwAdapterControl does not support ScsiStopAdapter, which every miniport must"
                    .into(),
            );
            Ok(())
        }
    }
}

/// The memory of the queues goes away with the adapter, so no device may look there any more.
fn check_quiet(adapter: &AdapterState) {
    let queues = adapter.device.borrow().rings().count() / 3;
    if queues > 0 {
        rules::violate(
            DMA_AFTER_STOP,
            format!("{queues} queues of the device are live when their memory is taken away"),
        );
    }
}

/// After it was stopped the device must hold nothing.
fn check_stopped(adapter: &AdapterState) {
    complete::observe(adapter);
    let held = adapter.device.borrow().outstanding().len();
    if held > 0 {
        rules::violate(
            DMA_AFTER_STOP,
            format!("the device still holds {held} chains after ScsiStopAdapter"),
        );
    }
}

/// Stops the adapter for other resources and starts it with them. Runs in a thread.
///
/// ScsiStopAdapter, "stopped for resource reconfiguration": the port driver "releases resources on behalf of the miniport driver"
/// and, when the PnP manager starts the adapter again, "(re)initializes" it: there is nothing left of before but the device.
/// MS: ne-storport-scsi_adapter_control_type
pub fn rebalance(adapter: &Rc<AdapterState>) -> Result<(), Failure> {
    running(adapter)?;
    hold(adapter);
    flush(adapter, &Function::Flush);
    stop_adapter(adapter)?;
    disconnect(adapter);
    check_stopped(adapter);
    check_quiet(adapter);
    cancel_timers(adapter);
    test_device::Device::disable_interrupts(&mut *adapter.device.borrow_mut());
    release(adapter);
    adapter.dpcs.borrow_mut().clear();
    adapter.perf.set(Perf::default());
    move_bars(adapter);
    adapter.phase.set(Phase::New);
    start::in_thread(adapter).map_err(refused)
}

/// Puts every memory BAR elsewhere, as the bus driver does while the function does not decode.
fn move_bars(adapter: &AdapterState) {
    use test_device::Device;
    /// COMMAND: memory space. // PCI 3.0 §6.2.2
    const DECODES: u32 = 2;
    /// Further than any of the functions reaches.
    const AWAY: u32 = 0x0100_0000;
    let mut device = adapter.device.borrow_mut();
    let command = device.config_read(4, 2);
    device.config_write(4, 2, command & !DECODES);
    for bar in device.bars() {
        let at = 0x10 + 4 * u16::from(bar.index);
        let place = device.config_read(at, 4);
        if bar.kind == test_device::BarKind::Memory {
            device.config_write(at, 4, place.wrapping_add(AWAY));
        }
    }
    device.config_write(4, 2, command);
    *adapter.bars.borrow_mut() = sorted_bars(&*device);
}

/// Powers the adapter up again. Runs in a thread.
pub fn restart(adapter: &Rc<AdapterState>) -> Result<(), Failure> {
    if adapter.phase.get() != Phase::Stopped {
        return Err(Failure::State(
            format!("{:?}", adapter.phase.get()).to_lowercase(),
        ));
    }
    let messages = adapter.config().map_or(0, |c| c.limits.messages);
    if adapter.supports(control::ScsiRestartAdapter) {
        // "The HBA's interrupt is not yet connected when the Storport driver makes this call."
        adapter_control(adapter, control::ScsiSetRunningConfig, 0);
        let (routine, each) = adapter
            .config()
            .map_or((0, false), |c| (c.ms_routine, c.per_message));
        interrupt::connect(adapter, messages, routine, each);
        match adapter_control(adapter, control::ScsiRestartAdapter, 0) {
            Some(0) => start::passive_initialize(adapter).map_err(refused)?,
            code => {
                return Err(Failure::Failed {
                    stage: "ScsiRestartAdapter",
                    code: code.unwrap_or_default(),
                });
            }
        }
    } else if !power(
        adapter,
        power_state::StorPowerDeviceD0,
        power_action::StorPowerActionNone,
    ) {
        // MS: nc-storport-hw_find_adapter: then it is called at DISPATCH_LEVEL.
        let found = sched::at_irql(sched::DISPATCH, || start::find_adapter(adapter, messages));
        found
            .and_then(|()| start::initialize(adapter))
            .map_err(refused)?;
    } else {
        let (routine, each) = adapter
            .config()
            .map_or((0, false), |c| (c.ms_routine, c.per_message));
        interrupt::connect(adapter, messages, routine, each);
    }
    adapter.phase.set(Phase::Running);
    crate::io::kick_all(adapter);
    Ok(())
}

fn refused(error: StartError) -> Failure {
    match error {
        StartError::Refused { stage, code } => Failure::Failed { stage, code },
        StartError::Stuck(stuck) => Failure::Stuck(stuck),
        StartError::Impossible(what) => Failure::State(what),
    }
}

/// Tells units and adapter that they are removed, by SRB_FUNCTION_PNP and HwUnitControl.
fn tell(adapter: &Rc<AdapterState>, action: u32, control: u32) {
    for address in units(adapter) {
        ask(
            adapter,
            address,
            Function::Pnp {
                action,
                adapter: false,
            },
            Data::None,
        );
        scan::unit_notify(adapter, address, control);
    }
    ask(
        adapter,
        Address::default(),
        Function::Pnp {
            action,
            adapter: true,
        },
        Data::None,
    );
}

/// Removes the adapter in order. Runs in a thread.
pub fn remove(adapter: &Rc<AdapterState>) -> Result<(), Failure> {
    match adapter.phase.get() {
        Phase::Running => {
            drain(adapter, all_told);
            flush(adapter, &Function::Shutdown);
            tell(adapter, pnp::StorRemoveDevice, unit::ScsiUnitRemove);
            hold(adapter);
            stop_adapter(adapter)?;
            check_stopped(adapter);
        }
        Phase::Stopped | Phase::New => {}
        // Refused by its miniport or taken away: there is nothing left to remove.
        Phase::Dead => return Ok(()),
        Phase::Starting => return Err(Failure::State("starting".into())),
    }
    gone(adapter);
    Ok(())
}

/// The device is pulled out, then the adapter removed. Runs in a thread.
pub fn surprise_remove(adapter: &Rc<AdapterState>) -> Result<(), Failure> {
    running(adapter)?;
    test_device::Device::remove(&mut *adapter.device.borrow_mut());
    // ScsiAdapterSurpriseRemoval: below DISPATCH_LEVEL, no locks, no parameters.
    adapter_control(adapter, control::ScsiAdapterSurpriseRemoval, 0);
    // What waits is failed by the port driver; what the miniport has is the miniport's to complete.
    crate::io::fail_queued(adapter);
    tell(
        adapter,
        pnp::StorSurpriseRemoval,
        unit::ScsiUnitSurpriseRemoval,
    );
    drain(adapter, all_told);
    tell(adapter, pnp::StorRemoveDevice, unit::ScsiUnitRemove);
    hold(adapter);
    // "Storport might call HwStorAdapterControl to stop the adapter after the HBA has already been physically removed."
    stop_adapter(adapter)?;
    check_stopped(adapter);
    gone(adapter);
    Ok(())
}

/// Ends the interrupts before memory is released, and waits for the DPCs that were queued until now, as a driver does that owns such
/// memory (MS: nf-wdm-keflushqueueddpcs).
///
/// That StorPort does so is an inference, which Microsoft documents nowhere: a miniport can neither take a DPC back nor wait for it, so
/// otherwise none could use them.
fn disconnect(adapter: &AdapterState) {
    interrupt::disconnect(adapter);
    sched::block_until("the queued DPCs", None, sched::dpcs_drained());
}

/// What a failed start leaves: the port driver releases it all.
pub fn abandon(adapter: &Rc<AdapterState>) {
    disconnect(adapter);
    complete::observe(adapter);
    let held = adapter.device.borrow().outstanding().len();
    if held > 0 {
        rules::violate(
            DMA_AFTER_STOP,
            format!("the device holds {held} chains although the adapter was refused"),
        );
    }
    gone(adapter);
}

/// Ends the adapter: what the miniport should have freed is reported, then everything is taken away.
fn gone(adapter: &Rc<AdapterState>) {
    disconnect(adapter);
    adapter.phase.set(Phase::Dead);
    check_quiet(adapter);
    crate::io::fail_queued(adapter);
    lost(adapter, "when the adapter was removed");
    let leaks = [
        (LEAK_TIMER, adapter.timers.borrow().len(), "timers"),
        (LEAK_WORKER, adapter.workers.borrow().len(), "work items"),
        (
            LEAK_DMA_MEMORY,
            adapter.contiguous.borrow().len(),
            "contiguous or DMA allocations",
        ),
        (
            LEAK_REGISTRY_BUFFER,
            usize::from(adapter.registry_buffer.borrow().is_some()),
            "registry buffers",
        ),
    ];
    for (rule, count, what) in leaks {
        if count > 0 {
            rules::violate(
                rule,
                format!("{count} {what} were not freed when the adapter was removed"),
            );
        }
    }
    cancel_timers(adapter);
    test_device::Device::disable_interrupts(&mut *adapter.device.borrow_mut());
    release(adapter);
}

fn cancel_timers(adapter: &AdapterState) {
    let pending: Vec<_> = adapter
        .timers
        .borrow()
        .values()
        .filter_map(|t| t.pending)
        .collect();
    pending
        .into_iter()
        .chain(adapter.request_timer.borrow().pending)
        .for_each(|timer| {
            sched::cancel_timer(timer);
        });
}

/// Takes the memory of the adapter away. Mapped registers too: StorPort unmaps them itself.
pub fn release(adapter: &AdapterState) {
    adapter.grants.borrow_mut().clear();
    let mappings = std::mem::take(&mut *adapter.mappings.borrow_mut());
    for (_, mapping) in mappings {
        match mapping {
            Mapping::Memory(window) => drop(window),
            Mapping::Ports => {}
        }
    }
    for (name, region) in [
        ("device extension", &adapter.extension),
        ("uncached extension", &adapter.uncached),
    ] {
        let region = region.borrow_mut().take();
        if region.is_some_and(|region| !region.intact()) {
            rules::violate(
                crate::rules::OVERRUN,
                format!("the miniport wrote beyond the {name}"),
            );
        }
    }
    adapter.config_block.borrow_mut().take();
    adapter.lu_extensions.borrow_mut().clear();
    adapter.contiguous.borrow_mut().clear();
    adapter.timers.borrow_mut().clear();
    adapter.workers.borrow_mut().clear();
    adapter.registry_buffer.borrow_mut().take();
}
