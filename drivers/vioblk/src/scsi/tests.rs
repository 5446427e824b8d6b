use super::*;
use crate::config::{Config, RangeLimits, Topology};
use crate::identity::Place;
use virtio_core::spec::blk::ID_LEN;

mod opcodes;
mod parameters;

const GIB: u64 = 1 << 30;

static CONFIG: Config = Config {
    block_size: 512,
    blocks: GIB / 512,
    size_max: None,
    seg_max: None,
    topology: Topology {
        physical_block_exp: 3,
        alignment_offset: 1,
        min_io_size: 8,
        opt_io_size: 64,
    },
    queues: 1,
    discard: Some(RangeLimits {
        blocks: 1000,
        segments: 4,
        alignment: 8,
    }),
    write_zeroes: Some(RangeLimits {
        blocks: 100,
        segments: 2,
        alignment: 8,
    }),
    zeroes_unmap: true,
    lifetime: true,
    cache_mode: true,
};

/// Takes nothing that is optional, in blocks of 4 KiB.
static PLAIN: Config = Config {
    block_size: 4096,
    discard: None,
    write_zeroes: None,
    zeroes_unmap: false,
    lifetime: false,
    cache_mode: false,
    ..CONFIG
};

fn unit() -> Unit<'static> {
    Unit {
        config: &CONFIG,
        blocks: GIB / 512,
        max_transfer: 1 << 20,
        read_only: false,
        flushes: true,
        write_cache: true,
        stopped: false,
        place: Place { bus: 0, slot: 4 },
    }
}

fn serial() -> Serial {
    let mut id = [0; ID_LEN];
    id[..4].copy_from_slice(b"S123");
    Serial::new(&id)
}

/// Plans a command whose data buffer has so many bytes.
fn run_with(
    unit: &Unit<'_>,
    cdb: &[u8],
    serial: Option<&Serial>,
    available: usize,
) -> (Result<Plan, Sense>, Vec<u8>) {
    let mut reply = Reply::EMPTY;
    let data = vec![0; available];
    let plan = decode(cdb).and_then(|command| plan(&command, unit, serial, &data, &mut reply));
    (plan, reply.bytes().to_vec())
}

fn run_on(unit: &Unit<'_>, cdb: &[u8]) -> Result<Plan, Sense> {
    run_with(unit, cdb, Some(&serial()), 1 << 20).0
}

fn reply_on(unit: &Unit<'_>, cdb: &[u8]) -> Vec<u8> {
    match run_with(unit, cdb, Some(&serial()), 1 << 20) {
        (Ok(Plan::Reply), reply) => reply,
        other => panic!("{cdb:02x?}: {other:?}"),
    }
}

fn reply(cdb: &[u8]) -> Vec<u8> {
    reply_on(&unit(), cdb)
}

fn sense(cdb: &[u8]) -> Sense {
    run_on(&unit(), cdb).unwrap_err()
}

/// READ or WRITE (16).
fn cdb16(operation: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = operation;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

#[test]
fn every_form_of_read_and_write_finds_its_blocks() {
    let extent = |lba, blocks| Extent { lba, blocks };
    let expect = [
        (vec![0x08, 0x12, 0x34, 0x56, 0x08, 0], extent(0x12_3456, 8)),
        (vec![0x08, 0x1f, 0xff, 0xff, 0, 0], extent(0x1f_ffff, 256)),
        (
            vec![0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0],
            extent(0x0102_0304, 0x0506),
        ),
        (
            vec![0xa8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0],
            extent(0x0102_0304, 0x0506_0708),
        ),
        (
            vec![0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0],
            extent(0x0102_0304_0506_0708, 0x090a_0b0c),
        ),
    ];
    for (mut cdb, extent) in expect {
        assert_eq!(decode(&cdb), Ok(Command::Read(extent)));
        cdb[0] += 2;
        let write = |force_unit_access| Command::Write {
            extent,
            force_unit_access,
        };
        assert_eq!(decode(&cdb), Ok(write(false)));
        if cdb.len() > 6 {
            cdb[1] = 0x08;
            assert_eq!(decode(&cdb), Ok(write(true)));
        }
    }
}

#[test]
fn protected_reads_and_naca_are_refused() {
    assert_eq!(
        decode(&[0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0]),
        Err(Sense::INVALID_FIELD)
    );
    assert_eq!(
        decode(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4]),
        Err(Sense::INVALID_FIELD)
    );
    assert_eq!(decode(&[0x00, 0, 0, 0, 0, 4]), Err(Sense::INVALID_FIELD));
}

