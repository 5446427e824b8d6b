mod library;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::abi::{KDPC, KEVENT, KTIMER};
use crate::testing::{SOON, clean, expect, import, on_cpu, start, start_with};
use crate::{Config, guest, kernel, pool};

/// Memory of the driver's, 16-aligned, that lives on.
fn memory(len: usize) -> usize {
    #[repr(align(16))]
    #[derive(Clone)]
    struct Line {
        _bytes: [u8; 16],
    }
    Box::leak(vec![Line { _bytes: [0; 16] }; len.div_ceil(16)].into_boxed_slice()).as_ptr() as usize
}

fn wide(text: &str) -> u64 {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    units.leak().as_ptr() as u64
}

#[test]
fn arguments_are_cut_to_their_widths() {
    start(1);
    clean(|| {
        let old = import("KfRaiseIrql", &[0xffff_ffff_ffff_ff02]);
        assert_eq!((old, crate::sched::irql()), (0, 2));
        import("KeLowerIrql", &[0x1234_5678_0000_0000]);
    });
}

#[test]
fn every_export_of_the_storage_drivers_is_there() {
    start(1);
    // What Microsoft's and virtio-win's storage miniports import from the kernel.
    for name in [
        "KeQueryActiveProcessorCountEx",
        "KeQueryMaximumProcessorCountEx",
        "KeBugCheck",
        "KeBugCheckEx",
        "MmGetPhysicalAddress",
        "DbgPrint",
        "memcpy",
        "memmove",
        "memset",
        "memcmp",
        "strlen",
        "wcslen",
        "KeAcquireSpinLockAtDpcLevel",
        "KeReleaseSpinLockFromDpcLevel",
        "KeTryToAcquireSpinLockAtDpcLevel",
        "KeGetCurrentProcessorNumberEx",
        "KeAcquireInStackQueuedSpinLock",
        "KeReleaseInStackQueuedSpinLock",
        "ExAllocatePoolWithTag",
        "ExFreePoolWithTag",
        "ExAllocatePool2",
        "KeQueryPerformanceCounter",
        "KeStallExecutionProcessor",
        "EtwRegister",
        "EtwUnregister",
        "EtwWrite",
        "EtwWriteTransfer",
        "WmiTraceMessage",
        "WmiQueryTraceInformation",
        "IoWMIRegistrationControl",
        "MmGetSystemRoutineAddress",
        "RtlInitUnicodeString",
        "RtlGetVersion",
        "KeInitializeDpc",
        "KeInsertQueueDpc",
        "__C_specific_handler",
        "__chkstk",
        "_vsnprintf",
        "KeInitializeEvent",
        "KeSetEvent",
        "KeWaitForSingleObject",
    ] {
        assert!(address_of("ntoskrnl.exe", name).is_some(), "{name}");
    }
    assert!(address_of("ntoskrnl.exe", "NtMakeCoffee").is_none());
    let _ = resolve("ntoskrnl.exe", "NtMakeCoffee");
    assert!(
        address_of("ntoskrnl.exe", "NtMakeCoffee").is_none(),
        "importing it does not provide it"
    );
}

#[test]
fn processors() {
    start(5);
    clean(|| {
        let at = memory(64);
        assert_eq!(import("KeQueryActiveProcessorCountEx", &[0xffff]), 5);
        assert_eq!(import("KeQueryActiveProcessorCountEx", &[1]), 0);
        assert_eq!(import("KeQueryActiveProcessors", &[]), 0x1f);
        crate::sched::migrate(3);
        assert_eq!(import("KeGetCurrentProcessorNumberEx", &[at as u64]), 3);
        assert_eq!(guest::read_u32(at), 3 << 16);
        assert_eq!(import("KeGetProcessorIndexFromNumber", &[at as u64]), 3);
        assert_eq!(
            import("KeGetProcessorNumberFromIndex", &[9, at as u64]),
            0xc000_000d
        );
    });
}

