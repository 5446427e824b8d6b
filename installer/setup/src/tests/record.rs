//! Records survive the registry; nothing else is taken for one.

use alloc::string::ToString;

use crate::record::{Installed, Pending, Step, is_published};

#[test]
fn round_trip() {
    for added in [true, false] {
        let record = Installed {
            published: "oem12.inf".to_string(),
            added,
            product: "{A}".to_string(),
            version: "1.2.3.4".to_string(),
        };
        assert_eq!(Installed::parse(&record.to_text()), Ok(record));
    }
    for step in [
        Step::Adding,
        Step::Added,
        Step::AddedOver,
        Step::Found,
        Step::Removed,
        Step::Released,
    ] {
        let published = if step == Step::Adding { "" } else { "oem1.inf" };
        let record = Pending {
            step,
            published: published.to_string(),
            product: "{A}".to_string(),
            version: "1.2.3.4".to_string(),
            inf: r"C:\Program Files\a b\x.inf".to_string(),
        };
        assert_eq!(Pending::parse(&record.to_text()), Ok(record));
    }
}

#[test]
fn damaged() {
    for text in [
        "",
        "oem1.inf",
        "oem1.inf|added|{A}",
        "oem1.inf|added|{A}|1|more",
        "oem1.inf|maybe|{A}|1",
        r"..\drivers\etc\x.inf|added|{A}|1",
        "oem1.sys|added|{A}|1",
    ] {
        assert!(Installed::parse(text).is_err(), "{text:?}");
    }
    for text in [
        "",
        "added||{A}|1|x.inf",
        "gone|oem1.inf|{A}|1|x.inf",
        "added|oem1.inf|{A}|1",
        "added|oem1.inf|{A}|1|x.inf|more",
    ] {
        assert!(Pending::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn published_names() {
    assert!(is_published("oem0.inf") && is_published("vioblk.inf"));
    for name in [
        "",
        "oem0",
        "oem0.cat",
        r"a\oem0.inf",
        "a/oem0.inf",
        "c:oem0.inf",
    ] {
        assert!(!is_published(name), "{name:?}");
    }
}
