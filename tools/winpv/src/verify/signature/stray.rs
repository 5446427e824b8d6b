//! Certificates in a signature that nobody needs, or that are not what their issuer signed.
//!
//! They are no part of what is signed. Following the chain looks at those alone that lead to the root, and takes the root from
//! elsewhere, so a changed one or one more would go unnoticed.

use std::path::Path;

use anyhow::Result;
use driver_catalog::pkcs7::{Certificate, SignedData, Signer};
use sha2::{Digest, Sha256};

use super::super::anchors::Anchors;
use super::super::pkcs7;
use super::{Checker, Verdict};
use crate::process::Run;

/// 1.2.840.113549.1.9.16.1.4, id-ct-TSTInfo (RFC 3161 §2.4.2), as DER contents: what a time stamp signs.
const TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];

const MEND: &str = "sign it again, with the certificates of the chain and no others";

impl Checker {
    /// Checks all certificates but the signer's. `anchors`: the roots that the signer's certificate was seen to lead to.
    pub(super) fn strays(
        &self,
        data: &SignedData<'_>,
        anchors: Option<&Anchors>,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let signer = pkcs7::signer(data)?;
        let own = data.certificate_of(signer);
        let needed = needed(data, signer);
        let mut add = |what: String| verdict.add("certificate-stray", what, MEND);
        // Microsoft's own time stamps hold an attribute certificate, which nothing here can check.
        if !data.others.is_empty() && data.content_type != TIME {
            add("it brings along what is no X.509 certificate".to_owned());
        }
        for (at, certificate) in data.certificates.iter().enumerate() {
            if own.is_some_and(|own| own.encoded == certificate.encoded) {
                continue;
            }
            let name = certificate.subject.only(driver_catalog::pkcs7::COMMON_NAME);
            let name = name.unwrap_or_else(|| format!("certificate {}", at + 1));
            if !needed
                .iter()
                .any(|needed| needed.encoded == certificate.encoded)
            {
                add(format!(
                    "the certificate of {name} in it is not in the signer's chain"
                ));
            } else if !self.is_whole(certificate, data, anchors)? {
                add(format!(
                    "the certificate of {name} in it is not the one that its issuer signed"
                ));
            }
        }
        Ok(())
    }

    /// Whether a certificate is as it was issued, as far as its issuer is known.
    fn is_whole(
        &self,
        certificate: &Certificate<'_>,
        data: &SignedData<'_>,
        anchors: Option<&Anchors>,
    ) -> Result<bool> {
        let own = self.pem(certificate.encoded)?;
        let mut issuers = match anchors {
            Some(anchors) => std::fs::read_to_string(&anchors.file)?,
            None => String::new(),
        };
        let mut arguments = vec!["-check_ss_sig"];
        if !certificate.is_self_issued() {
            // Any of its possible issuers will do: that they lead to a root is not asked here.
            arguments.push("-partial_chain");
            for other in &data.certificates {
                if other.subject == certificate.issuer {
                    issuers.push_str(&self.pem(other.encoded)?);
                }
            }
        } else if anchors.is_none() {
            issuers.clone_from(&own);
        }
        if issuers.is_empty() {
            return Ok(true);
        }
        let key = Sha256::digest([own.as_str(), &issuers, arguments.concat().as_str()].concat());
        let key: [u8; 32] = key.into();
        if let Some(known) = self.whole.borrow().get(&key) {
            return Ok(*known);
        }
        let file = self.file("whole.pem", own.as_bytes())?;
        let pool = self.file("pool.pem", issuers.as_bytes())?;
        let answer = verify(&arguments, &pool, &file)?;
        // X509_V_ERR_* (x509_vfy.h): signatures and keys that cannot be read or are wrong, and a root that is not a trusted one. Any
        // other says that the issuer is not known, or may not issue, which is for the chain to say.
        const WRONG: [u32; 5] = [4, 6, 7, 8, 18];
        let is_whole = match answer {
            Ok(()) => true,
            Err(numbers) => {
                !numbers.is_empty() && !numbers.iter().any(|number| WRONG.contains(number))
            }
        };
        self.whole.borrow_mut().insert(key, is_whole);
        Ok(is_whole)
    }
}

/// Runs `openssl verify`; the numbers of the errors if there are any.
fn verify(arguments: &[&str], pool: &Path, file: &Path) -> Result<Result<(), Vec<u32>>> {
    let output = Run::new("openssl")
        .args(["verify", "-purpose", "any", "-no-CApath", "-no-CAstore"])
        .args(["-no_check_time"])
        .args(arguments)
        .arg("-CAfile")
        .arg(pool)
        .arg(file)
        .output()?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let text = output.text();
    let errors = text.lines().filter_map(|line| line.strip_prefix("error "));
    let numbers = errors.filter_map(|rest| rest.split(' ').next()?.parse().ok());
    Ok(Err(numbers.collect()))
}

/// The certificates that the signer's and those of who countersigned lead to.
fn needed<'s, 'a>(data: &'s SignedData<'a>, signer: &Signer<'a>) -> Vec<&'s Certificate<'a>> {
    let countersigners =
        pkcs7::countersignatures(signer).filter_map(|other| Signer::read(other).ok());
    let own = data.certificate_of(signer);
    let others = countersigners.filter_map(|other| data.certificate_of(&other));
    let all = own.into_iter().chain(others);
    all.flat_map(|certificate| data.chain_of(certificate))
        .collect()
}
