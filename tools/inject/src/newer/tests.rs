//! Drivers with versions, in images.

use std::fs;

use fake_windows::Windows;

use super::Version;
use crate::plan::Consent;
use crate::refusal::Refusal;
use crate::testing::{Case, NOTHING, pack};
use crate::trust::Trust;

/// A driver whose resources name a version (MS: VS_FIXEDFILEINFO).
fn versioned(mut image: Vec<u8>, [a, b, c, d]: [u16; 4]) -> Vec<u8> {
    image.extend(0xfeef_04bd_u32.to_le_bytes());
    image.extend(0x0001_0000_u32.to_le_bytes());
    image.extend([b, a, d, c].into_iter().flat_map(u16::to_le_bytes));
    image
}

#[test]
fn versions_are_read_and_compared_from_the_first_number_on() {
    let version = |numbers| Version::of_file(&versioned(b"MZ".to_vec(), numbers)).unwrap();
    assert_eq!(version([1, 2, 3, 4]).to_string(), "1.2.3.4");
    assert!(version([1, 2, 3, 4]) < version([1, 2, 4, 0]));
    assert!(version([1, 10, 0, 0]) > version([1, 9, 9, 9]));
    assert!(version([2, 0, 0, 0]) > version([1, 65535, 65535, 65535]));
    assert_eq!(Version::of_file(b"MZ"), None);
    let cut = versioned(Vec::new(), [1, 2, 3, 4]);
    assert_eq!(Version::of_file(&cut[..cut.len() - 1]), None);
}

#[test]
fn a_newer_driver_is_replaced_only_on_request() {
    let mut pack = pack(Trust::Whcp);
    let bare = pack.packages[0].driver().to_vec();
    let at = "Windows/System32/drivers/toyblk.sys";
    let consent = Consent {
        allow_older: true,
        ..NOTHING
    };
    let mut set = |version| {
        let files = &mut pack.packages[0].files;
        files[1].1 = versioned(bare.clone(), version);
        pack.clone()
    };
    let (old, new) = (set([1, 0, 0, 9]), set([1, 0, 1, 0]));
    let mut case = Case::new(&Windows::default(), Some(&[None]));
    let install = |case: &Case, bytes: &[u8]| fs::write(case.tree.root.join(at), bytes).unwrap();
    fs::create_dir_all(case.tree.root.join("Windows/System32/drivers")).unwrap();

    // Older, and without a version: replaced.
    for bytes in [old.packages[0].driver(), bare.as_slice()] {
        install(&case, bytes);
        let plan = case.plan(&new, NOTHING).unwrap();
        assert!(plan.files.iter().any(|file| file.path == at));
        assert!(!plan.notes.iter().any(|note| note.contains("replaced")));
    }
    // The same: nothing is asked.
    install(&case, new.packages[0].driver());
    assert!(case.plan(&new, NOTHING).is_ok());
    // Newer.
    let refusal = case.refusal(&old, NOTHING);
    let wanted = Refusal::NewerDriver {
        path: at.to_owned(),
        found: "1.0.1.0".to_owned(),
        own: "1.0.0.9".to_owned(),
    };
    assert_eq!(refusal, wanted);
    assert!(refusal.to_string().contains("--allow-older"));
    let plan = case.plan(&old, consent).unwrap();
    assert!(plan.files.iter().any(|file| file.path == at));
    let note = |note: &String| note.contains("1.0.1.0 is replaced by 1.0.0.9");
    assert!(plan.notes.iter().any(note), "{:?}", plan.notes);
}
