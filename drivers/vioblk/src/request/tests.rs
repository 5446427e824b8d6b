use super::*;

const OPERATIONS: [Operation; 10] = [
    Operation::Read,
    Operation::Write {
        force_unit_access: false,
    },
    Operation::Write {
        force_unit_access: true,
    },
    Operation::Flush { stop: false },
    Operation::Identify,
    Operation::Lifetime,
    Operation::Discard,
    Operation::Zero { unmap: true },
    Operation::Repeat,
    Operation::Verify,
];

fn judge(operation: Operation, status: u8, written: u32) -> Outcome {
    Request::new(operation, 0, 4096).judge(RequestStatus(status), written)
}

#[test]
fn only_status_0_is_success() {
    for operation in OPERATIONS {
        for status in 1..=255 {
            assert!(
                matches!(judge(operation, status, 4097), Outcome::Failed(_)),
                "{operation:?} {status}"
            );
        }
        assert_eq!(judge(operation, 0, 4097), Outcome::Done);
    }
}

#[test]
fn a_status_that_the_device_did_not_write_is_a_failure() {
    assert_eq!(
        judge(
            Operation::Write {
                force_unit_access: false
            },
            NO_STATUS,
            0
        ),
        Outcome::Failed(Sense::TARGET_FAILURE)
    );
}

#[test]
fn errors_name_the_direction() {
    assert_eq!(
        judge(Operation::Read, 1, 1),
        Outcome::Failed(Sense::READ_ERROR)
    );
    assert_eq!(
        judge(
            Operation::Write {
                force_unit_access: true
            },
            1,
            1
        ),
        Outcome::Failed(Sense::WRITE_ERROR)
    );
    assert_eq!(
        judge(Operation::Flush { stop: true }, 1, 1),
        Outcome::Failed(Sense::WRITE_ERROR)
    );
    assert_eq!(
        judge(Operation::Read, 2, 1),
        Outcome::Failed(Sense::TARGET_FAILURE)
    );
}

#[test]
fn what_the_device_does_not_do_after_all_is_no_failure_of_its_own() {
    for (operation, sense) in [
        (Operation::Identify, Sense::INVALID_OPCODE),
        (Operation::Lifetime, Sense::INVALID_OPCODE),
        (Operation::Discard, Sense::INVALID_OPCODE),
        (Operation::Zero { unmap: false }, Sense::INVALID_FIELD),
        (Operation::Flush { stop: false }, Sense::TARGET_FAILURE),
        (Operation::Repeat, Sense::TARGET_FAILURE),
    ] {
        assert_eq!(judge(operation, 2, 1), Outcome::Failed(sense));
    }
}

#[test]
fn short_reads_are_no_success() {
    for written in [0, 1, 512, 4095] {
        assert_eq!(
            judge(Operation::Read, 0, written),
            Outcome::Failed(Sense::TARGET_FAILURE)
        );
    }
    // A whole read of 4096 bytes is 4097 with the status byte, which not every device counts.
    for written in [4096, 4097] {
        assert_eq!(judge(Operation::Read, 0, written), Outcome::Done);
    }
    // Answers were cleared beforehand, so the device may fill in as little as it likes, or not count it.
    for written in [0, 12, 20, 21] {
        assert_eq!(judge(Operation::Identify, 0, written), Outcome::Done);
    }
    // Of a write the device fills in the status only, and that was checked by its value.
    assert_eq!(
        judge(
            Operation::Write {
                force_unit_access: false
            },
            0,
            0
        ),
        Outcome::Done
    );
}

#[test]
fn the_flush_after_a_write_is_judged_as_a_flush() {
    let mut request = Request::new(
        Operation::Write {
            force_unit_access: true,
        },
        7,
        4096,
    );
    request.parts = 3;
    assert_eq!(request.chain_len(), 5);
    assert_eq!(
        (
            request.header().request_type.get(),
            request.header().sector.get()
        ),
        (1, 7)
    );
    request.stage = Stage::Flush;
    assert_eq!(request.chain_len(), 2);
    assert_eq!(
        (
            request.header().request_type.get(),
            request.header().sector.get()
        ),
        (4, 0)
    );
    assert_eq!(
        request.judge(RequestStatus::IOERR, 1),
        Outcome::Failed(Sense::WRITE_ERROR)
    );
}

#[test]
fn headers_say_what_is_wanted() {
    let kinds: Vec<u32> = OPERATIONS
        .map(|o| Request::new(o, 9, 512).header().request_type.get())
        .to_vec();
    assert_eq!(kinds, [0, 1, 1, 4, 8, 10, 11, 13, 1, 0]);
}
