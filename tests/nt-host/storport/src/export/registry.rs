//! The registry, as StorPort shows it to a miniport: narrow strings in one buffer a driver.

use host_machine::ram::Placement;
use host_ntos::abi::Range;
use host_ntos::export::{Call, Handler};
use host_ntos::{guest, rules};

use super::{FALSE, PASSIVE, TRUE, adapter_of};
use crate::memory::Region;
use crate::options::Value;
use crate::rules::PARAMETER;
use crate::state::AdapterState;

type Row = (&'static str, Range, &'static str, Handler);

pub const EXPORTS: &[Row] = &[
    (
        "StorPortAllocateRegistryBuffer",
        PASSIVE,
        "for StorPortRegistryRead, which is documented for PASSIVE_LEVEL",
        allocate,
    ),
    (
        "StorPortFreeRegistryBuffer",
        PASSIVE,
        "as StorPortAllocateRegistryBuffer",
        free,
    ),
    (
        "StorPortRegistryRead",
        PASSIVE,
        "nf-storport-storportregistryread",
        read,
    ),
    (
        "StorPortRegistryWrite",
        PASSIVE,
        "nf-storport-storportregistrywrite",
        write,
    ),
];

const REG_SZ: u32 = 1;
const REG_BINARY: u32 = 3;
const REG_DWORD: u32 = 4;
/// The longest value name that the registry takes.
const NAME_LIMIT: usize = 16383;

/// (DeviceExtension, Length*): "only one registry buffer allocated at a time".
fn allocate(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    if adapter.registry_buffer.borrow().is_some() {
        return 0;
    }
    let length = guest::read_u32(call.ptr(1)) as usize;
    let Some(region) = Region::new(&adapter.ram, length, Placement::Random, 0) else {
        return 0;
    };
    guest::write_u32(call.ptr(1), region.len() as u32);
    let at = region.at();
    *adapter.registry_buffer.borrow_mut() = Some(region);
    at as u64
}

/// (DeviceExtension, Buffer)
fn free(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return 0;
    };
    let at = call.ptr(1);
    let mut buffer = adapter.registry_buffer.borrow_mut();
    if buffer.as_ref().is_none_or(|b| b.at() != at) {
        drop(buffer);
        rules::violate(
            PARAMETER,
            format!("StorPortFreeRegistryBuffer: {at:#x} is not the registry buffer"),
        );
        return 0;
    }
    drop(buffer.take());
    0
}

fn key(adapter: &AdapterState, global: u32) -> String {
    if global == 0 {
        format!("Parameters\\Device{}", adapter.number)
    } else {
        "Parameters\\Device".to_owned()
    }
}

fn name(at: usize) -> String {
    String::from_utf8_lossy(&guest::c_string(at, NAME_LIMIT)).into_owned()
}

/// What a value looks like in the buffer: text is narrow and ends with a NUL.
pub fn bytes_of(value: &Value) -> (u32, Vec<u8>) {
    match value {
        Value::Dword(number) => (REG_DWORD, number.to_le_bytes().to_vec()),
        Value::Text(text) => (REG_SZ, text.bytes().chain([0]).collect()),
        Value::Binary(bytes) => (REG_BINARY, bytes.clone()),
    }
}

/// (DeviceExtension, ValueName, Global, Type, Buffer, BufferLength*)
fn read(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return FALSE;
    };
    let (key, name) = (key(&adapter, call.u32(2)), name(call.ptr(1)));
    let found = adapter.written_registry.borrow().get(&key, &name).cloned();
    let value = found.or_else(|| adapter.driver.options.registry.get(&key, &name).cloned());
    let (buffer, length_at) = (call.ptr(4), call.ptr(5));
    let room = guest::read_u32(length_at) as usize;
    let Some((kind, bytes)) = value
        .as_ref()
        .map(bytes_of)
        .filter(|(kind, _)| *kind == call.u32(3))
    else {
        // FALSE and no length: another error than a short buffer.
        guest::write_u32(length_at, 0);
        return FALSE;
    };
    debug_assert!(kind != 0);
    guest::write_u32(length_at, bytes.len() as u32);
    if bytes.len() > room {
        return FALSE;
    }
    guest::write(buffer, &bytes);
    TRUE
}

/// (DeviceExtension, ValueName, Global, Type, Buffer, BufferLength)
fn write(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return FALSE;
    };
    let (key, name) = (key(&adapter, call.u32(2)), name(call.ptr(1)));
    let bytes = guest::bytes(call.ptr(4), call.u32(5) as usize);
    let value = match call.u32(3) {
        REG_DWORD => match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(number) => Value::Dword(u32::from_le_bytes(number)),
            Err(_) => return FALSE,
        },
        REG_SZ => {
            let text: Vec<u8> = bytes.into_iter().take_while(|&b| b != 0).collect();
            Value::Text(String::from_utf8_lossy(&text).into_owned())
        }
        REG_BINARY => Value::Binary(bytes),
        _ => return FALSE,
    };
    adapter
        .written_registry
        .borrow_mut()
        .set(&key, &name, value);
    TRUE
}
