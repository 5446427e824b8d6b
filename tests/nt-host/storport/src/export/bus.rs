//! PCI configuration space and the mapping of registers.

use std::rc::Rc;

use host_machine::mmio;
use host_ntos::abi::Range;
use host_ntos::abi::enums::SCSI_ADAPTER_CONTROL_TYPE as control;
use host_ntos::export::{Call, Handler};
use host_ntos::{guest, rules};
use test_device::{BarKind, Device};

use super::{ANY, FALSE, PASSIVE, TO_DISPATCH, TRUE, adapter_of};
use crate::rules::PARAMETER;
use crate::state::{AdapterState, Callback, Mapping};

type Row = (&'static str, Range, &'static str, Handler);

pub const EXPORTS: &[Row] = &[
    (
        "StorPortGetBusData",
        TO_DISPATCH,
        "nf-storport-storportgetbusdata: from HwFindAdapter and ScsiSetRunningConfig, which run at PASSIVE_LEVEL, on a restart at DISPATCH_LEVEL",
        get_bus_data,
    ),
    (
        "StorPortSetBusDataByOffset",
        TO_DISPATCH,
        "as StorPortGetBusData",
        set_bus_data,
    ),
    (
        "StorPortGetDeviceBase",
        TO_DISPATCH,
        "nf-storport-storportgetdevicebase: its arguments come from HwFindAdapter's configuration; nf-wdm-mmmapiospace: IRQL <= DISPATCH_LEVEL",
        get_device_base,
    ),
    (
        "StorPortFreeDeviceBase",
        TO_DISPATCH,
        "nf-wdm-mmunmapiospace, which it stands for: IRQL <= DISPATCH_LEVEL",
        free_device_base,
    ),
    (
        "StorPortValidateRange",
        PASSIVE,
        "nf-storport-storportvalidaterange: obsolete, for HwFindAdapter",
        |_| TRUE,
    ),
    (
        "StorPortConvertUlongToPhysicalAddress",
        ANY,
        "a conversion",
        |call| call.slot(0),
    ),
    (
        "StorPortConvertPhysicalAddressToUlong",
        ANY,
        "a conversion",
        |call| u64::from(call.slot(0) as u32),
    ),
];

/// BUS_DATA_TYPE PCIConfiguration.
const PCI_CONFIGURATION: u32 = 4;
/// Bytes of conventional configuration space: what PCI_COMMON_CONFIG holds.
const PCI_CONFIG_LENGTH: u32 = 256;
/// PCI_INVALID_VENDOR_ID.
const NO_VENDOR: u16 = 0xffff;

const CONTEXT: &[Callback] = &[
    Callback::FindAdapter,
    Callback::AdapterControl(control::ScsiSetRunningConfig),
    Callback::AdapterControl(control::ScsiSetBootConfig),
];

/// (HwDeviceExtension, BusDataType, SystemIoBusNumber, SlotNumber, Buffer, Length)
fn get_bus_data(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    adapter.require(call.name(), CONTEXT);
    if call.u32(1) != PCI_CONFIGURATION || call.u32(2) != 0 {
        return 0;
    }
    let (buffer, length) = (call.ptr(4), call.u32(5).min(PCI_CONFIG_LENGTH));
    if call.u32(3) != adapter.options.slot {
        if length >= 2 {
            guest::write_u16(buffer, NO_VENDOR);
        }
        return 2;
    }
    let bytes: Vec<u8> = (0..length as u16)
        .map(|offset| adapter.device.borrow_mut().config_read(offset, 1) as u8)
        .collect();
    guest::write(buffer, &bytes);
    u64::from(length)
}

/// (HwDeviceExtension, BusDataType, SystemIoBusNumber, SlotNumber, Buffer, Offset, Length)
fn set_bus_data(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    adapter.require(call.name(), CONTEXT);
    if call.u32(1) != PCI_CONFIGURATION || call.u32(2) != 0 || call.u32(3) != adapter.options.slot {
        return 0;
    }
    let (offset, length) = (call.u32(5), call.u32(6));
    if offset.saturating_add(length) > PCI_CONFIG_LENGTH {
        return 0;
    }
    for (index, byte) in (0..).zip(guest::bytes(call.ptr(4), length as usize)) {
        adapter
            .device
            .borrow_mut()
            .config_write(offset as u16 + index, 1, byte.into());
    }
    u64::from(length)
}

/// (HwDeviceExtension, BusType, SystemIoBusNumber, IoAddress, NumberOfBytes, InIoSpace)
fn get_device_base(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let (address, length, ports) = (call.arg(3), u64::from(call.u32(4)), call.u8(5) != 0);
    let bar = adapter.bars.borrow().iter().copied().find(|bar| {
        address >= bar.address
            && length > 0
            && address - bar.address <= bar.len
            && length <= bar.len - (address - bar.address)
            && (bar.kind == BarKind::Io) == ports
    });
    let Some(bar) = bar else {
        // "Supports only those addresses that were assigned to the driver by the PnP manager."
        rules::violate(
            PARAMETER,
            format!(
                "StorPortGetDeviceBase: {length} bytes at {address:#x} are no range of this adapter"
            ),
        );
        return 0;
    };
    if ports {
        // Port numbers are their own mapped addresses.
        adapter
            .mappings
            .borrow_mut()
            .insert(address as usize, Mapping::Ports);
        return address;
    }
    let base = address - bar.address;
    let this = Rc::clone(&adapter);
    let window = mmio::map(
        length as usize,
        Box::new(move |access| register_access(&this, bar.index, base, access)),
    );
    let at = window.va() as usize;
    adapter
        .mappings
        .borrow_mut()
        .insert(at, Mapping::Memory(window));
    at as u64
}

fn register_access(adapter: &AdapterState, bar: u8, base: u64, access: mmio::Access) -> u64 {
    let offset = base + access.offset as u64;
    let mut device = adapter.device.borrow_mut();
    match access.write {
        Some(value) => {
            device.write(bar, offset, access.width, value);
            0
        }
        None => device.read(bar, offset, access.width),
    }
}

/// (HwDeviceExtension, MappedAddress)
fn free_device_base(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let at = call.ptr(1);
    let mapping = adapter.mappings.borrow_mut().remove(&at);
    if mapping.is_none() {
        rules::violate(
            PARAMETER,
            format!("StorPortFreeDeviceBase: {at:#x} was not mapped"),
        );
    }
    drop(mapping);
    FALSE
}
