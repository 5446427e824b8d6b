//! Reading: encodings, lines, quotes, tokens, positions, and which sections apply.

use std::fs;

use proptest::prelude::*;

use crate::files::{catalog, locate};
use crate::lex::Kind;
use crate::target::{Build, Target};
use crate::walk::{Home, Package, Role};
use crate::{Encoding, Inf, Piece, lint, number};

fn parse(text: &str) -> Inf {
    Inf::parse(text.as_bytes())
}

fn values(inf: &Inf, section: &str, index: usize) -> Vec<String> {
    let entry = &inf.section(section).unwrap().entries[index];
    entry
        .values
        .iter()
        .map(|field| field.text.clone())
        .collect()
}

#[test]
fn every_encoding_reads_the_same() {
    let text = "[A]\r\nk = \"\u{e4}\"\r\n";
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let le: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let be: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    for (bytes, encoding) in [
        (text.as_bytes().to_vec(), Encoding::Utf8),
        ([b"\xef\xbb\xbf", text.as_bytes()].concat(), Encoding::Utf8),
        (b"[A]\r\nk = \"\xe4\"\r\n".to_vec(), Encoding::Ansi),
        ([&b"\xff\xfe"[..], &le].concat(), Encoding::Utf16Le),
        ([&b"\xfe\xff"[..], &be].concat(), Encoding::Utf16Be),
        (le, Encoding::Utf16Le),
        (be, Encoding::Utf16Be),
    ] {
        let inf = Inf::parse(&bytes);
        assert_eq!(inf.text.encoding, encoding);
        assert_eq!(inf.value("a", "K").unwrap(), "\u{e4}", "{encoding:?}");
    }
    assert_eq!(parse("[A]").text.encoding, Encoding::Ascii);
}

#[test]
fn quotes_commas_and_comments() {
    let inf = parse(
        "[A] ; comment\nk = \"x;y, z\", 2 ; three\nHKR,,n,0,\"a=b\"\n v = , \" b \" , c d ,\n\
         q = \"say \"\"no\"\"\", a\"b c\"d\n=e\n[B]\n; nothing\n",
    );
    assert_eq!(values(&inf, "a", 0), ["x;y, z", "2"]);
    assert_eq!(values(&inf, "A", 1), ["HKR", "", "n", "0", "a=b"]);
    assert_eq!(values(&inf, "A", 2), ["", " b ", "c d"]);
    assert_eq!(values(&inf, "A", 3), ["say \"no\"", "ab cd"]);
    assert_eq!(values(&inf, "A", 4), ["e"]);
    assert!(inf.section("B").unwrap().entries.is_empty());
    // An equals sign after a comma belongs to the value.
    let inf = parse("[A]\nHKR,,n,0,a=b\n");
    assert_eq!(values(&inf, "A", 0), ["HKR", "", "n", "0", "a=b"]);
    assert_eq!(inf.section("A").unwrap().entries[0].key, None);
    assert!(inf.problems.is_empty(), "{:?}", inf.problems);
}

/// The three forms of MS: general-syntax-rules-for-inf-files, Line Format, Continuation, and Comments.
#[test]
fn continued_lines() {
    for text in [
        "[A]\nCopyFiles = \"SomeDirectory\\\"\\\n,SomeFile\n",
        "[A]\r\nCopyFiles = \"SomeDirectory\\\"\\ ; comment\r\n    ,SomeFile\r\n",
    ] {
        let inf = parse(text);
        assert_eq!(
            values(&inf, "A", 0),
            ["SomeDirectory\\", "SomeFile"],
            "{text:?}"
        );
    }
    // Of two backslashes the first is ignored and the second continues.
    let inf = parse("[A]\nCopyFiles = SomeDirectory\\\\\n,SomeFile\nNext = 1\n");
    assert_eq!(values(&inf, "A", 0), ["SomeDirectory", "SomeFile"]);
    assert_eq!(values(&inf, "A", 1), ["1"]);
    let field = &inf.section("A").unwrap().entries[0].values[1];
    assert_eq!(field.at.to_string(), "3:2");
}

