use std::collections::BTreeMap;
use std::fs;

use crate::{Entry, Judgement, Lines, Unreached};

const SOURCE: &str = "\
pub fn first(a: u32) -> u32 {
    if a > 3 {
        fail();
    }
    a
}
unsafe extern \"system\" fn second<T>(a: T) {
    fail();
    fail();
    // It calls fn third() later.
    third();
}
";

fn lines(executed: &[(u32, bool)]) -> Lines {
    let file = executed.iter().copied().collect::<BTreeMap<_, _>>();
    Lines::from([("a/b.rs".to_owned(), file)])
}

fn entry(function: &str, text: &str) -> Entry {
    Entry {
        file: "a/b.rs".to_owned(),
        function: function.to_owned(),
        text: text.to_owned(),
        reason: "because of that".to_owned(),
    }
}

fn judge(executed: &[(u32, bool)], entries: &[Entry]) -> Judgement {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    fs::write(root.path().join("a/b.rs"), SOURCE).unwrap();
    let unreached = Unreached {
        lines: entries.to_vec(),
    };
    Judgement::new(root.path(), &["a"], &lines(executed), &unreached).unwrap()
}

#[test]
fn lines_are_named_by_function_and_text() {
    assert_eq!(entry("first", "fail();").find(SOURCE), [3]);
    assert_eq!(entry("second", "fail();").find(SOURCE), [8, 9]);
    assert_eq!(entry("second", "third();").find(SOURCE), [11]);
    assert!(entry("third", "third();").find(SOURCE).is_empty());
}

#[test]
fn a_line_is_executed_or_missed() {
    let judgement = judge(&[(1, true), (2, true), (3, false), (5, true)], &[]);
    assert_eq!(judgement.total(), (3, 4));
    assert!(judgement.reaches(75) && !judgement.reaches(76));
    assert_eq!(judgement.missed(), "a/b.rs:3: fail();\n");
}

#[test]
fn a_named_line_does_not_count() {
    let named = [entry("first", "fail();")];
    let judgement = judge(&[(1, true), (2, true), (3, false), (5, true)], &named);
    assert_eq!(judgement.total(), (3, 3));
    assert!(judgement.stale.is_empty() && judgement.reaches(100));
}

#[test]
fn the_list_says_nothing_that_is_not_so() {
    let stale = |executed: &[(u32, bool)], entry: Entry| {
        let judgement = judge(executed, &[entry]);
        assert_eq!(judgement.files.values().next().unwrap().unreachable, 0);
        judgement.stale.len()
    };
    // It is executed after all.
    assert_eq!(stale(&[(3, true)], entry("first", "fail();")), 1);
    // There is no such line, or no code of it.
    assert_eq!(stale(&[(3, false)], entry("first", "fails();")), 1);
    assert_eq!(stale(&[(2, false)], entry("first", "fail();")), 1);
    // It could be either of two.
    let both = [(8, false), (9, false)];
    assert_eq!(stale(&both, entry("second", "fail();")), 1);
    // There is no such file.
    let mut other = entry("first", "fail();");
    other.file = "c.rs".to_owned();
    assert_eq!(stale(&[(3, false)], other), 1);
}

#[test]
fn an_entry_has_a_reason() {
    let text = "[[line]]\nfile = 'a'\nfunction = 'b'\ntext = 'c'\nreason = 'no'\n";
    assert!(Unreached::parse(text).is_err());
    let text = text.replace("'no'", "'the compiler keeps it'");
    assert_eq!(Unreached::parse(&text).unwrap().lines.len(), 1);
}

#[test]
fn nothing_is_not_enough() {
    assert!(!Judgement::default().reaches(0));
}
