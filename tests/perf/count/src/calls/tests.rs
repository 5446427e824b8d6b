use std::arch::global_asm;
use std::hint::black_box;

use perf_marker::{Area, begin, calls, end, entry, image, watch};

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
}

global_asm!(
    ".globl image_start, image_end, image_outer, image_inner, image_tail",
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
