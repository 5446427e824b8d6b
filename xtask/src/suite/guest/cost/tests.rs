use super::*;

const WORK: Work = Work::Compared(Who::Vioblk, 32);

const FINE: Cost = Cost {
    operations: OPERATIONS,
    kicks: OPERATIONS,
    interrupts: 150,
    arrived: 145,
};

#[test]
fn what_is_plainly_broken_fails() {
    assert!(FINE.judge(WORK).is_ok());
    let broken = [
        Cost {
            operations: OPERATIONS - 1,
            ..FINE
        },
        Cost {
            operations: OPERATIONS + 1,
            ..FINE
        },
        Cost { kicks: 0, ..FINE },
        Cost {
            kicks: OPERATIONS + 1,
            ..FINE
        },
        Cost {
            interrupts: 0,
            ..FINE
        },
        Cost {
            interrupts: OPERATIONS + 1,
            ..FINE
        },
        Cost { arrived: 0, ..FINE },
        Cost {
            arrived: 150 + UNDER_WAY + 1,
            ..FINE
        },
    ];
    for cost in broken {
        assert!(cost.judge(WORK).is_err(), "{cost:?}");
    }
    assert!(Cost::default().judge(Work::Verified).is_err());
    assert!(FINE.judge(Work::Verified).is_ok());
    // Wrong data that nobody complained of.
    assert!(FINE.judge(Work::Spoilt(Who::Linux)).is_err());
}

#[test]
fn events_are_told_apart() {
    let trace = "virtio_queue_notify vdev 0x1 n 0 vq 0x2\n\
                 virtio_notify vdev 0x1 vq 0x2\n\
                 virtio_notify_irqfd vdev 0x1 vq 0x2\n\
                 virtio_notify_irqfd vdev 0x1 vq 0x2\n\
                 virtio_notify_irqfd_deferred_fn vdev 0x1 vq 0x2\n";
    let counted = count(trace, 7);
    assert_eq!(
        (counted.kicks, counted.interrupts, counted.arrived),
        (1, 2, 7)
    );
}

#[test]
fn the_table_has_both_side_by_side() {
    let step = |who| Step {
        disk: 0,
        work: Work::Compared(who, 32),
    };
    let theirs = Cost {
        kicks: OPERATIONS / 2,
        ..FINE
    };
    let found = [
        (step(Who::Vioblk), Ok(FINE)),
        (step(Who::Linux), Ok(theirs)),
    ];
    let table = table(&found);
    let row = "| each kick by itself | 32 | 1.000 | 0.500 | 0.150 | 0.150 | 0.145 | 0.145 |";
    assert!(table.contains(row), "{table}");
}
