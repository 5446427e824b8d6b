//! PORT_CONFIGURATION_INFORMATION: what HwFindAdapter is given, and what it may make of it.
//!
//! Defaults and rules from MS: ns-storport-_port_configuration_information.

use host_machine::ram::Placement;
use host_ntos::abi::{ACCESS_RANGE, PORT_CONFIGURATION_INFORMATION as Config, enums};
use host_ntos::{guest, rules};
use test_device::BarKind;

use crate::codes::{ADDRESS_BTL8, UNINITIALIZED, dma64};
use crate::memory::Region;
use crate::request::Limits;
use crate::rules::CONFIGURATION;
use crate::srb::Kind;
use crate::state::{AdapterState, Configured};

/// Default of NumberOfPhysicalBreaks.
const DEFAULT_BREAKS: u64 = 0x11;
/// `SCSI_MAXIMUM_TARGETS_PER_BUS`.
const MAXIMUM_TARGETS: u64 = 128;
/// `SCSI_MAXIMUM_LOGICAL_UNITS`.
const MAXIMUM_UNITS: u64 = 8;
/// `SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK`.
const WANTS_STORAGE_SRB: u32 = 2;

/// The structure and after it the access ranges.
pub fn prepare(adapter: &AdapterState) -> Option<Region> {
    let ranges_at = Config::SIZE.next_multiple_of(16);
    // As many as the miniport said; ranges beyond those that the device has stay empty.
    let wanted = adapter
        .bars
        .borrow()
        .len()
        .max(adapter.init().access_ranges.min(64) as usize);
    let size = ranges_at + wanted.max(1) * ACCESS_RANGE::SIZE;
    let region = Region::new(&adapter.ram, size, Placement::Scattered, 0)?;
    let at = region.at();
    let init = adapter.init();
    let set = |field: host_ntos::abi::Field, value: u64| field.set(at, value);
    set(Config::Length, Config::SIZE as u64);
    set(
        Config::AdapterInterfaceType,
        u64::from(enums::INTERFACE_TYPE::PCIBus),
    );
    // LevelSensitive is 0, the value for PCI.
    set(Config::MaximumTransferLength, UNINITIALIZED.into());
    set(Config::NumberOfPhysicalBreaks, DEFAULT_BREAKS);
    for field in [
        Config::DmaChannel,
        Config::DmaPort,
        Config::DmaChannel2,
        Config::DmaPort2,
    ] {
        set(field, UNINITIALIZED.into());
    }
    set(Config::NumberOfAccessRanges, wanted as u64);
    set(Config::AccessRanges, (at + ranges_at) as u64);
    guest::fill(Config::InitiatorBusId.at(at), 8, 0xff);
    for field in [
        Config::ScatterGather,
        Config::Master,
        Config::Dma32BitAddresses,
        Config::NeedPhysicalAddresses,
        Config::TaggedQueuing,
        Config::AutoRequestSense,
        Config::MultipleRequestPerLu,
        Config::WmiDataProvider,
    ] {
        set(field, 1);
    }
    set(Config::MapBuffers, init.map_buffers.into());
    set(Config::MaximumNumberOfTargets, MAXIMUM_TARGETS);
    set(Config::MaximumNumberOfLogicalUnits, MAXIMUM_UNITS);
    set(
        Config::SrbType,
        u64::from(init.srb_type_flags & WANTS_STORAGE_SRB != 0),
    );
    set(Config::AddressType, ADDRESS_BTL8.into());
    set(Config::SlotNumber, adapter.options.slot.into());
    set(Config::DeviceExtensionSize, init.device_extension.into());
    set(Config::SpecificLuExtensionSize, init.lu_extension.into());
    set(Config::SrbExtensionSize, init.srb_extension.into());
    set(Config::Dma64BitAddresses, dma64::SYSTEM_SUPPORTED.into());
    set(Config::MaxNumberOfIO, 1000);
    set(Config::MaxIOsPerLun, 255);
    set(Config::InitialLunQueueDepth, 20);
    set(
        Config::DumpMode,
        adapter.dump.get().map_or(0, |mode| mode as u64),
    );
    for (index, bar) in adapter.bars.borrow().iter().enumerate() {
        let range = at + ranges_at + index * ACCESS_RANGE::SIZE;
        ACCESS_RANGE::RangeStart.set(range, bar.address);
        ACCESS_RANGE::RangeLength.set(range, bar.len);
        ACCESS_RANGE::RangeInMemory.set(range, u64::from(bar.kind == BarKind::Memory));
    }
    Some(region)
}

