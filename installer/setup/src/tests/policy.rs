//! Every state in which Windows can be.

use alloc::format;

use crate::policy::{Class, CodeIntegrity, Firmware, SecureBoot, judge, may_remove, secure_boot};

#[test]
fn a_test_signed_boot_driver_needs_both() {
    for test_signing in [None, Some(false), Some(true)] {
        for secure_boot in [SecureBoot::On, SecureBoot::Off, SecureBoot::Unknown] {
            let state = CodeIntegrity {
                test_signing,
                secure_boot,
            };
            let loads = test_signing == Some(true) && secure_boot == SecureBoot::Off;
            assert_eq!(judge(Class::Test, true, state).is_ok(), loads, "{state:?}");
            // Neither can keep Windows from starting.
            assert!(judge(Class::Test, false, state).is_ok());
            for class in [Class::Attestation, Class::Whcp] {
                assert!(judge(class, true, state).is_ok());
            }
        }
    }
}

#[test]
fn the_refusal_names_every_reason() {
    let message = |test_signing, secure_boot| {
        let state = CodeIntegrity {
            test_signing,
            secure_boot,
        };
        format!("{}", judge(Class::Test, true, state).unwrap_err())
    };
    let both = message(Some(false), SecureBoot::On);
    assert!(both.contains("bcdedit /set testsigning on") && both.contains("Secure Boot is on"));
    let one = message(Some(true), SecureBoot::On);
    assert!(!one.contains("bcdedit") && one.contains("Secure Boot is on"));
    assert!(message(None, SecureBoot::Unknown).contains("neither Windows nor the firmware"));
    assert!(message(None, SecureBoot::Off).contains("does not say"));
}

#[test]
fn the_stricter_reading_of_secure_boot_counts() {
    use Firmware::{Bios, Unreadable, Variable};
    for (noted, firmware, expected) in [
        (Some(1), Variable(1), SecureBoot::On),
        (Some(0), Variable(1), SecureBoot::On),
        (Some(1), Variable(0), SecureBoot::On),
        (Some(1), Bios, SecureBoot::On),
        (None, Variable(1), SecureBoot::On),
        (Some(0), Variable(0), SecureBoot::Off),
        (Some(0), Unreadable, SecureBoot::Off),
        (None, Variable(0), SecureBoot::Off),
        (None, Bios, SecureBoot::Off),
        (None, Unreadable, SecureBoot::Unknown),
    ] {
        assert_eq!(
            secure_boot(noted, firmware),
            expected,
            "{noted:?} {firmware:?}"
        );
    }
}

#[test]
fn classes_have_names() {
    for class in [Class::Test, Class::Attestation, Class::Whcp] {
        assert_eq!(class.name().parse(), Ok(class));
    }
    assert!("Test".parse::<Class>().is_err());
}

#[test]
fn only_a_used_boot_driver_stays() {
    assert!(!may_remove(true, 1));
    assert!(may_remove(true, 0));
    assert!(may_remove(false, 3));
}
