//! The library that the test driver imports.

use std::cell::{Cell, RefCell};

use host_machine::fault::Fault;
use host_machine::image::{self, Binding, Image};
use host_machine::{cpu, fiber};

use crate::build;

const IMPORTS: [&str; 6] = [
    "HostPrint",
    "HostTen",
    "HostClobber",
    "HostCallBack",
    "HostYield",
    "HostPanic",
];

thread_local! {
    /// What HostPrint and HostTen were given.
    pub static ARGUMENTS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// Return addresses of all calls.
    pub static CALLERS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    pub static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    pub static VARIABLE: Box<u32> = Box::new(0xcafe_f00d);
}

fn dispatch(id: u32, args: *const u64, return_address: usize) -> u64 {
    // SAFETY: a driver's call has the four slots at least, and those that the signature says.
    let arg = |index: usize| unsafe { args.wrapping_add(index).read() };
    match IMPORTS[id as usize] {
        "HostPrint" => ARGUMENTS.set((0..8).map(arg).collect()),
        "HostTen" => {
            ARGUMENTS.set((0..10).map(arg).collect());
            CALLERS.with_borrow_mut(|callers| callers.push(return_address));
            return 0x0123_4567_89ab_cdef;
        }
        "HostClobber" => {
            clobber();
            return 1;
        }
        "HostCallBack" => return cpu::call(arg(0) as usize, &[arg(1)]),
        "HostYield" => fiber::suspend(),
        "HostPanic" => panic!("the host is unhappy"),
        name => unreachable!("{name}"),
    }
    7
}

/// Overwrites every register that the host's convention lets a function overwrite.
#[cfg(target_arch = "x86_64")]
pub fn clobber() {
    // SAFETY: all that changes is declared.
    unsafe {
        std::arch::asm!(
            "mov rdi, -1",
            "mov rsi, -1",
            "mov rax, -1",
            "mov rcx, -1",
            "mov rdx, -1",
            "mov r8, -1",
            "mov r9, -1",
            "mov r10, -1",
            "mov r11, -1",
            "pcmpeqd xmm0, xmm0",
            "movaps xmm1, xmm0",
            "movaps xmm2, xmm0",
            "movaps xmm3, xmm0",
            "movaps xmm4, xmm0",
            "movaps xmm5, xmm0",
            "movaps xmm6, xmm0",
            "movaps xmm7, xmm0",
            "movaps xmm8, xmm0",
            "movaps xmm9, xmm0",
            "movaps xmm10, xmm0",
            "movaps xmm11, xmm0",
            "movaps xmm12, xmm0",
            "movaps xmm13, xmm0",
            "movaps xmm14, xmm0",
            "movaps xmm15, xmm0",
            "stc",
            "std",
            "cld",
            clobber_abi("C"),
        );
    }
}

#[cfg(target_arch = "aarch64")]
pub fn clobber() {
    // SAFETY: all that changes is declared, but x18, which a Linux function may change as it likes.
    unsafe {
        std::arch::asm!(
            "mov x0, -1",
            "mov x1, -1",
            "mov x2, -1",
            "mov x3, -1",
            "mov x4, -1",
            "mov x5, -1",
            "mov x6, -1",
            "mov x7, -1",
            "mov x8, -1",
            "mov x9, -1",
            "mov x10, -1",
            "mov x11, -1",
            "mov x12, -1",
            "mov x13, -1",
            "mov x14, -1",
            "mov x15, -1",
            "mov x16, -1",
            "mov x17, -1",
            "mov x18, -1",
            "movi v0.2d, #0xffffffffffffffff",
            "mov v1.16b, v0.16b",
            "mov v2.16b, v0.16b",
            "mov v3.16b, v0.16b",
            "mov v4.16b, v0.16b",
            "mov v5.16b, v0.16b",
            "mov v6.16b, v0.16b",
            "mov v7.16b, v0.16b",
            "mov v16.16b, v0.16b",
            "mov v20.16b, v0.16b",
            "mov v31.16b, v0.16b",
            "cmp x0, x0",
            clobber_abi("C"),
        );
    }
}

fn on_fault(fault: &Fault) -> ! {
    println!("{fault} at {}", image::describe(fault.pc));
    FAULT.set(Some(*fault));
    fiber::abandon()
}

/// The driver, loaded and bound.
pub fn load() -> Image {
    cpu::set_dispatch(dispatch);
    cpu::set_fault(on_fault);
    image::load(build::driver(), "testdrv.sys", &mut resolve).expect("the test driver loads")
}

pub fn resolve(dll: &str, name: &str) -> Binding {
    assert_eq!(dll, "host.sys");
    match IMPORTS.iter().position(|import| *import == name) {
        Some(id) => Binding::Function(id as u32),
        None if name == "HostVariable" => Binding::Data(
            VARIABLE.with(|variable| std::ptr::from_ref(&**variable).cast_mut().cast()),
        ),
        None => panic!("unknown import {name}"),
    }
}

/// Calls an export.
pub fn call(image: &Image, export: &str, args: &[u64]) -> u64 {
    cpu::call(
        image
            .export(export)
            .unwrap_or_else(|| panic!("no export {export}")),
        args,
    )
}

/// Calls an export in a fiber of its own and returns the fault that ended it.
pub fn faulting_call(image: &Image, export: &str, args: &[u64]) -> Fault {
    fault_of(
        image
            .export(export)
            .unwrap_or_else(|| panic!("no export {export}")),
        args,
    )
}

pub fn fault_of(address: usize, args: &[u64]) -> Fault {
    let args = args.to_vec();
    FAULT.set(None);
    let mut fiber = fiber::Fiber::new(
        24 << 10,
        Box::new(move || {
            cpu::call(address, &args);
        }),
    );
    assert_eq!(fiber.resume(), fiber::State::Done);
    FAULT.take().expect("a fault")
}
