use super::{FORCED, PLAIN, PlainCommand, STARTED, WRITES};
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
            let found = PlainCommand::new(cdb, PLAIN | STARTED | look)
                .and_then(|command| command.transfer(len as u8));
            let Some(found) = found else { return };
            plain += 1;
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
    each(|cdb, _| assert!(PlainCommand::new(cdb, PLAIN).is_none(), "{cdb:x?}"));
}
