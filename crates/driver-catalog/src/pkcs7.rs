//! Reads what a PKCS#7 signature says: what was signed, by whose certificate, and what was added afterwards.
//!
//! A signed catalog is one, and so is what stands in the certificate table of a PE image, in a signed MSI or cabinet, and in an
//! RFC 3161 time stamp. The arithmetic is left to a cryptographic library.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use driver_catalog::pkcs7::{COMMON_NAME, SignedData};
//!
//! let bytes = std::fs::read("toy.cat")?;
//! let signed = SignedData::parse(&bytes)?;
//! for signer in &signed.signers {
//!     if let Some(certificate) = signed.certificate_of(signer) {
//!         println!("signed by {:?}", certificate.subject.values(COMMON_NAME)?);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use crate::der::{self, Element, Error, Reader};
use crate::oid;

/// 2.5.4.3, `commonName` (ITU-T X.520 §6.2.2), as DER contents; for [`Name::values`].
pub const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// 2.5.4.10, `organizationName` (ITU-T X.520 §6.4.1), as DER contents; for [`Name::values`].
pub const ORGANIZATION: &[u8] = &[0x55, 4, 10];

/// A ContentInfo with SignedData (RFC 2315 §7, §9.1).
#[derive(Clone, Debug)]
pub struct SignedData<'a> {
    /// The whole, without what follows it: containers pad.
    pub encoded: &'a [u8],
    /// What kind of content was signed: an object identifier's contents.
    pub content_type: &'a [u8],
    /// What was signed; what is digested are its contents, without tag and length (RFC 2315 §9.3).
    pub content: Element<'a>,
    /// The certificates that came along, in their order.
    pub certificates: Vec<Certificate<'a>>,
    /// What came along among them and is no X.509 certificate: extended and attribute certificates (RFC 5652 §10.2.2).
    pub others: Vec<&'a [u8]>,
    /// Who signed; empty while nobody has.
    pub signers: Vec<Signer<'a>>,
}

impl<'a> SignedData<'a> {
    /// Reads DER; what follows the ContentInfo is not looked at.
    ///
    /// # Errors
    ///
    /// It is not DER, or no SignedData with its content.
    pub fn parse(input: &'a [u8]) -> Result<SignedData<'a>, Error> {
        let outer = Reader::new(input).expect(der::SEQUENCE, "no ContentInfo")?;
        let mut content_info = outer.inside();
        content_info.expect_oid(oid::SIGNED_DATA, "ContentInfo is not signedData")?;
        let mut wrapper = content_info
            .expect(der::explicit(0), "no SignedData")?
            .inside();
        content_info.finish("something follows the SignedData")?;
        let mut fields = wrapper.expect(der::SEQUENCE, "no SignedData")?.inside();
        fields.expect(der::INTEGER, "SignedData has no version")?;
        fields.expect(der::SET, "SignedData has no digest algorithms")?;
        let mut content = fields
            .expect(der::SEQUENCE, "SignedData has no content")?
            .inside();
        let content_type = content.expect(der::OBJECT_IDENTIFIER, "the content has no type")?;
        let content = content
            .expect(der::explicit(0), "the content is missing")?
            .inside()
            .any()?;
        let (mut certificates, mut others) = (Vec::new(), Vec::new());
        if let Some(list) = fields.optional(der::explicit(0))? {
            for element in list.inside().all()? {
                match element.tag {
                    der::SEQUENCE => certificates.push(Certificate::read(&element)?),
                    _ => others.push(element.encoded),
                }
            }
        }
        // Revocation lists.
        fields.optional(der::explicit(1))?;
        let signers = fields.expect(der::SET, "SignedData has no signer infos")?;
        let signers = signers.inside().all()?;
        fields.finish("something follows the signer infos")?;
        Ok(SignedData {
            encoded: outer.encoded,
            content_type: content_type.content,
            content,
            certificates,
            others,
            signers: signers.iter().map(Signer::read).collect::<Result<_, _>>()?,
        })
    }

    /// The certificate that a signer names; `None` if it did not come along.
    #[must_use]
    pub fn certificate_of(&self, signer: &Signer<'_>) -> Option<&Certificate<'a>> {
        self.certificates.iter().find(|certificate| {
            certificate.serial == signer.serial
                && certificate.issuer.encoded == signer.issuer.encoded
        })
    }

    /// The certificates that a certificate leads to, itself first: those of its issuer's name, of that one's issuer's, and so on.
    /// There can be several of one name, such as cross-certificates. Only names are compared.
    #[must_use]
    pub fn chain_of<'s>(&'s self, certificate: &'s Certificate<'a>) -> Vec<&'s Certificate<'a>> {
        let mut chain = vec![certificate];
        let mut at = 0;
        while let Some(of) = chain.get(at).copied() {
            for other in &self.certificates {
                let is_known = chain.iter().any(|known| known.encoded == other.encoded);
                if other.subject == of.issuer && !is_known {
                    chain.push(other);
                }
            }
            at += 1;
        }
        chain
    }

    /// The digest of the file that was signed, as an Authenticode signature has it (`SpcIndirectDataContent`; Microsoft, "Windows
    /// Authenticode Portable Executable Signature Format").
    ///
    /// # Errors
    ///
    /// The content is not the digest of a file.
    pub fn file_digest(&self) -> Result<&'a [u8], Error> {
        let mut fields = self.content.inside();
        if self.content_type != oid::INDIRECT_DATA || self.content.tag != der::SEQUENCE {
            return Err(fields.error("the signed content is not the digest of a file"));
        }
        fields.any()?;
        let mut digest = fields.expect(der::SEQUENCE, "no digest")?.inside();
        digest.expect(der::SEQUENCE, "no digest algorithm")?;
        Ok(digest.expect(der::OCTET_STRING, "no digest")?.content)
    }
}