#[test]
fn a_command_that_is_cut_short_is_refused() {
    assert_eq!(decode(&[]), Err(Sense::INVALID_OPCODE));
    for whole in [
        vec![0x12; 6],
        vec![0x28; 10],
        vec![0xa8; 12],
        vec![0x88; 16],
    ] {
        for len in 1..whole.len() {
            assert_eq!(decode(&whole[..len]), Err(Sense::INVALID_FIELD));
        }
    }
}

#[test]
fn unknown_operations_never_succeed() {
    const KNOWN: [u8; 29] = [
        0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x25, 0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42,
        0x4d, 0x55, 0x5a, 0x88, 0x8a, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xaf,
    ];
    for operation in 0..=255u8 {
        let mut cdb = [0; 32];
        cdb[0] = operation;
        let known = KNOWN.contains(&operation);
        assert_eq!(
            decode(&cdb) == Err(Sense::INVALID_OPCODE),
            !known,
            "{operation:02x}"
        );
    }
    // RESERVE and RELEASE, PREVENT ALLOW, WRITE AND VERIFY, COMPARE AND WRITE, PERSISTENT RESERVE IN and OUT, SANITIZE,
    // SECURITY PROTOCOL IN and OUT: nothing is done, so nothing succeeds.
    for operation in [
        0x16, 0x17, 0x56, 0x57, 0x1e, 0x2e, 0x8e, 0x89, 0x5e, 0x5f, 0x48, 0xa2, 0xb5,
    ] {
        assert_eq!(sense(&[operation; 16]), Sense::INVALID_OPCODE);
    }
}

