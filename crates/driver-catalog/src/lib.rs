//! Writes and reads Windows driver catalogs: the signed lists of hashes that vouch for a driver package's files.
//!
//! A catalog is a PKCS#7 `SignedData` around a certificate trust list. [`Builder`] writes an unsigned one of
//! version 2 (SHA-256, with SHA-1 look-up entries beside them, as Windows 8 and later expect); a signing tool
//! then adds the signature. [`Catalog`] reads one back, signed or not, and says whether a file belongs to it.
//! Writing is deterministic: the same files, attributes and time give the same bytes.
//!
//! ```
//! # fn main() -> Result<(), driver_catalog::Error> {
//! let mut builder = driver_catalog::Builder::new("_v100_X64", 1_700_000_000)?;
//! builder.hardware_id(r"PCI\VEN_1AF4&DEV_1042");
//! builder.file("toy.inf", b"[Version]\r\n")?;
//! let der = builder.unsigned()?;
//!
//! let catalog = driver_catalog::Catalog::parse(&der)?;
//! catalog.check("toy.inf", b"[Version]\r\n")?;
//! assert!(catalog.check("toy.inf", b"[version]\r\n").is_err());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod der;
mod digest;
mod oid;
mod reader;
mod time;
mod writer;

#[cfg(test)]
mod tests;

pub use digest::{Digests, Kind};
pub use reader::{Catalog, Member, Signature};
pub use writer::Builder;

/// Why a catalog could not be written, read or matched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that do not follow DER, or not the structure of a catalog.
    #[error("not a driver catalog: {what} (at byte {at})")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// Offset from the start of the input.
        at: usize,
    },
    /// A file that starts like a PE image but whose headers lie.
    #[error("{name} starts like a PE image, but {what}")]
    Image {
        /// The file.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Two files of one name.
    #[error("{name} is in the catalog twice")]
    Duplicate {
        /// The file.
        name: String,
    },
    /// A time that a UTCTime cannot express.
    #[error(
        "{seconds} s since 1970 lies outside 1970 to 2049, which is what a catalog's date can express"
    )]
    Time {
        /// Seconds since 1970.
        seconds: u64,
    },
    /// A file that the catalog does not name.
    #[error("{name} is not a member of the catalog")]
    NotMember {
        /// The file.
        name: String,
    },
    /// A file whose bytes are not those that the catalog vouches for.
    #[error("{name} is not the file that the catalog vouches for: its SHA-256 is {actual}")]
    Changed {
        /// The file.
        name: String,
        /// Its digest, in hexadecimal digits.
        actual: String,
    },
}
