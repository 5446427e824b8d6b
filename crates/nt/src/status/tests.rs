//! Statuses as ntstatus.h numbers them.

use super::Status;

#[test]
fn every_number_survives_the_round_trip() {
    for raw in [
        0,
        0x103,
        0x4000_0000,
        0x8000_0005_u32 as i32,
        0xC000_0001_u32 as i32,
        0xC000_0059_u32 as i32,
        -1,
    ] {
        assert_eq!(Status::from(raw).to_raw(), raw);
    }
    assert_eq!(
        Status::from(0xC000_0059_u32 as i32),
        Status::RevisionMismatch
    );
}

#[test]
fn success_and_information_are_success_warnings_and_errors_are_not() {
    assert!(
        Status::Success.is_success()
            && Status::Other(0x103).is_success()
            && Status::Other(0x4000_0000).is_success()
    );
    assert!(
        !Status::Other(0x8000_0005_u32 as i32).is_success() && !Status::Unsuccessful.is_success()
    );
}
