//! The port driver's part for tests: what storport.sys answers HwFindAdapter, as Microsoft documents each function.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::null_mut;
use nt_sys::storport::{
    INTERFACE_TYPE, MINIPORT_REG_DWORD, PORT_CONFIGURATION_INFORMATION, STOR_PHYSICAL_ADDRESS,
};
use nt_sys::types::{BOOLEAN, LARGE_INTEGER, PVOID};
use std::cell::RefCell;
use std::string::String;
use std::vec::Vec;

/// One adapter's surroundings.
#[derive(Default)]
pub struct Port {
    /// (all adapters, name) → data.
    pub registry: Vec<(bool, String, Vec<u8>)>,
    /// The one registry buffer, while it is allocated.
    pub buffer: Option<Vec<u8>>,
    /// Configuration space; `None`: no device in the slot.
    pub config_space: Option<Vec<u8>>,
    /// Uncached extension and how much of it is contiguous.
    pub uncached: Vec<u64>,
    pub contiguous: u32,
    /// Ranges that were mapped: start, length, ports.
    pub mapped: Vec<(i64, u32, BOOLEAN)>,
}

std::thread_local! {
    pub static PORT: RefCell<Port> = RefCell::new(Port::default());
}

#[unsafe(no_mangle)]
extern "system" fn StorPortAllocateRegistryBuffer(_: PVOID, length: *mut u32) -> *mut u8 {
    PORT.with_borrow_mut(|port| {
        // One buffer at a time. MS: nf-storport-storportallocateregistrybuffer
        if port.buffer.is_some() {
            return null_mut();
        }
        // SAFETY: the caller's variable.
        let length = unsafe { length.read() };
        port.buffer
            .insert(std::vec![0; length as usize])
            .as_mut_ptr()
    })
}

#[unsafe(no_mangle)]
extern "system" fn StorPortFreeRegistryBuffer(_: PVOID, buffer: *mut u8) {
    PORT.with_borrow_mut(|port| {
        let mut freed = port.buffer.take().expect("freed, but not allocated");
        assert_eq!(freed.as_mut_ptr(), buffer);
    });
}

#[unsafe(no_mangle)]
extern "system" fn StorPortRegistryRead(
    _: PVOID,
    name: *mut u8,
    global: u32,
    kind: u32,
    buffer: *mut u8,
    length: *mut u32,
) -> BOOLEAN {
    // SAFETY: the caller's string ends with NUL.
    let name = unsafe { CStr::from_ptr(name.cast::<c_char>()) }
        .to_str()
        .expect("a name in ASCII");
    assert_eq!(kind, MINIPORT_REG_DWORD);
    PORT.with_borrow_mut(|port| {
        let value = port
            .registry
            .iter()
            .find(|(all, key, _)| *all == (global != 0) && key == name);
        let Some((_, _, data)) = value else {
            // SAFETY: the caller's variable. Zero with FALSE: another error than a small buffer.
            unsafe { length.write(0) };
            return 0;
        };
        // SAFETY: the caller's variable.
        let room = unsafe { length.read() } as usize;
        // SAFETY: the caller's variable.
        unsafe { length.write(data.len() as u32) };
        if data.len() > room {
            return 0;
        }
        let own = port.buffer.as_mut().expect("read without a buffer");
        assert_eq!(own.as_mut_ptr(), buffer);
        own[..data.len()].copy_from_slice(data);
        1
    })
}

#[unsafe(no_mangle)]
extern "system" fn StorPortGetBusData(
    _: PVOID,
    kind: u32,
    _: u32,
    _: u32,
    buffer: PVOID,
    length: u32,
) -> u32 {
    assert_eq!(
        (kind, length == 0),
        (4, false),
        "PCIConfiguration, into the caller's buffer"
    );
    PORT.with_borrow(|port| match &port.config_space {
        // "no device": 2, with PCI_INVALID_VENDOR_ID in the buffer.
        None => {
            // SAFETY: the caller's buffer has more than two bytes.
            unsafe { buffer.cast::<[u8; 2]>().write_unaligned([0xFF; 2]) };
            2
        }
        Some(space) => {
            let len = space.len().min(length as usize);
            // SAFETY: the caller's buffer has `length` bytes.
            unsafe { core::ptr::copy_nonoverlapping(space.as_ptr(), buffer.cast(), len) };
            len as u32
        }
    })
}

#[unsafe(no_mangle)]
extern "system" fn StorPortGetDeviceBase(
    _: PVOID,
    _: INTERFACE_TYPE,
    _: u32,
    start: STOR_PHYSICAL_ADDRESS,
    length: u32,
    ports: BOOLEAN,
) -> PVOID {
    PORT.with_borrow_mut(|port| port.mapped.push((start.QuadPart, length, ports)));
    0x5000_0000 as PVOID
}

#[unsafe(no_mangle)]
extern "system" fn StorPortGetUncachedExtension(
    _: PVOID,
    _: *mut PORT_CONFIGURATION_INFORMATION,
    bytes: u32,
) -> *mut c_void {
    PORT.with_borrow_mut(|port| {
        port.uncached = std::vec![0; bytes.div_ceil(8) as usize];
        port.uncached.as_mut_ptr().cast()
    })
}

#[unsafe(no_mangle)]
extern "system" fn StorPortGetPhysicalAddress(
    _: PVOID,
    _: PVOID,
    va: PVOID,
    length: *mut u32,
) -> STOR_PHYSICAL_ADDRESS {
    PORT.with_borrow(|port| {
        assert_eq!(va.cast_const(), port.uncached.as_ptr().cast());
        // SAFETY: the caller's variable.
        unsafe { length.write(port.contiguous) };
    });
    LARGE_INTEGER {
        QuadPart: 0x7_0000_1000,
    }
}
