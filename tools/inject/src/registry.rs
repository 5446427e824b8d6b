//! Values of the registry: what they are, how `.reg` text writes them and how hivex prints them.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use anyhow::{Context, Result, bail};
use serde_json::json;

/// A value with its type. The numbers are those of winnt.h.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// REG_SZ.
    String(String),
    /// REG_EXPAND_SZ.
    Expand(String),
    /// REG_MULTI_SZ.
    Multi(Vec<String>),
    /// REG_DWORD.
    Dword(u32),
    /// REG_BINARY and every type that has no variant of its own.
    Raw {
        /// The type's number.
        kind: u32,
        /// The data.
        bytes: Vec<u8>,
    },
}

/// REG_BINARY.
const BINARY: u32 = 3;

impl Value {
    /// A REG_BINARY.
    #[must_use]
    pub fn binary(bytes: &[u8]) -> Value {
        Value::Raw {
            kind: BINARY,
            bytes: bytes.to_vec(),
        }
    }

    fn kind(&self) -> u32 {
        match self {
            Value::String(_) => 1,
            Value::Expand(_) => 2,
            Value::Dword(_) => 4,
            Value::Multi(_) => 7,
            Value::Raw { kind, .. } => *kind,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Value::String(text) | Value::Expand(text) => utf16(text),
            Value::Dword(number) => number.to_le_bytes().to_vec(),
            Value::Multi(list) => {
                let mut bytes: Vec<u8> = list.iter().flat_map(|text| utf16(text)).collect();
                bytes.extend([0, 0]);
                bytes
            }
            Value::Raw { bytes, .. } => bytes.clone(),
        }
    }

    /// The right side of a line of `.reg` text. Always bytes with their type: text would depend on the reader's encoding.
    fn reg(&self) -> String {
        format!("hex({:x}):{}", self.kind(), hex(&self.bytes(), ","))
    }

    fn from_bytes(kind: u32, bytes: Vec<u8>) -> Value {
        match (kind, <[u8; 4]>::try_from(bytes.as_slice())) {
            (1, _) => Value::String(text(&bytes)),
            (2, _) => Value::Expand(text(&bytes)),
            (7, _) => Value::Multi(
                text(&bytes)
                    .split('\0')
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            (4, Ok(number)) => Value::Dword(u32::from_le_bytes(number)),
            _ => Value::Raw { kind, bytes },
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::String(text) => write!(f, "REG_SZ {text}"),
            Value::Expand(text) => write!(f, "REG_EXPAND_SZ {text}"),
            Value::Multi(list) => write!(f, "REG_MULTI_SZ {}", list.join(", ")),
            Value::Dword(number) => write!(f, "REG_DWORD {number}"),
            Value::Raw {
                kind: BINARY,
                bytes,
            } => write!(f, "REG_BINARY {}", hex(bytes, " ")),
            Value::Raw { kind, bytes } => write!(f, "type {kind} {}", hex(bytes, " ")),
        }
    }
}

/// One value that a key of a hive shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The key, from the hive's root, without a backslash in front.
    pub key: String,
    /// The value's name; empty for the key's default value.
    pub name: String,
    /// What it shall be.
    pub value: Value,
}

impl Edit {
    /// A value that shall be.
    pub fn new(key: impl Into<String>, name: impl Into<String>, value: Value) -> Edit {
        Edit {
            key: key.into(),
            name: name.into(),
            value,
        }
    }

    /// For `--json`.
    #[must_use]
    pub fn json(&self, hive: &str) -> serde_json::Value {
        json!({ "hive": hive, "key": self.key, "name": self.name, "value": self.value.to_string() })
    }
}

/// The first line of `.reg` text.
const REG_HEADER: &str = "Windows Registry Editor Version 5.00\n";

/// `.reg` text that removes keys with all below them.
#[must_use]
pub fn removal_text(keys: &[String]) -> String {
    let mut text = REG_HEADER.to_owned();
    for key in keys {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n[-\\{key}]");
    }
    text
}

