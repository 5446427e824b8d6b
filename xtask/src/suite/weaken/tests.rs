//! Which mutants are made of a source.

use super::mutants;

#[test]
fn every_fence_and_ordering_is_weakened_alone() {
    let source = "use x::{Ordering, fence};\n// Ordering::Acquire, fence(\nlet a = load(Ordering::Acquire); // Ordering::Release\n\
        store(1, Ordering::Release);\nload(Ordering::Relaxed);\n    fence(Ordering::SeqCst);\n";
    let found = mutants(source).unwrap();
    let changed: Vec<_> = found
        .iter()
        .map(|mutant| {
            let lines: Vec<_> = mutant.text.lines().collect();
            let old: Vec<_> = source.lines().collect();
            let changed: Vec<_> = (0..6).filter(|&n| lines[n] != old[n]).collect();
            assert_eq!(changed, [mutant.line - 1], "{}", mutant.what);
            lines[mutant.line - 1]
        })
        .collect();
    assert_eq!(
        changed,
        [
            "let a = load(Ordering::Relaxed); // Ordering::Release",
            "store(1, Ordering::Relaxed);",
            "    ",
            "    fence(Ordering::AcqRel);",
        ]
    );
}

#[test]
fn a_fence_in_another_form_is_an_error() {
    assert!(mutants("x(); fence(order);\n").is_err());
    assert!(mutants("fence(Ordering::SeqCst); y();\n").is_err());
}
