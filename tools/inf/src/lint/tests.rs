#[test]
fn compiles() {}
