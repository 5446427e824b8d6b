//! Starting an adapter in Windows' order.
//!
//! HwFindAdapter at PASSIVE_LEVEL without locks; the interrupt is connected; HwInitialize at DIRQL with the interrupt lock; the passive
//! initialisation that it enabled; ScsiQuerySupportedControlTypes; then the first requests, those of the bus scan.
//! MS: nc-storport-hw_find_adapter, -hw_initialize, -hw_passive_initialize_routine, -hw_adapter_control; "Life Cycle of a Storport Driver".

use std::rc::Rc;

use host_machine::ram::Placement;
use host_ntos::abi::SCSI_SUPPORTED_CONTROL_TYPE_LIST as List;
use host_ntos::abi::enums::{SCSI_ADAPTER_CONTROL_TYPE as control, SCSI_UNIT_CONTROL_TYPE as unit};
use host_ntos::{guest, sched};

use crate::adapter::{StartError, run_thread};
use crate::codes::find;
use crate::grants::Owner;
use crate::memory::Region;
use crate::state::{AdapterState, Callback, Phase};
use crate::{config, interrupt, scan};

/// Runs the whole in a thread on the boot processor.
pub fn start(adapter: &Rc<AdapterState>) -> Result<(), StartError> {
    if adapter.phase.get() != Phase::New {
        return Err(StartError::Impossible(format!(
            "the adapter is {:?} already",
            adapter.phase.get()
        )));
    }
    let this = Rc::clone(adapter);
    run_thread("start", adapter.options.patience, move || {
        let result = in_thread(&this);
        if result.is_err() {
            crate::control::abandon(&this);
        }
        result
    })?
    .unwrap_or_else(|| Err(StartError::Impossible("the start was given up".into())))
}

/// The start, in a thread.
pub fn in_thread(adapter: &Rc<AdapterState>) -> Result<(), StartError> {
    adapter.phase.set(Phase::Starting);
    let memory = || StartError::Impossible("memory is short".into());
    let size = adapter.init().device_extension as usize;
    // "Filled with zeros" once, when it is first allocated.
    let extension = Region::new(&adapter.ram, size, Placement::Random, 0).ok_or_else(memory)?;
    if !adapter.options.dma_remapping {
        let mut grants = adapter.grants.borrow_mut();
        extension
            .runs()
            .into_iter()
            .for_each(|(at, len)| grants.add(at, len, Owner::DeviceExtension, true));
    }
    *adapter.extension.borrow_mut() = Some(Rc::new(extension));
    // The bus driver assigns interrupts when the device is started, before the port driver calls the miniport.
    let messages =
        interrupt::route(adapter).map_err(|e| StartError::Impossible(format!("{e:#}")))?;
    find_adapter(adapter, messages)?;
    initialize(adapter)?;
    query_control_types(adapter);
    adapter.phase.set(Phase::Running);
    scan::scan(adapter);
    Ok(())
}

/// HwFindAdapter at the current IRQL, and everything that follows from its configuration.
pub fn find_adapter(adapter: &AdapterState, messages: u16) -> Result<(), StartError> {
    let memory = || StartError::Impossible("memory is short".into());
    let block = Rc::new(config::prepare(adapter).ok_or_else(memory)?);
    let at = block.at();
    *adapter.config_block.borrow_mut() = Some(block);
    let before = config::constants(at);
    let mut text = adapter.options.driver_parameter.clone().into_bytes();
    text.push(0);
    // ArgumentString and, behind it, the reserved BOOLEAN.
    let extra =
        Region::new(&adapter.ram, text.len() + 1, Placement::Contiguous, 0).ok_or_else(memory)?;
    guest::write(extra.at(), &text);
    let args = [
        adapter.extension_at() as u64,
        0,
        0,
        extra.at() as u64,
        at as u64,
        (extra.at() + text.len()) as u64,
    ];
    let found = adapter.call(
        Callback::FindAdapter,
        "HW_FIND_ADAPTER",
        adapter.init().hw_find_adapter,
        &args,
    ) as u32;
    if found != find::FOUND {
        return Err(StartError::Refused {
            stage: "HwFindAdapter",
            code: found,
        });
    }
    let mut configured = config::read(adapter, at, &before);
    // In the dump stack HwInterrupt is polled.
    if adapter.dump.get().is_none() {
        interrupt::connect(
            adapter,
            messages,
            configured.ms_routine,
            configured.per_message,
        );
    }
    configured.limits.messages = messages;
    adapter.configured.set(Some(configured));
    if adapter.options.unguarded_requests {
        adapter.slots.borrow_mut().leave_unguarded();
    }
    adapter.slots.borrow_mut().set_extension(
        configured.limits.srb_extension_size as usize,
        adapter.options.contiguous_extensions,
    );
    let mut flow = adapter.flow.borrow_mut();
    flow.max = configured.limits.max_number_of_io;
    flow.initial_depth = configured.limits.initial_lun_queue_depth;
    flow.max_depth = configured.limits.max_ios_per_lun;
    Ok(())
}

