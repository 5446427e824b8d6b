//! The run-time library: strings, lists, lookaside lists, the registry, the version.

use host_machine::image::Binding;

use super::{memory, wide};
use crate::abi::{SLIST_HEADER, UNICODE_STRING};
use crate::export::{registry, resolve};
use crate::testing::{clean, import, start};
use crate::{guest, pool};

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
