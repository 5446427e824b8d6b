use super::KINDS;
use storport::trace::{Level, MAX_DESCRIPTION, MAX_NAME};

const PAGE: &str = include_str!("../../../../docs/vioblk-events.md");

fn text(wide: &[u16]) -> String {
    let [text @ .., 0] = wide else {
        assert!(wide.is_empty());
        return String::new();
    };
    String::from_utf16(text).unwrap()
}

#[test]
fn the_page_has_the_same_table() {
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| number"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), KINDS.len());
    for (row, kind) in rows.iter().zip(&KINDS) {
        let level = match kind.level {
            Level::Warning => "warning",
            Level::Information => "information",
        };
        let [first, second] = kind.names.map(text);
        let ours = [
            kind.id.to_string(),
            level.to_owned(),
            text(kind.description),
            first,
            second,
        ];
        assert_eq!(*row, ours);
    }
}

#[test]
fn texts_are_as_long_as_every_windows_takes() {
    for (number, kind) in (1..).zip(&KINDS) {
        assert_eq!(kind.id, number);
        assert!(kind.description.len() <= MAX_DESCRIPTION + 1);
        assert!(kind.names.iter().all(|name| name.len() <= MAX_NAME + 1));
    }
}
