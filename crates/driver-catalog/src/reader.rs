//! Reads a catalog, signed or not, and matches files against it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::der::{self, Element, Reader};
use crate::digest::{Digests, Kind};
use crate::pkcs7::{SignedData, Signer};
use crate::{Error, oid, writer};

/// A catalog's content.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The sixteen bytes that name the list.
    pub list_identifier: Vec<u8>,
    /// Its date, `YYMMDDHHMMSSZ`.
    pub time: String,
    /// Its files, one entry each, in the order of their SHA-256 digests.
    pub members: Vec<Member>,
    /// The catalog's own attributes: `OS`, `HWID1`…, whatever else its maker added.
    pub attributes: Vec<(String, String)>,
    /// The signers' statements; empty for an unsigned catalog.
    pub signatures: Vec<Signature>,
    /// The certificates that came along, in DER.
    pub certificates: Vec<Vec<u8>>,
    content_digest: [u8; 32],
}

/// A file that a catalog vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Base name in lower case.
    pub name: String,
    /// How it is digested.
    pub kind: Kind,
    /// Its SHA-256 digest, 32 bytes: of a PE image as Authenticode digests it.
    pub sha256: Vec<u8>,
}

/// What one signer signed. The arithmetic of the signature itself is left to a cryptographic library.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The signed attributes as a DER SET: what `value` is the signature of.
    pub signed_attributes: Vec<u8>,
    /// The signature.
    pub value: Vec<u8>,
    /// The `messageDigest` attribute.
    pub message_digest: Vec<u8>,
    /// The signing certificate's serial number, as DER contents.
    pub serial: Vec<u8>,
}

impl Catalog {
    /// Reads a catalog of version 2 (SHA-256) from DER.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]: it is none, or one of version 1 (SHA-1).
    pub fn parse(input: &[u8]) -> Result<Catalog, Error> {
        let signed = SignedData::parse(input)?;
        // A signing tool may have padded the file, but only with zeros.
        let mut padding = Reader::new(input);
        padding.any()?;
        while !padding.is_empty() {
            if padding.any()?.encoded != [0, 0] {
                return Err(padding.error("something follows the catalog").into());
            }
        }
        let list = signed.content;
        if signed.content_type != oid::TRUST_LIST || list.tag != der::SEQUENCE {
            let error = list
                .inside()
                .error("the signed content is not a trust list");
            return Err(error.into());
        }
        let mut catalog = trust_list(&list)?;
        for certificate in &signed.certificates {
            catalog.certificates.push(certificate.encoded.to_vec());
        }
        for signer in &signed.signers {
            catalog.signatures.push(signature(signer, &list)?);
        }
        Ok(catalog)
    }

    /// Fails unless the catalog names this file, in any case, with exactly these bytes. Whether the catalog is to be believed is not
    /// asked: check its signature as well.
    ///
    /// # Errors
    ///
    /// [`Error::NotMember`], [`Error::Changed`], or [`Error::Image`] for a PE image whose headers lie.
    pub fn check(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let name = name.to_lowercase();
        let mut named = self
            .members
            .iter()
            .filter(|member| member.name == name)
            .peekable();
        if named.peek().is_none() {
            return Err(Error::NotMember { name });
        }
        let digests = Digests::of(&name, bytes)?;
        if named.any(|member| member.kind == digests.kind && member.sha256 == digests.sha256) {
            Ok(())
        } else {
            Err(Error::Changed {
                name,
                actual: hex(&digests.sha256),
            })
        }
    }

    /// True if at least one signer says to have signed, and each of them this very list. It compares digests; whether the signatures are
    /// good is for a cryptographic library to say.
    pub fn is_signed_content(&self) -> bool {
        !self.signatures.is_empty()
            && self
                .signatures
                .iter()
                .all(|signature| signature.message_digest == self.content_digest)
    }