#[test]
fn kernel_dpcs_reach_their_routine_on_the_target_cpu() {
    start(4);
    let seen = Rc::new(Cell::new((0, 0)));
    let slot = Rc::clone(&seen);
    // The routine is an import itself, the only driver-callable code that a unit test has: one that keeps what it is given.
    thread_local!(static SEEN: Cell<(u32, u64)> = const { Cell::new((9, 0)) });
    register("ntoskrnl.exe", "TestDpcRoutine", |c| {
        SEEN.set((crate::sched::cpu(), c.slot(1) + c.slot(2) + c.slot(3)));
        0
    });
    clean(move || {
        let dpc = memory(KDPC::SIZE) as u64;
        let routine = address_of("ntoskrnl.exe", "TestDpcRoutine").expect("registered") as u64;
        import("KeInitializeDpc", &[dpc, routine, 100]);
        import("KeSetTargetProcessorDpc", &[dpc, 2]);
        assert_eq!(import("KeInsertQueueDpc", &[dpc, 20, 3]), 1);
        import("KeFlushQueuedDpcs", &[]);
        slot.set(SEEN.get());
    });
    assert_eq!(seen.get(), (2, 123));
}

#[test]
fn events_wake_waiters_and_timeouts_are_kept() {
    start(2);
    let event = memory(KEVENT::SIZE) as u64;
    clean(move || {
        import("KeInitializeEvent", &[event, 1, 0]);
        let now = crate::sched::now();
        let timeout = memory(8);
        guest::write_u64(timeout, (-20_000_i64).cast_unsigned());
        assert_eq!(
            import("KeWaitForSingleObject", &[event, 0, 0, 0, timeout as u64]),
            0x102
        );
        assert!(crate::sched::now() - now >= Duration::from_millis(2));
        crate::sched::spawn(
            1,
            "setter",
            Box::new(move || {
                assert_eq!(import("KeSetEvent", &[event, 0, 0]), 0);
            }),
        );
        assert_eq!(import("KeWaitForSingleObject", &[event, 0, 0, 0, 0]), 0);
        assert_eq!(
            import("KeReadStateEvent", &[event]),
            0,
            "a synchronization event lets one pass"
        );
    });
}

#[test]
fn semaphores_count_and_fast_mutexes_exclude() {
    start(2);
    clean(|| {
        let at = memory(64) as u64;
        import("KeInitializeSemaphore", &[at, 2, 3]);
        let zero = memory(8) as u64;
        let wait = move || import("KeWaitForSingleObject", &[at, 0, 0, 0, zero]);
        assert_eq!((wait(), wait(), wait()), (0, 0, 0x102));
        assert_eq!(import("KeReleaseSemaphore", &[at, 0, 1, 0]), 0);
        assert_eq!(wait(), 0);
        let mutex = memory(64) as u64;
        import("ExInitializeFastMutex", &[mutex]);
        import("ExAcquireFastMutex", &[mutex]);
        assert_eq!(
            (
                crate::sched::irql(),
                import("ExTryToAcquireFastMutex", &[mutex])
            ),
            (1, 0)
        );
        import("ExReleaseFastMutex", &[mutex]);
        assert_eq!(crate::sched::irql(), 0);
    });
}

#[test]
fn timers_run_their_dpc_and_periods_repeat() {
    start(1);
    thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
    COUNT.set(0);
    register("ntoskrnl.exe", "TestTimerRoutine", |_| {
        COUNT.set(COUNT.get() + 1);
        0
    });
    clean(|| {
        let (timer, dpc) = (memory(KTIMER::SIZE) as u64, memory(KDPC::SIZE) as u64);
        let routine = address_of("ntoskrnl.exe", "TestTimerRoutine").expect("registered") as u64;
        import("KeInitializeDpc", &[dpc, routine, 0]);
        import("KeInitializeTimer", &[timer]);
        import(
            "KeSetTimerEx",
            &[timer, (-10_000_i64).cast_unsigned(), 2, dpc],
        );
        assert!(crate::sched::block_until(
            "three",
            Some(SOON),
            Box::new(|| COUNT.get() == 3)
        ));
        assert!(
            (Duration::from_millis(5)..Duration::from_millis(7)).contains(&crate::sched::now())
        );
        assert_eq!(import("KeCancelTimer", &[timer]), 1);
        assert_eq!(import("KeCancelTimer", &[timer]), 0);
    });
}