/// One who signed (`SignerInfo`, RFC 2315 §9.2).
#[derive(Clone, Debug)]
pub struct Signer<'a> {
    /// Who issued the signer's certificate.
    pub issuer: Name<'a>,
    /// That certificate's serial number, as DER contents.
    pub serial: &'a [u8],
    /// How the content was digested: an object identifier's contents.
    pub digest_algorithm: &'a [u8],
    /// The attributes that were signed with the content.
    pub signed: Attributes<'a>,
    /// The signature itself: what a time stamp is for.
    pub value: &'a [u8],
    /// What was added afterwards: time stamps, further signatures.
    pub added: Attributes<'a>,
}

impl<'a> Signer<'a> {
    /// Reads a SignerInfo, such as a countersignature of the older kind is (RFC 2985 §5.3.6).
    ///
    /// # Errors
    ///
    /// It is none, or one without signed attributes.
    pub fn read(info: &Element<'a>) -> Result<Signer<'a>, Error> {
        let mut fields = info.inside();
        if info.tag != der::SEQUENCE {
            return Err(fields.error("not a SignerInfo"));
        }
        fields.expect(der::INTEGER, "a signer has no version")?;
        let mut name = fields
            .expect(der::SEQUENCE, "a signer names no certificate")?
            .inside();
        let issuer = name.expect(der::SEQUENCE, "a signer names no issuer")?;
        let serial = name.expect(der::INTEGER, "a signer names no serial number")?;
        let mut algorithm = fields
            .expect(der::SEQUENCE, "a signer has no digest algorithm")?
            .inside();
        let digest_algorithm =
            algorithm.expect(der::OBJECT_IDENTIFIER, "a signer has no digest algorithm")?;
        let signed = fields.expect(der::explicit(0), "a signer has no signed attributes")?;
        fields.expect(der::SEQUENCE, "a signer has no signature algorithm")?;
        let value = fields.expect(der::OCTET_STRING, "a signer has no signature")?;
        let added = match fields.optional(der::explicit(1))? {
            Some(added) => Attributes::read(&added)?,
            None => Attributes::default(),
        };
        fields.finish("something follows a signer's attributes")?;
        Ok(Signer {
            issuer: Name::read(&issuer),
            serial: serial.content,
            digest_algorithm: digest_algorithm.content,
            signed: Attributes::read(&signed)?,
            value: value.content,
            added,
        })
    }
}

/// A set of attributes (RFC 2315 §6.7, RFC 2986 §4.1).
#[derive(Clone, Debug, Default)]
pub struct Attributes<'a> {
    /// The contents of the set. What is signed is a SET of them, although they are stored with another tag (RFC 2315 §9.3).
    pub content: &'a [u8],
    /// Each attribute's type, an object identifier's contents, and its values.
    pub all: Vec<(&'a [u8], Vec<Element<'a>>)>,
}

