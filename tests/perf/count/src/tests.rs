//! Counts of stretches whose every instruction is known.

use std::arch::asm;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use perf_marker::{Area, Kind, begin, end, watch, watch_function};

use crate::{CountError, Counts, Limits, Report, count, count_program};

/// Counts one stretch of phase 1.
fn counted(work: impl FnOnce()) -> Counts {
    let report = count(Limits::default(), work).unwrap();
    let phase = report.phase(1).unwrap();
    assert_eq!(phase.stretches, 1);
    phase.total
}

/// Cache-line aligned memory that nothing else shares a line with.
#[repr(C, align(64))]
struct Lines([u8; 256]);

impl Lines {
    fn new() -> Self {
        Self([0; 256])
    }
}

#[test]
fn every_instruction_between_the_markers_counts_and_no_other() {
    for (nops, work) in [
        (0, (|| begin::<1>()) as fn()),
        (7, || {
            begin::<1>();
            // SAFETY: no-operations.
            unsafe { asm!("nop", "nop", "nop", "nop", "nop", "nop", "nop") };
        }),
    ] {
        let counts = counted(|| {
            work();
            end::<1>();
        });
        // The closure returns from `work` in between, unless that was inlined.
        let returned = counts.instructions - nops;
        assert!(returned <= 3, "{counts:?}");
    }
    let exact = counted(|| {
        begin::<1>();
        // SAFETY: no-operations.
        unsafe { asm!("nop", "nop", "nop") };
        end::<1>();
    });
    let expected = Counts {
        instructions: 3,
        ..Counts::default()
    };
    assert_eq!(exact, expected);
}

#[test]
fn full_fences_are_mfence_lock_and_exchange_with_memory() {
    let mut word = 0u64;
    let at = &raw mut word;
    let counts = counted(|| {
        begin::<1>();
        // SAFETY: all accesses go to `word`.
        unsafe {
            asm!(
                "mfence",
                "lock add qword ptr [{at}], 1",
                "xchg qword ptr [{at}], {value}",
                "lock xadd qword ptr [{at}], {value}",
                // None of these.
                "lfence",
                "sfence",
                "xchg {value}, {other}",
                "add qword ptr [{at}], 1",
                at = in(reg) at,
                value = inout(reg) 1u64 => _,
                other = inout(reg) 2u64 => _,
            );
        }
        end::<1>();
    });
    assert_eq!(counts.full_fences, 4);
}

