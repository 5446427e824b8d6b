//! Device registers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use host_machine::cpu;
use host_machine::fault::FaultKind;
use host_machine::fiber::{self, Fiber, State};
use host_machine::mmio::{self, Access, Window};

use crate::host::{self, call, faulting_call};

const LEN: usize = 4096;

/// A device whose registers are memory, and the accesses it saw.
struct Registers {
    bytes: Rc<RefCell<Vec<u8>>>,
    seen: Rc<RefCell<Vec<Access>>>,
    window: Window,
}

fn registers() -> Registers {
    let bytes = Rc::new(RefCell::new(vec![0_u8; LEN]));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (own, log) = (bytes.clone(), seen.clone());
    let window = mmio::map(
        LEN,
        Box::new(move |access| {
            log.borrow_mut().push(access);
            let range = access.offset..access.offset + access.width as usize;
            let mut value = [0; 8];
            if let Some(new) = access.write {
                own.borrow_mut()[range]
                    .copy_from_slice(&new.to_le_bytes()[..access.width as usize]);
            } else {
                value[..access.width as usize].copy_from_slice(&own.borrow()[range]);
            }
            // What is beyond the width must not matter.
            u64::from_le_bytes(value)
                | if access.width == 8 {
                    0
                } else {
                    u64::MAX << (8 * access.width)
                }
        }),
    );
    Registers {
        bytes,
        seen,
        window,
    }
}

/// Ordinary memory with the alignment of a window.
fn memory() -> Vec<u128> {
    vec![0; LEN / 16]
}

#[test]
fn every_access_does_what_it_does_to_memory() {
    let image = host::load();
    let registers = registers();
    cpu::set_after_mmio(host::clobber);
    let mut plain = memory();
    let expected = call(&image, "access_all", &[plain.as_mut_ptr() as u64]);
    let before = mmio::traps();
    let answer = call(&image, "access_all", &[registers.window.va() as u64]);
    assert!(mmio::traps() - before > 30);
    let plain: Vec<u8> = plain.iter().flat_map(|word| word.to_le_bytes()).collect();
    let device = registers.bytes.borrow();
    let differs = plain.iter().zip(device.iter()).position(|(a, b)| a != b);
    assert_eq!(
        differs,
        None,
        "memory {:x?}\ndevice {:x?}",
        &plain[..256],
        &device[..256]
    );
    assert_eq!(answer, expected);
}

#[test]
fn an_access_has_the_width_of_the_instruction() {
    let image = host::load();
    let registers = registers();
    let va = registers.window.va() as u64;
    call(&image, "write_to", &[va + 0x14, 0x1234_5678]);
    call(&image, "ring", &[va + 0x30, 1]);
    assert_eq!(call(&image, "read_from", &[va + 0x14]), 0x1234_5678);
    let seen = registers.seen.take();
    assert_eq!(
        seen,
        [
            Access {
                offset: 0x14,
                width: 4,
                write: Some(0x1234_5678)
            },
            Access {
                offset: 0x30,
                width: 2,
                write: Some(0)
            },
            Access {
                offset: 0x14,
                width: 4,
                write: None
            },
        ]
    );
}

#[test]
fn nothing_beyond_the_window_is_the_device() {
    let image = host::load();
    let window = mmio::map(0x38, Box::new(|_| 0));
    let va = window.va() as usize;
    assert_eq!(call(&image, "read_from", &[va as u64 + 0x34]), 0);
    for bad in [va + 0x38, va + 0x1000, va - 4] {
        let fault = faulting_call(&image, "read_from", &[bad as u64]);
        assert_eq!((fault.kind, fault.address), (FaultKind::Read, bad));
    }
    assert_eq!(
        faulting_call(&image, "write_to", &[va as u64 + 0x36, 0]).kind,
        FaultKind::Write
    );
    drop(window);
    assert_eq!(
        faulting_call(&image, "read_from", &[va as u64]).kind,
        FaultKind::Read
    );
}

#[test]
fn the_host_reads_registers_directly_and_by_pointer() {
    host::load();
    let registers = registers();
    let va = registers.window.va();
    assert_eq!(mmio::access(va as usize + 4, 2, Some(0x1_abcd)), Some(0));
    assert_eq!(mmio::access(va as usize + 4, 4, None), Some(0xabcd));
    assert_eq!(mmio::access(va as usize + LEN - 1, 2, None), None);
    let register = va.wrapping_add(4).cast::<u16>();
    // SAFETY: a trap answers.
    let value = unsafe { register.read_volatile() };
    assert_eq!(value, 0xabcd);
}

#[test]
fn driver_code_is_preempted_after_an_access() {
    thread_local! { static TURNS: Cell<u32> = const { Cell::new(0) }; }
    let image = host::load();
    let registers = registers();
    let va = registers.window.va() as u64;
    registers.bytes.borrow_mut()[0x40] = 3;
    cpu::set_after_mmio(|| {
        TURNS.set(TURNS.get() + 1);
        host::clobber();
        if fiber::is_running() {
            fiber::suspend();
        }
    });
    let poll = image.export("poll").expect("export");
    let access_all = image.export("access_all").expect("export");
    let sum = Rc::new(Cell::new(0));
    let (own, result) = (sum.clone(), Rc::new(Cell::new(0)));
    let other = result.clone();
    let mut fibers = [
        Fiber::new(
            8192,
            Box::new(move || own.set(cpu::call(poll, &[va + 0x40, 100]))),
        ),
        Fiber::new(
            8192,
            Box::new(move || other.set(cpu::call(access_all, &[va + 0x800]))),
        ),
    ];
    let mut alive = [true, true];
    while alive.contains(&true) {
        for (fiber, alive) in fibers.iter_mut().zip(&mut alive) {
            *alive = *alive && fiber.resume() == State::Suspended;
        }
    }
    assert_eq!(sum.get(), 300);
    assert_eq!(
        result.get(),
        call(&image, "access_all", &[memory().as_mut_ptr() as u64])
    );
    assert!(TURNS.get() > 130);
}

#[test]
fn the_driver_can_be_called_after_an_access() {
    thread_local! { static NEGATE: Cell<usize> = const { Cell::new(0) }; }
    let image = host::load();
    let registers = registers();
    NEGATE.set(image.export("table").expect("export"));
    cpu::set_after_mmio(|| assert_eq!(cpu::call(NEGATE.get(), &[1, 0]), u64::MAX));
    assert_eq!(call(&image, "poll", &[registers.window.va() as u64, 10]), 0);
}

#[test]
fn addresses_of_the_kernel_can_be_claimed() {
    let image = host::load();
    // Where Windows has its shared data page.
    let shared: u64 = 0xffff_f780_0000_0000;
    assert_eq!(
        faulting_call(&image, "read_from", &[shared + 0x320]).kind,
        FaultKind::Read
    );
    let window = mmio::claim(
        shared as usize,
        0x1000,
        Box::new(|access| access.offset as u64 + 1),
    );
    assert_eq!(call(&image, "read_from", &[shared + 0x320]), 0x321);
    drop(window);
    let fault = faulting_call(&image, "read_from", &[shared + 0x320]);
    assert_eq!(
        (fault.kind, fault.address),
        (FaultKind::Read, shared as usize + 0x320)
    );
}
