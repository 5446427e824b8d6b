//! What is asked of a PKCS#7 signature here beyond what [`driver_catalog::pkcs7`] reads: its one signer, and its time stamps.

use driver_catalog::der::{self, Element, Error, Reader};
use driver_catalog::pkcs7::{SignedData, Signer};
use sha2::{Digest, Sha256, Sha384, Sha512};

// Object identifiers, as DER contents.
/// 1.3.6.1.4.1.311.3.3.1, szOID_RFC3161_counterSign (wincrypt.h).
const TIMESTAMP: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 3, 3, 1];
/// 1.2.840.113549.1.9.6, counterSignature (RFC 2985 §5.3.6).
const COUNTERSIGNATURE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 6];
/// GeneralizedTime (ITU-T X.690 §11.7).
const GENERALIZED_TIME: u8 = 0x18;

/// Whose signature it is: Authenticode and time stamps have one signer.
pub fn signer<'s, 'a>(data: &'s SignedData<'a>) -> Result<&'s Signer<'a>, Error> {
    let error = |what| Error { what, at: 0 };
    match data.signers.as_slice() {
        [signer] => Ok(signer),
        [] => Err(error("nobody signed it")),
        _ => Err(error("it has more than one signer")),
    }
}

/// RFC 3161 time stamps of a signature.
pub fn timestamps<'s, 'a>(signer: &'s Signer<'a>) -> impl Iterator<Item = &'a [u8]> + use<'s, 'a> {
    signer.added.values(TIMESTAMP).map(|token| token.encoded)
}

/// Time stamps of the older kind: each is what another signer says of the signature.
pub fn countersignatures<'s, 'a>(
    signer: &'s Signer<'a>,
) -> impl Iterator<Item = &'s Element<'a>> + use<'s, 'a> {
    signer.added.values(COUNTERSIGNATURE)
}

/// What a time stamp says (TSTInfo, RFC 3161 §2.4.2).
pub fn stamp<'a>(data: &SignedData<'a>) -> Result<Stamp<'a>, Error> {
    // The content is an OCTET STRING that holds the TSTInfo.
    let mut fields = Reader::new(data.content.content)
        .expect(der::SEQUENCE, "no time stamp")?
        .inside();
    fields.expect(der::INTEGER, "a time stamp has no version")?;
    fields.expect(der::OBJECT_IDENTIFIER, "a time stamp has no policy")?;
    let mut imprint = fields
        .expect(der::SEQUENCE, "a time stamp is for nothing")?
        .inside();
    let mut algorithm = imprint
        .expect(der::SEQUENCE, "a time stamp has no digest algorithm")?
        .inside();
    let algorithm = algorithm.expect(der::OBJECT_IDENTIFIER, "no digest algorithm")?;
    let digest = imprint.expect(der::OCTET_STRING, "a time stamp has no digest")?;
    fields.expect(der::INTEGER, "a time stamp has no serial number")?;
    let time = fields.expect(GENERALIZED_TIME, "a time stamp has no time")?;
    Ok(Stamp {
        algorithm: algorithm.content,
        digest: digest.content,
        time: time.content,
    })
}

/// What a time stamp says.
#[derive(Debug)]
pub struct Stamp<'a> {
    /// How what is stamped was digested: an object identifier.
    pub algorithm: &'a [u8],
    /// The digest of what is stamped.
    pub digest: &'a [u8],
    /// When, as GeneralizedTime.
    pub time: &'a [u8],
}

impl Stamp<'_> {
    /// It is for these bytes; None if the digest is of a kind that is not known here.
    pub fn is_for(&self, bytes: &[u8]) -> Option<bool> {
        // 2.16.840.1.101.3.4.2.x: SHA-256, SHA-384, SHA-512.
        const SHA2: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
        match self.algorithm.strip_prefix(SHA2) {
            Some([1]) => Some(Sha256::digest(bytes).as_slice() == self.digest),
            Some([2]) => Some(Sha384::digest(bytes).as_slice() == self.digest),
            Some([3]) => Some(Sha512::digest(bytes).as_slice() == self.digest),
            _ => None,
        }
    }
}
