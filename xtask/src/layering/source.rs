//! What is looked at in the text of source files.

use std::path::Path;

/// The lints that shipped code denies, so that it cannot panic.
const LINTS: [&str; 8] = [
    "unwrap_used",
    "expect_used",
    "panic",
    "indexing_slicing",
    "arithmetic_side_effects",
    "unreachable",
    "todo",
    "unimplemented",
];

/// What a shipped crate's lib.rs lacks.
pub fn header(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let squeezed: String = text.split_whitespace().collect();
    if !squeezed.contains("#![no_std]") && !squeezed.contains("#![cfg_attr(not(test),no_std)]") {
        problems.push("lib.rs has no #![no_std]".to_owned());
    }
    let denied = squeezed
        .split_once("#![cfg_attr(not(test),deny(")
        .and_then(|(_, rest)| rest.split_once(")"))
        .map_or("", |(list, _)| list);
    for lint in LINTS {
        if !denied
            .split(',')
            .any(|denied| denied == format!("clippy::{lint}"))
        {
            problems.push(format!("lib.rs does not deny clippy::{lint}"));
        }
    }
    problems
}

/// True for the few places where the safe crates touch memory or Windows.
pub fn may_be_unsafe(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        matches!(
            name.trim_end_matches(".rs"),
            "ffi" | "mem" | "mmio" | "tests" | "testing"
        )
    })
}

/// True if the text uses the keyword `unsafe`; comments and longer words do not count.
pub fn has_unsafe(text: &str) -> bool {
    text.lines().any(|line| {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
            // The attribute that gives a symbol its name is checked by the linker.
            && !code.contains("unsafe(no_mangle)")
            && !code.contains("unsafe(link_section")
    })
}
