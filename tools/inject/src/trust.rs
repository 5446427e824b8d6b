//! What the embedded signature of a driver file is: none, a test signature, or one of Microsoft's two kinds.
//!
//! This tells what a file claims, so that a boot-start driver that Windows will not load is not made to stand between Windows
//! and its disk. It is not a proof: `winpv verify` and osslsigncode check the arithmetic and the certificates. What is
//! checked here is that the signature belongs to the file's bytes.

use std::fmt;

use driver_catalog::pkcs7::{self, Certificate, Name, SignedData};
use driver_catalog::{Digests, der};

/// What Windows makes of a driver file's embedded signature, which is the one that counts for boot-start drivers
/// (MS: "Kernel-mode code signing requirements").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// None.
    Unsigned,
    /// Not by Microsoft: loads only with testsigning on and Secure Boot off.
    Test,
    /// By Microsoft, without tests.
    Attestation,
    /// By Microsoft, after tests.
    Whcp,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trust::Unsigned => "unsigned",
            Trust::Test => "test-signed",
            Trust::Attestation => "attestation-signed by Microsoft",
            Trust::Whcp => "WHCP-signed by Microsoft",
        })
    }
}

/// Why a signature could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a PE image, or one whose headers lie.
    #[error("it is no PE image: {0}")]
    Image(&'static str),
    /// Not the structure of a signature.
    #[error("its signature cannot be read: {0}")]
    Malformed(#[from] der::Error),
    /// A PE image whose headers lie.
    #[error(transparent)]
    Digest(#[from] driver_catalog::Error),
    /// Signed, then changed.
    #[error("its signature is for other bytes: the file was changed after it was signed")]
    Changed,
}

// Object identifiers, as DER contents.
/// 1.3.6.1.4.1.311.2.4.1, an unsigned attribute that holds another signature (osslsigncode: SPC_NESTED_SIGNATURE_OBJID).
pub const NESTED_SIGNATURE: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 4, 1];
/// 1.3.6.1.4.1.311.10.3.5, szOID_WHQL_CRYPTO (wincrypt.h).
const WHQL: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 5];
/// 1.3.6.1.4.1.311.10.3.5.1, szOID_ATTEST_WHQL_CRYPTO (wincrypt.h).
const ATTESTED: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 5, 1];
/// Common name of who issues the certificates of the hardware portal's publisher, before a year. MS: ConfigCI, New-CIPolicy, shows
/// that of 2012; that of 2014 has signed what the portal gave usbipd-win (VBoxUSB.cat of 2026).
const ISSUER: &str = "Microsoft Windows Third Party Component CA ";
/// Its organisation, in that same signature.
const ORGANIZATION: &str = "Microsoft Corporation";

/// Judges a driver file by the best of its signatures: Microsoft adds its own to the vendor's.
///
/// # Errors
///
/// The file is no PE image, or a signature is damaged or is not for these bytes.
pub fn classify(image: &[u8]) -> Result<Trust, Error> {
    let digests = Digests::of("the driver", image)?;
    let mut best = Trust::Unsigned;
    for signature in certificates(image)? {
        best = best.max(judge(signature, &digests)?);
    }
    Ok(best)
}

/// The PKCS#7 signatures in a PE image's certificate table (MS: "PE Format", "The Attribute Certificate Table").
///
/// # Errors
///
/// It is no PE image, or its headers lie.
pub fn certificates(image: &[u8]) -> Result<Vec<&[u8]>, Error> {
    const SECURITY: usize = 4;
    const PKCS_SIGNED_DATA: u16 = 2;
    let word = |at: usize| {
        let bytes = image.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let half = |at: usize| {
        let bytes = image.get(at..at.checked_add(2)?)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?))
    };
    let cut = || Error::Image("its headers are cut off");
    let header = word(0x3c)
        .filter(|_| image.starts_with(b"MZ"))
        .ok_or(Error::Image("it does not start with MZ"))?;
    let optional = header + 24;
    // The data directories follow fields whose number depends on the word size.
    let directories = match half(optional) {
        Some(0x10b) => optional + 96,
        Some(0x20b) => optional + 112,
        _ => return Err(Error::Image("it has no optional header")),
    };
    let count = word(directories - 4).ok_or_else(cut)?;
    if count <= SECURITY {
        return Ok(Vec::new());
    }
    let mut at = word(directories + SECURITY * 8).ok_or_else(cut)?;
    let size = word(directories + SECURITY * 8 + 4).ok_or_else(cut)?;
    let end = at.checked_add(size).filter(|end| *end <= image.len());
    let end = end.ok_or(Error::Image("its certificate table lies outside the file"))?;
    let mut found = Vec::new();
    while at + 8 < end {
        let length = word(at).ok_or_else(cut)?;
        let content = image.get(at + 8..at.saturating_add(length).min(end));
        let content = content.ok_or(Error::Image("its certificate table is damaged"))?;
        if half(at + 6) == Some(PKCS_SIGNED_DATA) {
            found.push(content);
        }
        // Entries start at multiples of eight bytes.
        at += length.max(8).next_multiple_of(8);
    }
    Ok(found)
}

/// Judges one PKCS#7 signature and those nested in it.
fn judge(pkcs7: &[u8], digests: &Digests) -> Result<Trust, Error> {
    let signed = SignedData::parse(pkcs7)?;
    let digest = signed.file_digest()?;
    if digest != digests.sha256 && digest != digests.sha1 {
        return Err(Error::Changed);
    }
    let mut best = Trust::Test;
    for signer in &signed.signers {
        if let Some(certificate) = signed.certificate_of(signer) {
            best = best.max(by_certificate(certificate));
        }
        for nested in signer.added.values(NESTED_SIGNATURE) {
            best = best.max(judge(nested.encoded, digests)?);
        }
    }
    Ok(best)
}

/// What the signer's certificate is for.
fn by_certificate(certificate: &Certificate<'_>) -> Trust {
    let purposes = &certificate.purposes;
    if !is_portal(&certificate.issuer) {
        Trust::Test
    } else if purposes.contains(&ATTESTED) {
        // The publisher's certificate for attested drivers has both purposes; the narrower one says what it is.
        Trust::Attestation
    } else if purposes.contains(&WHQL) {
        Trust::Whcp
    } else {
        Trust::Test
    }
}

/// Whether this is the name of Microsoft's authority for drivers of others: whole attributes, each of which is there once.
fn is_portal(issuer: &Name<'_>) -> bool {
    let is_year = |year: &str| year.len() == 4 && year.bytes().all(|digit| digit.is_ascii_digit());
    let name = issuer.only(pkcs7::COMMON_NAME);
    name.is_some_and(|name| name.strip_prefix(ISSUER).is_some_and(is_year))
        && issuer.only(pkcs7::ORGANIZATION).as_deref() == Some(ORGANIZATION)
}

#[cfg(test)]
mod tests;