/// Fields that "miniport drivers must not modify".
const CONSTANT: &[(&str, host_ntos::abi::Field)] = &[
    ("Length", Config::Length),
    ("SystemIoBusNumber", Config::SystemIoBusNumber),
    ("AdapterInterfaceType", Config::AdapterInterfaceType),
    ("BusInterruptLevel", Config::BusInterruptLevel),
    ("BusInterruptVector", Config::BusInterruptVector),
    ("InterruptMode", Config::InterruptMode),
    ("AccessRanges", Config::AccessRanges),
    ("SlotNumber", Config::SlotNumber),
];

/// The constant fields, to be compared after the call.
pub fn constants(at: usize) -> Vec<u64> {
    CONSTANT.iter().map(|(_, field)| field.get(at)).collect()
}

/// Reads what HwFindAdapter left, and judges it.
pub fn read(adapter: &AdapterState, at: usize, before: &[u64]) -> Configured {
    for ((name, field), old) in CONSTANT.iter().zip(before) {
        if field.get(at) != *old {
            bad(format!(
                "{name} was changed from {old:#x} to {:#x}",
                field.get(at)
            ));
        }
    }
    let number = |field: host_ntos::abi::Field| field.get(at) as u32;
    let limits = Limits {
        maximum_transfer_length: number(Config::MaximumTransferLength),
        physical_breaks: number(Config::NumberOfPhysicalBreaks),
        max_request: max_request(
            number(Config::MaximumTransferLength),
            number(Config::NumberOfPhysicalBreaks),
        ),
        alignment_mask: number(Config::AlignmentMask),
        max_number_of_io: number(Config::MaxNumberOfIO),
        max_ios_per_lun: number(Config::MaxIOsPerLun),
        initial_lun_queue_depth: number(Config::InitialLunQueueDepth),
        srb_extension_size: number(Config::SrbExtensionSize),
        device_extension_size: adapter.init().device_extension,
        uncached_extension_size: adapter.uncached.borrow().as_ref().map_or(0, |u| u.len()),
        channels: 0,
        messages: 0,
    };
    judge(at, &limits);
    Configured {
        limits,
        kind: if number(Config::SrbType) == 1 {
            Kind::Storage
        } else {
            Kind::Scsi
        },
        map_buffers: number(Config::MapBuffers) as u8,
        // StorSynchronizeHalfDuplex is 0.
        half_duplex: number(Config::SynchronizationModel) == 0,
        ms_routine: Config::HwMSInterruptRoutine.get(at) as usize,
        per_message: number(Config::InterruptSynchronizationMode)
            == enums::INTERRUPT_SYNCHRONIZATION_MODE::InterruptSynchronizePerMessage,
        buses: number(Config::NumberOfBuses) as u8,
        targets: number(Config::MaximumNumberOfTargets) as u8,
        logical_units: number(Config::MaximumNumberOfLogicalUnits) as u8,
        caches_data: number(Config::CachesData) != 0,
        lu_extension: number(Config::SpecificLuExtensionSize),
    }
}

/// What the disk class driver sends at most: it allows for a buffer that does not start on a page, and never goes below a page.
fn max_request(transfer: u32, breaks: u32) -> usize {
    let pages = breaks.saturating_sub(1) as usize * 4096;
    (transfer as usize).min(pages).max(4096)
}

fn judge(at: usize, limits: &Limits) {
    if limits.physical_breaks == 0 {
        bad("NumberOfPhysicalBreaks is 0".into());
    }
    if limits.maximum_transfer_length < 4096 {
        bad(format!(
            "MaximumTransferLength is {}, less than a page",
            limits.maximum_transfer_length
        ));
    }
    if !(limits.alignment_mask + 1).is_power_of_two() || limits.alignment_mask > 0x1ff {
        bad(format!("AlignmentMask is {:#x}", limits.alignment_mask));
    }
    if limits.max_ios_per_lun > limits.max_number_of_io {
        bad(format!(
            "MaxIOsPerLun {} exceeds MaxNumberOfIO {}",
            limits.max_ios_per_lun, limits.max_number_of_io
        ));
    }
    if limits.max_ios_per_lun > 255 && Config::SrbType.get(at) != 1 {
        bad("MaxIOsPerLun above 255 needs STORAGE_REQUEST_BLOCK".into());
    }
    for (name, field) in [
        ("ScatterGather", Config::ScatterGather),
        ("Master", Config::Master),
    ] {
        if field.get(at) == 0 {
            bad(format!("{name} must stay TRUE"));
        }
    }
    if Config::NumberOfBuses.get(at) == 0 {
        bad("NumberOfBuses is 0".into());
    }
}

fn bad(what: String) {
    rules::violate(CONFIGURATION, what);
}

#[cfg(test)]
mod tests {
    use super::max_request;

    #[test]
    fn the_class_driver_leaves_a_page_for_alignment() {
        assert_eq!(max_request(u32::MAX, 257), 1 << 20);
        assert_eq!(max_request(1 << 16, 257), 1 << 16);
        assert_eq!(max_request(u32::MAX, 1), 4096);
    }
}
