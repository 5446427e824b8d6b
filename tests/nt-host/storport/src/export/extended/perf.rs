//! Performance optimisations: what StorPort offers, and what a miniport chose.
//!
//! MS: nf-storport-storportinitializeperfopts, ns-storport-_perf_configuration_data.

use std::rc::Rc;

use host_ntos::abi::{
    GROUP_AFFINITY, PERF_CONFIGURATION_DATA as Data, STARTIO_PERFORMANCE_PARAMETERS as StartIo,
};
use host_ntos::export::Call;
use host_ntos::sched;

use crate::codes::{perf, stor_status as status};
use crate::interrupt;
use crate::state::{AdapterState, Callback, Perf};

/// Flags that a version of the structure knows.
fn known(version: u32) -> u32 {
    let v2 = perf::DPC_REDIRECTION | perf::CONCURRENT_CHANNELS | perf::INTERRUPT_MESSAGE_RANGES;
    let v3 = v2 | perf::ADV_CONFIG_LOCALITY | perf::COMPLETION_DURING_STARTIO;
    let v4 = v3 | perf::DPC_REDIRECTION_CURRENT_CPU;
    match version {
        0 | 1 => 0,
        2 => v2,
        3 => v3,
        4 => v4,
        _ => v4 | perf::NO_SGL,
    }
}

/// What this port driver does: message ranges need messages.
fn offered(adapter: &AdapterState, version: u32) -> u32 {
    let messages = adapter.config().map_or(0, |c| c.limits.messages);
    let without = perf::INTERRUPT_MESSAGE_RANGES | perf::ADV_CONFIG_LOCALITY;
    if messages == 0 {
        known(version) & !without
    } else {
        known(version)
    }
}

/// (Query, PerfConfigData*)
pub fn initialize(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let (query, data) = (call.slot(2) as u8 != 0, call.ptr(3));
    if data == 0 {
        return status::INVALID_PARAMETER;
    }
    // "Can be called only during HwStorInitialize or HwStorPassiveInitializeRoutine"; a restart repeats HwInitialize.
    if !matches!(
        adapter.callback(),
        Some(Callback::Initialize | Callback::PassiveInitialize | Callback::AdapterControl(_))
    ) {
        return status::UNSUCCESSFUL;
    }
    let version = Data::Version.get(data) as u32;
    if known(version) == 0 || (Data::Size.get(data) as usize) < Data::MessageTargets.offset {
        return status::INVALID_PARAMETER;
    }
    let offered = offered(adapter, version);
    if query {
        Data::Flags.set(data, offered.into());
        return status::SUCCESS;
    }
    let flags = Data::Flags.get(data) as u32;
    let messages = u32::from(adapter.config().map_or(0, |c| c.limits.messages));
    let (first, last) = (
        Data::FirstRedirectionMessageNumber.get(data) as u32,
        Data::LastRedirectionMessageNumber.get(data) as u32,
    );
    let ranges = flags & perf::INTERRUPT_MESSAGE_RANGES != 0;
    let depends = flags & !perf::CONCURRENT_CHANNELS & !perf::NO_SGL;
    if flags & !offered != 0
        || (depends != 0 && flags & perf::DPC_REDIRECTION == 0)
        || (flags & perf::ADV_CONFIG_LOCALITY != 0 && !ranges)
        || (ranges && (first > last || last >= messages))
    {
        return status::UNSUCCESSFUL;
    }
    if flags & perf::ADV_CONFIG_LOCALITY != 0 {
        Data::DeviceNode.set(data, 0);
        let targets = Data::MessageTargets.get(data) as usize;
        for message in first..=last {
            let target = targets + (message - first) as usize * GROUP_AFFINITY::SIZE;
            GROUP_AFFINITY::Group.set(target, 0);
            GROUP_AFFINITY::Mask.set(target, 1 << interrupt::cpu_of(message as u16));
        }
    }
    let channels = if flags & perf::CONCURRENT_CHANNELS != 0 {
        Data::ConcurrentChannels.get(data) as u32
    } else {
        0
    };
    adapter.perf.set(Perf {
        flags,
        // One channel is no concurrency.
        channels: if channels > 1 { channels } else { 0 },
        first_message: if ranges { first } else { 0 },
        last_message: if ranges { last } else { 0 },
    });
    status::SUCCESS
}

/// The message that interrupts this CPU, among those that were named for redirection.
pub fn message_for(adapter: &AdapterState, cpu: u32) -> Option<u32> {
    let settled = adapter.perf.get();
    if settled.flags & perf::INTERRUPT_MESSAGE_RANGES == 0 {
        return None;
    }
    let (first, last) = (settled.first_message, settled.last_message);
    let same = (first..=last).find(|&m| interrupt::cpu_of(m as u16) == cpu);
    Some(same.unwrap_or(first + cpu % (last - first + 1)))
}

/// (Srb, StartIoPerfParams*)
pub fn start_io(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let (srb, out) = (call.ptr(2), call.ptr(3));
    let request = adapter
        .io
        .borrow()
        .outstanding
        .get(&srb)
        .map(|o| (o.channel, o.cpu));
    let Some((channel, _)) = request.filter(|_| out != 0) else {
        return status::INVALID_PARAMETER;
    };
    if (StartIo::Size.get(out) as usize) < StartIo::SIZE {
        return status::INVALID_PARAMETER;
    }
    StartIo::MessageNumber.set(out, message_for(adapter, sched::cpu()).unwrap_or(0).into());
    StartIo::ChannelNumber.set(out, channel.into());
    status::SUCCESS
}
