//! Checks Authenticode signatures: that they are for the file's bytes, good, in time, and by someone trusted.
//!
//! OpenSSL does the arithmetic and follows the chain; osslsigncode digests MSIs, cabinets and pages.

mod chain;
mod stray;
mod timestamp;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use driver_catalog::Digests;
use driver_catalog::pkcs7::{Certificate, SignedData, Signer};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use winpv_inject::trust;

use super::anchors::Anchors;
use super::pkcs7;
use crate::process::{Output, Run};

#[cfg(test)]
pub(super) use timestamp::seconds;

/// What carries the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A PE image.
    Image,
    /// A driver that the boot loader loads.
    BootDriver,
    /// A signed catalog.
    Catalog,
    /// An MSI or a cabinet.
    Archive,
}

/// A broken rule of a signature.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The rule.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub mend: &'static str,
}

/// What was found out about the signatures of one file.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// How many there are.
    pub signatures: usize,
    /// How many of them lead to a root that is trusted.
    trusted: usize,
    /// What is wrong with them.
    pub problems: Vec<Problem>,
}

impl Verdict {
    fn add(&mut self, rule: &'static str, message: impl Into<String>, mend: &'static str) {
        self.problems.push(Problem {
            rule,
            message: message.into(),
            mend,
        });
    }
}

/// A signature whose signer's certificate came along.
struct Signed<'s, 'a> {
    data: &'s SignedData<'a>,
    signer: &'s Signer<'a>,
    certificate: &'s Certificate<'a>,
}

/// Tells whether a digest is that of the signed file.
type IsOfFile<'a> = &'a dyn Fn(&[u8]) -> bool;

/// A file's content, what it is and whom to trust.
type Key = ([u8; 32], Subject, Option<PathBuf>);

/// Checks signatures. The same file is checked once, wherever it lies: a pack has its drivers in several places.
pub struct Checker {
    scratch: TempDir,
    now: u64,
    /// Options that keep osslsigncode from fetching revocation lists: versions before 2.6 neither do nor know them.
    offline: Vec<&'static str>,
    known: RefCell<HashMap<Key, Verdict>>,
    pems: RefCell<HashMap<[u8; 32], String>>,
    /// Whether certificates are as they were issued, by what was asked.
    whole: RefCell<HashMap<[u8; 32], bool>>,
}

const SIGN_AGAIN: &str = "sign the file again as it is now";
const REAL_SIGNATURE: &str = "get the file again from where it comes from";

impl Checker {
    /// # Errors
    ///
    /// There is no osslsigncode, or no place for temporary files.
    pub fn new() -> Result<Checker> {
        let help = Run::new("osslsigncode")
            .args(["verify", "--help"])
            .output()
            .context("osslsigncode is needed: install the package osslsigncode")?
            .text();
        let options = ["-ignore-cdp", "-ignore-crl"];
        Ok(Checker {
            scratch: tempfile::tempdir().context("no folder for temporary files")?,
            now: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            offline: Vec::from_iter(options.into_iter().filter(|option| help.contains(option))),
            known: RefCell::default(),
            pems: RefCell::default(),
            whole: RefCell::default(),
        })
    }

