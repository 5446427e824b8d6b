use super::plain_transfer;
use crate::scsi::{Command, decode};

#[test]
fn plain_transfers_are_what_the_long_way_makes_of_them() {
    // Bytes that mean something, in commands of every length up to the longest.
    let mut cdb = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0];
    let mut plain = 0;
    for operation in 0..=255 {
        for flags in [0, 0x08, 0x10, 0x20, 0x80, 0xff] {
            for control in [0, 0x04, 0x40] {
                cdb[0] = operation;
                cdb[1] = flags;
                // Last byte of the form of ten bytes and of that of sixteen.
                cdb[9] = control;
                cdb[15] = control;
                for len in 0..=cdb.len() {
                    let Some(found) = plain_transfer(&cdb, len as u8) else {
                        continue;
                    };
                    let cdb = &cdb[..len];
                    plain += 1;
                    let expected = if found.write {
                        Command::Write {
                            extent: found.extent,
                            force_unit_access: found.force_unit_access,
                        }
                    } else {
                        assert!(!found.force_unit_access, "{cdb:x?}");
                        Command::Read(found.extent)
                    };
                    assert_eq!(decode(cdb), Ok(expected), "{cdb:x?}");
                }
            }
        }
    }
    // Three of the flags, two of the controls, seven lengths of ten bytes and more and one of sixteen, a read and a write.
    assert_eq!(plain, 3 * 2 * (7 + 1) * 2);
}
