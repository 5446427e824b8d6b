//! The writer against a second encoder, the reader against the writer, and both against damage.

use crate::der::Reader;
use crate::time::utc_time;
use crate::{Builder, Catalog, Digests, Error, Kind};

const SYS: &[u8] = include_bytes!("../tests/golden/tiny.sys");
const INF: &[u8] = include_bytes!("../tests/golden/tiny.inf");
/// Encoded by openssl from catalog.cnf, which says where its digests come from.
const GOLDEN: &[u8] = include_bytes!("../tests/golden/catalog.der");
const IDS: [&str; 2] = [
    r"PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01",
    r"PCI\VEN_1AF4&DEV_1042",
];
/// 2023-11-14 22:13:20 UTC.
const TIME: u64 = 1_700_000_000;

/// Offsets in tiny.sys.
const CHECKSUM: usize = 0x40 + 24 + 64;
const CERTIFICATE_ENTRY: usize = 0x40 + 24 + 112 + 32;

fn tiny() -> Builder {
    let mut builder = Builder::new("_v100_X64", TIME).unwrap();
    for id in IDS {
        builder.hardware_id(id);
    }
    builder
        .file("Tiny.sys", SYS)
        .unwrap()
        .file("tiny.inf", INF)
        .unwrap();
    builder
}

#[test]
fn writes_what_the_second_encoder_writes() {
    assert_eq!(tiny().unsigned().unwrap(), GOLDEN);
}

#[test]
fn reads_what_the_second_encoder_wrote() {
    let catalog = Catalog::parse(GOLDEN).unwrap();
    assert_eq!(catalog.time, "231114221320Z");
    assert_eq!(catalog.list_identifier.len(), 16);
    let members: Vec<_> = catalog
        .members
        .iter()
        .map(|member| (member.name.as_str(), member.kind))
        .collect();
    assert_eq!(
        members,
        [("tiny.sys", Kind::Image), ("tiny.inf", Kind::Flat)]
    );
    assert_eq!(
        catalog.attributes[0],
        ("OS".to_owned(), "_v100_X64".to_owned())
    );
    assert_eq!(catalog.hardware_ids(), IDS.map(str::to_lowercase));
    assert!(catalog.signatures.is_empty() && !catalog.is_signed_content());
    catalog.check("tiny.sys", SYS).unwrap();
    catalog.check("TINY.INF", INF).unwrap();
}

#[test]
fn catches_every_flipped_byte_that_counts() {
    let catalog = Catalog::parse(GOLDEN).unwrap();
    for at in 0..INF.len() {
        let mut inf = INF.to_vec();
        inf[at] ^= 1;
        assert!(
            matches!(catalog.check("tiny.inf", &inf), Err(Error::Changed { .. })),
            "byte {at}"
        );
    }
    // The checksum and the certificate table's entry change when the file is signed, so the digest leaves them out.
    let signing_changes = |at: usize| {
        (CHECKSUM..CHECKSUM + 4).contains(&at)
            || (CERTIFICATE_ENTRY + 4..CERTIFICATE_ENTRY + 8).contains(&at)
    };
    for at in 0..SYS.len() {
        let mut sys = SYS.to_vec();
        sys[at] ^= 1;
        let verdict = catalog.check("tiny.sys", &sys);
        assert_eq!(
            verdict.is_ok(),
            signing_changes(at),
            "byte {at}: {verdict:?}"
        );
    }
}

#[test]
fn a_longer_or_shorter_file_is_another_file() {
    let catalog = Catalog::parse(GOLDEN).unwrap();
    for sys in [&SYS[..SYS.len() - 1], &[SYS, b"x"].concat()] {
        assert!(matches!(
            catalog.check("tiny.sys", sys),
            Err(Error::Changed { .. })
        ));
    }
    assert!(matches!(
        catalog.check("other.sys", SYS),
        Err(Error::NotMember { .. })
    ));
    // A member under another member's name.
    assert!(matches!(
        catalog.check("tiny.inf", SYS),
        Err(Error::Changed { .. })
    ));
}

#[test]
fn signing_a_file_does_not_change_its_digest() {
    // What a signing tool does: pads to 8, appends a certificate table, fills in the entry and the checksum.
    let mut signed = SYS.to_vec();
    signed.resize(SYS.len().next_multiple_of(8), 0);
    let table = u32::try_from(signed.len()).unwrap();
    signed.extend([0xaa; 24]);
    signed[CERTIFICATE_ENTRY..CERTIFICATE_ENTRY + 4].copy_from_slice(&table.to_le_bytes());
    signed[CERTIFICATE_ENTRY + 4..CERTIFICATE_ENTRY + 8].copy_from_slice(&24u32.to_le_bytes());
    signed[CHECKSUM..CHECKSUM + 4].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(
        Digests::of("", &signed).unwrap(),
        Digests::of("", SYS).unwrap()
    );
}