    /// Checks every signature that a file carries.
    ///
    /// # Errors
    ///
    /// A program that is needed cannot be run.
    pub fn check(
        &self,
        bytes: &[u8],
        subject: Subject,
        anchors: Option<&Anchors>,
    ) -> Result<Verdict> {
        let key = (
            Sha256::digest(bytes).into(),
            subject,
            anchors.map(|anchors| anchors.file.clone()),
        );
        if let Some(known) = self.known.borrow().get(&key) {
            return Ok(known.clone());
        }
        let mut verdict = Verdict::default();
        match subject {
            Subject::Image | Subject::BootDriver => {
                self.image(bytes, subject, anchors, &mut verdict)?
            }
            Subject::Catalog => self.one(bytes, None, anchors, false, &mut verdict)?,
            Subject::Archive => self.archive(bytes, anchors, &mut verdict)?,
        }
        // Windows needs one signature that it trusts: Microsoft adds its own to the vendor's.
        if verdict.trusted > 0 {
            let is_about_roots = |problem: &Problem| problem.rule == "root-untrusted";
            verdict.problems.retain(|problem| !is_about_roots(problem));
        }
        self.known.borrow_mut().insert(key, verdict.clone());
        Ok(verdict)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    fn image(
        &self,
        bytes: &[u8],
        subject: Subject,
        anchors: Option<&Anchors>,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let boot = subject == Subject::BootDriver;
        let (signatures, digests) = match (trust::certificates(bytes), Digests::of("it", bytes)) {
            (Ok(signatures), Ok(digests)) => (signatures, digests),
            (Err(error), _) => {
                verdict.add("signature-unreadable", error.to_string(), REAL_SIGNATURE);
                return Ok(());
            }
            (_, Err(error)) => {
                verdict.add("signature-unreadable", error.to_string(), REAL_SIGNATURE);
                return Ok(());
            }
        };
        if signatures.is_empty() {
            let (rule, message) = if boot {
                (
                    "boot-unsigned",
                    "a boot-start driver without a signature of its own",
                )
            } else {
                ("signature-missing", "it has no signature of its own")
            };
            verdict.add(rule, message, "sign it, not only its catalog");
            return Ok(());
        }
        let is_of_file = |digest: &[u8]| digest == digests.sha256 || digest == digests.sha1;
        for signature in signatures {
            self.one(signature, Some(&is_of_file), anchors, false, verdict)?;
        }
        let output = self.osslsigncode(&self.file("image", bytes)?)?;
        let line = |start: &str| output.stdout.lines().find(|line| line.starts_with(start));
        // Pages are not looked at if the whole is another one already.
        let is_whole =
            line("Calculated message digest").is_some_and(|line| !line.contains("MISMATCH"));
        match line("Calculated page hash") {
            Some(line) if line.contains("MISMATCH") => verdict.add(
                "page-hashes-wrong",
                "its page hashes are not those of its pages",
                SIGN_AGAIN,
            ),
            None if boot && is_whole => verdict.add(
                "page-hashes-missing",
                "a boot-start driver without page hashes",
                "sign it with page hashes (osslsigncode: -ph, signtool: /ph)",
            ),
            _ => {}
        }
        Ok(())
    }

    fn archive(
        &self,
        bytes: &[u8],
        anchors: Option<&Anchors>,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let file = self.file("archive", bytes)?;
        let signature = self.scratch.path().join("signature");
        if signature.exists() {
            fs::remove_file(&signature)?;
        }
        let run = Run::new("osslsigncode").args(["extract-signature", "-in"]);
        let output = run.arg(&file).arg("-out").arg(&signature).output()?;
        if !output.status.success() {
            verdict.add(
                "signature-missing",
                "it has no signature of its own",
                "sign it, so that who downloads it alone can tell whose it is",
            );
            return Ok(());
        }
        let signature = fs::read(&signature)?;
        let output = self.osslsigncode(&file)?;
        let digests = || {
            let computed = ["Calculated message digest", "Calculated DigitalSignature"];
            let is_computed =
                move |line: &&str| computed.iter().any(|start| line.starts_with(start));
            output.stdout.lines().filter(is_computed)
        };
        let is_same = digests().count() > 0 && digests().all(|line| !line.contains("MISMATCH"));
        self.one(&signature, Some(&|_| is_same), anchors, false, verdict)
    }

    /// What osslsigncode says of a file; only the digests it computes are of interest, not whom it trusts.
    fn osslsigncode(&self, file: &Path) -> Result<Output> {
        let nobody = self.file("nobody.pem", b"")?;
        let run = Run::new("osslsigncode").arg("verify").args(&self.offline);
        run.arg("-CAfile").arg(nobody).arg("-in").arg(file).output()
    }

    /// Checks one PKCS#7 signature and those nested in it. `is_of_file` tells whether a digest is that of the file; a catalog is
    /// not digested once more, for it is itself what was signed.
    fn one(
        &self,
        signature: &[u8],
        is_of_file: Option<IsOfFile<'_>>,
        anchors: Option<&Anchors>,
        is_nested: bool,
        verdict: &mut Verdict,
    ) -> Result<()> {
        verdict.signatures += 1;
        let read = SignedData::parse(signature).and_then(|data| {
            pkcs7::signer(&data)?;
            let digest = is_of_file.map(|_| data.file_digest()).transpose()?;
            Ok((digest, data))
        });
        let (digest, data) = match read {
            Ok(read) => read,
            Err(error) => {
                verdict.add("signature-unreadable", error.to_string(), REAL_SIGNATURE);
                return Ok(());
            }
        };
        if let (Some(is_of_file), Some(digest)) = (is_of_file, digest)
            && !is_of_file(digest)
        {
            verdict.add(
                "signature-digest",
                "its signature is for other bytes",
                SIGN_AGAIN,
            );
        }
        // Some bytes look like certificates here and are none.
        for certificate in &data.certificates {
            if self.pem(certificate.encoded).is_err() {
                verdict.add(
                    "signature-unreadable",
                    "a certificate in it cannot be read",
                    REAL_SIGNATURE,
                );
                return Ok(());
            }
        }
        let signer = pkcs7::signer(&data)?;
        match data.certificate_of(signer) {
            Some(certificate) => {
                self.arithmetic(&data, verdict)?;
                let signed = Signed {
                    data: &data,
                    signer,
                    certificate,
                };
                let trusted = verdict.trusted;
                self.signer(&signed, anchors, verdict)?;
                let leads_there = verdict.trusted > trusted;
                self.strays(&data, anchors.filter(|_| leads_there), verdict)?;
            }
            None => verdict.add(
                "signature-unreadable",
                "the signer's certificate is not in it",
                "sign it with the certificate included",
            ),
        }
        for nested in signer.added.values(trust::NESTED_SIGNATURE) {
            // Nobody nests deeper; a file that does would keep us busy for as long as its maker likes.
            if is_nested {
                verdict.add(
                    "signature-unreadable",
                    "a signature in a signature in a signature",
                    REAL_SIGNATURE,
                );
                break;
            }
            self.one(nested.encoded, is_of_file, anchors, true, verdict)?;
        }
        Ok(())
    }

    /// The signature is by the signer's key, for these attributes, and those for this content.
    fn arithmetic(&self, data: &SignedData<'_>, verdict: &mut Verdict) -> Result<()> {
        let output = Run::new("openssl")
            .args([
                "smime",
                "-verify",
                "-noverify",
                "-binary",
                "-inform",
                "DER",
                "-in",
            ])
            .arg(self.file("signed-data", data.encoded)?)
            .arg("-content")
            .arg(self.file("content", data.content.content)?)
            .args(["-out", "/dev/null"])
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        if output.stderr.contains("digest failure") {
            verdict.add(
                "signature-digest",
                "what was signed is not what it says now",
                SIGN_AGAIN,
            );
        } else {
            verdict.add(
                "signature-wrong",
                "its signature was not made with the key of its certificate",
                REAL_SIGNATURE,
            );
        }
        Ok(())
    }
}
