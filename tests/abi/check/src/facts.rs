//! The JSON files of tests/abi, read as they are.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A member: [offset, size], or [byte, 0, bit, width] for a bit-field.
pub type Place = Vec<usize>;

/// One structure on one architecture.
#[derive(Debug, Deserialize)]
pub struct Layout {
    /// Bytes.
    pub size: usize,
    /// Bytes.
    pub align: usize,
    /// Members; those of inline records joined with a dot.
    pub fields: BTreeMap<String, Place>,
}

/// A function as Microsoft declares it (x86_64).
#[derive(Debug, Deserialize)]
pub struct Prototype {
    /// C types.
    pub params: Vec<String>,
    /// C type.
    pub ret: String,
    /// Defined in the header, so not an export.
    #[serde(default)]
    pub inline: bool,
}

/// What i686 adds: the calling convention and its own widths.
#[derive(Debug, Deserialize)]
pub struct X86 {
    /// cdecl, stdcall or fastcall.
    pub convention: String,
    /// Bytes of each parameter.
    pub param_bytes: Vec<usize>,
    /// Bytes of the result; 0 for void.
    pub ret_bytes: usize,
}

/// A callback or import, measured on both widths.
#[derive(Debug, Deserialize)]
pub struct Signature {
    /// C types on x86_64.
    pub params: Vec<String>,
    /// C type on x86_64.
    pub ret: String,
    /// The same on i686.
    pub x86: X86,
    /// Takes further arguments.
    #[serde(default)]
    pub variadic: bool,
}

/// An inline function over one of StorPort's variadic imports.
#[derive(Debug, Deserialize)]
pub struct Wrapper {
    /// The import.
    pub through: String,
    /// Its first argument.
    pub code: String,
    /// The further arguments, after promotion.
    pub args: Vec<String>,
}

/// What exports.json knows of a function.
#[derive(Debug, Deserialize)]
pub struct Export {
    /// First NTDDI level of the prototype.
    pub ntddi: Option<String>,
    /// First version as documented.
    pub docs_min: Option<String>,
}

#[derive(Deserialize)]
struct Callbacks {
    callbacks: BTreeMap<String, Signature>,
    imports: BTreeMap<String, Signature>,
    wrappers: BTreeMap<String, Wrapper>,
}

#[derive(Deserialize)]
struct Constants {
    constants: BTreeMap<String, u32>,
}

/// Everything that was measured.
#[derive(Debug)]
pub struct Facts {
    /// Structure, then architecture.
    pub layouts: BTreeMap<String, BTreeMap<String, Layout>>,
    /// Enumeration, then constant.
    pub enums: BTreeMap<String, BTreeMap<String, i64>>,
    /// Macro constants.
    pub constants: BTreeMap<String, u32>,
    /// Functions by name.
    pub prototypes: BTreeMap<String, Prototype>,
    /// Callback types by name.
    pub callbacks: BTreeMap<String, Signature>,
    /// Imports with conventions and i686 widths. A function that i686 does not have is absent.
    pub imports: BTreeMap<String, Signature>,
    /// Inline wrappers by name.
    pub wrappers: BTreeMap<String, Wrapper>,
    /// DLL, then export.
    pub exports: BTreeMap<String, BTreeMap<String, Export>>,
}

impl Facts {
    /// Reads the files in `dir` (tests/abi).
    ///
    /// # Errors
    /// A file that is missing or does not have the form that tests/abi/README.md describes.
    pub fn read(dir: &Path) -> Result<Self> {
        let Callbacks {
            callbacks,
            imports,
            wrappers,
        } = parse(dir, "callbacks.json")?;
        let Constants { constants } = parse(dir, "constants.json")?;
        Ok(Self {
            layouts: parse_map(dir, "layouts.json")?,
            enums: parse_map(dir, "enums.json")?,
            constants,
            prototypes: parse_map(dir, "prototypes.json")?,
            callbacks,
            imports,
            wrappers,
            exports: parse_map(dir, "exports.json")?,
        })
    }

    /// Whether an enumeration of this name was measured.
    #[must_use]
    pub fn has_enumeration(&self, name: &str) -> bool {
        self.enumeration(name).is_some()
    }

    fn enumeration(&self, name: &str) -> Option<&BTreeMap<String, i64>> {
        self.enums
            .get(name)
            .or_else(|| self.enums.get(&format!("_{name}")))
    }

    /// The measured value of a constant whose Rust type is `type_name`: a member of that enumeration, or a macro. `Err`
    /// names an enumeration that was measured and lacks the constant.
    #[must_use]
    pub fn constant(&self, name: &str, type_name: &str) -> Option<Result<i64, String>> {
        if let Some(members) = self.enumeration(type_name) {
            return Some(
                members
                    .get(name)
                    .copied()
                    .ok_or_else(|| format!("enumeration {type_name} has no {name}")),
            );
        }
        self.constants.get(name).map(|&value| Ok(i64::from(value)))
    }
}

fn parse<T: serde::de::DeserializeOwned>(dir: &Path, name: &str) -> Result<T> {
    let path = dir.join(name);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

/// A file that is one object, whose `_about` member describes it.
fn parse_map<T: serde::de::DeserializeOwned>(
    dir: &Path,
    name: &str,
) -> Result<BTreeMap<String, T>> {
    let mut whole: serde_json::Map<String, serde_json::Value> = parse(dir, name)?;
    whole.remove("_about");
    let parsed = whole.into_iter().map(|(key, value)| {
        let item = serde_json::from_value(value).with_context(|| format!("{name}: {key}"))?;
        Ok((key, item))
    });
    parsed.collect()
}
