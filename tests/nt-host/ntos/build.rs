//! Turns the measured facts of tests/abi into Rust tables for the architecture that is built for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;
use serde_json::Value;

#[path = "src/abi/irql.rs"]
mod irql;

type Facts = BTreeMap<String, Value>;

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let facts = here.join("../../abi");
    let out = PathBuf::from(variable("OUT_DIR"));
    let arch = variable("CARGO_CFG_TARGET_ARCH");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/abi/irql.rs");

    let layouts = read(&facts, "layouts.json");
    let enums = read(&facts, "enums.json");
    let prototypes = read(&facts, "prototypes.json");
    let functions = read(&facts, "functions.json");
    let constants = read(&facts, "constants.json");
    let curated = read_curated(&here.join("curated.toml"));

    write(&out, "layouts.rs", &layout_modules(&layouts, &arch));
    write(&out, "enums.rs", &enum_modules(&enums));
    write(&out, "constants.rs", &constant_items(&constants));
    write(
        &out,
        "functions.rs",
        &function_table(&prototypes, &functions, &curated),
    );
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn read(folder: &Path, name: &str) -> Facts {
    let path = folder.join(name);
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut facts: Facts =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    facts.retain(|name, _| !name.starts_with("_about"));
    facts
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap_or_else(|e| panic!("{name}: {e}"));
}

/// One row of curated.toml.
#[derive(Deserialize)]
struct Curated {
    /// The level or range, in the documentation's spelling.
    irql: Option<String>,
    /// Whether the row counts although documentation or annotations say something.
    #[serde(default)]
    overrides: bool,
    /// The parameter widths in bytes, for functions that the measured prototypes lack.
    widths: Option<Vec<u8>>,
    /// What the row rests on.
    evidence: String,
}

