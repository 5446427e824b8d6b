//! The two digests by which a catalog knows a file.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::Error;

/// How a file is digested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PE image: without its checksum and its signature, so that signing it does not change the digest.
    Image,
    /// Any other file: every byte.
    Flat,
}

/// A file's digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// What was digested.
    pub kind: Kind,
    /// SHA-1; only a look-up key.
    pub sha1: [u8; 20],
    /// SHA-256; what vouches for the file.
    pub sha256: [u8; 32],
}

impl Digests {
    /// Digests a file; `name` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Image`]: it starts like a PE image, but its headers lie.
    pub fn of(name: &str, bytes: &[u8]) -> Result<Digests, Error> {
        match image_parts(bytes) {
            None => Ok(Digests::over(Kind::Flat, [bytes])),
            Some(Ok(parts)) => Ok(Digests::over(Kind::Image, parts)),
            Some(Err(what)) => Err(Error::Image {
                name: name.to_owned(),
                what,
            }),
        }
    }

    fn over<'a>(kind: Kind, parts: impl IntoIterator<Item = &'a [u8]>) -> Digests {
        let mut sha1 = Sha1::new();
        let mut sha256 = Sha256::new();
        for part in parts {
            sha1.update(part);
            sha256.update(part);
        }
        Digests {
            kind,
            sha1: sha1.finalize().into(),
            sha256: sha256.finalize().into(),
        }
    }
}

/// Where the pieces of a PE header that matter here lie (Microsoft, "PE Format").
mod header {
    pub const MZ: &[u8] = b"MZ";
    pub const E_LFANEW: usize = 0x3c;
    pub const SIGNATURE: &[u8] = b"PE\0\0";
    /// Signature and COFF header.
    pub const OPTIONAL: usize = 24;
    pub const MAGIC_PE32: u16 = 0x10b;
    pub const MAGIC_PE32_PLUS: u16 = 0x20b;
    pub const CHECKSUM: usize = 64;
    pub const DIRECTORIES_PE32: usize = 96;
    pub const DIRECTORIES_PE32_PLUS: usize = 112;
    /// The certificate table is the fifth directory of eight bytes each.
    pub const CERTIFICATES: usize = 4 * 8;
}

/// Alignment to which the digest pads a file that has no certificate table yet.
const PAD: usize = 8;

/// What it pads with.
const ZEROS: [u8; PAD] = [0; PAD];

/// Splits a PE image into what its Authenticode digest covers; `None` if it is no PE image.
///
/// Left out: the checksum, the certificate table's directory entry and the table itself
/// (Microsoft, "Windows Authenticode Portable Executable Signature Format", Calculating the PE Image Hash).
fn image_parts(bytes: &[u8]) -> Option<Result<[&[u8]; 5], &'static str>> {
    if !bytes.starts_with(header::MZ) {
        return None;
    }
    let pe = dword(bytes, header::E_LFANEW)?;
    if bytes.get(pe..pe.checked_add(4)?) != Some(header::SIGNATURE) {
        return None;
    }
    Some(split_image(bytes, pe + header::OPTIONAL))
}

fn split_image(bytes: &[u8], optional: usize) -> Result<[&[u8]; 5], &'static str> {
    const TRUNCATED: &str = "its headers are cut off";
    let directories = match word(bytes, optional).ok_or(TRUNCATED)? {
        header::MAGIC_PE32 => header::DIRECTORIES_PE32,
        header::MAGIC_PE32_PLUS => header::DIRECTORIES_PE32_PLUS,
        _ => return Err("its optional header is of no known kind"),
    };
    let checksum = optional + header::CHECKSUM;
    let entry = optional + directories + header::CERTIFICATES;
    let table = dword(bytes, entry).ok_or(TRUNCATED)?;
    let table_len = dword(bytes, entry + 4).ok_or(TRUNCATED)?;
    let (body, after, padding) = if table == 0 {
        let short = bytes.len().next_multiple_of(PAD) - bytes.len();
        (&bytes[entry + 8..], &[][..], &ZEROS[..short])
    } else {
        let end = table
            .checked_add(table_len)
            .ok_or("its certificate table lies outside the file")?;
        let body = bytes.get(entry + 8..table);
        let after = bytes.get(end..);
        match (body, after) {
            (Some(body), Some(after)) => (body, after, &[][..]),
            _ => return Err("its certificate table lies outside the file"),
        }
    };
    Ok([
        &bytes[..checksum],
        &bytes[checksum + 4..entry],
        body,
        after,
        padding,
    ])
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

fn dword(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(four.try_into().ok()?)).ok()
}
