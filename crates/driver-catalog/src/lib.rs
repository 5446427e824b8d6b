#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod der;
mod digest;
mod oid;
pub mod pkcs7;
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
    #[error("not a driver catalog: {0}")]
    Malformed(#[from] der::Error),
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
