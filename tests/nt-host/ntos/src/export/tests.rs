use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use host_machine::image::Binding;

use super::*;
use crate::abi::{KDPC, KEVENT, KTIMER, SLIST_HEADER, UNICODE_STRING};
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
fn counted_strings() {
    start(1);
    clean(|| {
        let (a, b) = (memory(16) as u64, memory(16) as u64);
        import("RtlInitUnicodeString", &[a, wide("Hello")]);
        let room = memory(64);
        UNICODE_STRING::Buffer.set(b as usize, room as u64);
        UNICODE_STRING::MaximumLength.set(b as usize, 14);
        import("RtlCopyUnicodeString", &[b, a]);
        assert_eq!(import("RtlAppendUnicodeToString", &[b, wide("!?")]), 0);
        assert_eq!(
            import("RtlAppendUnicodeToString", &[b, wide("!")]),
            0xc000_0023
        );
        assert_eq!(
            guest::wide_string(room, 7),
            "Hello!?".encode_utf16().collect::<Vec<_>>()
        );
        import("RtlInitUnicodeString", &[b, wide("hELLO")]);
        assert_eq!(import("RtlEqualUnicodeString", &[a, b, 1]), 1);
        assert_eq!(import("RtlEqualUnicodeString", &[a, b, 0]), 0);
        assert_eq!(
            import("RtlCompareUnicodeString", &[a, b, 0]) as u32 as i32,
            -1
        );
        let number = memory(8) as u64;
        import("RtlInitUnicodeString", &[a, wide("0x1f rest")]);
        assert_eq!(import("RtlUnicodeStringToInteger", &[a, 0, number]), 0);
        assert_eq!(guest::read_u32(number as usize), 0x1f);
    });
}

#[test]
fn c_strings() {
    start(1);
    clean(|| {
        let text = |s: &'static std::ffi::CStr| s.as_ptr() as u64;
        assert_eq!(import("strlen", &[text(c"four")]), 4);
        assert_eq!(import("strnlen", &[text(c"four"), 2]), 2);
        assert_eq!(
            import("strcmp", &[text(c"a"), text(c"b")]) as u32 as i32,
            -1
        );
        assert_eq!(import("_stricmp", &[text(c"ABC"), text(c"abc")]), 0);
        assert_eq!(import("_wcsnicmp", &[wide("ABx"), wide("aby"), 2]), 0);
        let at = text(c"needle in hay");
        assert_eq!(import("strstr", &[at, text(c"in")]), at + 7);
        assert_eq!(import("strchr", &[at, u64::from(b'h')]), at + 10);
        assert_eq!(import("strrchr", &[at, u64::from(b'e')]), at + 5);
        let room = memory(32) as u64;
        assert_eq!(import("strcpy_s", &[room, 3, text(c"abc")]), 34);
        assert_eq!(guest::read_u8(room as usize), 0);
        assert_eq!(import("strcpy_s", &[room, 4, text(c"abc")]), 0);
        assert_eq!(import("strcat_s", &[room, 8, text(c"def")]), 0);
        assert_eq!(guest::c_string(room as usize, 32), b"abcdef");
        assert_eq!(
            import("_snprintf", &[room, 4, text(c"%d"), 12345]) as u32 as i32,
            -1
        );
        assert_eq!(guest::bytes(room as usize, 5), b"1234e");
        assert_eq!(import("_snprintf", &[room, 8, text(c"%d"), 12345]), 5);
        assert_eq!(import("memcmp", &[text(c"abd"), text(c"abc"), 3]), 1);
        assert_eq!(
            import("RtlCompareMemory", &[text(c"abd"), text(c"abc"), 3]),
            2
        );
        assert_eq!(import("atoi", &[text(c" -17x")]) as u32 as i32, -17);
    });
}

