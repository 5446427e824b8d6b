//! nt-sys as it stands has no complaint against it, and each checker trips on what it is there for.

use super::*;
use std::path::PathBuf;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn facts() -> Facts {
    Facts::read(&repository().join("tests/abi")).unwrap()
}

fn nt_sys() -> Source {
    Source::read(&repository().join("crates/nt-sys/src")).unwrap()
}

fn fixture(text: &str) -> Source {
    let mut source = Source::default();
    source.add(text).unwrap();
    source
}

#[track_caller]
fn clean(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Exactly one complaint, which says `what`.
#[track_caller]
fn trips(complaints: &[String], what: &str) {
    assert!(
        complaints.len() == 1 && complaints[0].contains(what),
        "wanted one about {what:?}: {complaints:#?}"
    );
}

#[test]
fn nt_sys_was_read() {
    let source = nt_sys();
    assert!(
        source.structs.len() >= 35 && source.layouts.len() >= 35,
        "{} structures",
        source.structs.len()
    );
    assert!(
        source.constants.len() >= 150 && source.callbacks.len() >= 15 && source.imports.len() >= 15
    );
}

#[test]
fn layouts_of_nt_sys_are_asserted_as_measured() {
    clean(&layouts::check(&nt_sys(), &facts()));
}

#[test]
fn constants_of_nt_sys_have_the_measured_values() {
    clean(&constants::check(&nt_sys(), &facts()));
}

#[test]
fn imports_and_callbacks_of_nt_sys_have_the_measured_prototypes() {
    clean(&prototypes::check(&nt_sys(), &facts()));
}

#[test]
fn every_item_of_nt_sys_says_its_source_and_first_version() {
    let source = nt_sys();
    clean(&unmarked(&source));
    let rows = without_facts(&source, &facts());
    println!(
        "{} items that no fact speaks of:\n{}",
        rows.len(),
        rows.join("\n")
    );
}

#[test]
fn every_import_has_a_row_that_exports_json_supports() {
    let text = std::fs::read_to_string(repository().join("tests/abi/imports.toml")).unwrap();
    clean(&imports::check(
        &imports::parse(&text).unwrap(),
        &nt_sys(),
        &facts(),
    ));
}

#[test]
fn variadic_calls_have_the_measured_number_of_arguments() {
    let mut calls = calls::find_all(&repository().join("crates/storport/src")).unwrap();
    assert!(calls.len() >= 13, "only {} calls found", calls.len());
    calls.extend(calls::find_all(&repository().join("drivers")).unwrap());
    clean(&calls::check(&calls, &facts()));
}

const RANGE: &str = "/// source: x; since: y\n#[repr(C)] pub struct ACCESS_RANGE { pub RangeStart: LARGE_INTEGER, \
                     pub RangeLength: u32, pub RangeInMemory: u8 }\n";
const RANGE_LAYOUT: &str = "layout! { ACCESS_RANGE: 16 / 8, 16 / 8 { RangeStart: 0 + 8, 0 + 8; \
                            RangeLength: 8 + 4, 8 + 4; RangeInMemory: 12 + 1, 12 + 1; } }";

#[test]
fn a_right_fixture_is_clean() {
    clean(&layouts::check(
        &fixture(&format!("{RANGE}{RANGE_LAYOUT}")),
        &facts(),
    ));
}

#[test]
fn a_structure_without_assertion_trips() {
    trips(
        &layouts::check(&fixture(RANGE), &facts()),
        "no layout! assertion covers it",
    );
}

#[test]
fn wrong_layout_rows_trip() {
    let facts = facts();
    let cases = [
        (
            "16 / 8, 16 / 8 {",
            "16 / 8, 16 / 4 {",
            "asserted 16 bytes aligned to 4",
        ),
        ("16 / 8, 16 / 8 {", "16 / 8, 12 / 8 {", "asserted 12 bytes"),
        (
            "RangeLength: 8 + 4, 8 + 4",
            "RangeLength: 8 + 4, 12 + 4",
            "asserted 12 + 4, measured 8 + 4",
        ),
        (
            "RangeInMemory: 12 + 1, 12 + 1",
            "RangeInMemory: 12 + 1, 12 + 4",
            "asserted 12 + 4, measured 12 + 1",
        ),
    ];
    for (right, mistake, complaint) in cases {
        let rows = RANGE_LAYOUT.replace(right, mistake);
        assert_ne!(rows, RANGE_LAYOUT);
        trips(
            &layouts::check(&fixture(&format!("{RANGE}{rows}")), &facts),
            complaint,
        );
    }
    let rows = RANGE_LAYOUT.replace("RangeLength: 8 + 4, 8 + 4;", "");
    let complaints = layouts::check(&fixture(&format!("{RANGE}{rows}")), &facts);
    assert_eq!(
        complaints.len(),
        4,
        "the member, and the row on three architectures: {complaints:#?}"
    );
    let rows = RANGE_LAYOUT.replace("RangeLength: 8", "Length: 8");
    assert!(!layouts::check(&fixture(&format!("{RANGE}{rows}")), &facts).is_empty());
}

#[test]
fn a_part_outside_its_whole_trips() {
    let text = "/// source: x; since: y\npub struct LARGE_INTEGER { pub QuadPart: i64 }\n\
                layout! { LARGE_INTEGER: 8 / 8, 8 / 8 { QuadPart: 0 + 8, 0 + 8; } \
                within { LowPart: QuadPart; u: QuadPart; HighPart: QuadPart; } }";
    clean(&layouts::check(&fixture(text), &facts()));
    let text = text.replace("QuadPart: 0 + 8, 0 + 8;", "QuadPart: 0 + 4, 0 + 8;");
    let complaints = layouts::check(&fixture(&text), &facts());
    assert!(
        complaints
            .iter()
            .any(|it| it.contains("HighPart") && it.contains("not inside QuadPart")),
        "{complaints:#?}"
    );
}

#[test]
fn wrong_constants_trip() {
    let facts = facts();
    let check = |text: &str| constants::check(&fixture(text), &facts);
    clean(&check(
        "pub const SRB_STATUS_BUSY: u8 = 0x05; pub const PCIBus: INTERFACE_TYPE = 5;",
    ));
    clean(&check(
        "pub const STATUS_REVISION_MISMATCH: NTSTATUS = 0xC000_0059_u32 as NTSTATUS;",
    ));
    trips(
        &check("pub const SRB_STATUS_BUSY: u8 = 0x06;"),
        "0x6 here, measured 0x5",
    );
    trips(
        &check("pub const PCIBus: INTERFACE_TYPE = 4;"),
        "measured 0x5",
    );
    trips(
        &check("pub const PCIBuss: INTERFACE_TYPE = 5;"),
        "enumeration INTERFACE_TYPE has no PCIBuss",
    );
    trips(
        &check("pub const SRB_STATUS_BUSY: u8 = BUSY;"),
        "not written as a number",
    );
}

#[test]
fn items_without_marks_trip() {
    trips(
        &unmarked(&fixture("pub const X: u8 = 1;")),
        "X: no `source:`",
    );
    trips(
        &unmarked(&fixture("//! source: x.h\npub type X = u8;")),
        "X: no `since:`",
    );
    clean(&unmarked(&fixture(
        "//! source: x.h; since: Windows 7\npub type X = u8;",
    )));
}

const LINK: &str = "#[cfg_attr(all(windows, not(target_arch = \"x86\")), link(name = \"storport.sys\", kind = \"raw-dylib\", \
                    modifiers = \"+verbatim\"))]\n#[cfg_attr(all(windows, target_arch = \"x86\"), link(name = \
                    \"storport.sys\", kind = \"raw-dylib\", modifiers = \"+verbatim\", import_name_type = \
                    \"undecorated\"))]\n";

fn prototype(abi: &str, declaration: &str) -> Vec<String> {
    let text = format!(
        "pub type PVOID = *mut c_void;\n{LINK}unsafe extern \"{abi}\" {{ pub fn {declaration}; }}"
    );
    prototypes::check(&fixture(&text), &facts())
}

#[test]
fn wrong_imports_trip() {
    clean(&prototype(
        "system",
        "StorPortPause(a: PVOID, b: u32) -> u8",
    ));
    trips(
        &prototype("C", "StorPortPause(a: PVOID, b: u32) -> u8"),
        "stdcall on i686",
    );
    let cases = [
        ("StorPortPausee(a: PVOID)", "no measured prototype"),
        (
            "StorPortPause(a: PVOID) -> u8",
            "1 parameters here, 2 measured",
        ),
        (
            "StorPortPause(a: u32, b: PVOID) -> u8",
            "parameter 1 is Integer(4)",
        ),
        (
            "StorPortPause(a: PVOID, b: u16) -> u8",
            "parameter 2 is Integer(2)",
        ),
        (
            "StorPortPause(a: PVOID, b: u32) -> u32",
            "returns Integer(4)",
        ),
        ("StorPortPause(a: PVOID, b: u32)", "returns Void"),
        (
            "StorPortIssueDpc(a: PVOID, b: PVOID, c: PVOID, d: PVOID) -> u8",
            "is inline",
        ),
    ];
    for (declaration, complaint) in cases {
        let complaints = prototype("system", declaration);
        assert!(
            complaints.iter().any(|it| it.contains(complaint)),
            "{declaration}: {complaints:#?}"
        );
    }
    trips(
        &prototype("C", "StorPortNotification(a: i32, b: PVOID)"),
        "variadic: false here, true measured",
    );
    clean(&prototype(
        "C",
        "StorPortNotification(a: i32, b: PVOID, ...)",
    ));
    // On i686 the width of a pointer-sized integer matters, and the name must be undecorated.
    let text = format!(
        "{LINK}unsafe extern \"system\" {{ pub fn KeBugCheckEx(a: u32, b: u64, c: usize, d: usize, e: usize); }}"
    );
    trips(
        &prototypes::check(&fixture(&text), &facts()),
        "[4, 8, 4, 4, 4] bytes on i686",
    );
    let text = text
        .replace("b: u64", "b: usize")
        .replace(", import_name_type = \"undecorated\"", "");
    trips(&prototypes::check(&fixture(&text), &facts()), "undecorated");
    let text = format!(
        "{LINK}unsafe extern \"system\" {{ pub fn KeReleaseSpinLockFromDpcLevel(a: *mut usize); }}"
    );
    trips(
        &prototypes::check(&fixture(&text), &facts()),
        "does not exist on i686",
    );
}

#[test]
fn wrong_callbacks_trip() {
    let right = "pub type PVOID = *mut c_void; pub struct SCSI_REQUEST_BLOCK { pub Length: u16 } pub struct STOR_DPC { pub \
                 Lock: usize }\npub type HW_STARTIO = unsafe extern \"system\" fn(a: PVOID, b: *mut SCSI_REQUEST_BLOCK) -> u8;";
    let check = |text: &str| prototypes::check(&fixture(text), &facts());
    clean(&check(right));
    trips(
        &check(&right.replace("*mut SCSI_REQUEST_BLOCK", "*mut STOR_DPC")),
        "parameter 2 is Pointer(Some(\"STOR_DPC\"))",
    );
    trips(
        &check(&right.replace("\"system\"", "\"C\"")),
        "stdcall on i686",
    );
    trips(
        &check(&right.replace("HW_STARTIO", "HW_STARTIOO")),
        "no measured callback",
    );
    assert!(!check(&right.replace("-> u8", "-> u32")).is_empty());
}

#[test]
fn wrong_import_rows_trip() {
    let facts = facts();
    let row = |name: &str, first: &str, evidence: &str| {
        let text = format!(
            "[[import]]\ndll = \"ntoskrnl.exe\"\nname = \"{name}\"\nfirst = \"{first}\"\nevidence = \"{evidence}\""
        );
        imports::check(&imports::parse(&text).unwrap(), &Source::default(), &facts)
    };
    clean(&row(
        "KeQueryActiveProcessorCountEx",
        "Windows 7",
        "exports.json",
    ));
    trips(
        &row(
            "KeQueryActiveProcessorCountEx",
            "Windows Vista",
            "exports.json",
        ),
        "exports.json says Some(\"Windows 7\")",
    );
    trips(
        &row("KeQueryActiveProcessorCountEx", "Windows 7", " "),
        "no evidence",
    );
    trips(
        &row("KeQueryActiveProcessorCountEx", "Windows 10 1703", "x"),
        "later than Windows 10 1607",
    );
    trips(
        &row("ExAllocatePool2", "Windows 10 1607", "x"),
        "later than Windows 10 1607",
    );
    trips(
        &row("NoSuchExport", "Windows 7", "x"),
        "exports.json does not have it",
    );
    trips(
        &imports::check(
            &[],
            &fixture(&format!(
                "{LINK}unsafe extern \"C\" {{ fn StorPortBusy(); }}"
            )),
            &facts,
        ),
        "has no row",
    );
    let twice = imports::Row {
        dll: "storport.sys".into(),
        name: "StorPortBusy".into(),
        first: "Windows XP".into(),
        evidence: "exports.json".into(),
    };
    trips(
        &imports::check(&[twice.clone(), twice], &Source::default(), &facts),
        "stands twice",
    );
}

#[test]
fn wrong_variadic_calls_trip() {
    let facts = facts();
    let check = |call: &str| {
        calls::check(
            &calls::find(&format!("fn f() {{ {call}; }}")).unwrap(),
            &facts,
        )
    };
    clean(&check(
        "StorPortNotification(ReleaseSpinLock, extension, handle)",
    ));
    trips(
        &check("StorPortNotification(ReleaseSpinLock, extension)"),
        "1 arguments after the code, measured 2",
    );
    trips(
        &check("StorPortExtendedFunction(ReleaseSpinLock, extension, handle)"),
        "belongs to StorPortNotification",
    );
    trips(
        &check("StorPortNotification(code, extension)"),
        "no wrapper of Microsoft's uses this code",
    );
}

#[test]
fn source_that_no_checker_covers_is_refused() {
    for text in [
        "pub enum X { A }",
        "pub union X { a: u8 }",
        "pub struct X(u8);",
        "pub const X: u8 = 1; pub const X: u8 = 1;",
        "unsafe extern \"C\" { fn f(); }",
    ] {
        assert!(Source::default().add(text).is_err(), "{text}");
    }
}
