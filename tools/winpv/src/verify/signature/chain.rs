//! Follows the certificates of a signature from the signer to a root.

use std::path::Path;

use anyhow::Result;
use driver_catalog::pkcs7::Certificate;
use sha2::{Digest, Sha256};

use super::super::anchors::{Anchors, openssl_x509};
use super::super::pkcs7;
use super::{Checker, REAL_SIGNATURE, Signed, Verdict};
use crate::process::Run;
use crate::sign;

impl<'a> Signed<'_, 'a> {
    /// The other certificates that came along: who issued the signer's, and who issued those.
    fn issuers(&self) -> impl Iterator<Item = &Certificate<'a>> {
        let own = self.certificate.encoded;
        let all = self.data.certificates.iter();
        all.filter(move |other| other.encoded != own)
    }
}

impl Checker {
    pub(super) fn signer(
        &self,
        signed: &Signed<'_, '_>,
        anchors: Option<&Anchors>,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let signer = self.file(
            "signer.pem",
            self.pem(signed.certificate.encoded)?.as_bytes(),
        )?;
        let (name, usage) = match sign::Certificate::read(&signer) {
            Ok(certificate) => (certificate.name.clone(), certificate.check_usage()),
            Err(error) => ("its signer".to_owned(), Err(error)),
        };
        if let Err(error) = usage {
            verdict.add(
                "certificate-usage",
                format!("{error:#}"),
                "sign with a certificate for code signing",
            );
        }
        let mut time = Some(self.now);
        if pkcs7::countersignatures(signed.signer).next().is_some() {
            verdict.add(
                "timestamp-old",
                "its time stamp is of the older kind, so the time of signing is not known here",
                "sign with an RFC 3161 time stamp",
            );
            time = None;
        }
        for token in pkcs7::timestamps(signed.signer) {
            match self.timestamp(token, signed.signer.value, verdict)? {
                Ok(stamped) => time = Some(stamped),
                Err(why) => verdict.add(
                    "timestamp-wrong",
                    format!("its time stamp is not good: {why}"),
                    "sign it again with a time stamp",
                ),
            }
        }
        self.chain(&signer, &name, signed, time, anchors, verdict)
    }

    /// Follows the chain from the signer, as it was at a time (seconds after 1970).
    fn chain(
        &self,
        signer: &Path,
        name: &str,
        signed: &Signed<'_, '_>,
        time: Option<u64>,
        anchors: Option<&Anchors>,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let mut issuers = String::new();
        for issuer in signed.issuers() {
            issuers.push_str(&self.pem(issuer.encoded)?);
        }
        let issuers_file = self.file("issuers.pem", issuers.as_bytes())?;
        let mut run =
            Run::new("openssl").args(["verify", "-purpose", "any", "-no-CApath", "-no-CAstore"]);
        run = match time {
            Some(time) => run.args(["-attime", &time.to_string()]),
            None => run.arg("-no_check_time"),
        };
        run = match anchors {
            Some(anchors) if issuers.is_empty() => run.arg("-CAfile").arg(&anchors.file),
            Some(anchors) => run
                .arg("-CAfile")
                .arg(&anchors.file)
                .arg("-untrusted")
                .arg(&issuers_file),
            // Who issued the last certificate is not known; that those here belong together is.
            None => run.arg("-partial_chain").arg("-CAfile").arg(&issuers_file),
        };
        if anchors.is_none() {
            verdict.add(
                "root-unknown",
                format!("whether {name} is to be trusted is not known"),
                "name the root certificate by --ca",
            );
            if issuers.is_empty() {
                return Ok(());
            }
        }
        let output = run.arg(signer).output()?;
        if output.status.success() {
            verdict.trusted += usize::from(anchors.is_some());
            return Ok(());
        }
        let text = output.text();
        // `error 10 at 0 depth lookup: certificate has expired`; the numbers are OpenSSL's X509_V_ERR_* (x509_vfy.h).
        let first = text.lines().find_map(|line| line.strip_prefix("error "));
        let number = first.and_then(|line| line.split(' ').next()?.parse::<u32>().ok());
        let reason = first
            .and_then(|line| line.split(": ").nth(1))
            .unwrap_or_else(|| text.trim());
        match number {
            Some(10) => verdict.add(
                "certificate-expired",
                format!("a certificate in the chain of {name} had ended"),
                "sign with one that is in time, and with a time stamp",
            ),
            Some(9) => verdict.add(
                "certificate-not-begun",
                format!("a certificate in the chain of {name} had not begun"),
                "sign with one that is in time",
            ),
            // No issuer, not even a local one; a root that is not trusted; a certificate that is not.
            Some(2 | 18 | 19 | 20 | 21 | 27) if anchors.is_some() => verdict.add(
                "root-untrusted",
                format!("the certificate of {name} does not lead to a trusted root: {reason}"),
                "name the right root by --ca, or do not use the file",
            ),
            _ => verdict.add(
                "chain-broken",
                format!("the chain of {name} does not hold: {reason}"),
                REAL_SIGNATURE,
            ),
        }
        Ok(())
    }

    pub(super) fn pem(&self, der: &[u8]) -> Result<String> {
        let digest: [u8; 32] = Sha256::digest(der).into();
        if let Some(known) = self.pems.borrow().get(&digest) {
            return Ok(known.clone());
        }
        let pem = openssl_x509(&self.file("certificate.der", der)?, &[])?;
        self.pems.borrow_mut().insert(digest, pem.clone());
        Ok(pem)
    }
}