/// `.reg` text that makes all the edits, in the form that `hivexregedit --merge` takes: it makes a key only if the one above
/// it is there, so each of them is named first.
#[must_use]
pub fn reg_text(edits: &[Edit]) -> String {
    let mut text = REG_HEADER.to_owned();
    let mut named = BTreeSet::new();
    let mut key = None;
    for edit in edits {
        if key != Some(&edit.key) {
            key = Some(&edit.key);
            for (at, _) in edit.key.match_indices('\\') {
                if named.insert(&edit.key[..at]) {
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "\n[\\{}]", &edit.key[..at]);
                }
            }
            named.insert(&edit.key);
            let _ = writeln!(text, "\n[\\{}]", edit.key);
        }
        let name = if edit.name.is_empty() {
            "@".to_owned()
        } else {
            format!(
                "\"{}\"",
                edit.name.replace('\\', r"\\").replace('"', "\\\"")
            )
        };
        let _ = writeln!(text, "{name}={}", edit.value.reg());
    }
    text
}

/// Reads what `hivexget HIVE KEY` prints: one `"NAME"=VALUE` after the other. The default value's name comes as `@`.
///
/// # Errors
///
/// The text is not of that form.
pub fn parse_values(mut text: &str) -> Result<Vec<(String, Value)>> {
    let mut values = Vec::new();
    while !text.trim_start_matches('\n').is_empty() {
        text = text.trim_start_matches('\n');
        let line = text.lines().next().unwrap_or_default();
        let (name, rest) = quoted(text).with_context(|| format!("no name in {line:?}"))?;
        let rest = rest
            .strip_prefix('=')
            .with_context(|| format!("no = in {line:?}"))?;
        let (value, rest) = value(rest).with_context(|| format!("no value in {line:?}"))?;
        let name = if name == "@" { String::new() } else { name };
        values.push((name, value));
        text = rest;
    }
    Ok(values)
}

fn value(text: &str) -> Result<(Value, &str)> {
    if text.starts_with('"') {
        let (string, rest) = quoted(text)?;
        return Ok((Value::String(string), rest));
    }
    if let Some(rest) = text.strip_prefix("str(") {
        let (kind, rest) = rest.split_once("):").context("no type")?;
        let (string, rest) = quoted(rest)?;
        return match kind {
            "1" => Ok((Value::String(string), rest)),
            "2" => Ok((Value::Expand(string), rest)),
            _ => bail!("a string of type {kind}"),
        };
    }
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    if let Some(digits) = line.strip_prefix("dword:") {
        return Ok((Value::Dword(u32::from_str_radix(digits, 16)?), rest));
    }
    let (kind, digits) = line
        .strip_prefix("hex(")
        .and_then(|line| line.split_once("):"))
        .context("neither text nor number nor bytes")?;
    // hivex prints the type as a decimal number here.
    let kind = kind.parse().context("no type")?;
    let bytes: Result<Vec<u8>, _> = digits
        .split(',')
        .filter(|digits| !digits.is_empty())
        .map(|digits| u8::from_str_radix(digits, 16))
        .collect();
    Ok((Value::from_bytes(kind, bytes?), rest))
}

/// Takes text in quotation marks, in which a backslash stands before a quotation mark or another backslash.
fn quoted(text: &str) -> Result<(String, &str)> {
    let text = text.strip_prefix('"').context("no quotation mark")?;
    let mut string = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((string, &text[at + 1..])),
            '\\' => string.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => string.push(character),
        }
    }
    bail!("no closing quotation mark")
}

/// UTF-16LE with a terminating NUL, as the registry stores text.
fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

/// The text of stored UTF-16LE, without the NULs at its end.
fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16_lossy(&units)
        .trim_end_matches('\0')
        .to_owned()
}

fn hex(bytes: &[u8], between: &str) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(between)
}

#[cfg(test)]
mod tests;