#[test]
fn time_has_one_source() {
    start(1);
    clean(|| {
        let at = memory(16);
        let before = import("KeQueryPerformanceCounter", &[at as u64]);
        assert_eq!(guest::read_u64(at), 10_000_000);
        import("KeStallExecutionProcessor", &[50]);
        assert!(import("KeQueryPerformanceCounter", &[0]) - before >= 500);
        import("KeQuerySystemTimePrecise", &[at as u64]);
        assert!(guest::read_u64(at) > 133_000_000_000_000_000);
    });
    on_cpu(|| crate::sched::at_irql(2, || import("KeStallExecutionProcessor", &[51])))
        .expect("it goes on");
    expect(&[crate::rules::STALL_TIME]);
}

#[test]
fn physical_addresses_are_not_those_of_devices() {
    start_with(Config {
        physical_offset: 0x77_0000_0000,
        ..Config::default()
    });
    clean(|| {
        let at = pool::alloc(u32::from_le_bytes(*b"Phys"), 64, pool::Kind::NonPaged);
        let (device, _) = kernel::ram()
            .device_address(at as *const u8)
            .expect("pool memory");
        assert_eq!(
            import("MmGetPhysicalAddress", &[at as u64]),
            device + 0x77_0000_0000
        );
        pool::free(at, None);
    });
}

#[test]
fn routines_are_found_by_name() {
    start(1);
    clean(|| {
        let name = memory(16) as u64;
        import("RtlInitUnicodeString", &[name, wide("KeGetCurrentIrql")]);
        let found = import("MmGetSystemRoutineAddress", &[name]);
        assert_eq!(
            found,
            address_of("ntoskrnl.exe", "KeGetCurrentIrql").map_or(0, |a| a as u64)
        );
        assert_eq!(crate::callback::call("CALLBACK", found as usize, &[]), 0);
        import("RtlInitUnicodeString", &[name, wide("ExNewerThanThisHost")]);
        assert_eq!(import("MmGetSystemRoutineAddress", &[name]), 0);
    });
}

#[test]
fn work_items_run_at_passive_level() {
    start(2);
    thread_local!(static LEVEL: Cell<u8> = const { Cell::new(99) });
    LEVEL.set(99);
    register("ntoskrnl.exe", "TestWorker", |_| {
        LEVEL.set(crate::sched::irql());
        0
    });
    clean(|| {
        let routine = address_of("ntoskrnl.exe", "TestWorker").expect("registered") as u64;
        let item = import("IoAllocateWorkItem", &[0x1234]);
        crate::sched::at_irql(2, || import("IoQueueWorkItem", &[item, routine, 1, 5]));
        crate::sched::block_until("the worker", Some(SOON), Box::new(|| LEVEL.get() != 99));
        import("IoFreeWorkItem", &[item]);
    });
    assert_eq!(LEVEL.get(), 0);
}

#[test]
fn system_threads_are_waited_for() {
    start(2);
    register("ntoskrnl.exe", "TestThread", |_| {
        crate::sched::block_until(
            "a while",
            Some(Duration::from_millis(3)),
            Box::new(|| false),
        );
        import("PsTerminateSystemThread", &[0])
    });
    clean(|| {
        let out = memory(32);
        let start = address_of("ntoskrnl.exe", "TestThread").expect("registered") as u64;
        import("PsCreateSystemThread", &[out as u64, 0, 0, 0, 0, start, 0]);
        let handle = guest::read_u64(out);
        import(
            "ObReferenceObjectByHandle",
            &[handle, 0, 0, 0, out as u64 + 8, 0],
        );
        assert_eq!(import("ZwClose", &[handle]), 0);
        assert_eq!(
            import(
                "KeWaitForSingleObject",
                &[guest::read_u64(out + 8), 0, 0, 0, 0]
            ),
            0
        );
        assert!(crate::sched::now() >= Duration::from_millis(3));
    });
}
