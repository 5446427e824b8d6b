//! The header of a WIM, and images made by wimlib.

use super::{Header, Index};
use crate::refusal::Refusal;

fn header(version: u32, flags: u32, part: u16, parts: u16, images: u32) -> Header {
    let mut bytes = vec![0; 208];
    bytes[..8].copy_from_slice(b"MSWIM\0\0\0");
    bytes[8..12].copy_from_slice(&208u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&version.to_le_bytes());
    bytes[16..20].copy_from_slice(&flags.to_le_bytes());
    bytes[40..42].copy_from_slice(&part.to_le_bytes());
    bytes[42..44].copy_from_slice(&parts.to_le_bytes());
    bytes[44..48].copy_from_slice(&images.to_le_bytes());
    Header::parse(&bytes).unwrap()
}

#[test]
fn headers_that_cannot_be_served_are_refused() {
    const VERSION: u32 = 0x10d00;
    assert_eq!(header(VERSION, 0x2_0002, 1, 1, 2).check("x"), Ok(()));
    for (header, expected) in [
        (
            header(VERSION, 0x8, 2, 3, 1),
            Refusal::SplitWim {
                part: 2,
                parts: 3,
                name: "x".to_owned(),
            },
        ),
        (header(0x0e00, 0, 1, 1, 1), Refusal::Esd),
        (header(VERSION, 0x4, 1, 1, 1), Refusal::WimReadOnly),
        (header(VERSION, 0x40, 1, 1, 1), Refusal::WimInProgress),
    ] {
        assert_eq!(header.check("x"), Err(expected));
    }
}

#[test]
fn indexes_start_at_one() {
    let header = header(0x10d00, 0, 1, 1, 3);
    assert_eq!(header.select(Index::All).unwrap(), [1, 2, 3]);
    assert_eq!(header.select(Index::One(3)).unwrap(), [3]);
    let error = header.select(Index::One(4)).unwrap_err();
    assert_eq!(
        error,
        Refusal::NoSuchIndex {
            index: 4,
            images: 3
        }
    );
    assert_eq!("all".parse(), Ok(Index::All));
    assert_eq!("2".parse(), Ok(Index::One(2)));
    for text in ["0", "-1", "", "ALLE"] {
        assert!(text.parse::<Index>().is_err(), "{text}");
    }
}

#[test]
fn other_files_are_no_wim() {
    assert_eq!(Header::parse(b"MSWIM\0\0\0"), None);
    assert_eq!(Header::parse(&[0; 208]), None);
}