#[test]
fn sections_of_the_same_name_are_one() {
    let inf = parse("[A]\nx = 1\n[b]\ny = 2\n[a]\nz = 3\n");
    let section = inf.section("A").unwrap();
    assert_eq!(section.entries.len(), 2);
    assert_eq!(
        section.at.iter().map(|at| at.line).collect::<Vec<_>>(),
        [1, 5]
    );
    assert_eq!(inf.sections.len(), 2);
    assert_eq!(section.entry("Z").unwrap().at.line, 6);
}

#[test]
fn bad_lines_are_told_with_their_place() {
    for (text, kind, place) in [
        ("k = 1\n[A]\n", Kind::OutsideSection, "1:1"),
        ("[A\nk = 1\n", Kind::OpenHeader, "1:1"),
        ("[A] b\n", Kind::AfterHeader, "1:5"),
        ("[A]\nk = \"x\n", Kind::OpenQuote, "2:5"),
        ("[A]\nk = x \\", Kind::OpenContinuation, "2:6"),
    ] {
        let problems = parse(text).problems;
        assert_eq!(problems.len(), 1, "{text:?}: {problems:?}");
        assert_eq!(
            (problems[0].kind, problems[0].at.to_string().as_str()),
            (kind, place)
        );
    }
    // The end-of-file character that DOS editors leave.
    assert!(parse("[A]\nk = 1\n\u{1a}").problems.is_empty());
}

#[test]
fn tokens_and_directory_ids() {
    let inf = parse(
        "[A]\nk = \"%One%\\%13%\\%%Root%%\\%two%%none%\"\nh = 5%\n[Strings]\nONE = first\n[Strings.0407]\none = erst\ntwo = zweit\n",
    );
    let field = &inf.section("A").unwrap().entries[0].values[0];
    let expansion = inf.expand(&field.text);
    assert_eq!(expansion.text(), "first\\%13%\\%Root%\\zweit%none%");
    assert_eq!(expansion.dirids().collect::<Vec<_>>(), [13]);
    assert_eq!(expansion.used, ["one", "two"]);
    assert_eq!(
        expansion.pieces.last(),
        Some(&Piece::Undefined("none".to_owned()))
    );
    let half = inf.expand(&inf.section("A").unwrap().entries[1].values[0].text);
    assert_eq!(half.pieces, [Piece::Text("5".to_owned()), Piece::Lone]);
    // A semicolon within a token starts no comment.
    let inf = parse("[A]\nk = %a;b%, 2 ; c\n[Strings]\n\"a;b\" = x\n");
    assert_eq!(inf.value("A", "k").unwrap(), "x");
    assert_eq!(values(&inf, "A", 0).len(), 2);
}

#[test]
fn numbers() {
    for (text, value) in [
        ("0x00010001", Some(65537)),
        (" 12 ", Some(12)),
        ("0XfF", Some(255)),
        ("-1", Some(u32::MAX)),
        ("", None),
        ("0x", None),
        ("twelve", None),
        ("4294967296", None),
    ] {
        assert_eq!(number(text), value, "{text:?}");
    }
}

#[test]
fn decorations() {
    let target = Target::parse("ntAMD64.10.0...16299").unwrap();
    assert_eq!(
        (target.arch.as_str(), target.first()),
        ("amd64", Build(10, 0, 16299))
    );
    let target = Target::parse("NTx86.6.1.0x3.0x80").unwrap();
    assert_eq!((target.product, target.suite), (Some(3), Some(128)));
    assert_eq!(Target::parse("NT").unwrap(), Target::default());
    for bad in ["", "amd64", "NTmips", "NTamd64.ten", "NTamd64.10.0...1.2"] {
        assert_eq!(Target::parse(bad), None, "{bad:?}");
    }
}

