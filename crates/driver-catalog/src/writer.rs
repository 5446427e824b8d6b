//! Builds an unsigned catalog.

use sha2::{Digest, Sha256};

use crate::der::{self, element, null, sequence, set_of};
use crate::digest::{Digests, Kind};
use crate::time::utc_time;
use crate::{Error, oid};

/// `CRYPTCAT_ATTR_AUTHENTICATED | CRYPTCAT_ATTR_NAMEASCII | CRYPTCAT_ATTR_DATAASCII` (mscat.h).
const NAME_VALUE_FLAGS: [u8; 4] = 0x1001_0001u32.to_be_bytes();

/// "2": the Windows NT family, "10.0": Windows 10 and later.
const OS_ATTR: &str = "2:10.0";

/// Collects a driver package's files and writes its catalog.
///
/// The order of calls does not matter but for attributes and hardware ids, which are written in the order of theirs.
#[derive(Clone, Debug)]
pub struct Builder {
    os: String,
    time: String,
    identifier: Option<[u8; 16]>,
    attributes: Vec<(String, String)>,
    hardware_ids: Vec<String>,
    files: Vec<(String, Digests)>,
}

impl Builder {
    /// Starts a catalog for the systems that `os` names (`_v100_X64`, `_v100_ARM64`; a list is separated by commas; what Microsoft's
    /// own catalogs have, and MS: "Inf2Cat", /os), dated `seconds` after 1970-01-01 00:00 UTC.
    ///
    /// # Errors
    ///
    /// [`Error::Time`]: the date lies after 2049.
    pub fn new(os: &str, seconds: u64) -> Result<Builder, Error> {
        Ok(Builder {
            os: os.to_owned(),
            time: utc_time(seconds)?,
            identifier: None,
            attributes: Vec::new(),
            hardware_ids: Vec::new(),
            files: Vec::new(),
        })
    }

    /// Names the list. Without it the name is taken from the content, so that the same content has the same name.
    pub fn identifier(&mut self, identifier: [u8; 16]) -> &mut Builder {
        self.identifier = Some(identifier);
        self
    }

    /// Adds an attribute of the catalog; Microsoft's portal writes such as `Universal` with `True`. They stand before `OS` and the
    /// hardware ids.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Builder {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a hardware id of the package's INF; it is stored in lower case, in the order of the calls.
    pub fn hardware_id(&mut self, id: &str) -> &mut Builder {
        self.hardware_ids.push(id.to_lowercase());
        self
    }

