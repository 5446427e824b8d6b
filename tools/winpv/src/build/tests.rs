//! Which folders hold the crates of others.

use super::*;

#[test]
fn crates_are_found_in_the_registry_and_where_they_were_vendored() {
    let dir = tempfile::tempdir().unwrap();
    let (root, home) = (dir.path().join("root"), dir.path().join("home"));
    fs::create_dir_all(root.join(".cargo")).unwrap();
    assert!(crate_folders(&root, &home).unwrap().is_empty());
    let registry = home.join("registry/src/index.crates.io-0");
    fs::create_dir_all(&registry).unwrap();
    let config = "[source.crates-io]\nreplace-with = \"vendored-sources\"\n\
        [source.vendored-sources]\ndirectory = \"vendor\"\n";
    fs::write(root.join(".cargo/config.toml"), config).unwrap();
    assert_eq!(
        crate_folders(&root, &home).unwrap(),
        [registry, root.join("vendor")]
    );
    fs::write(root.join(".cargo/config.toml"), "[source").unwrap();
    assert!(crate_folders(&root, &home).is_err());
}
