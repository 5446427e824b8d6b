//! Control flow guard and the security cookie.

use host_machine::cpu;
use host_machine::fault::FaultKind;

use crate::host::{self, call, faulting_call};

#[test]
fn functions_and_imports_may_be_called() {
    let image = host::load();
    assert!(image.guard.functions > 3, "{:?}", image.guard);
    assert!(
        image.guard.check || image.guard.dispatch,
        "{:?}",
        image.guard
    );
    assert_eq!(call(&image, "table", &[0, 1]), 8);
    assert_eq!(call(&image, "table", &[1, 1]), !1);
    // HostClobber takes nothing and returns 1.
    assert_eq!(
        call(&image, "call_pointer", &[cpu::import_stub(2) as u64, 0]),
        2
    );
    let other = host::load();
    let table = other.export("yield_n").expect("export") as u64;
    assert_eq!(call(&image, "call_pointer", &[table, 0]), 1);
}

#[test]
fn a_checked_call_keeps_its_arguments() {
    let (image, other) = (host::load(), host::load());
    let expected = (1..=12).fold(0_u64, |sum, value| sum.wrapping_mul(31).wrapping_add(value));
    for target in [image.export("twelve"), other.export("twelve")] {
        assert_eq!(
            call(&image, "call_twelve", &[target.expect("export") as u64]),
            expected
        );
    }
}

/// Compilers for x64 use the dispatch pointer, older ones this.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_check_pointer_changes_no_argument() {
    let (image, other) = (host::load(), host::load());
    let own = image.export("twelve").expect("export") as u64;
    let foreign = other.export("twelve").expect("export") as u64;
    for target in [own, foreign, cpu::import_stub(3) as u64] {
        assert_eq!(call(&image, "check", &[target]), 0);
    }
    let fault = faulting_call(&image, "check", &[own + 1]);
    assert_eq!(
        (fault.kind, fault.address),
        (FaultKind::CfgViolation, own as usize + 1)
    );
}

#[test]
fn other_addresses_may_not() {
    let image = host::load();
    let inside = call(&image, "inside", &[]);
    let page = image.base as u64;
    for target in [
        inside,
        0,
        page,
        0x1000,
        u64::MAX,
        cpu::import_stub(2) as u64 + 1,
        main_address(),
    ] {
        let fault = faulting_call(&image, "call_pointer", &[target, 0]);
        assert_eq!(
            (fault.kind, fault.address),
            (FaultKind::CfgViolation, target as usize),
            "{fault}"
        );
        let caller = image.export("call_pointer").expect("export");
        assert!(
            (caller..caller + 64).contains(&fault.pc),
            "{}",
            image.describe(fault.pc)
        );
    }
    let gone = host::load();
    let target = gone.export("yield_n").expect("export") as u64;
    drop(gone);
    assert_eq!(
        faulting_call(&image, "call_pointer", &[target, 0]).kind,
        FaultKind::CfgViolation
    );
}

/// A function of the host that no driver may call.
fn main_address() -> u64 {
    main_address as *const () as u64
}

#[test]
fn the_security_cookie_is_random() {
    let (first, second) = (host::load(), host::load());
    assert!(first.guard.cookie);
    let cookies = [call(&first, "cookie", &[]), call(&second, "cookie", &[])];
    assert_ne!(cookies[0], cookies[1]);
    assert!(
        cookies
            .iter()
            .all(|&cookie| cookie != 0x2b99_2ddf_a232 && cookie >> 48 == 0),
        "{cookies:x?}"
    );
}