#[test]
fn refuses_images_whose_headers_lie() {
    let mut outside = SYS.to_vec();
    outside[CERTIFICATE_ENTRY..CERTIFICATE_ENTRY + 4].copy_from_slice(&0x10_0000u32.to_le_bytes());
    let mut overlapping = SYS.to_vec();
    overlapping[CERTIFICATE_ENTRY..CERTIFICATE_ENTRY + 4].copy_from_slice(&4u32.to_le_bytes());
    let mut magic = SYS.to_vec();
    magic[0x40 + 24] = 0;
    for bytes in [outside.as_slice(), &overlapping, &magic, &SYS[..0x60]] {
        let refused = Digests::of("tiny.sys", bytes);
        assert!(matches!(refused, Err(Error::Image { .. })), "{refused:?}");
    }
    // Not even the start of a PE image: a file like any other.
    assert_eq!(Digests::of("x", b"MZ").unwrap().kind, Kind::Flat);
    assert_eq!(
        Digests::of("x", &[b"MZ".as_slice(), &[0xff; 0x60]].concat())
            .unwrap()
            .kind,
        Kind::Flat
    );
}

#[test]
fn a_name_can_be_given_only_once() {
    let refused = tiny().file("TINY.sys", b"other").map(|_| ());
    assert_eq!(
        refused,
        Err(Error::Duplicate {
            name: "tiny.sys".to_owned()
        })
    );
}

#[test]
fn attributes_and_a_name_of_its_makers_are_written() {
    let mut builder = tiny();
    builder
        .identifier([7; 16])
        .attribute("Universal", "True")
        .attribute("BundleID", "Tiny");
    let catalog = Catalog::parse(&builder.unsigned().unwrap()).unwrap();
    assert_eq!(catalog.list_identifier, [7; 16]);
    let names: Vec<_> = catalog
        .attributes
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["Universal", "BundleID", "OS", "HWID1", "HWID2"]);
    assert_eq!(catalog.attributes[0].1, "True");
}

#[test]
fn the_identifier_follows_the_content() {
    let identifier = |builder: &Builder| {
        Catalog::parse(&builder.unsigned().unwrap())
            .unwrap()
            .list_identifier
    };
    let mut more = tiny();
    more.hardware_id("x");
    let mut attribute = tiny();
    attribute.attribute("x", "y");
    let mut other = Builder::new("_v100_X64", TIME).unwrap();
    other.file("tiny.sys", SYS).unwrap();
    assert_eq!(identifier(&tiny()), identifier(&tiny()));
    assert_ne!(identifier(&tiny()), identifier(&more));
    assert_ne!(identifier(&tiny()), identifier(&attribute));
    assert_ne!(identifier(&tiny()), identifier(&other));
}

#[test]
fn no_damaged_catalog_makes_the_reader_panic_or_accept_another_file() {
    for at in 0..GOLDEN.len() {
        assert!(Catalog::parse(&GOLDEN[..at]).is_err(), "cut at {at}");
        for flip in [1, 0x80, 0xff] {
            let mut damaged = GOLDEN.to_vec();
            damaged[at] ^= flip;
            if let Ok(catalog) = Catalog::parse(&damaged) {
                let mut inf = INF.to_vec();
                inf[0] ^= 1;
                assert!(catalog.check("tiny.inf", &inf).is_err());
            }
        }
    }
}

#[test]
fn the_reader_wants_shortest_lengths() {
    for bad in [
        [0x30, 0x81, 0x01, 0x00].as_slice(),
        &[0x30, 0x82, 0x00, 0x80],
        &[0x30, 0x80, 0x00, 0x00],
        &[0x30, 0x85, 1, 0, 0, 0, 0],
        &[0x30],
        &[0x1f, 0x81, 0x00],
        &[],
    ] {
        assert!(Reader::new(bad).any().is_err(), "{bad:?}");
    }
}

#[test]
fn dates() {
    for (seconds, text) in [
        (0, "700101000000Z"),
        (951_782_399, "000228235959Z"),
        (951_782_400, "000229000000Z"),
        (TIME, "231114221320Z"),
        (2_524_607_999, "491231235959Z"),
    ] {
        assert_eq!(utc_time(seconds).unwrap(), text);
    }
    assert_eq!(
        utc_time(2_524_608_000),
        Err(Error::Time {
            seconds: 2_524_608_000
        })
    );
}
