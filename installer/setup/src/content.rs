//! What tells a driver package from another one with the same published name.

use alloc::format;
use alloc::string::String;
use core::fmt;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a published INF, which is the package's own INF under another name (MS: nf-setupapi-setupcopyoeminfw).
///
/// Windows promises nowhere that the number of a removed `oemN.inf` is not given out again. Provider, services and the catalog's name
/// stand in the INF, so no package of another vendor has the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    /// Of the INF's bytes.
    #[must_use]
    pub fn of(inf: &[u8]) -> Content {
        let mut text = String::new();
        for byte in Sha256::digest(inf) {
            text.push_str(&format!("{byte:02x}"));
        }
        Content(text)
    }

    /// From a record.
    #[must_use]
    pub fn parse(text: &str) -> Option<Content> {
        let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(plain)).then(|| Content(text.into()))
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
