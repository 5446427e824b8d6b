use super::{FORCED, PLAIN, PlainTransfer, STARTED, WRITES};
use crate::scsi::{Command, decode};

/// Every command of bytes that mean something, of every length up to the longest.
fn each(mut body: impl FnMut(&[u8; 16], usize)) {
    let mut cdb = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0];
    for operation in 0..=255 {
        for flags in [0, 0x08, 0x10, 0x20, 0x80, 0xff] {
            for control in [0, 0x04, 0x40] {
                cdb[0] = operation;
                cdb[1] = flags;
                // Last byte of the form of ten bytes and of that of sixteen.
                cdb[9] = control;
                cdb[15] = control;
                for len in 0..=cdb.len() {
                    body(&cdb, len);
                }
            }
        }
    }
}

#[test]
fn plain_transfers_are_what_the_long_way_makes_of_them() {
    for look in [0, WRITES, FORCED, WRITES | FORCED] {
        let mut plain = 0;
        each(|cdb, len| {
            let found = PlainTransfer::new(cdb, PLAIN | STARTED | look, len as u8);
            let Some(found) = found else { return };
            plain += 1;
            let (lba, blocks) = (found.extent.lba, found.extent.blocks);
            assert_eq!(Some(found.end), lba.checked_add(blocks.into()), "{cdb:x?}");
            let decoded = decode(&cdb[..len]);
            let forced = match decoded {
                Ok(Command::Write {
                    extent,
                    force_unit_access,
                }) => {
                    assert!(found.write && found.extent == extent, "{cdb:x?}");
                    force_unit_access
                }
                Ok(Command::Read(extent)) => {
                    assert!(!found.write && found.extent == extent, "{cdb:x?}");
                    false
                }
                other => panic!("{cdb:x?}: {other:?}"),
            };
            assert!(look & WRITES == 0 || !found.write, "{cdb:x?}");
            assert!(look & FORCED == 0 || !forced, "{cdb:x?}");
        });
        // Three of the flags, of which one is FUA; two of the controls; seven lengths of ten bytes and more and one of sixteen; a read
        // and a write.
        let flags = if look & FORCED == 0 { 3 } else { 2 };
        let ways = if look & WRITES == 0 { 2 } else { 1 };
        assert_eq!(plain, flags * 2 * (7 + 1) * ways, "{look:x}");
    }
}

#[test]
fn nothing_is_plain_on_a_disk_that_is_stopped() {
    each(|cdb, len| {
        let found = PlainTransfer::new(cdb, PLAIN, len as u8);
        assert!(found.is_none(), "{cdb:x?}");
    });
}

#[test]
fn nothing_is_plain_that_ends_behind_the_last_block_that_can_be_named() {
    let mut cdb = [0xff; 16];
    (cdb[0], cdb[1], cdb[15]) = (0x88, 0, 0);
    let look = PLAIN | STARTED;
    assert_eq!(PlainTransfer::new(&cdb, look, 16), None);
    // Its blocks.
    cdb[10..14].copy_from_slice(&[0; 4]);
    let found = PlainTransfer::new(&cdb, look, 16).unwrap();
    assert_eq!(found.end, u64::MAX);
    cdb[13] = 1;
    assert_eq!(PlainTransfer::new(&cdb, look, 16), None);
}