/// The example of MS: combining-platform-extensions-with-operating-system-versions, How TargetOsVersion decorations are resolved.
#[test]
fn the_newest_section_that_is_not_too_new_is_taken() {
    let inf = parse(
        "[Manufacturer]\n%M% = A,NTamd64.10.0...17134,NTamd64.10.0...22000,NTarm64.10.0...17134\n\
         [A.NTamd64.10.0...17134]\nd = One, X\n[A.NTamd64.10.0...22000]\nd = Two, X\n\
         [A.NTarm64.10.0...17134]\nd = One, X\n[One.NTarm64]\n[One.NTarm64.HW]\nAddReg = R\n[One]\n[Two.NT]\n[R]\nHKR,,x,,y\n",
    );
    let package = Package::new(&inf);
    let ranges: Vec<String> = package
        .models
        .iter()
        .map(|models| models.range.to_string())
        .collect();
    assert_eq!(
        ranges,
        [
            "build 17134 to before build 22000",
            "build 22000 and later",
            "build 17134 and later"
        ]
    );
    let installs: Vec<(&str, &str)> = package
        .installs
        .iter()
        .map(|install| (install.name.as_str(), install.arch.as_str()))
        .collect();
    assert_eq!(
        installs,
        [
            ("One", "amd64"),
            ("Two.NT", "amd64"),
            ("One.NTarm64", "arm64")
        ]
    );
    assert_eq!(package.of(2, Role::Registry(Home::Hardware)).count(), 1);
    assert_eq!(package.of(0, Role::Registry(Home::Hardware)).count(), 0);
    assert!(
        !package.installs[0].overlaps(&package.installs[1]),
        "one follows the other"
    );
}

#[test]
fn needs_may_go_in_a_circle() {
    let inf = parse(
        "[Manufacturer]\nm = A,NTamd64\n[A.NTamd64]\nd = I, X\n[I]\nNeeds = J\n[J]\nNeeds = I\nAddReg = R\n[R]\nHKR,,a,,b\n",
    );
    let package = Package::new(&inf);
    assert_eq!(package.of(0, Role::Registry(Home::Software)).count(), 1);
}

#[test]
fn files_are_found_without_regard_to_case() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("Sub")).unwrap();
    fs::write(dir.path().join("Sub/Driver.SYS"), b"x").unwrap();
    let found = locate(dir.path(), "sub/driver.sys");
    assert_eq!(found, Some(dir.path().join("Sub/Driver.SYS")));
    assert_eq!(locate(dir.path(), "sub"), None);
    assert_eq!(locate(dir.path(), "driver.sys"), None);
}

#[test]
fn the_catalog_of_a_processor_is_the_most_particular_one() {
    let version = |lines: &str| parse(&format!("[Version]\n{lines}"));
    let all = version("CatalogFile=a.cat\nCatalogFile.nt=b.cat\nCatalogFile.ntAMD64=c.cat\n");
    assert_eq!(catalog(&all, "amd64").as_deref(), Some("c.cat"));
    assert_eq!(catalog(&all, "arm64").as_deref(), Some("b.cat"));
    let other = version("CatalogFile.NTx86=b.cat\nCatalogFile=a.cat\n");
    assert_eq!(catalog(&other, "amd64").as_deref(), Some("a.cat"));
    assert_eq!(
        catalog(&version("CatalogFile.NTx86=b.cat\n"), "amd64"),
        None
    );
}

proptest! {
    /// Nothing makes it panic, and every position lies in the file.
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes);
    }

    /// The same for text that is nearly an INF: a real one with pieces cut out, moved and repeated.
    #[test]
    fn any_mutation_of_a_real_file_is_read(cuts in prop::collection::vec((0usize..4000, 0usize..200, 0usize..4000), 1..12)) {
        let mut bytes = include_bytes!("../testdata/system.inf").to_vec();
        for (from, length, to) in cuts {
            let from = from % bytes.len();
            let piece: Vec<u8> = bytes.iter().copied().skip(from).take(length).collect();
            if length % 2 == 0 {
                bytes.drain(from..from + piece.len());
            }
            let to = to % (bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        check(&bytes);
    }
}

fn check(bytes: &[u8]) {
    let inf = Inf::parse(bytes);
    let lines = inf.text.text.matches(['\n', '\r']).count() + 1;
    for finding in lint::lint(&inf, &lint::Options::default()) {
        assert!(finding.at.line >= 1 && finding.at.column >= 1);
        assert!(finding.at.line as usize <= lines, "{finding:?}");
    }
}
