//! What the script says, by its syntax tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tree_sitter::{Node, Parser, Tree};

const SCRIPT: &str = "../../docs/collect/Collect-WinPV.ps1";
const SCHEMA: &str = "../../docs/collect/report.schema.json";

/// Commands begin with a verb; these read, shape what was read, or set up the script itself.
/// MS: "Approved verbs for PowerShell commands".
const READING: [&str; 11] = [
    "Assert",
    "Confirm",
    "ConvertTo",
    "ForEach",
    "Get",
    "Join",
    "Select",
    "Sort",
    "Split",
    "Test",
    "Where",
];
/// Commands with other verbs that change nothing on the machine.
const HARMLESS: [&str; 3] = ["New-Object", "Set-StrictMode", "Write-Output"];
/// What other programs may be asked for.
const PROGRAMS: [&str; 4] = [
    "Get-ProgramOutput 'bcdedit.exe' @('/enum', '{current}')",
    "Get-ProgramOutput 'pnputil.exe' @('/enum-drivers')",
    "Get-ProgramOutput 'verifier.exe' @('/querysettings')",
    "Get-ProgramOutput $program[0].FullName @('/v', $mode, $_.OriginalFileName)",
];
/// Methods of .NET's file classes that the script may call.
const FILES: [&str; 2] = [
    "[IO.File]::ReadLines($path)",
    "[IO.File]::Open($Path, [IO.FileMode]::CreateNew)",
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn parse(script: &str) -> Tree {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_powershell::LANGUAGE.into())
        .unwrap();
    parser.parse(script, None).unwrap()
}

/// The text of every node of a kind.
fn all<'a>(script: &'a str, kind: &str) -> Vec<&'a str> {
    fn walk<'a>(node: Node<'_>, script: &'a str, kind: &str, found: &mut Vec<&'a str>) {
        if node.kind() == kind {
            found.push(&script[node.byte_range()]);
        }
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            walk(child, script, kind, found);
        }
    }
    let mut found = Vec::new();
    walk(parse(script).root_node(), script, kind, &mut found);
    found
}

/// What is wrong with a script, one line each.
fn problems(script: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if parse(script).root_node().has_error() {
        problems.push("it is no PowerShell".to_owned());
    }
    // Windows PowerShell 5.1 reads a file without a mark in the machine's own code page.
    if !script.is_ascii() {
        problems.push("it has letters beyond ASCII".to_owned());
    }
    let own: BTreeSet<&str> = all(script, "function_name").into_iter().collect();
    let sources: String = all(script, "comment").join("\n");
    for command in all(script, "command_name") {
        let verb = command.split('-').next().unwrap_or_default();
        if own.contains(command) {
            continue;
        }
        if !READING.contains(&verb) && !HARMLESS.contains(&command) {
            problems.push(format!("{command} may change something"));
        }
        if !cited(&sources, command) {
            problems.push(format!("no source is named for {command}"));
        }
    }
    for call in all(script, "command").into_iter().map(str::trim_end) {
        if call.starts_with("Get-ProgramOutput") && !PROGRAMS.contains(&call) {
            problems.push(format!("{call} is not among those that only read"));
        }
        if call.starts_with('&') && !["& $Work", "& $Program @Arguments 2>&1"].contains(&call) {
            problems.push(format!("{call} runs something unknown"));
        }
    }
    for call in all(script, "invokation_expression") {
        if call.contains("[IO.") && !FILES.contains(&call) {
            problems.push(format!("{call} is not among those that only read"));
        }
    }
    problems
}

/// Whether a comment that names Microsoft's pages has the command.
fn cited(comments: &str, command: &str) -> bool {
    // Windows' own part of the language needs no page.
    const LANGUAGE: [&str; 4] = ["Get-Date", "Join-Path", "New-Object", "Where-Object"];
    LANGUAGE.contains(&command)
        || comments
            .split(&[' ', ',', ':', ';', '(', ')', '\n'][..])
            .any(|word| word.trim_end_matches('.') == command)
}

/// The names of the parts that the script collects, in order.
fn parts(script: &str) -> Vec<&str> {
    all(script, "command")
        .into_iter()
        .filter_map(|call| call.strip_prefix("Add-Result '")?.split('\'').next())
        .collect()
}

