//! The two text forms of values.

use super::{Edit, Value, parse_values, reg_text};

#[test]
fn what_hivexget_prints_is_read() {
    let printed = concat!(
        "\"@\"=hex(7):61,00,62,00,00,00,63,00,00,00,00,00\n",
        "\"Active\"=\"a\\\"\\\\\"\n",
        "\"Two lines\"=str(2):\"%a\nb\"\n",
        "\"Dw\"=dword:0000000a\n",
        "\"Bin\"=hex(3):01,ff,00,00\n",
        "\"Q\"=hex(11):01,00,00,00,00,00,00,00\n",
        "\"None\"=hex(0):\n",
    );
    let expected = [
        ("", Value::Multi(vec!["ab".to_owned(), "c".to_owned()])),
        ("Active", Value::String("a\"\\".to_owned())),
        ("Two lines", Value::Expand("%a\nb".to_owned())),
        ("Dw", Value::Dword(10)),
        ("Bin", Value::binary(&[1, 255, 0, 0])),
        (
            "Q",
            Value::Raw {
                kind: 11,
                bytes: vec![1, 0, 0, 0, 0, 0, 0, 0],
            },
        ),
        (
            "None",
            Value::Raw {
                kind: 0,
                bytes: Vec::new(),
            },
        ),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(parse_values(printed).unwrap(), expected);
}

#[test]
fn cut_text_is_an_error() {
    for text in [
        "x",
        "\"x",
        "\"x\"",
        "\"x\"=",
        "\"x\"=\"y",
        "\"x\"=hex(3):0g",
        "\"x\"=str(9):\"y\"",
    ] {
        assert!(parse_values(text).is_err(), "{text}");
    }
}

#[test]
fn reg_text_writes_every_value_as_bytes_with_its_type() {
    let edits = [
        Edit::new(r"A\B", "", Value::Multi(vec!["x".to_owned()])),
        Edit::new(r"A\B", "q\"\\", Value::Dword(258)),
        Edit::new("C", "n", Value::Expand("é".to_owned())),
    ];
    assert_eq!(
        reg_text(&edits),
        "Windows Registry Editor Version 5.00\n\
         \n[\\A]\n\n[\\A\\B]\n@=hex(7):78,00,00,00,00,00\n\"q\\\"\\\\\"=hex(4):02,01,00,00\n\
         \n[\\C]\n\"n\"=hex(2):e9,00,00,00\n"
    );
}
