//! Records survive the registry; nothing else is taken for one.

use alloc::format;
use alloc::string::ToString;

use crate::content::Content;
use crate::record::{Installed, Pending, Step, Superseded, is_published};

#[test]
fn round_trip() {
    let content = Some(Content::of(b"[Version]"));
    for (added, content) in [(true, content.clone()), (false, None)] {
        let record = Installed {
            published: "oem12.inf".to_string(),
            added,
            product: "{A}".to_string(),
            version: "1.2.3.4".to_string(),
            content,
        };
        assert_eq!(Installed::parse(&record.to_text()), Ok(record));
    }
    for step in [
        Step::Adding,
        Step::Added,
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
            content: content.clone(),
            others: ["oem3.inf".to_string(), "oem4.inf".to_string()].into(),
        };
        assert_eq!(Pending::parse(&record.to_text()), Ok(record));
    }
    for content in [content, None] {
        let record = Superseded {
            driver: "vioblk".to_string(),
            content,
        };
        assert_eq!(Superseded::parse(&record.to_text()), Ok(record));
    }
}

#[test]
fn records_of_the_first_builds() {
    let record = Installed::parse("oem1.inf|added|{A}|1").unwrap();
    assert!(record.added && record.content.is_none());
    let record = Superseded::parse("vioblk").unwrap();
    assert!(record.driver == "vioblk" && record.content.is_none());
    for step in ["added", "added-over"] {
        let record = Pending::parse(&format!("{step}|oem1.inf|{{A}}|1|x.inf")).unwrap();
        assert!(record.step == Step::Added && record.content.is_none());
        assert!(record.others.is_empty(), "nothing to fall back to is known");
    }
}

#[test]
fn content_is_the_digest_of_the_inf() {
    // FIPS 180-2, appendix B.1.
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Content::of(b"abc").to_string(), known);
    assert_eq!(Content::parse(known), Some(Content::of(b"abc")));
    for text in ["", "ba78", &known.to_uppercase(), &known.replace('b', "x")] {
        assert_eq!(Content::parse(text), None, "{text:?}");
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
        "oem1.inf|added|{A}|1||",
    ] {
        assert!(Installed::parse(text).is_err(), "{text:?}");
    }
    for text in [
        "",
        "added||{A}|1|x.inf",
        "gone|oem1.inf|{A}|1|x.inf",
        "added|oem1.inf|{A}|1",
        "added|oem1.inf|{A}|1|x.inf|more",
        r"added|oem1.inf|{A}|1|x.inf||..\x.inf",
        "added|oem1.inf|{A}|1|x.inf||oem3.inf|more",
    ] {
        assert!(Pending::parse(text).is_err(), "{text:?}");
    }
    for text in ["vioblk|more", "vioblk||"] {
        assert!(Superseded::parse(text).is_err(), "{text:?}");
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
        "a|oem0.inf",
        "a,oem0.inf",
    ] {
        assert!(!is_published(name), "{name:?}");
    }
}
