//! What a certificate says of itself, and whether Windows would take code signed with it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::process::Run;
use crate::version::Epoch;

/// A certificate, as far as signing needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Common name of its owner.
    pub name: String,
    /// UTC, as `yyyy-mm-dd hh:mm:ssZ`: two of these compare as text.
    not_before: String,
    not_after: String,
    /// It may sign code. // RFC 5280 §4.2.1.12: id-kp-codeSigning
    code_signing: bool,
    /// It may sign at all: no key usage is given, or it contains digitalSignature. // RFC 5280 §4.2.1.3
    digital_signature: bool,
    /// It may sign other certificates.
    authority: bool,
}

impl Certificate {
    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn read(pem: &Path) -> Result<Certificate> {
        let output = Run::new("openssl")
            .args([
                "x509",
                "-noout",
                "-subject",
                "-nameopt",
                "multiline,utf8,-esc_msb",
            ])
            .args(["-startdate", "-enddate", "-dateopt", "iso_8601", "-ext"])
            .arg("basicConstraints,keyUsage,extendedKeyUsage")
            .arg("-in")
            .arg(pem)
            .ok()
            .with_context(|| format!("no certificate can be read from {}", pem.display()))?;
        Certificate::parse(&output.stdout)
            .with_context(|| format!("the certificate in {}", pem.display()))
    }

    /// Reads openssl's answer.
    pub(super) fn parse(text: &str) -> Result<Certificate> {
        let after = |what: &str| {
            text.lines()
                .find_map(|line| {
                    line.trim()
                        .strip_prefix(what)?
                        .trim_start()
                        .strip_prefix('=')
                })
                .map(|rest| rest.trim().to_owned())
        };
        // An extension's value stands in the line below its name.
        let extension = |name: &str| {
            let mut lines = text.lines();
            lines.find(|line| line.starts_with(name))?;
            lines.next().map(str::trim)
        };
        Ok(Certificate {
            name: after("commonName").context("its owner has no common name")?,
            not_before: after("notBefore").context("it does not say when it begins")?,
            not_after: after("notAfter").context("it does not say when it ends")?,
            code_signing: extension("X509v3 Extended Key Usage")
                .is_some_and(|usages| usages.contains("Code Signing")),
            digital_signature: extension("X509v3 Key Usage")
                .is_none_or(|usages| usages.contains("Digital Signature")),
            authority: extension("X509v3 Basic Constraints")
                .is_some_and(|constraints| constraints.contains("CA:TRUE")),
        })
    }

    /// Refuses a certificate whose signatures nobody would accept today.
    ///
    /// # Errors
    ///
    /// It says what is wrong with it.
    pub fn check(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        self.check_at(&Epoch(now).rfc3339().replace('T', " "))
    }

    pub(super) fn check_at(&self, now: &str) -> Result<()> {
        let name = &self.name;
        if self.not_after.as_str() < now {
            bail!(
                "the certificate of {name} ended on {}: get a new one",
                self.not_after
            );
        }
        if self.not_before.as_str() > now {
            bail!(
                "the certificate of {name} begins only on {}: wait, or set this machine's clock right",
                self.not_before
            );
        }
        self.check_usage()
    }

    /// Refuses a certificate with which Windows would take no code, whenever it was signed.
    ///
    /// # Errors
    ///
    /// It says what is wrong with it.
    pub fn check_usage(&self) -> Result<()> {
        let name = &self.name;
        if !self.code_signing {
            bail!(
                "the certificate of {name} is not for code signing (no such extended key usage): Windows would refuse it"
            );
        }
        if !self.digital_signature {
            bail!(
                "the certificate of {name} is not for signatures (key usage): Windows would refuse it"
            );
        }
        if self.authority {
            bail!(
                "the certificate of {name} is an authority's: sign with one that it issued, which may not issue others"
            );
        }
        Ok(())
    }
}