fn read_curated(path: &Path) -> BTreeMap<String, Curated> {
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A name of the facts as a Rust identifier.
fn identifier(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    match name.as_str() {
        "type" | "Self" | "self" | "in" | "as" | "ref" | "move" | "mod" | "SIZE" | "ALIGN" => {
            format!("{name}_")
        }
        _ => name,
    }
}

fn layout_modules(layouts: &Facts, arch: &str) -> String {
    let mut text = String::new();
    for (name, by_arch) in layouts {
        let Some(layout) = by_arch.get(arch) else {
            continue;
        };
        let number = |key: &str| {
            layout[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{name}.{key}"))
        };
        let _ = writeln!(
            text,
            "/// `{name}` as measured from {}.\npub mod {} {{\n    /// Bytes.\n    pub const SIZE: usize = {};\n    /// Bytes.\n    pub const ALIGN: usize = {};",
            layout["source"].as_str().unwrap_or("an unnamed source"),
            identifier(name),
            number("size"),
            number("align"),
        );
        for (field, place) in layout["fields"]
            .as_object()
            .unwrap_or_else(|| panic!("{name}"))
        {
            let place: Vec<usize> = serde_json::from_value(place.clone())
                .unwrap_or_else(|e| panic!("{name}.{field}: {e}"));
            let (offset, size, bit, bits) = match place[..] {
                [offset, size] => (offset, size, 0, 0),
                [offset, _, bit, bits] => (offset, (bit + bits).div_ceil(8), bit, bits),
                _ => panic!("{name}.{field}: {place:?}"),
            };
            let _ = writeln!(
                text,
                "    /// `{field}`.\n    pub const {}: crate::abi::Field = crate::abi::Field {{ offset: {offset}, size: {size}, bit: {bit}, bits: {bits} }};",
                identifier(field),
            );
        }
        text.push_str("}\n");
    }
    text
}

fn enum_modules(enums: &Facts) -> String {
    let mut text = String::new();
    for (name, constants) in enums {
        // `_POOL_TYPE` is the tag of the type that everyone calls POOL_TYPE.
        let plain = name.trim_start_matches('_');
        let module = if enums.contains_key(plain) {
            name
        } else {
            plain
        };
        let _ = writeln!(text, "/// `{name}`.\npub mod {} {{", identifier(module));
        for (constant, value) in constants.as_object().unwrap_or_else(|| panic!("{name}")) {
            let value = value
                .as_i64()
                .unwrap_or_else(|| panic!("{name}.{constant}"));
            // An enumeration is 4 bytes in every Windows header: negative values wrap as in memory.
            let value = u32::try_from(value)
                .or_else(|_| i32::try_from(value).map(i32::cast_unsigned))
                .unwrap_or_else(|_| panic!("{name}.{constant} does not fit an enumeration"));
            let _ = writeln!(
                text,
                "    /// `{constant}`.\n    pub const {}: u32 = {value};",
                identifier(constant)
            );
        }
        text.push_str("}\n");
    }
    text
}

fn constant_items(facts: &Facts) -> String {
    let mut text = String::new();
    for (name, value) in facts["constants"]
        .as_object()
        .unwrap_or_else(|| panic!("constants.json"))
    {
        let value = value.as_u64().unwrap_or_else(|| panic!("{name}"));
        let _ = writeln!(
            text,
            "/// `{name}`.\npub const {}: u32 = {value:#x};",
            identifier(name)
        );
    }
    text
}

/// The bytes that a parameter of this C type occupies, as clang spells the type.
fn width(spelling: &str) -> u8 {
    if spelling.contains('*') || spelling.contains('[') {
        return 8;
    }
    match spelling
        .trim_start_matches("const ")
        .trim_start_matches("volatile ")
    {
        "char" | "unsigned char" | "signed char" | "_Bool" => 1,
        "short" | "unsigned short" => 2,
        "int" | "unsigned int" | "long" | "unsigned long" => 4,
        enumeration if enumeration.starts_with("enum ") => 4,
        // 64-bit scalars, unions such as LARGE_INTEGER, and structures by reference (win64 ABI).
        _ => 8,
    }
}

fn function_table(
    prototypes: &Facts,
    functions: &Facts,
    curated: &BTreeMap<String, Curated>,
) -> String {
    let names: std::collections::BTreeSet<&String> = prototypes
        .keys()
        .chain(functions.keys())
        .chain(curated.keys())
        .collect();
    let mut text = String::from("pub(super) static FUNCTIONS: &[Function] = &[\n");
    for name in names {
        let curated = curated.get(name);
        let measured: Option<Vec<u8>> = prototypes.get(name).and_then(|p| {
            p["params"].as_array().map(|list| {
                list.iter()
                    .map(|p| width(p.as_str().unwrap_or("")))
                    .collect()
            })
        });
        let widths = measured.or_else(|| curated.and_then(|row| row.widths.clone()));
        let facts = functions.get(name);
        let docs = facts
            .and_then(|f| f["irql_docs"].as_str())
            .and_then(irql::from_docs);
        let annotations: Vec<&str> = facts
            .and_then(|f| f["irql_sal"].as_array())
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let annotated = irql::from_annotations(annotations.into_iter());
        let row = curated.and_then(|row| row.irql.as_deref()).map(|line| {
            let range = irql::from_docs(line);
            range.unwrap_or_else(|| panic!("curated.toml, {name}: {line}"))
        });
        let overrides = curated.is_some_and(|row| row.overrides);
        let (range, source) = match (docs, annotated) {
            _ if overrides => (row, "Source::Curated"),
            (Some(a), Some(b)) => (Some(a.stricter(b)), "Source::Both"),
            (Some(a), None) => (Some(a), "Source::Documentation"),
            (None, Some(b)) => (Some(b), "Source::Annotation"),
            (None, None) if row.is_some() => (row, "Source::Curated"),
            (None, None) => (None, "Source::Silent"),
        };
        let _ = writeln!(
            text,
            "    Function {{ name: {name:?}, widths: {}, irql: {}, source: {source}, evidence: {:?} }},",
            widths.map_or("None".into(), |w| format!("Some(&{w:?})")),
            range.map_or("None".into(), |r| format!(
                "Some(Range {{ min: {}, max: {} }})",
                r.min, r.max
            )),
            curated.map_or("", |row| row.evidence.as_str()),
        );
    }
    text.push_str("];\n");
    text
}
