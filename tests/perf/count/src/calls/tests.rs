use std::arch::global_asm;
use std::hint::black_box;

use perf_marker::{Area, Kind, begin, calls, end, entry, image, watch, watch_function};

use crate::{CountError, Counts, Limits, Report, count};

unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
    /// Stores through `memory`, calls `outside` with `argument`, stores again. 12 instructions.
    fn image_outer(memory: *mut u64, outside: extern "C" fn(u64), argument: u64);
    /// Two instructions.
    fn image_inner();
    /// Jumps to `outside` instead of calling it: one instruction.
    fn image_tail(outside: extern "C" fn(u64));
    /// Two locked instructions on `memory`, one fence.
    fn image_locks(memory: *mut u64);
    /// Clears `memory` in three ways, 16 bytes at a time, with gaps, and stores zeros that are numbers.
    fn image_clear(memory: *mut u64);
}

global_asm!(
    ".globl image_start, image_end, image_outer, image_inner, image_tail, image_locks, image_clear",
    "image_start:",
    "image_outer:",
    "push rbx",
    "mov rbx, rdi",
    "lock add qword ptr [rdi], 1",
    "lock or dword ptr [rsp], 0",
    "mov [rsp - 8], rdi",
    "mov rdi, rdx",
    "call rsi",
    "mov qword ptr [rbx + 8], 0",
    "mov byte ptr [rbx + 64], 1",
    "mfence",
    "pop rbx",
    "ret",
    "image_inner:",
    "nop",
    "ret",
    "image_tail:",
    "jmp rdi",
    "image_locks:",
    "lock add qword ptr [rdi], 1",
    "lock add qword ptr [rdi], 1",
    "mfence",
    "ret",
    "image_clear:",
    // Numbers: 8 bytes and 4, not next to each other; 12 next to each other.
    "mov qword ptr [rdi + 8], 0",
    "mov dword ptr [rdi + 24], 0",
    "mov dword ptr [rdi + 28], 0",
    "mov dword ptr [rdi + 32], 0",
    // At once.
    "pxor xmm0, xmm0",
    "movdqu [rdi + 40], xmm0",
    // Downwards.
    "mov qword ptr [rdi + 72], 0",
    "mov qword ptr [rdi + 64], 0",
    // Byte by byte, with something else stored in between.
    "mov rdx, rdi",
    "add rdi, 88",
    "mov ecx, 15",
    "xor eax, eax",
    "rep stosb",
    "mov qword ptr [rdx], 1",
    "mov byte ptr [rdi], 0",
    "ret",
    "image_end:",
);

const OUTER: u8 = 1;
const INNER: u8 = 2;

/// Cache-line aligned.
#[repr(C, align(64))]
struct Lines([u64; 16]);

extern "C" fn nothing(times: u64) {
    for _ in 0..times {
        black_box(0);
    }
}

extern "C" fn ignore(_: u64) {}

extern "C" fn again(_: u64) {
    // SAFETY: only returns.
    unsafe { image_inner() };
    // Not a jump: the call returns here.
    black_box(0);
}

fn address(of: unsafe extern "C" fn()) -> *const u8 {
    of as *const u8
}

/// Counts what `work` calls.
fn counted(work: impl FnOnce()) -> Result<Report, CountError> {
    count(Limits::default(), || {
        let (start, end) = (&raw const image_start, &raw const image_end);
        image(start, end.addr() - start.addr());
        entry(image_outer as *const u8, OUTER);
        entry(image_tail as *const u8, OUTER);
        entry(image_locks as *const u8, OUTER);
        entry(image_clear as *const u8, OUTER);
        entry(address(image_inner), INNER);
        work();
    })
}

fn outer(memory: &mut Lines, outside: extern "C" fn(u64), argument: u64) {
    // SAFETY: it writes to the first nine words only, and `outside` is called as it wants to be.
    unsafe { image_outer(memory.0.as_mut_ptr(), outside, argument) };
}

#[test]
fn only_what_runs_in_the_image_counts() {
    let expected = Counts {
        instructions: 12,
        full_fences: 3,
        // The one on the stack only fences, and so does `mfence`.
        locked: 1,
        fences: 2,
        // Two words; the byte lies in memory that is watched, the third word on the stack.
        bytes_written: 16,
        // The second of them.
        bytes_zeroed: 8,
        driver_stores: 1,
        calls_out: 1,
        ..Counts::default()
    };
    for work in [0, 1000] {
        let report = counted(|| {
            let mut memory = Box::new(Lines([0; 16]));
            watch(Area::Driver, (&raw const memory.0[8]).cast(), 1);
            // Before and after: not counted.
            outer(&mut memory, nothing, work);
            calls(true);
            outer(&mut memory, nothing, work);
            calls(false);
            outer(&mut memory, nothing, work);
            assert_eq!(memory.0[0], 3);
        });
        let phase = *report.unwrap().phase(OUTER).unwrap();
        assert_eq!((phase.stretches, phase.total), (1, expected), "{work}");
    }
}