#[test]
fn transfers_are_checked_against_the_disk_and_the_buffer() {
    let unit = Unit {
        config: &PLAIN,
        blocks: 100,
        ..unit()
    };
    let at = |lba, blocks, available| run_with(&unit, &cdb16(0x88, lba, blocks), None, available).0;
    let Ok(Plan::Read(transfer)) = at(99, 1, 4096) else {
        panic!()
    };
    assert_eq!(
        transfer,
        Transfer {
            sector: 99 * 8,
            bytes: 4096
        }
    );
    assert_eq!(at(100, 1, 4096).unwrap_err(), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(at(99, 2, 8192).unwrap_err(), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(at(u64::MAX, 1, 4096).unwrap_err(), Sense::LBA_OUT_OF_RANGE);
    assert_eq!(
        at(u64::MAX, u32::MAX, 4096).unwrap_err(),
        Sense::LBA_OUT_OF_RANGE
    );
    assert_eq!(at(0, 2, 4096).unwrap_err(), Sense::INVALID_FIELD);
    assert!(matches!(at(100, 0, 0), Ok(Plan::Done)));
    assert_eq!(at(101, 0, 0).unwrap_err(), Sense::LBA_OUT_OF_RANGE);

    // A length whose bytes do not fit 32 bits, on a disk that is large enough.
    let huge = Unit {
        blocks: u64::MAX >> 3,
        ..unit
    };
    let command = decode(&cdb16(0x88, 0, 1 << 20)).unwrap();
    assert_eq!(
        plan_transfer(&command, &huge, u32::MAX),
        Some(Err(Sense::INVALID_FIELD))
    );
}

#[test]
fn a_read_only_disk_refuses_every_write() {
    let unit = Unit {
        read_only: true,
        ..unit()
    };
    for cdb in [
        vec![0x0a, 0, 0, 0, 1, 0],
        vec![0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        vec![0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        cdb16(0x8a, 0, 1).to_vec(),
    ] {
        assert_eq!(run_on(&unit, &cdb).unwrap_err(), Sense::WRITE_PROTECTED);
    }
    assert!(matches!(
        run_on(&unit, &cdb16(0x88, 0, 1)),
        Ok(Plan::Read(_))
    ));
    assert_eq!(reply_on(&unit, &[0x1a, 8, 0x3f, 0, 255, 0])[2], 0x90);
}

#[test]
fn force_unit_access_needs_a_flush_only_if_there_is_or_may_be_a_cache() {
    let fixed = Config {
        cache_mode: false,
        ..CONFIG
    };
    // A cache that can be turned on may be on before the device has the write.
    for (config, write_cache, flush) in [
        (&CONFIG, true, true),
        (&CONFIG, false, true),
        (&fixed, true, true),
        (&fixed, false, false),
    ] {
        let unit = Unit {
            config,
            write_cache,
            ..unit()
        };
        let cdb = [0x2a, 0x08, 0, 0, 0, 5, 0, 0, 1, 0];
        match run_on(&unit, &cdb) {
            Ok(Plan::Write {
                force_unit_access, ..
            }) => assert_eq!(force_unit_access, flush),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn caches_are_flushed_where_there_is_one() {
    let cached = unit();
    let uncached = Unit {
        write_cache: false,
        flushes: false,
        ..cached
    };
    let sync = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(run_on(&cached, &sync), Ok(Plan::Flush)));
    assert!(matches!(run_on(&uncached, &sync), Ok(Plan::Done)));
    let stop = [0x1b, 0, 0, 0, 0, 0];
    assert!(matches!(run_on(&cached, &stop), Ok(Plan::FlushAndStop)));
    assert!(matches!(run_on(&uncached, &stop), Ok(Plan::Stop)));
    assert!(matches!(
        run_on(&cached, &[0x1b, 0, 0, 0, 4, 0]),
        Ok(Plan::Stop)
    ));
    assert!(matches!(
        run_on(&cached, &[0x1b, 0, 0, 0, 1, 0]),
        Ok(Plan::Start)
    ));
    assert_eq!(sense(&[0x1b, 0, 0, 0, 2, 0]), Sense::INVALID_FIELD);
    assert_eq!(sense(&[0x1b, 0, 0, 0, 0x20, 0]), Sense::INVALID_FIELD);
    assert_eq!(
        sense(&[0x35, 0, 0xff, 0, 0, 0, 0, 0, 1, 0]),
        Sense::LBA_OUT_OF_RANGE
    );
}

#[test]
fn an_empty_disk_has_no_medium_but_answers() {
    let unit = Unit {
        blocks: 0,
        ..unit()
    };
    for cdb in [
        vec![0x00; 6],
        vec![0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0],
        cdb16(0x88, 0, 1).to_vec(),
        cdb16(0x8a, 0, 1).to_vec(),
    ] {
        assert_eq!(run_on(&unit, &cdb).unwrap_err(), Sense::NO_MEDIUM);
    }
    assert_eq!(reply_on(&unit, &[0x12, 0, 0, 0, 36, 0]).len(), 36);
    assert_eq!(
        reply_on(&unit, &[3, 0, 0, 0, 18, 0])[2..14],
        [2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3a, 0]
    );
}

#[test]
fn a_stopped_disk_must_be_started() {
    let unit = Unit {
        stopped: true,
        ..unit()
    };
    assert_eq!(run_on(&unit, &[0; 6]).unwrap_err(), Sense::STOPPED);
    assert_eq!(
        run_on(&unit, &cdb16(0x88, 0, 1)).unwrap_err(),
        Sense::STOPPED
    );
    assert!(matches!(
        run_on(&unit, &[0x1b, 0, 0, 0, 1, 0]),
        Ok(Plan::Start)
    ));
}

#[test]
fn inquiry() {
    let data = reply(&[0x12, 0, 0, 0, 255, 0]);
    assert_eq!(data.len(), 36);
    assert_eq!(usize::from(data[4]), data.len() - 5);
    assert_eq!(data[..4], [0, 0, 6, 2]);
    assert_eq!(&data[8..36], b"WinPV   virtio-blk disk 0001");
    assert_eq!(reply(&[0x12, 0, 0, 0, 5, 0]).len(), 5);
    assert_eq!(reply(&[0x12, 0, 0, 0, 0, 0]).len(), 0);
    assert_eq!(sense(&[0x12, 0, 0x80, 0, 255, 0]), Sense::INVALID_FIELD);
    assert_eq!(sense(&[0x12, 2, 0, 0, 255, 0]), Sense::INVALID_FIELD);
}

#[test]
fn every_listed_page_exists_and_no_other() {
    let list = reply(&[0x12, 1, 0, 0, 255, 0]);
    assert_eq!(list, [0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]);
    for page in 0..=255u8 {
        let cdb = [0x12, 1, page, 0, 255, 0];
        if list[4..].contains(&page) {
            let data = reply(&cdb);
            assert_eq!(data[1], page);
            assert_eq!(usize::from(data[3]) + 4, data.len(), "{page:02x}");
        } else {
            assert_eq!(sense(&cdb), Sense::INVALID_FIELD);
        }
    }
}

#[test]
fn only_pages_with_the_serial_number_wait_for_it() {
    for page in [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2] {
        let (plan, _) = run_with(&unit(), &[0x12, 1, page, 0, 255, 0], None, 255);
        assert_eq!(plan == Ok(Plan::Identify), page == 0x80 || page == 0x83);
    }
    assert_eq!(reply(&[0x12, 1, 0x80, 0, 255, 0])[4..], *b"S123");
}

#[test]
fn block_limits_say_what_was_promised() {
    let data = reply(&[0x12, 1, 0xb0, 0, 255, 0]);
    assert_eq!(data[6..8], 8u16.to_be_bytes());
    assert_eq!(data[8..12], 2048u32.to_be_bytes());
    assert_eq!(data[12..16], 64u32.to_be_bytes());
}

#[test]
fn capacities() {
    let ten = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let sixteen = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    let data = reply(&ten);
    assert_eq!(data[..4], (2u32 * 1024 * 1024 - 1).to_be_bytes());
    assert_eq!(data[4..], 512u32.to_be_bytes());
    let data = reply(&sixteen);
    assert_eq!(data.len(), 32);
    assert_eq!(data[..8], (2u64 * 1024 * 1024 - 1).to_be_bytes());
    assert_eq!(data[8..12], 512u32.to_be_bytes());
    assert_eq!(data[13..16], [3, 0x80, 1]);

    let huge = Unit {
        blocks: 1 << 40,
        ..unit()
    };
    assert_eq!(reply_on(&huge, &ten)[..4], [0xff; 4]);
    assert_eq!(
        reply_on(&huge, &sixteen)[..8],
        ((1u64 << 40) - 1).to_be_bytes()
    );
    assert_eq!(
        sense(&[0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]),
        Sense::INVALID_FIELD
    );
}

#[test]
fn mode_pages() {
    let six = reply(&[0x1a, 0, 0x08, 0, 255, 0]);
    assert_eq!(six.len(), 4 + 8 + 20);
    assert_eq!(usize::from(six[0]), six.len() - 1);
    assert_eq!(six[1..4], [0, 0x10, 8]);
    assert_eq!(six[4..8], (2u32 * 1024 * 1024).to_be_bytes());
    assert_eq!(six[8..12], 512u32.to_be_bytes());
    assert_eq!(six[12..15], [0x08, 18, 0x04]);

    let ten = reply(&[0x5a, 8, 0x3f, 0, 0, 0, 0, 0, 255, 0]);
    assert_eq!(ten.len(), 8 + 20 + 12);
    assert_eq!(usize::from(ten[1]), ten.len() - 2);
    assert_eq!(ten[2..8], [0, 0x10, 0, 0, 0, 0]);
    assert_eq!(ten[8..11], [0x08, 18, 0x04]);
    // Codes ascend. Of the control page QERR, in byte 3, is what Windows asks for.
    assert_eq!(ten[28..32], [0x0a, 10, 0x02, 0x10]);
    assert_eq!(ten[32..], [0; 8]);
    assert_eq!(reply(&[0x1a, 8, 0x0a, 0, 192, 0])[4..], ten[28..]);
    assert_eq!(
        reply(&[0x1a, 8, 0x4a, 0, 192, 0])[4..],
        [0x0a, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );

    // Changeable: the write cache, where the device can switch it.
    let changeable = [0x1a, 8, 0x48, 0, 255, 0];
    assert_eq!(reply(&changeable)[4..7], [0x08, 18, 4]);
    let fixed = Unit {
        config: &PLAIN,
        ..unit()
    };
    assert_eq!(reply_on(&fixed, &changeable)[4..7], [0x08, 18, 0]);
    assert_eq!(
        sense(&[0x1a, 8, 0xc8, 0, 255, 0]),
        Sense::SAVING_NOT_SUPPORTED
    );
    assert_eq!(sense(&[0x1a, 8, 0x1c, 0, 255, 0]), Sense::INVALID_FIELD);
    assert_eq!(sense(&[0x1a, 8, 0x08, 1, 255, 0]), Sense::INVALID_FIELD);
    assert_eq!(reply(&[0x1a, 8, 0x3f, 0xff, 3, 0]).len(), 3);
    let uncached = Unit {
        write_cache: false,
        ..unit()
    };
    assert_eq!(reply_on(&uncached, &[0x1a, 8, 0x08, 0, 255, 0])[6], 0);
}

#[test]
fn luns_and_sense() {
    let mut cdb = [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
    assert_eq!(
        reply(&cdb),
        [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    cdb[2] = 1;
    assert_eq!(reply(&cdb), [0; 8]);
    cdb[2] = 9;
    assert_eq!(sense(&cdb), Sense::INVALID_FIELD);

    assert_eq!(reply(&[3, 0, 0, 0, 255, 0]), Sense::NONE.encode());
    assert_eq!(reply(&[3, 1, 0, 0, 255, 0]), [0x72, 0, 0, 0, 0, 0, 0, 0]);
    let fixed = Sense::READ_ERROR.encode();
    assert_eq!(
        (fixed[0], fixed[2], fixed[7], fixed[12], fixed[13]),
        (0x70, 3, 10, 0x11, 0)
    );
}
