//! Calls in both directions.

use host_machine::cpu;

use crate::host::{self, call};

#[test]
fn arguments_and_results_pass() {
    let image = host::load();
    let args: Vec<u64> = (1..=12).map(|n| n * 0x0101_0101_0101).collect();
    let expected = args.iter().fold(0_u64, |sum, value| {
        sum.wrapping_mul(31).wrapping_add(*value)
    });
    assert_eq!(call(&image, "twelve", &args), expected);
    let mut object = 0_u64;
    assert_eq!(
        cpu::call(image.entry, &[(&raw mut object) as u64, 0x77]) as u32,
        0x1234
    );
    assert_eq!(object, 0x77);
}

#[test]
fn imports_see_every_argument() {
    let image = host::load();
    assert_eq!(call(&image, "ten", &[]), 0x0123_4567_89ab_cdef);
    let seen = host::ARGUMENTS.take();
    let narrowed = [
        seen[0],
        seen[1] & 0xffff_ffff,
        seen[2] & 0xffff,
        seen[3] & 0xff,
        seen[4],
        seen[5] & 0xffff_ffff,
        seen[6] & 0xffff,
        seen[7] & 0xff,
        seen[8],
        seen[9],
    ];
    assert_eq!(
        narrowed,
        [1 << 40, 2, 3, 4, 5 << 40, 6, 7, 8, -9_i64 as u64, 10]
    );
    let caller = host::CALLERS.take()[0];
    let ten = image.export("ten").expect("export");
    assert!(
        (ten..ten + 256).contains(&caller),
        "{}",
        image.describe(caller)
    );
}

#[test]
fn variable_arguments_look_like_any_other() {
    let image = host::load();
    assert_eq!(call(&image, "print", &[0xfeed_face_dead_beef]), 7);
    let seen = host::ARGUMENTS.take();
    let text = |at: u64| {
        // SAFETY: what the driver passes as a string is a C string in its image.
        unsafe { std::ffi::CStr::from_ptr(at as *const _) }.to_string_lossy()
    };
    assert_eq!(text(seen[0]), "format");
    assert_eq!(seen[1] as u32, 1);
    assert_eq!(seen[2] as i64, -2);
    assert_eq!(text(seen[3]), "text");
    assert_eq!(seen[4], 0xfeed_face_dead_beef);
    assert_eq!((seen[5] as u32, seen[6], seen[7] as u32), (5, 6, 7));
}

#[test]
fn an_import_preserves_what_a_windows_function_preserves() {
    let image = host::load();
    cpu::set_processor_region(0x0123_4567);
    assert_eq!(call(&image, "preserved", &[]), 0);
}

#[test]
fn the_host_can_call_the_driver_in_an_import() {
    let image = host::load();
    assert_eq!(call(&image, "table", &[2, 20]), (1..=20).sum::<u64>() + 1);
}

#[test]
fn variables_are_bound() {
    let image = host::load();
    assert_eq!(call(&image, "variable", &[]), 0xcafe_f00d);
}

#[test]
fn the_processor_region_belongs_to_the_fiber() {
    let image = host::load();
    let regions: [Box<[u64; 2]>; 2] = [Box::new([5, 6]), Box::new([7, 8])];
    let set = |region: &[u64; 2]| cpu::set_processor_region(region.as_ptr() as usize);
    set(&regions[0]);
    assert_eq!(call(&image, "region", &[8]), 6);
    let region = image.export("region").expect("export");
    let yield_n = image.export("yield_n").expect("export");
    let own = regions[1].as_ptr() as usize;
    let mut fiber = host_machine::fiber::Fiber::new(
        8192,
        Box::new(move || {
            cpu::set_processor_region(own);
            cpu::call(yield_n, &[1]);
            assert_eq!(cpu::call(region, &[8]), 8);
        }),
    );
    fiber.resume();
    assert_eq!(call(&image, "region", &[8]), 6);
    fiber.resume();
    assert_eq!(call(&image, "region", &[0]), 5);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_irql_register_is_answered() {
    use std::cell::Cell;
    thread_local! { static IRQL: Cell<u8> = const { Cell::new(3) }; }
    let image = host::load();
    cpu::set_irql_register(|| IRQL.get(), |irql| IRQL.set(irql));
    assert_eq!(call(&image, "task_priority", &[9]), 0x0309);
    assert_eq!(IRQL.get(), 9);
}