#[test]
fn script_is_sound() {
    assert_eq!(problems(&read(SCRIPT)), Vec::<String>::new());
}

#[test]
fn each_fault_is_found() {
    let script = read(SCRIPT);
    for (from, to, expected) in [
        (
            "    Assert-Elevated\n    $packages",
            "    Assert-Elevated {\n    $packages",
            "no PowerShell",
        ),
        ("# Runs one part", "# Runs one part\u{a7}", "beyond ASCII"),
        (
            "$hash = Get-FileHash",
            "$hash = Remove-Item",
            "Remove-Item may change",
        ),
        (
            "MS: Get-WindowsDriver; Get-FileHash.",
            "",
            "no source is named for Get-FileHash",
        ),
        (
            "@('/enum-drivers')",
            "@('/delete-driver')",
            "/delete-driver",
        ),
        (
            "@('/enum', '{current}')",
            "@('/set', 'testsigning', 'on')",
            "testsigning",
        ),
        (
            "[IO.FileMode]::CreateNew",
            "[IO.FileMode]::Create",
            "among those that only read",
        ),
        (
            "& $Program @Arguments 2>&1",
            "& $Program /reset 2>&1",
            "runs something unknown",
        ),
    ] {
        assert!(script.contains(from), "{from}");
        let found = problems(&script.replace(from, to));
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{to}: {found:?}"
        );
    }
}

#[test]
fn script_and_schema_name_the_same_parts() {
    let schema: serde_json::Value = serde_json::from_str(&read(SCHEMA)).unwrap();
    let items = &schema["properties"]["items"];
    let required: Vec<&str> = items["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let script = read(SCRIPT);
    assert_eq!(parts(&script), required);
    let described: Vec<&String> = items["properties"].as_object().unwrap().keys().collect();
    assert_eq!(described, required);
}

#[test]
fn each_value_that_the_script_writes_is_in_the_schema() {
    let (script, schema) = (read(SCRIPT), read(SCHEMA));
    let keys = all(&script, "key_expression");
    assert!(keys.len() > 50, "{keys:?}");
    for key in keys {
        // Those of Get-WinEvent's filter, which go into no report.
        if ["LogName", "StartTime", "Level"].contains(&key) {
            continue;
        }
        assert!(schema.contains(&format!("\"{key}\"")), "{key}");
    }
}

#[test]
fn the_reader_of_statistics_has_the_page_s_numbers() {
    let script = read("../../docs/collect/Read-VioblkStatistics.ps1");
    assert!(!parse(&script).root_node().has_error());
    let page = read("../../docs/statistics.md");
    let rows = |title: &str| -> BTreeSet<(String, u32)> {
        let (_, table) = page.split_once(title).unwrap();
        table
            .lines()
            .skip_while(|line| !line.starts_with("| 0 |"))
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let mut cells = line.split('|').skip(1).map(str::trim);
                let offset = cells.next().unwrap().to_owned();
                (offset, cells.next().unwrap().parse().unwrap())
            })
            .collect()
    };
    // What is read at `$head + 24` or `$at + 24` by its width; at `$at` alone, offset 0.
    let read_by = |base: &str| -> BTreeSet<(String, u32)> {
        let calls = script.split("[BitConverter]::ToUInt").skip(1);
        calls
            .filter_map(|call| {
                let (bits, rest) = call.split_once("($answer, ")?;
                let at = rest.split(')').next()?.strip_prefix(base)?;
                let offset = at.trim_start_matches(" + ").split(' ').next()?;
                let offset = if offset.is_empty() { "0" } else { offset };
                Some((offset.to_owned(), bits.parse::<u32>().ok()? / 8))
            })
            .collect()
    };
    assert_eq!(read_by("$at"), rows("A queue's part:"));
    // The first of the table of events is read by its place.
    let adapter: BTreeSet<_> = rows("The adapter's part,")
        .into_iter()
        .map(|(offset, bytes)| (offset, if bytes == 64 { 4 } else { bytes }))
        .collect();
    let missing: Vec<_> = read_by("$head").difference(&adapter).cloned().collect();
    assert_eq!(missing, []);
}
