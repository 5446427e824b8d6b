use super::*;
use crate::testing::{clean, expect, expect_fatal, import, on_cpu, start};

const TAG: u32 = u32::from_le_bytes(*b"Test");

#[test]
fn memory_is_aligned_filled_and_given_back() {
    start(1);
    clean(|| {
        for len in [1, 15, 16, 100, 4095, 4096, 10_000] {
            let at = alloc(TAG, len, Kind::NonPaged);
            assert_eq!(at % if len >= PAGE { PAGE } else { 16 }, 0);
            assert!(guest::bytes(at, len).iter().all(|&byte| byte == FRESH));
            assert_eq!(find(at + len - 1), Some((TAG, len)));
            guest::fill(at, len, 1);
            free(at, Some(TAG));
            assert_eq!(find(at), None);
        }
    });
    check_leaks();
    expect(&[]);
}

#[test]
fn the_exports_keep_what_their_documentation_promises() {
    start(1);
    clean(|| {
        let zeroed = import("ExAllocatePool2", &[0x40, 64, TAG.into()]) as usize;
        assert_eq!(guest::bytes(zeroed, 64), [0; 64]);
        let raw = import("ExAllocatePool2", &[0x42, 64, TAG.into()]) as usize;
        assert_eq!(guest::bytes(raw, 64), [FRESH; 64]);
        let old = import("ExAllocatePoolWithTag", &[512, 64, TAG.into()]);
        import("ExFreePoolWithTag", &[old, TAG.into()]);
        import("ExFreePool", &[raw as u64]);
        import("ExFreePoolWithTag", &[zeroed as u64, 0]);
    });
}

#[test]
fn leaks_are_named_by_tag() {
    start(1);
    clean(|| assert_ne!(alloc(TAG, 33, Kind::NonPaged), 0));
    assert_eq!((live()[0].tag.as_str(), live()[0].len), ("Test", 33));
    check_leaks();
    expect(&[rules::POOL_LEAK]);
    assert_eq!(crate::shutdown().leaks.len(), 1);
}

#[test]
fn wrong_frees() {
    start(1);
    on_cpu(|| {
        let at = alloc(TAG, 100, Kind::NonPaged);
        free(at + 16, None);
        free(at, Some(u32::from_le_bytes(*b"Else")));
        free(at, Some(TAG));
        free(0x5000, None);
    })
    .expect("it goes on");
    expect(&[
        rules::POOL_BAD_FREE,
        rules::POOL_TAG,
        rules::POOL_DOUBLE_FREE,
        rules::POOL_BAD_FREE,
    ]);
}

#[test]
fn small_overruns_are_found_at_the_free() {
    start(1);
    on_cpu(|| {
        let at = alloc(TAG, 100, Kind::NonPaged);
        guest::write_u8(at + 100, 0);
        guest::write_u8(at - 3, 0);
        free(at, None);
    })
    .expect("it goes on");
    expect(&[rules::POOL_OVERRUN, rules::POOL_OVERRUN]);
}

#[test]
fn writing_beyond_the_page_ends_the_run() {
    start(1);
    let report = expect_fatal(rules::POOL_OVERRUN, || {
        let at = alloc(TAG, 128, Kind::NonPaged);
        guest::write_u8(at + 128, 0);
    });
    assert!(
        report.violations[0].what.contains("offset 128 of 'Test'"),
        "{report}"
    );
}

#[test]
fn touching_freed_memory_ends_the_run() {
    start(1);
    let report = expect_fatal(rules::POOL_USE_AFTER_FREE, || {
        let at = alloc(TAG, 128, Kind::NonPaged);
        free(at, None);
        guest::write_u8(at + 5, 0);
    });
    assert!(
        report.violations[0].what.contains("5 bytes into 'Test'"),
        "{report}"
    );
}

#[test]
fn requests_that_no_driver_should_make() {
    start(1);
    on_cpu(|| {
        free(alloc(TAG, 0, Kind::NonPaged), None);
        free(alloc(0, 8, Kind::NonPaged), None);
        sched::at_irql(sched::DISPATCH, || {
            let at = alloc(TAG, 8, Kind::Paged);
            free(at, None);
        });
    })
    .expect("it goes on");
    expect(&[rules::POOL_ZERO, rules::POOL_TAG, rules::IRQL_OF_CALL]);
}

#[test]
fn an_allocation_can_be_made_to_fail() {
    start(1);
    clean(|| {
        fail_nth(Some(2));
        let (a, b) = (alloc(TAG, 8, Kind::NonPaged), alloc(TAG, 8, Kind::NonPaged));
        let c = import("ExAllocatePool2", &[0x40, 8, TAG.into()]) as usize;
        assert!(a != 0 && b == 0 && c != 0);
        free(a, None);
        free(c, None);
    });
}

#[test]
fn memory_of_a_queued_dpc_or_running_timer_is_not_freed() {
    start(1);
    on_cpu(|| {
        let at = alloc(TAG, 256, Kind::NonPaged);
        import("KeInitializeDpc", &[at as u64, 0x1234, 0]);
        import("KeInitializeTimer", &[at as u64 + 128]);
        import(
            "KeSetTimer",
            &[at as u64 + 128, (-10_000_000_i64).cast_unsigned(), 0],
        );
        sched::raise(sched::DISPATCH);
        import("KeInsertQueueDpc", &[at as u64, 0, 0]);
        free(at, None);
        sched::remove_dpc(at);
        sched::lower(0);
    })
    .expect("it goes on");
    expect(&[rules::OBJECT_IN_USE, rules::OBJECT_IN_USE]);
}