#[test]
fn calls_within_calls_count_for_themselves() {
    let report = counted(|| {
        let mut memory = Lines([0; 16]);
        calls(true);
        for _ in 0..3 {
            outer(&mut memory, again, 0);
        }
        calls(false);
    })
    .unwrap();
    let (outer, inner) = (report.phase(OUTER).unwrap(), report.phase(INNER).unwrap());
    assert_eq!((outer.stretches, outer.total.instructions), (3, 36));
    assert_eq!((inner.stretches, inner.total.instructions), (3, 6));
}

#[test]
fn watched_functions_count_when_the_image_enters_them() {
    for (kind, of) in [
        (Kind::Heap, [1, 0, 0]),
        (Kind::Lock, [0, 1, 0]),
        (Kind::Address, [0, 0, 1]),
    ] {
        let report = counted(|| {
            watch_function(kind, ignore as *const u8);
            let mut memory = Lines([0; 16]);
            calls(true);
            // Called, jumped to, and not entered at all.
            outer(&mut memory, ignore, 0);
            // SAFETY: `ignore` returns here.
            unsafe { image_tail(ignore) };
            outer(&mut memory, nothing, 0);
            // Whoever else calls it is not counted.
            ignore(black_box(0));
            calls(false);
        });
        let phase = *report.unwrap().phase(OUTER).unwrap();
        let counted = |counts: Counts| [counts.heap_calls, counts.lock_calls, counts.address_calls];
        assert_eq!(counted(phase.total), of.map(|one| 2 * one), "{kind:?}");
        assert_eq!(counted(phase.most), of, "{kind:?}");
        assert_eq!(counted(phase.least), [0; 3], "{kind:?}");
        assert_eq!(phase.total.calls_out, 3);
    }
}

#[test]
fn the_most_fences_are_those_of_one_call() {
    let report = counted(|| {
        let mut memory = Box::new(Lines([0; 16]));
        calls(true);
        // One fence and two locked instructions; then two and one.
        // SAFETY: it writes to the first word only.
        unsafe { image_locks(memory.0.as_mut_ptr()) };
        outer(&mut memory, ignore, 0);
        calls(false);
    });
    let phase = *report.unwrap().phase(OUTER).unwrap();
    assert_eq!((phase.total.fences, phase.total.locked), (3, 3));
    assert_eq!((phase.most.full_fences, phase.most.locked), (3, 2));
    assert_eq!((phase.least.fences, phase.most.fences), (1, 2));
}

#[test]
fn runs_of_zeros_are_told_from_numbers() {
    let report = counted(|| {
        let mut memory = Box::new(Lines([7; 16]));
        calls(true);
        // SAFETY: it writes to the first 104 bytes only.
        unsafe { image_clear(memory.0.as_mut_ptr()) };
        calls(false);
        assert_eq!(memory.0[11..14], [0, 0, 7]);
    });
    let total = report.unwrap().phase(OUTER).unwrap().total;
    assert_eq!(total.bytes_written, 8 + 12 + 16 + 16 + 16 + 8);
    assert_eq!(total.bytes_zeroed, 8 + 12 + 16 + 16 + 16);
    assert_eq!(total.bytes_cleared, 16 + 16 + 16);
}

#[test]
fn a_jump_out_of_the_image_ends_the_call() {
    let report = counted(|| {
        calls(true);
        // SAFETY: `ignore` returns here.
        unsafe { image_tail(ignore) };
        calls(false);
    })
    .unwrap();
    let total = report.phase(OUTER).unwrap().total;
    assert_eq!((total.instructions, total.calls_out), (1, 1));
}

#[test]
fn counting_may_not_end_while_a_call_is_under_way() {
    extern "C" fn stop(_: u64) {
        calls(false);
    }
    let ended = counted(|| {
        calls(true);
        outer(&mut Lines([0; 16]), stop, 0);
    });
    assert!(matches!(ended, Err(CountError::Marker { .. })), "{ended:?}");
    let without_image = count(Limits::default(), || calls(true));
    assert!(matches!(without_image, Err(CountError::Marker { .. })));
    // Stretches between markers are as they were.
    let report = count(Limits::default(), || {
        begin::<3>();
        end::<3>();
    });
    assert_eq!(report.unwrap().phase(3).unwrap().total, Counts::default());
}