impl<'a> Attributes<'a> {
    fn read(set: &Element<'a>) -> Result<Attributes<'a>, Error> {
        let mut all = Vec::new();
        for attribute in set.inside().all()? {
            let mut fields = attribute.inside();
            let kind = fields.expect(der::OBJECT_IDENTIFIER, "an attribute has no type")?;
            let values = fields.expect(der::SET, "an attribute has no value")?;
            all.push((kind.content, values.inside().all()?));
        }
        Ok(Attributes {
            content: set.content,
            all,
        })
    }

    /// The values of every attribute of a type, an object identifier's contents.
    pub fn values(&self, kind: &[u8]) -> impl Iterator<Item = &Element<'a>> {
        let of_kind = self.all.iter().filter(move |(own, _)| *own == kind);
        of_kind.flat_map(|(_, values)| values)
    }
}

/// A certificate (RFC 5280 §4.1), as far as it is read here.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// All of it, in DER.
    pub encoded: &'a [u8],
    /// Its serial number, as DER contents.
    pub serial: &'a [u8],
    /// Who issued it.
    pub issuer: Name<'a>,
    /// Whose it is.
    pub subject: Name<'a>,
    /// What it is for: its extended key usages (RFC 5280 §4.2.1.12), object identifiers' contents.
    pub purposes: Vec<&'a [u8]>,
}

impl<'a> Certificate<'a> {
    /// Reads one from DER; what follows it is not looked at.
    ///
    /// # Errors
    ///
    /// It is no certificate.
    pub fn parse(input: &'a [u8]) -> Result<Certificate<'a>, Error> {
        Certificate::read(&Reader::new(input).expect(der::SEQUENCE, "not a certificate")?)
    }

    fn read(element: &Element<'a>) -> Result<Certificate<'a>, Error> {
        let mut fields = element
            .inside()
            .expect(der::SEQUENCE, "a certificate without content")?
            .inside();
        fields.optional(der::explicit(0))?;
        let serial = fields.expect(der::INTEGER, "a certificate without serial number")?;
        fields.expect(der::SEQUENCE, "a certificate without algorithm")?;
        let issuer = fields.expect(der::SEQUENCE, "a certificate without issuer")?;
        fields.expect(der::SEQUENCE, "a certificate without dates")?;
        let subject = fields.expect(der::SEQUENCE, "a certificate without owner")?;
        let mut purposes = Vec::new();
        for field in fields.all()? {
            if field.tag == der::explicit(3) {
                purposes = extended_key_usages(&field)?;
            }
        }
        Ok(Certificate {
            encoded: element.encoded,
            serial: serial.content,
            issuer: Name::read(&issuer),
            subject: Name::read(&subject),
            purposes,
        })
    }

    /// Its owner says to have issued it.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

/// RFC 5280 §4.2: each extension is a type, perhaps `critical`, and an OCTET STRING with its value.
fn extended_key_usages<'a>(field: &Element<'a>) -> Result<Vec<&'a [u8]>, Error> {
    let list = field.inside().expect(der::SEQUENCE, "no extensions")?;
    let mut found = Vec::new();
    for extension in list.inside().all()? {
        let parts = extension.inside().all()?;
        if let (Some(kind), Some(value)) = (parts.first(), parts.last())
            && kind.content == oid::EXTENDED_KEY_USAGE
        {
            let usages = value.inside().expect(der::SEQUENCE, "no purposes")?;
            found.extend(usages.inside().all()?.iter().map(|usage| usage.content));
        }
    }
    Ok(found)
}

/// A distinguished name (RFC 5280 §4.1.2.4). Two are equal if their encodings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// All of it, in DER.
    pub encoded: &'a [u8],
}

impl<'a> Name<'a> {
    fn read(element: &Element<'a>) -> Name<'a> {
        Name {
            encoded: element.encoded,
        }
    }

    /// The values of an attribute, such as [`COMMON_NAME`], in their order.
    ///
    /// # Errors
    ///
    /// The name is not encoded as names are, or a value is text of an unknown kind.
    pub fn values(&self, kind: &[u8]) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for part in Reader::new(self.encoded).any()?.inside().all()? {
            for attribute in part.inside().all()? {
                let mut fields = attribute.inside();
                let own = fields.expect(der::OBJECT_IDENTIFIER, "a part of a name has no type")?;
                let value = fields.any()?;
                if own.content == kind {
                    let text = value
                        .text()
                        .ok_or_else(|| fields.error("a name is no text"))?;
                    found.push(text);
                }
            }
        }
        Ok(found)
    }

    /// The only value of an attribute; `None` if there is none, more than one, or one that cannot be read.
    #[must_use]
    pub fn only(&self, kind: &[u8]) -> Option<String> {
        let mut values = self.values(kind).ok()?;
        let value = values.pop()?;
        values.is_empty().then_some(value)
    }
}
