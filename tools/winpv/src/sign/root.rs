//! The root of a key of one's own, if it came with the key: a company's is in no Windows, and has to be installed on the machines.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use driver_catalog::pkcs7::{Certificate, SignedData};

use crate::process::Run;

/// Takes the root out of the certificates in a catalog that `signer` (PEM) signed; PEM, in `folder`. None if it is not among them.
///
/// # Errors
///
/// The certificates that came along are no chain.
pub fn of(catalog: &Path, signer: &Path, folder: &Path) -> Result<Option<PathBuf>> {
    let bytes = fs::read(catalog)?;
    let signed = SignedData::parse(&bytes)?;
    let own = signed.signers.first();
    let own = own.and_then(|own| signed.certificate_of(own));
    let own = own.context("the signer's certificate is not in its signature")?;
    let chain = signed.chain_of(own);
    let is_root = |certificate: &&&Certificate<'_>| certificate.is_self_issued();
    let Some(root) = chain.iter().skip(1).find(is_root) else {
        return Ok(None);
    };
    let path = |name: &str| folder.join(name);
    let (der, pem, all) = (path("root.der"), path("root.pem"), path("all.pem"));
    fs::write(&der, root.encoded)?;
    let run = Run::new("openssl").args(["x509", "-inform", "DER", "-in"]);
    run.arg(&der).arg("-out").arg(&pem).ok()?;
    let run = Run::new("openssl").args(["pkcs7", "-inform", "DER", "-print_certs", "-in"]);
    run.arg(catalog).arg("-out").arg(&all).ok()?;
    // By their names they belong together: by their signatures as well?
    Run::new("openssl")
        .args(["verify", "-purpose", "any", "-no-CApath", "-no-CAstore"])
        .arg("-CAfile")
        .arg(&pem)
        .arg("-untrusted")
        .arg(&all)
        .arg(signer)
        .ok()
        .context("the certificates that came with the key are no chain")?;
    Ok(Some(pem))
}