/// HwInitialize and the passive initialisation that it asked for.
pub fn initialize(adapter: &AdapterState) -> Result<(), StartError> {
    adapter.passive_routine.set(0);
    adapter.halted.set(false);
    let args = [adapter.extension_at() as u64];
    let irql = interrupt::lock_all(adapter);
    let fine = adapter.call(
        Callback::Initialize,
        "HW_INITIALIZE",
        adapter.init().hw_initialize,
        &args,
    ) as u8
        != 0;
    interrupt::unlock_all(adapter, irql);
    if !fine {
        return Err(StartError::Refused {
            stage: "HwInitialize",
            code: 0,
        });
    }
    passive_initialize(adapter)
}

/// Calls the routine that StorPortEnablePassiveInitialization named, once.
pub fn passive_initialize(adapter: &AdapterState) -> Result<(), StartError> {
    let routine = adapter.passive_routine.replace(0);
    if routine == 0 {
        return Ok(());
    }
    let args = [adapter.extension_at() as u64];
    let name = "HW_PASSIVE_INITIALIZE_ROUTINE";
    if adapter.call(Callback::PassiveInitialize, name, routine, &args) as u8 == 0 {
        return Err(StartError::Refused {
            stage: "HwPassiveInitializeRoutine",
            code: 0,
        });
    }
    Ok(())
}

fn query_control_types(adapter: &AdapterState) {
    let all = adapter.options.removal_controls;
    let max = if all {
        control::ScsiAdapterControlMax
    } else {
        control::ScsiAdapterSurpriseRemoval
    };
    let code = control::ScsiQuerySupportedControlTypes;
    let init = adapter.init();
    let callback = Callback::AdapterControl(code);
    *adapter.supported.borrow_mut() = query(
        adapter,
        callback,
        "HW_ADAPTER_CONTROL",
        init.hw_adapter_control,
        code,
        max,
    );
    if init.hw_unit_control != 0 {
        let code = unit::ScsiQuerySupportedUnitControlTypes;
        let max = if all {
            unit::ScsiUnitControlMax
        } else {
            unit::ScsiUnitRemove
        };
        *adapter.unit_supported.borrow_mut() = query(
            adapter,
            Callback::UnitControl,
            "HW_UNIT_CONTROL",
            init.hw_unit_control,
            code,
            max,
        );
    }
}

fn query(
    adapter: &AdapterState,
    callback: Callback,
    name: &'static str,
    routine: usize,
    code: u32,
    max: u32,
) -> Vec<bool> {
    let table = List::SupportedTypeList.offset;
    let size = table + max as usize;
    let Some(list) = Region::new(&adapter.ram, size, Placement::Contiguous, 0) else {
        return Vec::new();
    };
    List::MaxControlType.set(list.at(), max.into());
    let args = [adapter.extension_at() as u64, code.into(), list.at() as u64];
    let fine = adapter.call(callback, name, routine, &args) as u32 == 0;
    if !list.intact() {
        host_ntos::rules::violate(
            crate::rules::OVERRUN,
            format!("{name} wrote beyond the {max} entries of the control type list"),
        );
    }
    if !fine {
        return Vec::new();
    }
    guest::bytes(list.at() + table, max as usize)
        .into_iter()
        .map(|byte| byte != 0)
        .collect()
}

/// Calls HwAdapterControl as its table of IRQLs and locks says; `None` if the miniport does not support the type.
pub fn adapter_control(adapter: &AdapterState, code: u32, parameters: usize) -> Option<u32> {
    if !adapter.supports(code) {
        return None;
    }
    let routine = adapter.init().hw_adapter_control;
    let args = [
        adapter.extension_at() as u64,
        code.into(),
        parameters as u64,
    ];
    let callback = Callback::AdapterControl(code);
    // ScsiStopAdapter and ScsiRestartAdapter: DIRQL, interrupt lock. The rest: PASSIVE_LEVEL is allowed for each.
    let locked = [control::ScsiStopAdapter, control::ScsiRestartAdapter].contains(&code);
    let irql = locked.then(|| interrupt::lock_all(adapter));
    let result = adapter.call(callback, "HW_ADAPTER_CONTROL", routine, &args) as u32;
    // Before the IRQL falls: what the miniport left queued runs then.
    adapter.halted.set(
        code == control::ScsiStopAdapter
            || (adapter.halted.get() && code != control::ScsiRestartAdapter),
    );
    if let Some(irql) = irql {
        interrupt::unlock_all(adapter, irql);
    }
    debug_assert!(sched::irql() <= sched::DISPATCH);
    Some(result)
}
