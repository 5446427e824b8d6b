//! Conversations with cat and sh.

use std::time::Duration;

use crate::Run;

#[test]
fn a_child_answers_and_ends() {
    let mut cat = Run::new("cat").start().unwrap();
    for line in ["one", "two"] {
        cat.say(line).unwrap();
        assert_eq!(cat.hear().unwrap(), line);
    }
    cat.finish().unwrap();
}

#[test]
fn a_child_that_fails_leaves_its_last_words() {
    let mut sh = Run::new("sh")
        .args(["-c", "echo first; echo why >&2; exit 7"])
        .start()
        .unwrap();
    assert_eq!(sh.hear().unwrap(), "first");
    let error = sh.hear().unwrap_err().to_string();
    assert!(error.contains("why") && error.contains('7'), "{error}");
    let sh = Run::new("sh").args(["-c", "exit 1"]).start().unwrap();
    assert!(sh.finish().is_err());
}

#[test]
fn silence_is_an_error() {
    let mut sleep = Run::new("sleep")
        .arg("60")
        .deadline(Duration::from_millis(50))
        .start()
        .unwrap();
    let error = sleep.hear().unwrap_err().to_string();
    assert!(error.contains("no answer"), "{error}");
}
