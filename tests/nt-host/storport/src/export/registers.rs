//! Register and port access. On ARM64 every access of a miniport comes here; on x64 most are inline.

use host_machine::mmio;
use host_ntos::export::{Call, Handler};
use host_ntos::{guest, rules, sched};
use test_device::{BarKind, Device};

use crate::state::{self, Phase};

/// MS: nf-storport-storportreadregister*, -storportwriteregister*, -storportreadport*, -storportwriteport*.
pub const EXPORTS: &[(&str, Handler)] = &[
    ("StorPortReadRegisterUchar", |c| read(c, 1)),
    ("StorPortReadRegisterUshort", |c| read(c, 2)),
    ("StorPortReadRegisterUlong", |c| read(c, 4)),
    ("StorPortReadRegisterUlong64", |c| read(c, 8)),
    ("StorPortWriteRegisterUchar", |c| write(c, 1)),
    ("StorPortWriteRegisterUshort", |c| write(c, 2)),
    ("StorPortWriteRegisterUlong", |c| write(c, 4)),
    ("StorPortWriteRegisterUlong64", |c| write(c, 8)),
    ("StorPortReadRegisterBufferUchar", |c| {
        read_buffer(c, 1, true)
    }),
    ("StorPortReadRegisterBufferUshort", |c| {
        read_buffer(c, 2, true)
    }),
    ("StorPortReadRegisterBufferUlong", |c| {
        read_buffer(c, 4, true)
    }),
    ("StorPortReadRegisterBufferUlong64", |c| {
        read_buffer(c, 8, true)
    }),
    ("StorPortWriteRegisterBufferUchar", |c| {
        write_buffer(c, 1, true)
    }),
    ("StorPortWriteRegisterBufferUshort", |c| {
        write_buffer(c, 2, true)
    }),
    ("StorPortWriteRegisterBufferUlong", |c| {
        write_buffer(c, 4, true)
    }),
    ("StorPortWriteRegisterBufferUlong64", |c| {
        write_buffer(c, 8, true)
    }),
    ("StorPortReadPortUchar", |c| read(c, 1)),
    ("StorPortReadPortUshort", |c| read(c, 2)),
    ("StorPortReadPortUlong", |c| read(c, 4)),
    ("StorPortWritePortUchar", |c| write(c, 1)),
    ("StorPortWritePortUshort", |c| write(c, 2)),
    ("StorPortWritePortUlong", |c| write(c, 4)),
    ("StorPortReadPortBufferUchar", |c| read_buffer(c, 1, false)),
    ("StorPortReadPortBufferUshort", |c| read_buffer(c, 2, false)),
    ("StorPortReadPortBufferUlong", |c| read_buffer(c, 4, false)),
    ("StorPortWritePortBufferUchar", |c| {
        write_buffer(c, 1, false)
    }),
    ("StorPortWritePortBufferUshort", |c| {
        write_buffer(c, 2, false)
    }),
    ("StorPortWritePortBufferUlong", |c| {
        write_buffer(c, 4, false)
    }),
];

/// One access: to mapped registers, to an I/O port of an adapter, or to neither.
fn access(at: usize, width: u8, value: Option<u64>) -> u64 {
    if let Some(result) = mmio::access(at, width, value) {
        return result;
    }
    for adapter in state::adapters() {
        let bars = adapter.bars.borrow();
        let port = bars
            .iter()
            .find(|bar| bar.kind == BarKind::Io && (at as u64).wrapping_sub(bar.address) < bar.len);
        if let Some(bar) = port.filter(|_| adapter.phase.get() != Phase::Dead) {
            let offset = at as u64 - bar.address;
            let mut device = adapter.device.borrow_mut();
            return match value {
                Some(value) => {
                    device.write(bar.index, offset, width, value);
                    0
                }
                None => device.read(bar.index, offset, width),
            };
        }
    }
    rules::violate(
        crate::rules::PARAMETER,
        format!("{at:#x} lies in no register range that StorPortGetDeviceBase mapped"),
    );
    u64::MAX
}

/// (HwDeviceExtension, Register)
fn read(call: &Call, width: u8) -> u64 {
    let value = access(call.ptr(1), width, None);
    sched::preempt();
    value
}

/// (HwDeviceExtension, Register, Value)
fn write(call: &Call, width: u8) -> u64 {
    let mask = u64::MAX >> (64 - 8 * u32::from(width));
    access(call.ptr(1), width, Some(call.slot(2) & mask));
    sched::preempt();
    0
}

/// (HwDeviceExtension, Register, Buffer, Count): consecutive registers, or one port again and again.
fn read_buffer(call: &Call, width: u8, advance: bool) -> u64 {
    for index in 0..call.u32(3) as usize {
        let step = index * usize::from(width);
        let from = call.ptr(1) + if advance { step } else { 0 };
        guest::write_uint(call.ptr(2) + step, width.into(), access(from, width, None));
    }
    0
}

fn write_buffer(call: &Call, width: u8, advance: bool) -> u64 {
    for index in 0..call.u32(3) as usize {
        let step = index * usize::from(width);
        let to = call.ptr(1) + if advance { step } else { 0 };
        access(
            to,
            width,
            Some(guest::read_uint(call.ptr(2) + step, width.into())),
        );
    }
    0
}
