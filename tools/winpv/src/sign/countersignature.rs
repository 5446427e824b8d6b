//! The time stamp in a signature: a token of RFC 3161 that must be over this signature.
//!
//! osslsigncode takes whatever token the authority answers with, also one for another signature, so it is checked here. Whether
//! the authority is one that Windows trusts is not: that depends on the certificates of the machine that looks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use driver_catalog::pkcs7::SignedData;
use winpv_inject::trust;

use super::Subject;
use crate::process::Run;
use crate::verify::pkcs7;

/// Checks the time stamp of a signed file; `scratch` is a folder for files that may be overwritten.
///
/// # Errors
///
/// There is no time stamp, it is for another signature, its own signature is wrong, or its certificate has ended or is not
/// for time stamps.
pub fn check(file: &Path, subject: Subject, scratch: &Path) -> Result<()> {
    let path = |name: &str| scratch.join(name);
    let signature = signature(file, subject, &path("signature.der"))?;
    let signed = SignedData::parse(&signature).context("the signature cannot be read")?;
    let signer = pkcs7::signer(&signed)?;
    let token = pkcs7::timestamps(signer)
        .next()
        .context("there is no time stamp in the signature")?;
    fs::write(path("token.der"), token)?;
    fs::write(path("value.bin"), signer.value)?;
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

/// The PKCS#7 signature in a file. osslsigncode 2.5 takes it out of MSIs and cabinets only.
fn signature(file: &Path, subject: Subject, out: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(file)?;
    match subject {
        // A catalog is a signature, around its list.
        Subject::Catalog => Ok(bytes),
        Subject::Image | Subject::Program => {
            let signatures = trust::certificates(&bytes)?;
            let signature = signatures.first().context("it is not signed")?;
            Ok(signature.to_vec())
        }
        Subject::Installer | Subject::Cabinet => {
            // osslsigncode refuses to overwrite.
            if out.exists() {
                fs::remove_file(out)?;
            }
            Run::new("osslsigncode")
                .args(["extract-signature", "-in"])
                .arg(file)
                .arg("-out")
                .arg(out)
                .ok()?;
            Ok(fs::read(out)?)
        }
    }
}
