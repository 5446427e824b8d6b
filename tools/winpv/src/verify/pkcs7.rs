//! Reads what a PKCS#7 signature says: what was signed, by which certificate, and what was added afterwards.
//!
//! The arithmetic is left to OpenSSL (signature.rs).

use driver_catalog::Error;
use driver_catalog::der::{self, Element, Reader};
use sha2::{Digest, Sha256, Sha384, Sha512};

// Object identifiers, as DER content.
/// 1.3.6.1.4.1.311.2.4.1, another signature (osslsigncode: SPC_NESTED_SIGNATURE_OBJID).
const NESTED: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 4, 1];
/// 1.3.6.1.4.1.311.3.3.1, szOID_RFC3161_counterSign (wincrypt.h).
const TIMESTAMP: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 3, 3, 1];
/// 1.2.840.113549.1.9.6, counterSignature (RFC 2985 §5.3.6).
const COUNTERSIGNATURE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 6];
/// GeneralizedTime (ITU-T X.690 §11.7).
const GENERALIZED_TIME: u8 = 0x18;

/// A signature by one signer.
#[derive(Debug)]
pub struct SignedData<'a> {
    /// The whole, without what a container padded it with.
    pub encoded: &'a [u8],
    /// What was signed: the contents of the content, without its tag and length (RFC 2315 §9.3).
    pub content: &'a [u8],
    /// The signer's certificate; None if it did not come along.
    pub certificate: Option<&'a [u8]>,
    /// The other certificates that came along: who issued it, and who issued those.
    pub issuers: Vec<&'a [u8]>,
    /// The signature itself: what a time stamp is for.
    pub value: &'a [u8],
    /// RFC 3161 time stamps.
    pub timestamps: Vec<&'a [u8]>,
    /// It has a time stamp of the older kind.
    pub old_timestamp: bool,
    /// Further signatures for the same file.
    pub nested: Vec<&'a [u8]>,
}

impl<'a> SignedData<'a> {
    /// Reads a ContentInfo with SignedData (RFC 2315 §7, §9.1).
    pub fn parse(input: &'a [u8]) -> Result<SignedData<'a>, Error> {
        let outer = Reader::new(input).expect(der::SEQUENCE, "no ContentInfo")?;
        let mut content_info = outer.inside();
        content_info.expect(der::OBJECT_IDENTIFIER, "ContentInfo has no type")?;
        let mut fields = content_info
            .expect(der::explicit(0), "no SignedData")?
            .inside()
            .expect(der::SEQUENCE, "no SignedData")?
            .inside();
        fields.expect(der::INTEGER, "SignedData has no version")?;
        fields.expect(der::SET, "SignedData has no digest algorithms")?;
        let mut content = fields
            .expect(der::SEQUENCE, "SignedData has no content")?
            .inside();
        content.expect(der::OBJECT_IDENTIFIER, "the content has no type")?;
        let content = content
            .expect(der::explicit(0), "the content is missing")?
            .inside()
            .any()?;
        let certificates = match fields.optional(der::explicit(0))? {
            Some(list) => elements(&list)?,
            None => Vec::new(),
        };
        fields.optional(der::explicit(1))?;
        let signers = fields.expect(der::SET, "SignedData has no signers")?;
        let mut signers = signers.inside();
        let signer = signers.expect(der::SEQUENCE, "nobody signed it")?;
        if !signers.is_empty() {
            return Err(signers.error("it has more than one signer"));
        }
        let mut data = SignedData {
            encoded: outer.encoded,
            content: content.content,
            certificate: None,
            issuers: Vec::new(),
            value: &[],
            timestamps: Vec::new(),
            old_timestamp: false,
            nested: Vec::new(),
        };
        data.signer(&signer, &certificates)?;
        Ok(data)
    }

    /// RFC 2315 §9.2.
    fn signer(&mut self, info: &Element<'a>, certificates: &[Element<'a>]) -> Result<(), Error> {
        let mut fields = info.inside();
        fields.expect(der::INTEGER, "a signer has no version")?;
        let mut name = fields
            .expect(der::SEQUENCE, "a signer names no certificate")?
            .inside();
        let issuer = name.expect(der::SEQUENCE, "a signer names no issuer")?;
        let serial = name.expect(der::INTEGER, "a signer names no serial number")?;
        // RFC 5652 §10.2.2: certificates of other kinds, such as attribute certificates, have tags of their own.
        let certificates = certificates.iter().filter(|own| own.tag == der::SEQUENCE);
        for certificate in certificates {
            if is(certificate, &issuer, &serial)? {
                self.certificate = Some(certificate.encoded);
            } else {
                self.issuers.push(certificate.encoded);
            }
        }
        fields.expect(der::SEQUENCE, "a signer has no digest algorithm")?;
        fields.expect(der::explicit(0), "a signer has no signed attributes")?;
        fields.expect(der::SEQUENCE, "a signer has no signature algorithm")?;
        self.value = fields
            .expect(der::OCTET_STRING, "a signer has no signature")?
            .content;
        let Some(unsigned) = fields.optional(der::explicit(1))? else {
            return Ok(());
        };
        for attribute in elements(&unsigned)? {
            let mut attribute = attribute.inside();
            let kind = attribute.expect(der::OBJECT_IDENTIFIER, "an attribute has no type")?;
            let values = attribute.expect(der::SET, "an attribute has no value")?;
            let values = elements(&values)?.into_iter().map(|value| value.encoded);
            match kind.content {
                NESTED => self.nested.extend(values),
                TIMESTAMP => self.timestamps.extend(values),
                COUNTERSIGNATURE => self.old_timestamp = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// The digest in the signed content of a file (SpcIndirectDataContent; Microsoft, "Windows Authenticode Portable
    /// Executable Signature Format").
    pub fn file_digest(&self) -> Result<&'a [u8], Error> {
        let mut fields = inside(self.content);
        fields.any()?;
        let mut digest = fields.expect(der::SEQUENCE, "no digest")?.inside();
        digest.expect(der::SEQUENCE, "no digest algorithm")?;
        Ok(digest.expect(der::OCTET_STRING, "no digest")?.content)
    }

    /// What a time stamp says (TSTInfo, RFC 3161 §2.4.2).
    pub fn stamp(&self) -> Result<Stamp<'a>, Error> {
        // The content is an OCTET STRING that holds the TSTInfo.
        let mut fields = inside(self.content)
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

fn inside(content: &[u8]) -> Reader<'_> {
    Reader::new(content)
}

fn elements<'a>(of: &Element<'a>) -> Result<Vec<Element<'a>>, Error> {
    let mut reader = of.inside();
    let mut all = Vec::new();
    while !reader.is_empty() {
        all.push(reader.any()?);
    }
    Ok(all)
}

/// RFC 5280 §4.1: version, serial number, algorithm, issuer.
fn is(
    certificate: &Element<'_>,
    issuer: &Element<'_>,
    serial: &Element<'_>,
) -> Result<bool, Error> {
    let mut fields = certificate
        .inside()
        .expect(der::SEQUENCE, "a certificate without content")?
        .inside();
    fields.optional(der::explicit(0))?;
    let own = fields.expect(der::INTEGER, "a certificate without serial number")?;
    fields.expect(der::SEQUENCE, "a certificate without algorithm")?;
    let own_issuer = fields.expect(der::SEQUENCE, "a certificate without issuer")?;
    Ok(own.content == serial.content && own_issuer.encoded == issuer.encoded)
}
