//! Every fault is reported with its place, and the next one is too.

use host_machine::cpu;
use std::time::{Duration, Instant};
#[cfg(target_arch = "x86_64")]
use std::{io::Read, process::Command};

use host_machine::fault::FaultKind;
use host_machine::fiber::{self, Fiber, State};
use host_machine::ram::{PAGE, Placement, Protection, Ram};

use crate::host::{self, fault_of, faulting_call};

#[test]
fn bad_addresses_are_reported() {
    let image = host::load();
    let ram = Ram::new(4 << 20, 1).expect("memory");
    let block = ram.alloc(PAGE, Placement::Contiguous).expect("block");
    let va = block.va() as u64;
    let read = faulting_call(&image, "read_from", &[0x1000]);
    assert_eq!(
        (read.kind, read.address, read.in_driver),
        (FaultKind::Read, 0x1000, true)
    );
    assert!(
        image.describe(read.pc).starts_with("testdrv.sys+0x"),
        "{read}"
    );
    for bad in [va + PAGE as u64, va - 4] {
        let write = faulting_call(&image, "write_to", &[bad, 1]);
        assert_eq!(
            (write.kind, write.address),
            (FaultKind::Write, bad as usize)
        );
    }
    block.protect(Protection::Read);
    assert_eq!(
        faulting_call(&image, "write_to", &[va, 1]).kind,
        FaultKind::Write
    );
    assert_eq!(host::call(&image, "read_from", &[va]), 0);
    block.protect(Protection::None);
    assert_eq!(
        faulting_call(&image, "read_from", &[va]).kind,
        FaultKind::Read
    );
    drop(block);
    assert_eq!(
        faulting_call(&image, "read_from", &[va]).address,
        va as usize
    );
    let jump = faulting_call(&image, "jump_to", &[0x2000]);
    assert_eq!(
        (jump.kind, jump.address, jump.pc),
        (FaultKind::Execute, 0x2000, 0x2000)
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn addresses_that_cannot_exist_are_reported() {
    let image = host::load();
    let bad = 0x1234_5678_9abc_def0;
    let read = faulting_call(&image, "read_from", &[bad]);
    assert_eq!((read.kind, read.address), (FaultKind::Read, bad as usize));
    let write = faulting_call(&image, "write_to", &[bad, 1]);
    assert_eq!(
        (write.kind, write.address),
        (FaultKind::Write, bad as usize)
    );
}

#[test]
fn bad_instructions_are_reported() {
    let image = host::load();
    assert_eq!(
        faulting_call(&image, "fail_fast", &[42]).kind,
        FaultKind::FastFail(42)
    );
    assert_eq!(
        faulting_call(&image, "illegal", &[]).kind,
        FaultKind::IllegalInstruction
    );
    assert_eq!(
        faulting_call(&image, "privileged", &[]).kind,
        FaultKind::Privileged
    );
    let breakpoint = faulting_call(&image, "breakpoint", &[]);
    assert_eq!(breakpoint.kind, FaultKind::Breakpoint);
    let place = image.export("breakpoint").expect("export");
    assert!((place..place + 16).contains(&breakpoint.pc), "{breakpoint}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn division_by_zero_is_reported() {
    let image = host::load();
    assert_eq!(host::call(&image, "divide", &[7]) as u32, 14);
    assert_eq!(
        faulting_call(&image, "divide", &[0]).kind,
        FaultKind::Arithmetic
    );
}

#[test]
fn a_stack_overflow_is_reported_as_one() {
    let image = host::load();
    for _ in 0..3 {
        assert_eq!(
            faulting_call(&image, "overflow", &[0]).kind,
            FaultKind::StackOverflow
        );
        let lost = faulting_call(&image, "lose_stack", &[]);
        assert_eq!(lost.kind, FaultKind::Write, "{lost}");
    }
}

#[test]
fn sections_are_writable_or_executable() {
    let image = host::load();
    for section in &image.sections {
        assert!(
            !(section.writable && section.executable),
            "{}",
            section.name
        );
        let va = image.base + section.rva;
        if !section.writable {
            let fault = faulting_call(&image, "write_to", &[va as u64, 0]);
            assert_eq!(
                (fault.kind, fault.address),
                (FaultKind::Write, va),
                "{}",
                section.name
            );
        }
        if !section.executable {
            assert_eq!(
                fault_of(va, &[]).kind,
                FaultKind::Execute,
                "{}",
                section.name
            );
        }
    }
    assert_eq!(
        faulting_call(&image, "write_to", &[image.base as u64, 0]).kind,
        FaultKind::Write
    );
}

#[test]
fn discarded_sections_are_gone() {
    let image = host::load();
    let mut object = 0_u64;
    let args = [(&raw mut object) as u64, 1];
    assert_eq!(cpu::call(image.entry, &args) as u32, 0x1234);
    image.discard_init();
    let fault = fault_of(image.entry, &args);
    assert_eq!(
        (fault.kind, fault.address),
        (FaultKind::Execute, image.entry)
    );
    assert_eq!(host::call(&image, "table", &[1, 0]), u64::MAX);
}

#[test]
fn a_fault_of_the_host_is_told_from_one_of_the_driver() {
    host::load();
    let mut fiber = Fiber::new(
        8192,
        Box::new(|| {
            // SAFETY: not at all: a host function believes a driver's pointer.
            let value = unsafe { std::ptr::read_volatile(0x3000 as *const u32) };
            println!("{value}");
        }),
    );
    assert_eq!(fiber.resume(), State::Done);
    let fault = host::FAULT.take().expect("a fault");
    assert_eq!(
        (fault.kind, fault.address, fault.in_driver),
        (FaultKind::Read, 0x3000, false)
    );
}

#[test]
fn a_panic_below_the_driver_comes_out_of_resume() {
    let image = host::load();
    let export = image.export("host_panic").expect("export");
    let mut fiber = Fiber::new(
        8192,
        Box::new(move || {
            cpu::call(export, &[]);
        }),
    );
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fiber.resume()))
        .expect_err("a panic");
    assert_eq!(panic.downcast_ref(), Some(&"the host is unhappy"));
    assert!(!fiber::is_running());
    assert_eq!(host::call(&image, "table", &[1, 0]), u64::MAX);
}

/// Does nothing unless it is the child of the test below: the limit is the whole process's.
#[test]
fn child_that_hangs() {
    if std::env::var_os("HOST_MACHINE_CHILD").is_none() {
        return;
    }
    let image = host::load();
    cpu::set_time_limit(Some(Duration::from_millis(50)));
    let start = Instant::now();
    let fault = faulting_call(&image, "spin", &[]);
    assert_eq!((fault.kind, fault.in_driver), (FaultKind::Hang, true));
    let spin = image.export("spin").expect("export");
    assert!((spin..spin + 16).contains(&fault.pc), "{fault}");
    // Many short calls are no hang, however long they take together.
    while start.elapsed() < Duration::from_millis(500) {
        host::call(&image, "clobber_n", &[1000]);
    }
    println!("survived");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_endless_loop_is_a_fault() {
    let (code, output) = child("child_that_hangs");
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("survived"), "{output}");
}

/// Does nothing unless it is the child of the test below.
#[test]
fn child_whose_receiver_faults() {
    if std::env::var_os("HOST_MACHINE_CHILD").is_none() {
        return;
    }
    let image = host::load();
    cpu::set_fault(|_| {
        // SAFETY: not at all: that is what is tested.
        let value = unsafe { std::ptr::read_volatile(0x5000 as *const u32) };
        panic!("read {value}")
    });
    host::call(&image, "read_from", &[0x1000]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_fault_in_the_receiver_ends_the_process() {
    let (code, output) = child("child_whose_receiver_faults");
    assert_eq!(code, Some(134));
    assert!(
        output.contains("fault in the receiver of faults"),
        "{output}"
    );
}

/// Runs one test in a process of its own, and returns its exit code and output. Under qemu-user a program for ARM64
/// cannot start itself.
#[cfg(target_arch = "x86_64")]
fn child(test: &str) -> (Option<i32>, String) {
    let mut output = std::io::pipe().expect("a pipe");
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command
        .args(["--exact", &format!("faults::{test}"), "--nocapture"])
        .env("HOST_MACHINE_CHILD", "1")
        .stdout(output.1.try_clone().expect("a descriptor"))
        .stderr(output.1);
    let mut child = command.spawn().expect("a child");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a status") {
            break status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().expect("it can be killed");
            panic!("{test} hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    drop(command);
    let mut text = String::new();
    output.0.read_to_string(&mut text).expect("text");
    (status.code(), text)
}