#[test]
fn accesses_count_by_who_writes_the_line() {
    let (mut device, mut driver) = (Lines::new(), Lines::new());
    let (device, driver) = (&raw mut device, &raw mut driver);
    let counts = counted(|| {
        // One byte makes the whole line the device's.
        watch(Area::Device, device.cast(), 1);
        watch(Area::Device, device.cast::<u8>().wrapping_add(64), 64);
        watch(Area::Driver, driver.cast(), 128);
        // A line of both is the device's.
        watch(Area::Device, driver.cast::<u8>().wrapping_add(100), 4);
        begin::<1>();
        // SAFETY: all accesses lie within the two.
        unsafe {
            asm!(
                "mov {t}, qword ptr [{device} + 40]", // device: a load
                "mov {t}, qword ptr [{device} + 60]", // device: one load, two lines
                "mov {t}, qword ptr [{device} + 128]", // not watched
                "mov qword ptr [{driver} + 8], {t}",  // driver: a store
                "add qword ptr [{driver} + 8], 1",    // driver: a load and a store
                "mov dword ptr [{driver} + 64], 1",   // device: a store, a line
                "lea {t}, [{device}]",                // nothing
                device = in(reg) device,
                driver = in(reg) driver,
                t = out(reg) _,
            );
        }
        end::<1>();
    });
    let expected = Counts {
        instructions: 7,
        device_loads: 2,
        device_stores: 1,
        device_lines: 3,
        driver_loads: 1,
        driver_stores: 2,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn registers_count_to_the_byte() {
    let mut page = Lines::new();
    let page = &raw mut page;
    let counts = counted(|| {
        watch(Area::Registers, page.cast::<u8>().wrapping_add(16), 2);
        begin::<1>();
        // SAFETY: all accesses lie within the page.
        unsafe {
            asm!(
                "mov word ptr [{page} + 16], 3",
                "mov word ptr [{page} + 18], 3", // just behind
                "mov {t:e}, dword ptr [{page} + 14]", // overlaps
                page = in(reg) page,
                t = out(reg) _,
            );
        }
        end::<1>();
    });
    assert_eq!((counts.register_writes, counts.register_reads), (1, 1));
}

#[test]
fn a_repeating_instruction_counts_once_and_its_elements_each() {
    let (source, mut target) = (Lines::new(), Lines::new());
    let (source, target) = (&raw const source, &raw mut target);
    for len in [0u64, 1, 100] {
        let counts = counted(|| {
            watch(Area::Device, source.cast(), 256);
            watch(Area::Driver, target.cast(), 256);
            begin::<1>();
            // SAFETY: both are longer than `len`.
            unsafe {
                asm!("rep movsb", inout("rcx") len => _, inout("rsi") source => _, inout("rdi") target => _);
            }
            end::<1>();
        });
        assert_eq!(
            (counts.device_loads, counts.driver_stores),
            (len, len),
            "{len}"
        );
        // Operands may have to be moved to their registers.
        assert!((1..=4).contains(&counts.instructions), "{counts:?}");
    }
}

#[inline(never)]
extern "C" fn called(value: u64) -> u64 {
    black_box(value) + 1
}

#[test]
fn entries_of_a_watched_function_count() {
    let counts = counted(|| {
        watch_function(Kind::Heap, called as *const u8);
        begin::<1>();
        for value in 0..5 {
            black_box(called(value));
        }
        end::<1>();
    });
    assert_eq!(counts.heap_calls, 5);
}

#[test]
fn system_calls_count_as_one_instruction() {
    let counts = counted(|| {
        begin::<1>();
        // SAFETY: the call has no operands.
        unsafe {
            asm!("syscall", inout("rax") libc::SYS_getppid => _, out("rcx") _, out("r11") _);
        }
        end::<1>();
    });
    assert_eq!(counts.system_calls, 1);
    assert!(counts.instructions <= 3, "{counts:?}");
}

/// Skips the undefined instruction, as an emulator that has done its work.
extern "C" fn skip(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    for _ in 0..100 {
        black_box(context);
    }
    // SAFETY: the kernel handed over the interrupted context.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    registers[libc::REG_RIP as usize] += 2;
}

#[test]
fn a_signal_handler_does_not_count_and_what_it_emulates_counts_once() {
    let counts = counted(|| {
        // SAFETY: zero is a valid `sigaction`.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = skip as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: the handler is sound for the one instruction that raises the signal.
        unsafe { libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()) };
        begin::<1>();
        // SAFETY: the handler skips the undefined instruction.
        unsafe { asm!("nop", "ud2", "nop") };
        end::<1>();
    });
    assert_eq!(counts.instructions, 3);
}

/// Copies by the C library and formatting; no heap, as its state is the parent's at the moment of the fork.
fn mixed() {
    for round in 0..3usize {
        begin::<1>();
        let source = black_box([b'x'; 3000]);
        let mut target = [0; 3000];
        target[..1000 + round].copy_from_slice(&source[..1000 + round]);
        let written = writeln!(&mut black_box(&mut target)[..], "{round} {}", source[round]);
        assert!(black_box(written).is_ok());
        end::<1>();
        begin::<2>();
        black_box(round);
        end::<2>();
    }
}

#[test]
fn two_counts_are_equal() {
    let run = || count(Limits::default(), mixed).unwrap();
    let first = run();
    assert_eq!(first, run());
    let phase = first.phase(1).unwrap();
    assert_eq!(phase.stretches, 3);
    assert!(phase.total.instructions > 100, "{phase:?}");
    let within = phase.least.instructions * 3..=phase.most.instructions * 3;
    assert!(within.contains(&phase.total.instructions));
    assert_eq!(first.phase(2).unwrap().stretches, 3);
    assert_eq!(first.phase(3), None);
}

#[test]
fn a_listing_names_the_instructions() {
    let limits = Limits {
        listing: Some((1, 1)),
        ..Limits::default()
    };
    let report = count(limits, || {
        begin::<1>();
        end::<1>();
        begin::<1>();
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        end::<1>();
    })
    .unwrap();
    let total = report.phase(1).unwrap().total;
    assert_eq!(report.listing.len() as u64, total.instructions);
    assert!(!report.listing.is_empty());
}

fn failing(limits: Limits, work: impl FnOnce()) -> CountError {
    count(limits, work).unwrap_err()
}

#[test]
fn what_goes_wrong_is_said() {
    let limits = Limits::default();
    let error = failing(limits, || panic!("shown on standard error"));
    assert!(matches!(error, CountError::Exit { code: 101 }), "{error}");

    let error = failing(limits, || std::process::abort());
    assert!(
        matches!(
            error,
            CountError::Signal {
                signal: libc::SIGABRT,
                ..
            }
        ),
        "{error}"
    );

    let few = Limits {
        steps: 1000,
        ..limits
    };
    let error = failing(few, || {
        begin::<1>();
        loop {
            black_box(0);
        }
    });
    assert!(
        matches!(error, CountError::Steps { limit: 1000 }),
        "{error}"
    );

    let short = Limits {
        deadline: Duration::from_secs(1),
        ..limits
    };
    let error = failing(short, || std::thread::sleep(Duration::from_secs(100)));
    assert!(
        matches!(error, CountError::Deadline { seconds: 1 }),
        "{error}"
    );

    // SAFETY: the counting parent takes the breakpoint.
    let error = failing(limits, || unsafe { asm!("int3") });
    assert!(matches!(error, CountError::Marker { .. }), "{error}");
    let error = failing(limits, end::<1>);
    assert!(matches!(error, CountError::Marker { .. }), "{error}");
    let error = failing(limits, || {
        begin::<1>();
        begin::<2>();
    });
    assert!(matches!(error, CountError::Marker { .. }), "{error}");
}

#[test]
fn programs_are_started_and_their_ends_told() {
    let run = |program: &str| count_program(Limits::default(), Path::new(program), &[]);
    assert_eq!(run("/bin/true").unwrap(), Report::default());
    assert!(matches!(
        run("/bin/false"),
        Err(CountError::Exit { code: 1 })
    ));
    assert!(matches!(run("/no/such"), Err(CountError::Start(_))));
}
