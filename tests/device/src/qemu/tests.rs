use host_machine::ram::Ram;

use super::process::{check_version, parse_version};
use super::*;

#[test]
fn version_lines_are_understood() {
    assert_eq!(
        parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright"),
        Some((7, 2))
    );
    assert_eq!(
        parse_version("QEMU emulator version 10.0.2 (Debian)"),
        Some((10, 0))
    );
    assert_eq!(parse_version("hello"), None);
}

#[test]
fn an_old_qemu_is_refused_by_name() {
    assert!(check_version(OLDEST).is_ok());
    let error = check_version((6, 9)).unwrap_err().to_string();
    assert!(
        error.contains("QEMU is too old: has 6.9, needs 7.2"),
        "{error}"
    );
}

#[test]
fn what_qemu_says_is_in_the_error() {
    let ram = Ram::new(16 << 20, 1).unwrap();
    let error = Builder::new("no-such-device").start(&ram).err().unwrap();
    let text = format!("{error:#}");
    assert!(text.contains("no-such-device"), "{text}");
}
