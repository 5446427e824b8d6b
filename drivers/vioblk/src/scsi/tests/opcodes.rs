use super::*;

#[test]
fn the_list_of_commands_is_what_is_decoded() {
    let all = reply(&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    let len = u32::from_be_bytes(all[..4].try_into().unwrap()) as usize;
    assert_eq!(all.len(), len + 4);
    let listed: Vec<(u8, u8)> = all[4..].chunks(8).map(|one| (one[0], one[3])).collect();
    for operation in 0..=255u8 {
        for action in 0..32u8 {
            let mut cdb = [0; 16];
            cdb[0] = operation;
            let acts = matches!(operation, 0x9e | 0xa3);
            if acts {
                cdb[1] = action;
            } else if action > 0 {
                continue;
            }
            // Fields may be wrong in a command of zeroes; its operation code is not.
            let known = decode(&cdb) != Err(Sense::INVALID_OPCODE)
                && (!acts || decode(&cdb) != Err(Sense::INVALID_FIELD));
            assert_eq!(
                listed.contains(&(operation, action)),
                known,
                "{operation:x} {action:x}"
            );
        }
    }
    for one in all[4..].chunks(8) {
        assert_eq!(one[5], u8::from(one[3] != 0));
        // What the usage data says has as many bytes as the command.
        let asked = [0xa3, 0x0c, 3, one[0], 0, one[3], 0, 0, 1, 0, 0, 0];
        let usage = reply(&asked);
        assert_eq!((usage[1], usize::from(usage[3])), (3, usage.len() - 4));
        assert_eq!(usage[3], one[7]);
        assert_eq!(usage[4], one[0]);
        let group = [6, 10, 10, 0, 16, 12, 0, 0][usize::from(one[0] >> 5)];
        assert_eq!(one[7], group);
    }
}

#[test]
fn commands_and_flags_that_the_device_cannot_do_are_not_listed() {
    let plain = Unit {
        config: &PLAIN,
        ..unit()
    };
    let keeps = Config {
        zeroes_unmap: false,
        ..CONFIG
    };
    let keeps = Unit {
        config: &keeps,
        ..unit()
    };
    let all = |unit: &Unit<'_>| reply_on(unit, &[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(all(&plain).len() + 8, all(&unit()).len());
    assert!(all(&plain)[4..].chunks(8).all(|one| one[0] != 0x42));
    let one = |unit: &Unit<'_>, operation| {
        reply_on(unit, &[0xa3, 0x0c, 1, operation, 0, 0, 0, 0, 1, 0, 0, 0])
    };
    assert_eq!((one(&plain, 0x42)[1], one(&keeps, 0x42)[1]), (1, 3));
    for (operation, flags) in [(0x41, [0, 0, 8]), (0x93, [0, 1, 9])] {
        let told = [&plain, &keeps, &unit()].map(|unit| one(unit, operation)[5]);
        assert_eq!(told, flags, "{operation:x}");
    }
}

#[test]
fn one_command_at_a_time() {
    let ask = |how: u8, operation: u8, action: u8| {
        let cdb = [0xa3, 0x0c, how, operation, 0, action, 0, 0, 1, 0, 0, 0];
        run_with(&unit(), &cdb, None, 256)
    };
    let supported = |(plan, reply): (Result<Plan, Sense>, Vec<u8>)| {
        plan.map(|plan| {
            assert_eq!(plan, Plan::Reply);
            reply[1] == 3
        })
    };
    assert_eq!(supported(ask(1, 0x42, 0)), Ok(true));
    assert_eq!(supported(ask(1, 0x5e, 0)), Ok(false));
    assert_eq!(supported(ask(1, 0x9e, 0x10)), Err(Sense::INVALID_FIELD));
    assert_eq!(supported(ask(2, 0x9e, 0x10)), Ok(true));
    assert_eq!(supported(ask(2, 0x9e, 0x12)), Ok(false));
    assert_eq!(supported(ask(2, 0x42, 0)), Err(Sense::INVALID_FIELD));
    assert_eq!(supported(ask(3, 0x42, 0)), Ok(true));
    assert_eq!(supported(ask(3, 0x9e, 0x12)), Ok(false));
    assert_eq!(supported(ask(4, 0x42, 0)), Err(Sense::INVALID_FIELD));
    // Timeouts are not known.
    assert_eq!(supported(ask(0x83, 0x42, 0)), Err(Sense::INVALID_FIELD));
}