    /// The hardware ids, in lower case.
    pub fn hardware_ids(&self) -> Vec<&str> {
        let is_id = |name: &str| {
            name.strip_prefix("HWID")
                .is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        self.attributes
            .iter()
            .filter(|(name, _)| is_id(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

fn trust_list(list: &Element<'_>) -> Result<Catalog, der::Error> {
    let mut fields = list.inside();
    let mut usage = fields
        .expect(der::SEQUENCE, "the list has no usage")?
        .inside();
    usage.expect_oid(oid::CATALOG_LIST, "the list is not a catalog")?;
    let list_identifier = fields
        .expect(der::OCTET_STRING, "the list has no identifier")?
        .content
        .to_vec();
    let time = fields.expect(der::UTC_TIME, "the list has no date")?;
    let mut algorithm = fields
        .expect(der::SEQUENCE, "the list has no version")?
        .inside();
    algorithm.expect_oid(oid::CATALOG_LIST_MEMBER2, "the catalog is not of version 2")?;
    let mut entries = fields
        .expect(der::SEQUENCE, "the list has no members")?
        .inside();
    let mut members = Vec::new();
    while !entries.is_empty() {
        members.extend(member(&entries.expect(der::SEQUENCE, "not a member")?)?);
    }
    let mut attributes = Vec::new();
    if let Some(extensions) = fields.optional(der::explicit(0))? {
        let mut extensions = extensions
            .inside()
            .expect(der::SEQUENCE, "no catalog attributes")?
            .inside();
        while !extensions.is_empty() {
            let mut extension = extensions
                .expect(der::SEQUENCE, "not a catalog attribute")?
                .inside();
            extension.expect_oid(oid::NAME_VALUE, "a catalog attribute is no name and value")?;
            let value = extension.expect(der::OCTET_STRING, "a catalog attribute has no value")?;
            attributes.push(name_value(&mut value.inside())?);
        }
    }
    fields.finish("something follows the catalog attributes")?;
    Ok(Catalog {
        list_identifier,
        time: String::from_utf8_lossy(time.content).into_owned(),
        members,
        attributes,
        signatures: Vec::new(),
        certificates: Vec::new(),
        // PKCS#7 digests the contents of the signed element without its tag and length (RFC 2315 §9.3).
        content_digest: Sha256::digest(list.content).into(),
    })
}

/// Reads one entry; the SHA-1 entries, which only repeat a member as a look-up key, give `None`.
fn member(entry: &Element<'_>) -> Result<Option<Member>, der::Error> {
    let mut fields = entry.inside();
    let tag = fields
        .expect(der::OCTET_STRING, "a member has no tag")?
        .content;
    let attributes = fields.expect(der::SET, "a member has no attributes")?;
    fields.finish("something follows a member's attributes")?;
    let (mut name, mut kind, mut digest) = (None, None, None);
    let mut list = attributes.inside();
    while !list.is_empty() {
        let mut attribute = list.expect(der::SEQUENCE, "not an attribute")?.inside();
        let id = attribute
            .expect(der::OBJECT_IDENTIFIER, "an attribute has no type")?
            .content;
        let mut value = attribute
            .expect(der::SET, "an attribute has no value")?
            .inside();
        match id {
            oid::MEMBER_INFO2 => {
                let info = value.any()?.tag;
                kind = [Kind::Image, Kind::Flat]
                    .into_iter()
                    .find(|kind| writer::member_info(*kind) == info);
            }
            oid::NAME_VALUE => {
                let mut pair = value
                    .expect(der::SEQUENCE, "not a name and value")?
                    .inside();
                if let (key, value) = name_value_fields(&mut pair)?
                    && key == "File"
                {
                    name = Some(value);
                }
            }
            oid::INDIRECT_DATA => digest = Some(indirect_data(&mut value)?),
            _ => {}
        }
    }
    match (digest, name, kind) {
        (None, _, _) => Ok(None),
        (Some(sha256), _, _) if sha256 != tag => {
            Err(fields.error("a member's tag is not its digest"))
        }
        (Some(sha256), Some(name), Some(kind)) => Ok(Some(Member { name, kind, sha256 })),
        _ => Err(fields.error("a member lacks its name or its kind")),
    }
}

fn indirect_data(value: &mut Reader<'_>) -> Result<Vec<u8>, der::Error> {
    let mut fields = value.expect(der::SEQUENCE, "no indirect data")?.inside();
    fields.expect(der::SEQUENCE, "indirect data has no subject")?;
    let mut digest = fields
        .expect(der::SEQUENCE, "indirect data has no digest")?
        .inside();
    let mut algorithm = digest
        .expect(der::SEQUENCE, "a digest has no algorithm")?
        .inside();
    algorithm.expect_oid(oid::SHA256, "a digest is not SHA-256")?;
    Ok(digest
        .expect(der::OCTET_STRING, "a digest is missing")?
        .content
        .to_vec())
}

fn name_value(reader: &mut Reader<'_>) -> Result<(String, String), der::Error> {
    let mut fields = reader
        .expect(der::SEQUENCE, "not a name and value")?
        .inside();
    name_value_fields(&mut fields)
}

fn name_value_fields(fields: &mut Reader<'_>) -> Result<(String, String), der::Error> {
    let name = fields
        .expect(der::BMP_STRING, "an attribute has no name")?
        .content;
    fields.expect(der::INTEGER, "an attribute has no flags")?;
    let value = fields
        .expect(der::OCTET_STRING, "an attribute has no value")?
        .content;
    let name = utf16(name, u16::from_be_bytes);
    let value = utf16(value, u16::from_le_bytes);
    Ok((name, value.trim_end_matches('\0').to_owned()))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| unit([pair[0], pair[1]]))
        .collect();
    String::from_utf16_lossy(&units)
}

/// What is wrong with a signer is told of where the signed list stands.
fn signature(signer: &Signer<'_>, list: &Element<'_>) -> Result<Signature, der::Error> {
    let error = |what| list.inside().error(what);
    if signer.digest_algorithm != oid::SHA256 {
        return Err(error("a signer's digest is not SHA-256"));
    }
    let mut digests = signer.signed.values(oid::MESSAGE_DIGEST);
    let message_digest = digests
        .next()
        .filter(|digest| digest.tag == der::OCTET_STRING)
        .ok_or_else(|| error("a signer signed no message digest"))?;
    Ok(Signature {
        signed_attributes: der::element(der::SET, signer.signed.content),
        value: signer.value.to_vec(),
        message_digest: message_digest.content.to_vec(),
        serial: signer.serial.to_vec(),
    })
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
