//! The resources, read back by hand-written offsets of the documented structures.

use super::{FileKind, Messages, VersionInfo, write};
use crate::version::Version;

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn dword(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn info() -> VersionInfo<'static> {
    VersionInfo {
        version: Version([1, 2, 3, 4]),
        description: "A toy",
        file_name: "toy.sys",
        kind: FileKind::Driver,
        company: "Nobody",
    }
}

const MESSAGES: &str = r#"
[[message]]
id = 1
severity = "error"
symbol = "A"
text = "Broken: %2"
[[message]]
id = 2
severity = "error"
symbol = "B"
text = "Odd"
[[message]]
id = 2
severity = "warning"
symbol = "C"
text = "Two\nlines\n"
"#;

#[test]
fn version_information() {
    let data = info().encode();
    assert_eq!(usize::from(word(&data, 0)), data.len());
    assert_eq!(word(&data, 2), 52, "sizeof(VS_FIXEDFILEINFO)");
    // Six bytes of lengths and type, the key with its zero, padding to four.
    let fixed = (6 + 2 * "VS_VERSION_INFO\0".len()).next_multiple_of(4);
    assert_eq!(dword(&data, fixed), 0xfeef_04bd);
    assert_eq!(dword(&data, fixed + 8), 0x0001_0002);
    assert_eq!(dword(&data, fixed + 12), 0x0003_0004);
    let text: Vec<u8> = "1.2.3.4\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        data.windows(text.len())
            .filter(|part| *part == text)
            .count(),
        2,
        "FileVersion and ProductVersion"
    );
}

#[test]
fn messages_form_blocks_of_consecutive_codes() {
    let data = Messages::parse(MESSAGES).unwrap().encode();
    assert_eq!(dword(&data, 0), 2, "one block a severity");
    assert_eq!(
        [dword(&data, 4), dword(&data, 8)],
        [0xa000_0002, 0xa000_0002]
    );
    assert_eq!(
        [dword(&data, 16), dword(&data, 20)],
        [0xe000_0001, 0xe000_0002]
    );
    let entry = dword(&data, 12) as usize;
    assert_eq!(word(&data, entry + 2), 1, "Unicode");
    let len = usize::from(word(&data, entry));
    assert_eq!(len % 4, 0);
    let units: Vec<u16> = data[entry + 4..entry + len]
        .chunks(2)
        .map(|unit| word(unit, 0))
        .collect();
    let text = String::from_utf16(&units).unwrap();
    assert_eq!(text.trim_end_matches('\0'), "Two\r\nlines\r\n");
    assert_eq!(dword(&data, 24) as usize, entry + len);
}

#[test]
fn bad_messages_are_refused() {
    for bad in [
        "[[message]]\nid = 1\nseverity = \"bad\"\nsymbol = \"A\"\ntext = \"x\"",
        "[[message]]\nid = 1\nseverity = \"error\"\nsymbol = \"A\"\ntext = \" \"",
        "[[message]]\nid = 65536\nseverity = \"error\"\nsymbol = \"A\"\ntext = \"x\"",
        "[[message]]\nid = 1\ncolour = 3\nseverity = \"error\"\nsymbol = \"A\"\ntext = \"x\"",
        &MESSAGES.replace(
            "id = 2\nseverity = \"warning\"",
            "id = 2\nseverity = \"error\"",
        ),
    ] {
        assert!(Messages::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_res_file_is_a_list_of_aligned_resources() {
    let messages = Messages::parse(MESSAGES).unwrap();
    let file = write(&info(), &messages);
    let mut kinds = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let (data, header) = (dword(&file, at) as usize, dword(&file, at + 4) as usize);
        kinds.push(word(&file, at + 10));
        at = (at + header + data).next_multiple_of(4);
    }
    assert_eq!(at, file.len());
    assert_eq!(kinds, [0, 16, 11]);
    assert!(write(&info(), &Messages::default()).len() < file.len());
}