#[test]
fn lists_keep_order_and_depth() {
    start(1);
    clean(|| {
        let head = memory(SLIST_HEADER::SIZE) as u64;
        import("InitializeSListHead", &[head]);
        let entries: Vec<u64> = (0..3).map(|_| memory(16) as u64).collect();
        for entry in &entries {
            import("ExpInterlockedPushEntrySList", &[head, *entry]);
        }
        assert_eq!(import("ExQueryDepthSList", &[head]), 3);
        assert_eq!(import("ExpInterlockedPopEntrySList", &[head]), entries[2]);
        assert_eq!(import("ExpInterlockedFlushSList", &[head]), entries[1]);
        assert_eq!(import("ExpInterlockedPopEntrySList", &[head]), 0);
        let (list, lock) = (memory(16) as u64, memory(16) as u64);
        guest::write_u64(list as usize, list);
        guest::write_u64(list as usize + 8, list);
        assert_eq!(
            import("ExInterlockedInsertTailList", &[list, entries[0], lock]),
            0
        );
        assert_eq!(
            import("ExInterlockedInsertTailList", &[list, entries[1], lock]),
            entries[0]
        );
        assert_eq!(
            import("ExInterlockedRemoveHeadList", &[list, lock]),
            entries[0]
        );
        assert_eq!(
            import("ExInterlockedRemoveHeadList", &[list, lock]),
            entries[1]
        );
        assert_eq!(import("ExInterlockedRemoveHeadList", &[list, lock]), 0);
    });
}

#[test]
fn lookaside_lists_call_the_pool() {
    start(1);
    clean(|| {
        let list = memory(256) as u64;
        let tag = u32::from_le_bytes(*b"Look");
        import(
            "ExInitializeNPagedLookasideList",
            &[list, 0, 0, 512, 100, tag.into(), 0],
        );
        let entry = import("ExAllocateFromPagedLookasideList", &[list]);
        assert_eq!(pool::find(entry as usize), Some((tag, 100)));
        import("ExFreeToPagedLookasideList", &[list, entry]);
        assert_eq!(
            import("ExAllocateFromPagedLookasideList", &[list]),
            entry,
            "kept, not freed"
        );
        import("ExFreeToPagedLookasideList", &[list, entry]);
        import("ExDeleteNPagedLookasideList", &[list]);
        assert!(pool::live().is_empty());
    });
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

#[test]
fn registry_values() {
    start(1);
    let value = registry::Value {
        kind: 4,
        data: 7_u32.to_le_bytes().to_vec(),
    };
    registry::set_value(r"\Registry\Machine\System\Test", "Depth", value);
    clean(|| {
        let (name, attributes, out) = (memory(16) as u64, memory(48), memory(64) as u64);
        import(
            "RtlInitUnicodeString",
            &[name, wide(r"\REGISTRY\Machine\System\Test")],
        );
        crate::abi::OBJECT_ATTRIBUTES::ObjectName.set(attributes, name);
        assert_eq!(import("ZwOpenKey", &[out, 0x20019, attributes as u64]), 0);
        let key = guest::read_u64(out as usize);
        import("RtlInitUnicodeString", &[name, wide("depth")]);
        assert_eq!(
            import("ZwQueryValueKey", &[key, name, 2, out, 16, out + 32]),
            0
        );
        assert_eq!(
            (
                guest::read_u32(out as usize + 4),
                guest::read_u32(out as usize + 12)
            ),
            (4, 7)
        );
        import("RtlInitUnicodeString", &[name, wide("missing")]);
        assert_eq!(
            import("ZwQueryValueKey", &[key, name, 2, out, 16, out + 32]),
            0xc000_0034
        );
        assert_eq!(import("ZwClose", &[key]), 0);
        assert_eq!(import("ZwClose", &[key]), 0xc000_0008);
    });
}

#[test]
fn the_version_is_the_oldest_supported() {
    start(1);
    clean(|| {
        let info = memory(288);
        guest::write_u32(info, 284);
        assert_eq!(import("RtlGetVersion", &[info as u64]), 0);
        assert_eq!(
            (guest::read_u32(info + 4), guest::read_u32(info + 12)),
            (10, 14393)
        );
        guest::write_u32(info, 100);
        assert_eq!(import("RtlGetVersion", &[info as u64]), 0xc000_000d);
        assert_eq!(import("RtlIsNtDdiVersionAvailable", &[0x0a00_0002]), 1);
        assert_eq!(import("RtlIsNtDdiVersionAvailable", &[0x0a00_0000]), 1);
        assert_eq!(import("RtlIsNtDdiVersionAvailable", &[0x0a00_0003]), 0);
    });
}

#[test]
fn what_an_import_binds_to() {
    start(1);
    assert!(matches!(
        resolve("NTOSKRNL.EXE", "KeGetCurrentIrql"),
        Binding::Function(_)
    ));
    assert_eq!(
        resolve("ntoskrnl.exe", "KeBugCheck"),
        resolve("NtosKrnl.exe", "KeBugCheck")
    );
    let Binding::Data(count) = resolve("ntoskrnl.exe", "KeNumberProcessors") else {
        panic!("it is a variable")
    };
    assert_eq!(guest::read_u8(count as usize), 1);
}
