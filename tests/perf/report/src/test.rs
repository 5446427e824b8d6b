//! Tests as lines that `cargo xtask test` counts.

/// A test's name, and what was wrong.
pub type Test = (String, Result<(), String>);

/// Prints a line for each test, and what failed is explained after all of them. True if none did.
#[must_use]
pub fn print(tests: &[Test]) -> bool {
    let mut failures = String::new();
    for (name, result) in tests {
        match result {
            Ok(()) => println!("test {name} ... ok"),
            Err(problem) => {
                println!("test {name} ... FAILED");
                failures.push_str(&format!("---- {name} stdout ----\n{problem}\n\n"));
            }
        }
    }
    let failed = tests.iter().filter(|(_, result)| result.is_err()).count();
    if failed > 0 {
        println!("\nfailures:\n\n{failures}failures:");
    }
    println!("{} passed, {failed} failed", tests.len() - failed);
    failed == 0
}
