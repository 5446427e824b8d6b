//! What the embedded signature of a driver file is: none, a test signature, or one of Microsoft's two kinds.
//!
//! This tells what a file claims, so that a boot-start driver that Windows will not load is not made to stand between Windows
//! and its disk. It is not a proof: `winpv verify` and osslsigncode check the arithmetic and the certificates. What is
//! checked here is that the signature belongs to the file's bytes.

use std::fmt;

use driver_catalog::Digests;
use driver_catalog::der::{self, Element, Reader};

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
    Malformed(#[from] driver_catalog::Error),
    /// Signed, then changed.
    #[error("its signature is for other bytes: the file was changed after it was signed")]
    Changed,
}

// Object identifiers, as DER content.
/// 1.3.6.1.4.1.311.2.1.4, SPC_INDIRECT_DATA_OBJID (wintrust.h).
const INDIRECT_DATA: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 1, 4];
/// 1.3.6.1.4.1.311.2.4.1, an unsigned attribute that holds another signature (osslsigncode: SPC_NESTED_SIGNATURE_OBJID).
const NESTED_SIGNATURE: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 4, 1];
/// 1.3.6.1.4.1.311.10.3.5, szOID_WHQL_CRYPTO (wincrypt.h).
const WHQL: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 5];
/// 1.3.6.1.4.1.311.10.3.5.1, szOID_ATTEST_WHQL_CRYPTO (wincrypt.h).
const ATTESTED: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 5, 1];
/// 2.5.29.37, extended key usage (RFC 5280, 4.2.1.12).
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// Who issues the certificates of the hardware portal's publisher: "… CA 2012", "… CA 2014".
const ISSUER: &[u8] = b"Microsoft Windows Third Party Component CA";

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

/// Judges one PKCS#7 signature and those nested in it (RFC 2315, 9.1).
fn judge(pkcs7: &[u8], digests: &Digests) -> Result<Trust, Error> {
    let mut content_info = Reader::new(pkcs7)
        .expect(der::SEQUENCE, "no ContentInfo")?
        .inside();
    content_info.any()?;
    let mut wrapper = content_info
        .expect(der::explicit(0), "no SignedData")?
        .inside();
    let mut signed_data = wrapper.expect(der::SEQUENCE, "no SignedData")?.inside();
    signed_data.expect(der::INTEGER, "SignedData has no version")?;
    signed_data.expect(der::SET, "SignedData has no digest algorithms")?;
    let content = signed_data.expect(der::SEQUENCE, "SignedData has no content")?;
    let digest = signed_digest(&content)?;
    if digest != digests.sha256 && digest != digests.sha1 {
        return Err(Error::Changed);
    }
    let certificates = signed_data.optional(der::explicit(0))?;
    signed_data.optional(der::explicit(1))?;
    let mut signers = signed_data
        .expect(der::SET, "SignedData has no signer infos")?
        .inside();
    let mut best = Trust::Test;
    while !signers.is_empty() {
        let mut signer = signers.expect(der::SEQUENCE, "not a SignerInfo")?.inside();
        signer.expect(der::INTEGER, "SignerInfo has no version")?;
        let mut name = signer
            .expect(der::SEQUENCE, "SignerInfo names no certificate")?
            .inside();
        let issuer = name.expect(der::SEQUENCE, "SignerInfo names no issuer")?;
        let serial = name.expect(der::INTEGER, "SignerInfo has no serial number")?;
        if let Some(certificates) = &certificates {
            best = best.max(by_certificate(certificates, &issuer, &serial)?);
        }
        while !signer.is_empty() {
            let part = signer.any()?;
            if part.tag == der::explicit(1) {
                best = best.max(nested(&part, digests)?);
            }
        }
    }
    Ok(best)
}

/// The digest in SpcIndirectDataContent (Microsoft, "Windows Authenticode Portable Executable Signature Format").
fn signed_digest<'a>(content: &Element<'a>) -> Result<&'a [u8], Error> {
    let mut content = content.inside();
    content.expect_oid(
        INDIRECT_DATA,
        "the signed content is not the digest of a file",
    )?;
    let mut wrapper = content
        .expect(der::explicit(0), "the signed content is missing")?
        .inside();
    let mut data = wrapper
        .expect(der::SEQUENCE, "the signed content is missing")?
        .inside();
    data.any()?;
    let mut digest = data.expect(der::SEQUENCE, "no digest")?.inside();
    digest.expect(der::SEQUENCE, "no digest algorithm")?;
    Ok(digest.expect(der::OCTET_STRING, "no digest")?.content)
}

/// What the signer's certificate is for (RFC 5280, 4.1).
fn by_certificate(
    certificates: &Element<'_>,
    issuer: &Element<'_>,
    serial: &Element<'_>,
) -> Result<Trust, Error> {
    let mut certificates = certificates.inside();
    while !certificates.is_empty() {
        let mut fields = certificates
            .expect(der::SEQUENCE, "not a certificate")?
            .inside()
            .expect(der::SEQUENCE, "a certificate without content")?
            .inside();
        fields.optional(der::explicit(0))?;
        let own_serial = fields.expect(der::INTEGER, "a certificate without serial number")?;
        fields.expect(der::SEQUENCE, "a certificate without algorithm")?;
        let own_issuer = fields.expect(der::SEQUENCE, "a certificate without issuer")?;
        if own_serial.content != serial.content || own_issuer.encoded != issuer.encoded {
            continue;
        }
        let by_microsoft = issuer
            .content
            .windows(ISSUER.len())
            .any(|part| part == ISSUER);
        let purposes = purposes(&mut fields)?;
        return Ok(if !by_microsoft {
            Trust::Test
        } else if purposes.contains(&ATTESTED) {
            // The publisher's certificate for attested drivers has both purposes; the narrower one says what it is.
            Trust::Attestation
        } else if purposes.contains(&WHQL) {
            Trust::Whcp
        } else {
            Trust::Test
        });
    }
    Ok(Trust::Test)
}

/// The extended key usages among the extensions, the last of a certificate's fields.
fn purposes<'a>(fields: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Error> {
    let mut found = Vec::new();
    while !fields.is_empty() {
        let field = fields.any()?;
        if field.tag != der::explicit(3) {
            continue;
        }
        let mut extensions = field
            .inside()
            .expect(der::SEQUENCE, "no extensions")?
            .inside();
        while !extensions.is_empty() {
            let mut extension = extensions.expect(der::SEQUENCE, "no extension")?.inside();
            let name = extension.any()?;
            let mut value = extension.any()?;
            // `critical` may stand between.
            if !extension.is_empty() {
                value = extension.any()?;
            }
            if name.content == EXTENDED_KEY_USAGE {
                let mut list = value
                    .inside()
                    .expect(der::SEQUENCE, "no purposes")?
                    .inside();
                while !list.is_empty() {
                    found.push(list.any()?.content);
                }
            }
        }
    }
    Ok(found)
}

/// Signatures among a signer's unsigned attributes.
fn nested(attributes: &Element<'_>, digests: &Digests) -> Result<Trust, Error> {
    let mut best = Trust::Unsigned;
    let mut attributes = attributes.inside();
    while !attributes.is_empty() {
        let mut attribute = attributes.expect(der::SEQUENCE, "no attribute")?.inside();
        let name = attribute.any()?;
        let mut values = attribute
            .expect(der::SET, "an attribute without values")?
            .inside();
        while !values.is_empty() {
            let value = values.any()?;
            if name.content == NESTED_SIGNATURE {
                best = best.max(judge(value.encoded, digests)?);
            }
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests;
