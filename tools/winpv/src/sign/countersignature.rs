//! The time stamp in a signature: a token of RFC 3161 that must be over this signature.
//!
//! osslsigncode takes whatever token the authority answers with, also one for another signature, so it is checked here. Whether
//! the authority is one that Windows trusts is not: that depends on the certificates of the machine that looks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use driver_catalog::der::{self, Reader};

use super::Subject;
use crate::process::Run;

/// 1.3.6.1.4.1.311.3.3.1 as DER content: the unsigned attribute that holds the token (wincrypt.h, szOID_RFC3161_counterSign).
const TIME_STAMP: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 3, 3, 1];

/// Checks the time stamp of a signed file; `scratch` is a folder for files that may be overwritten.
///
/// # Errors
///
/// There is no time stamp, it is for another signature, its own signature is wrong, or its certificate has ended or is not
/// for time stamps.
pub fn check(file: &Path, subject: Subject, scratch: &Path) -> Result<()> {
    let path = |name: &str| scratch.join(name);
    let signature = match subject {
        // A catalog is a signature, around its list.
        Subject::Catalog => fs::read(file)?,
        _ => {
            let signature = path("signature.der");
            // osslsigncode refuses to overwrite.
            if signature.exists() {
                fs::remove_file(&signature)?;
            }
            Run::new("osslsigncode")
                .args(["extract-signature", "-in"])
                .arg(file)
                .arg("-out")
                .arg(&signature)
                .ok()?;
            fs::read(signature)?
        }
    };
    let Some(stamped) = find(&signature)? else {
        bail!("there is no time stamp in the signature");
    };
    fs::write(path("token.der"), stamped.token)?;
    fs::write(path("value.bin"), stamped.value)?;
    Run::new("openssl")
        .args(["pkcs7", "-inform", "DER", "-print_certs", "-in"])
        .arg(path("token.der"))
        .arg("-out")
        .arg(path("token.pem"))
        .ok()?;
    // The authority's certificates are taken as they are, each as an anchor: only the arithmetic, dates and usages count.
    Run::new("openssl")
        .args(["ts", "-verify", "-token_in", "-in"])
        .arg(path("token.der"))
        .arg("-data")
        .arg(path("value.bin"))
        .arg("-partial_chain")
        .arg("-CAfile")
        .arg(path("token.pem"))
        .ok()
        .context("the time stamp is not good")?;
    Ok(())
}

/// A signature's value and the token over it.
struct Stamped<'a> {
    value: &'a [u8],
    token: &'a [u8],
}

/// Finds the time stamp of a PKCS#7 signature's first signer. // RFC 2315 §9.1, §9.2
fn find(pkcs7: &[u8]) -> Result<Option<Stamped<'_>>> {
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
    signed_data.expect(der::SEQUENCE, "SignedData has no content")?;
    signed_data.optional(der::explicit(0))?;
    signed_data.optional(der::explicit(1))?;
    let mut signer = signed_data
        .expect(der::SET, "SignedData has no signer infos")?
        .inside()
        .expect(der::SEQUENCE, "not a SignerInfo")?
        .inside();
    signer.expect(der::INTEGER, "SignerInfo has no version")?;
    signer.expect(der::SEQUENCE, "SignerInfo names no certificate")?;
    signer.expect(der::SEQUENCE, "SignerInfo names no digest")?;
    signer.optional(der::explicit(0))?;
    signer.expect(der::SEQUENCE, "SignerInfo names no algorithm")?;
    let value = signer
        .expect(der::OCTET_STRING, "SignerInfo has no signature")?
        .content;
    let Some(unsigned) = signer.optional(der::explicit(1))? else {
        return Ok(None);
    };
    let mut attributes = unsigned.inside();
    while !attributes.is_empty() {
        let mut attribute = attributes.expect(der::SEQUENCE, "no attribute")?.inside();
        let name = attribute.expect(der::OBJECT_IDENTIFIER, "an attribute without a name")?;
        let mut values = attribute
            .expect(der::SET, "an attribute without values")?
            .inside();
        if name.content == TIME_STAMP {
            let token = values.any()?.encoded;
            return Ok(Some(Stamped { value, token }));
        }
    }
    Ok(None)
}
