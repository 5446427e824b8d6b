use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::testing::{expect, expect_fatal, import, on_cpu, start};
use crate::{callback, guest, kernel, pool, shutdown};

/// Machine code in memory of its own, registered as an image.
struct Code {
    base: usize,
}

const PAGE: usize = 4096;

impl Code {
    fn new(words: &[u32]) -> Code {
        // SAFETY: a new private mapping, at an address of the system's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        guest::write(base as usize, &bytes);
        // SAFETY: the mapping was made above and nothing else uses it.
        let result = unsafe { libc::mprotect(base, PAGE, libc::PROT_READ | libc::PROT_EXEC) };
        assert_eq!(result, 0);
        add_image("bad.sys", base as usize, PAGE);
        Code {
            base: base as usize,
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no code of it runs any more.
        unsafe { libc::munmap(self.base as *mut _, PAGE) };
    }
}

#[cfg(target_arch = "x86_64")]
mod code {
    /// `mov eax, [rcx]; ret`
    pub const LOAD: &[u32] = &[0x00c3_018b];
    /// `mov [rcx], eax; ret`
    pub const STORE: &[u32] = &[0x00c3_0189];
    /// `movzx eax, byte gs:[184h]; ret`
    pub const CPU: &[u32] = &[0x04b6_0f65, 0x0001_8425, 0x0000_c300];
    /// `ud2`
    pub const ILLEGAL: &[u32] = &[0x0000_0b0f];
    /// `int 29h`
    pub const FAST_FAIL: &[u32] = &[0x0000_29cd];
    /// `sub rsp, 7008h; mov [rsp+20h], rcx; call [rcx]; add rsp, 7008h; ret`
    pub const DEEP: &[u32] = &[
        0x08ec_8148,
        0x4800_0070,
        0x2024_4c89,
        0x8148_11ff,
        0x0070_08c4,
        0x0000_c300,
    ];
}

#[cfg(target_arch = "aarch64")]
mod code {
    /// `ldr w0, [x0]; ret`
    pub const LOAD: &[u32] = &[0xb940_0000, 0xd65f_03c0];
    /// `str w1, [x0]; ret`
    pub const STORE: &[u32] = &[0xb900_0001, 0xd65f_03c0];
    /// `ldrb w0, [x18, #0x980]; ret`
    pub const CPU: &[u32] = &[0x3966_0240, 0xd65f_03c0];
    /// `udf #0`
    pub const ILLEGAL: &[u32] = &[0];
    /// `brk #0xf003`
    pub const FAST_FAIL: &[u32] = &[0xd43e_0060];
}

fn run(words: &'static [u32], argument: usize) -> u64 {
    let code = Code::new(words);
    callback::call("CALLBACK", code.base, &[argument as u64])
}

fn last(report: &crate::Report) -> &Violation {
    report.violations.last().expect("one was recorded")
}

#[test]
fn driver_code_runs_and_returns() {
    start(1);
    let value = Box::leak(Box::new(0x1234_5678_u32));
    let address = std::ptr::from_mut(value) as usize;
    assert_eq!(
        on_cpu(move || run(code::LOAD, address)).expect("it returns") as u32,
        0x1234_5678
    );
    expect(&[]);
}

#[test]
fn inlined_processor_numbers_follow_the_thread() {
    start(3);
    let found = on_cpu(|| {
        let first = run(code::CPU, 0);
        crate::sched::migrate(2);
        (first, run(code::CPU, 0))
    });
    assert_eq!(found.expect("it returns"), (0, 2));
}

#[test]
fn wild_accesses_name_the_driver_and_end_the_run() {
    start(1);
    let report = expect_fatal(ACCESS_VIOLATION, || drop_result(run(code::LOAD, 0x10)));
    assert_eq!(last(&report).who, "bad.sys+0x0", "{report}");
    assert_eq!(last(&report).callback, Some("CALLBACK"));
    start(1);
    expect_fatal(ACCESS_VIOLATION, || {
        drop_result(run(code::STORE, 0x8000_0000_0000_0010))
    });
}

fn drop_result(_: u64) {}

#[test]
fn accesses_to_dead_pool_memory_are_explained() {
    start(1);
    let report = expect_fatal(POOL_USE_AFTER_FREE, || {
        let at = pool::alloc(u32::from_le_bytes(*b"Dead"), 64, pool::Kind::NonPaged);
        pool::free(at, None);
        run(code::LOAD, at + 8);
    });
    assert!(last(&report).what.contains("'Dead'"), "{report}");
    assert_eq!(last(&report).who, "bad.sys+0x0");
}

#[test]
fn other_owners_of_memory_explain_first() {
    const MINE: Rule = Rule::new("mine", "memory of mine is not touched");
    start(1);
    add_explainer(Box::new(|address| {
        (address == 0x20).then(|| (MINE, "the owner said so".to_owned()))
    }));
    let report = expect_fatal(MINE, || drop_result(run(code::LOAD, 0x20)));
    assert!(
        last(&report).what.ends_with("the owner said so"),
        "{report}"
    );
}

#[test]
fn the_processors_refusals() {
    start(1);
    expect_fatal(ILLEGAL_INSTRUCTION, || drop_result(run(code::ILLEGAL, 0)));
    start(1);
    expect_fatal(FAST_FAIL, || drop_result(run(code::FAST_FAIL, 2)));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_routine_that_uses_more_than_a_kernel_stack() {
    use host_machine::cpu;
    use host_machine::image::Binding;
    start(1);
    on_cpu(|| {
        let Binding::Function(id) = crate::export::resolve("ntoskrnl.exe", "KeGetCurrentIrql")
        else {
            panic!("it is a function")
        };
        let target = Box::leak(Box::new(cpu::import_stub(id)));
        run(code::DEEP, std::ptr::from_mut(target) as usize);
    })
    .expect("it goes on");
    expect(&[STACK_DEPTH]);
}

#[test]
fn pointers_that_the_kernel_cannot_use_name_the_import() {
    start(1);
    let report = expect_fatal(BAD_POINTER, || {
        import("KeInitializeEvent", &[0x30, 0, 0]);
    });
    assert!(
        last(&report).who.contains("in KeInitializeEvent"),
        "{report}"
    );
}

#[test]
fn calls_at_the_wrong_irql() {
    start(1);
    on_cpu(|| {
        crate::sched::at_irql(2, || import("RtlIsNtDdiVersionAvailable", &[0x0a00_0000]));
        crate::sched::at_irql(5, || import("ExAllocatePool2", &[0x40, 8, 0x2020_2020]));
        import("KeAcquireSpinLockAtDpcLevel", &[0x7000]);
    })
    .expect_err("the last touches the lock");
    let rules: Vec<&str> = violations().iter().map(|v| v.rule).collect();
    assert_eq!(
        rules
            .iter()
            .filter(|rule| **rule == IRQL_OF_CALL.id)
            .count(),
        3,
        "{rules:?}"
    );
}

#[test]
fn bug_checks_and_unknown_exports_end_the_run() {
    start(1);
    let report = expect_fatal(BUGCHECK, || {
        import("KeBugCheckEx", &[0xd1, 1, 2, 3, 4]);
    });
    assert!(
        last(&report)
            .what
            .contains("stop 0xd1 (0x1, 0x2, 0x3, 0x4)"),
        "{report}"
    );
    start(1);
    let report = expect_fatal(UNKNOWN_EXPORT, || {
        import("NtMakeCoffee", &[]);
    });
    assert!(last(&report).what.contains("NtMakeCoffee"), "{report}");
}

#[test]
fn the_same_breach_is_counted() {
    start(1);
    on_cpu(|| (0..100_000).for_each(|_| violate(LOCK_ORDER, "again".to_owned())))
        .expect("it goes on");
    assert_eq!(violations().len(), 1);
    assert_eq!(violations()[0].count, 100_000);
    (0..2 * MOST).for_each(|i| violate(LOCK_ORDER, format!("breach {i}")));
    assert_eq!(violations().len(), MOST);
    assert_eq!(beyond(), MOST as u64 + 1);
}

#[test]
fn the_report_says_everything_in_text_and_json() {
    start(1);
    on_cpu(|| {
        import("DbgPrint", &[c"value %d\n".as_ptr() as u64, 42]);
        kernel::count("kicks", 3);
        violate(LOCK_ORDER, "out of order".to_owned());
        assert_ne!(
            pool::alloc(u32::from_le_bytes(*b"Left"), 5, pool::Kind::NonPaged),
            0
        );
    })
    .expect("it ends");
    let report = shutdown();
    assert!(!report.is_clean());
    assert_eq!(report.debug_output, ["value 42"]);
    assert_eq!(
        (report.counters["kicks"], report.imports["DbgPrint"]),
        (3, 1)
    );
    let text = report.to_string();
    assert!(
        text.contains("lock-order") && text.contains("'Left' of 5 bytes"),
        "{text}"
    );
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!(json["violations"][0]["rule"], "lock-order");
}

#[test]
fn rule_names_are_unique() {
    let mut ids: Vec<&str> = ALL.iter().map(|rule| rule.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ALL.len());
}

#[test]
fn a_fault_on_one_cpu_stops_all() {
    start(2);
    let log = Rc::new(RefCell::new(0));
    let count = Rc::clone(&log);
    crate::sched::spawn(
        1,
        "other",
        Box::new(move || {
            loop {
                *count.borrow_mut() += 1;
                crate::sched::preempt();
            }
        }),
    );
    on_cpu(|| drop_result(run(code::ILLEGAL, 0))).expect_err("it stops");
    let before = *log.borrow();
    on_cpu(|| ()).expect_err("it stays stopped");
    assert_eq!(*log.borrow(), before);
}