    /// Adds a file by its base name, which is stored in lower case. A PE image gives the same catalog before and after it is signed.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`]: the name is there already. [`Error::Image`]: it starts like a PE image and is none.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<&mut Builder, Error> {
        let name = name.to_lowercase();
        if self.files.iter().any(|(other, _)| *other == name) {
            return Err(Error::Duplicate { name });
        }
        let digests = Digests::of(&name, bytes)?;
        self.files.push((name, digests));
        Ok(self)
    }

    /// Writes the catalog in DER without a signature, as a signing tool wants it (`osslsigncode sign -in x.cat`).
    ///
    /// # Errors
    ///
    /// None today: what was added was checked then.
    pub fn unsigned(&self) -> Result<Vec<u8>, Error> {
        let content = sequence([
            der::oid(oid::TRUST_LIST),
            element(der::explicit(0), &self.trust_list()),
        ]);
        // RFC 2315 §9.1: version 1, no digest algorithm and no signer yet.
        let signed_data = sequence([
            element(der::INTEGER, &[1]),
            set_of(Vec::new()),
            content,
            set_of(Vec::new()),
        ]);
        Ok(sequence([
            der::oid(oid::SIGNED_DATA),
            element(der::explicit(0), &signed_data),
        ]))
    }

    /// The `CertificateTrustList` (`CTL_INFO` in wincrypt.h).
    fn trust_list(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for (name, digests) in &self.files {
            entries.push((digests.sha1.to_vec(), attributes(name, digests, false)));
            entries.push((digests.sha256.to_vec(), attributes(name, digests, true)));
        }
        // Windows looks members up by their digests and wants them in ascending order.
        entries.sort();
        let members = entries
            .into_iter()
            .map(|(tag, attributes)| sequence([element(der::OCTET_STRING, &tag), attributes]));
        let os = ("OS".to_owned(), self.os.clone());
        let ids = (1..)
            .zip(&self.hardware_ids)
            .map(|(number, id)| (format!("HWID{number}"), id.clone()));
        let own = self.attributes.iter().cloned();
        let extensions = own.chain([os]).chain(ids).map(|(name, value)| {
            sequence([
                der::oid(oid::NAME_VALUE),
                element(der::OCTET_STRING, &name_value(&name, &value)),
            ])
        });
        sequence([
            sequence([der::oid(oid::CATALOG_LIST)]),
            element(
                der::OCTET_STRING,
                &self.identifier.unwrap_or_else(|| self.content_name()),
            ),
            element(der::UTC_TIME, self.time.as_bytes()),
            sequence([der::oid(oid::CATALOG_LIST_MEMBER2), null()]),
            sequence(members),
            element(der::explicit(0), &sequence(extensions)),
        ])
    }

    /// Sixteen bytes that name this list: taken from its content, so that the same content has the same name.
    fn content_name(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            // Each field after its length, so that two different lists of fields never look alike.
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        field(self.os.as_bytes());
        field(self.time.as_bytes());
        for (name, value) in &self.attributes {
            field(name.as_bytes());
            field(value.as_bytes());
        }
        for id in &self.hardware_ids {
            field(id.as_bytes());
        }
        for (name, digests) in &self.files {
            field(name.as_bytes());
            field(&digests.sha256);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut identifier = [0; 16];
        identifier.copy_from_slice(&digest[..16]);
        identifier
    }
}

/// A member's attributes; only the SHA-256 entry carries the digest as indirect data.
fn attributes(name: &str, digests: &Digests, with_digest: bool) -> Vec<u8> {
    let mut list = vec![
        attribute(oid::MEMBER_INFO2, element(member_info(digests.kind), &[])),
        attribute(oid::NAME_VALUE, name_value("OSAttr", OS_ATTR)),
        attribute(oid::NAME_VALUE, name_value("File", name)),
    ];
    if with_digest {
        list.push(attribute(oid::INDIRECT_DATA, indirect_data(digests)));
    }
    set_of(list)
}

fn attribute(kind: &[u8], value: Vec<u8>) -> Vec<u8> {
    sequence([der::oid(kind), set_of(vec![value])])
}

/// The tag of the empty value that tells images from flat files.
pub(crate) const fn member_info(kind: Kind) -> u8 {
    match kind {
        Kind::Image => der::context(0),
        Kind::Flat => der::context(2),
    }
}

/// `CatalogNameValue`: a name, flags, and a value in UTF-16LE that ends with a zero.
fn name_value(name: &str, value: &str) -> Vec<u8> {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let value: Vec<u8> = value
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    sequence([
        element(der::BMP_STRING, &name),
        element(der::INTEGER, &NAME_VALUE_FLAGS),
        element(der::OCTET_STRING, &value),
    ])
}

/// `SpcIndirectDataContent`: what kind of object was digested, and the digest.
fn indirect_data(digests: &Digests) -> Vec<u8> {
    // SpcLink's `file` choice holding an empty SpcString.
    let empty_file = element(der::explicit(2), &element(der::context(0), &[]));
    let subject = match digests.kind {
        Kind::Image => {
            // SpcPeImageFlags with includeResources, the one value that is in use: five unused bits, then 101.
            let flags = element(0x03, &[5, 0b1010_0000]);
            sequence([
                der::oid(oid::PE_IMAGE_DATA),
                sequence([flags, element(der::explicit(0), &empty_file)]),
            ])
        }
        Kind::Flat => sequence([der::oid(oid::FLAT_DATA), empty_file]),
    };
    let digest = sequence([
        sequence([der::oid(oid::SHA256), null()]),
        element(der::OCTET_STRING, &digests.sha256),
    ]);
    sequence([subject, digest])
}
