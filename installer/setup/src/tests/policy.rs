//! Every state in which Windows can be.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::bcd::NextStart;
use crate::policy::{
    Candidate, Class, CodeIntegrity, Firmware, SecureBoot, judge, may_remove, secure_boot,
};

/// Every combination of readings.
fn states() -> Vec<CodeIntegrity> {
    let mut states = Vec::new();
    for test_signing in [None, Some(false), Some(true)] {
        for next_start in [
            NextStart::Unknown,
            NextStart::Refuses("{A}".to_string()),
            NextStart::Allows,
        ] {
            for secure_boot in [SecureBoot::On, SecureBoot::Off, SecureBoot::Unknown] {
                for server in [None, Some(false), Some(true)] {
                    states.push(CodeIntegrity {
                        test_signing,
                        next_start: next_start.clone(),
                        secure_boot,
                        server,
                    });
                }
            }
        }
    }
    states
}

fn boot_driver(class: Class) -> Candidate {
    Candidate {
        class,
        boot_start: true,
        attestation_on_server: false,
    }
}

#[test]
fn a_test_signed_boot_driver_needs_all_three() {
    for state in states() {
        let loads = state.test_signing == Some(true)
            && state.next_start == NextStart::Allows
            && state.secure_boot == SecureBoot::Off;
        assert_eq!(
            judge(boot_driver(Class::Test), &state).is_ok(),
            loads,
            "{state:?}"
        );
        assert!(judge(boot_driver(Class::Whcp), &state).is_ok());
        // A driver that starts later cannot keep Windows from starting.
        for class in [Class::Test, Class::Attestation, Class::Whcp] {
            let later = Candidate {
                boot_start: false,
                ..boot_driver(class)
            };
            assert!(judge(later, &state).is_ok());
        }
    }
}

#[test]
fn an_attestation_signature_is_for_clients() {
    for state in states() {
        let candidate = boot_driver(Class::Attestation);
        let client = state.server == Some(false);
        assert_eq!(judge(candidate, &state).is_ok(), client, "{state:?}");
        let accepted = Candidate {
            attestation_on_server: true,
            ..candidate
        };
        assert!(judge(accepted, &state).is_ok());
        // That says nothing about test signatures.
        let test = Candidate {
            class: Class::Test,
            ..accepted
        };
        assert_eq!(
            judge(test, &state),
            judge(boot_driver(Class::Test), &state),
            "{state:?}"
        );
    }
}

#[test]
fn at_best_refuses_only_what_was_read() {
    for state in states() {
        let known = state.test_signing == Some(false)
            || matches!(state.next_start, NextStart::Refuses(_))
            || state.secure_boot == SecureBoot::On;
        let test = judge(boot_driver(Class::Test), &state.clone().at_best());
        assert_eq!(test.is_err(), known, "{state:?}");
        let server = state.server == Some(true);
        let attested = judge(boot_driver(Class::Attestation), &state.clone().at_best());
        assert_eq!(attested.is_err(), server, "{state:?}");
    }
}

#[test]
fn the_refusal_names_every_reason() {
    let message = |test_signing, next_start, secure_boot| {
        let state = CodeIntegrity {
            test_signing,
            next_start,
            secure_boot,
            server: Some(false),
        };
        judge(boot_driver(Class::Test), &state)
            .unwrap_err()
            .to_string()
    };
    let off = || NextStart::Refuses("{A}".to_string());
    let all = message(Some(false), off(), SecureBoot::On);
    for part in [
        "bcdedit /set testsigning on",
        "bcdedit /set {A} testsigning on",
        "Secure Boot is on",
    ] {
        assert!(all.contains(part), "{all}");
    }
    let one = message(Some(true), NextStart::Allows, SecureBoot::On);
    assert!(!one.contains("bcdedit") && one.contains("Secure Boot is on"));
    let next = message(Some(true), off(), SecureBoot::Off);
    assert!(next.contains("{A}") && !next.contains("restart)") && !next.contains("Secure Boot"));
    let nothing = message(None, NextStart::Unknown, SecureBoot::Unknown);
    for part in [
        "does not say",
        "BCD00000000",
        "neither Windows nor the firmware",
    ] {
        assert!(nothing.contains(part), "{nothing}");
    }
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
