//! The `RT_MESSAGETABLE` resource, from a driver's messages.toml.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{align, push_text, push_u16, push_u32};

/// `MESSAGE_RESOURCE_UNICODE` (winnt.h).
const UNICODE: u16 = 1;

/// A driver's event-log messages by event code.
#[derive(Debug, Default)]
pub struct Messages {
    by_code: BTreeMap<u32, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    message: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: u16,
    severity: Severity,
    symbol: String,
    text: String,
}

/// The top two bits of an event code (winerror.h).
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Success = 0,
    Informational = 1,
    Warning = 2,
    Error = 3,
}

impl Messages {
    /// Reads a messages.toml; a driver without one has no messages.
    pub fn read(path: &Path) -> Result<Messages> {
        if !path.exists() {
            return Ok(Messages::default());
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Messages::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Parses a messages.toml.
    pub fn parse(text: &str) -> Result<Messages> {
        let file: File = toml::from_str(text)?;
        let mut by_code = BTreeMap::new();
        for entry in file.message {
            if entry.text.trim().is_empty() {
                bail!("message {} ({}) has no text", entry.id, entry.symbol);
            }
            // winerror.h: severity in the top two bits, then the customer bit, which all codes but Microsoft's carry.
            let code = (entry.severity as u32) << 30 | 1 << 29 | u32::from(entry.id);
            let text = entry.text.trim_end().replace('\n', "\r\n") + "\r\n";
            if by_code.insert(code, text).is_some() {
                bail!(
                    "message {} ({}) has the code of another",
                    entry.id,
                    entry.symbol
                );
            }
        }
        Ok(Messages { by_code })
    }

    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.by_code.is_empty()
    }

    /// Encodes `MESSAGE_RESOURCE_DATA`: one block of entries per run of consecutive codes.
    pub fn encode(&self) -> Vec<u8> {
        const BLOCK_LEN: usize = 12;
        let mut blocks: Vec<(u32, u32, Vec<u8>)> = Vec::new();
        for (&code, text) in &self.by_code {
            match blocks.last_mut() {
                Some((_, high, entries)) if high.checked_add(1) == Some(code) => {
                    *high = code;
                    entries.extend(entry(text));
                }
                _ => blocks.push((code, code, entry(text))),
            }
        }
        let mut out = Vec::new();
        push_u32(&mut out, blocks.len() as u32);
        let mut offset = 4 + blocks.len() * BLOCK_LEN;
        for (low, high, entries) in &blocks {
            push_u32(&mut out, *low);
            push_u32(&mut out, *high);
            push_u32(&mut out, offset as u32);
            offset += entries.len();
        }
        for (_, _, entries) in &blocks {
            out.extend(entries);
        }
        out
    }
}

/// `MESSAGE_RESOURCE_ENTRY`.
fn entry(text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, text);
    align(&mut body);
    let mut out = Vec::new();
    push_u16(&mut out, body.len() as u16 + 4);
    push_u16(&mut out, UNICODE);
    out.extend(body);
    out
}
