//! Mistakes in naming a key, a certificate or an authority: each refused before anything is written.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use winpv::keys::Keys;
use winpv::process::Run;

use super::kit::URI;
use super::{Bench, Outcome, entries, says};

/// What is wrong, the arguments, and words of the message.
type Mistake = (&'static str, Result<Vec<String>>, &'static [&'static str]);

impl Bench<'_> {
    /// One row a mistake: refused, with words that help, and nothing is there afterwards.
    pub fn refusals(&self, dir: &Path) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (name, arguments, words) in self.mistakes(dir) {
            outcomes.push(Outcome::of(format!("refused: {name}"), || {
                let parent = dir.join("out");
                fs::create_dir_all(&parent)?;
                let output = self.pack(&parent.join("pack"), &arguments?)?;
                says(&output, words)?;
                let left = entries(&parent)?;
                ensure!(left.is_empty(), "written all the same: {left:?}");
                Ok(())
            }));
        }
        outcomes
    }

    fn mistakes(&self, dir: &Path) -> Vec<Mistake> {
        let file = |name: &str, password: &str| -> Result<Vec<String>> {
            let key = self.kit.pkcs12(name, &format!("{name}-row.p12"), true)?;
            Ok(self.by_file(&key, password))
        };
        let token = |uri: &str, certificate: &str, password: Option<&str>| {
            Ok(self.by_token(uri, certificate, password))
        };
        let stamped = |manner: &str| Ok(self.stamped(self.by_file(&self.good, "password"), manner));
        vec![
            (
                "PKCS#12, wrong password",
                file("good", "wrong"),
                &["the password is wrong", "--sign-password-file"],
            ),
            (
                "PKCS#12, no password",
                file("good", "empty"),
                &["the password is wrong", "WINPV_SIGN_PASSWORD"],
            ),
            (
                "PKCS#12, certificate has ended",
                file("ended", "password"),
                &["ended on 2021-01-01", "get a new one"],
            ),
            (
                "PKCS#12, certificate not yet valid",
                file("early", "password"),
                &["begins only on 2048-01-01", "clock"],
            ),
            (
                "PKCS#12, certificate of a server",
                file("server", "password"),
                &["not for code signing"],
            ),
            (
                "PKCS#12, certificate for encryption",
                file("cipher", "password"),
                &["not for signatures"],
            ),
            (
                "PKCS#12, certificate of an authority",
                file("authority", "password"),
                &["is an authority's"],
            ),
            (
                "PKCS#12 without a key",
                self.kit
                    .pkcs12("good", "alone.p12", false)
                    .map(|key| self.by_file(&key, "password")),
                &["no key to sign with"],
            ),
            (
                "a file that is no PKCS#12",
                Ok(self.by_file(&format!("pkcs12:{}", self.kit.text("good.pem")), "password")),
                &["it is no PKCS#12 file"],
            ),
            (
                "test certificate with the key of another",
                self.mixed_keys(dir),
                &["does not belong to the certificate"],
            ),
            (
                "token, wrong PIN",
                token(URI, "good-chain.pem", Some("wrong")),
                &["the PIN is wrong", "--sign-password-file"],
            ),
            (
                "token, no PIN",
                token(URI, "good-chain.pem", None),
                &["asks for a PIN", "WINPV_SIGN_PASSWORD"],
            ),
            (
                "token, no such key",
                token(
                    "pkcs11:token=winpv-test;object=none",
                    "good-chain.pem",
                    Some("password"),
                ),
                &["holds this key", "--pkcs11-module"],
            ),
            (
                "no such token",
                token(
                    "pkcs11:token=none;object=signing",
                    "good-chain.pem",
                    Some("password"),
                ),
                &["holds this key", "--pkcs11-module"],
            ),
            (
                "token, certificate of another key",
                token(URI, "other-chain.pem", Some("password")),
                &["does not belong to the certificate"],
            ),
            (
                "token, certificate has ended",
                token(URI, "ended-chain.pem", Some("password")),
                &["ended on 2021-01-01"],
            ),
            (
                "PIN on the command line",
                token(
                    "pkcs11:token=winpv-test?pin-value=1",
                    "good-chain.pem",
                    None,
                ),
                &["leave the PIN out of the URI"],
            ),
            (
                "authority that nobody runs",
                Ok([
                    self.by_file(&self.good, "password"),
                    vec!["--timestamp".to_owned(), "http://127.0.0.1:9/".to_owned()],
                ]
                .concat()),
                &["time stamp authority", "--timestamp"],
            ),
            (
                "authority that is out of order",
                stamped("error"),
                &["time stamp authority", "--timestamp"],
            ),
            (
                "authority that answers with a web page",
                stamped("text"),
                &["time stamp authority", "--timestamp"],
            ),
            (
                "authority that refuses the request",
                stamped("refuses"),
                &["time stamp authority", "--timestamp"],
            ),
            (
                "authority with an old stamp",
                self.old_stamp().and_then(|()| stamped("repeats")),
                &["proves nothing"],
            ),
            (
                "authority with a damaged stamp",
                stamped("damages"),
                &["proves nothing"],
            ),
            (
                "authority whose certificate has ended",
                stamped("ended"),
                &["proves nothing"],
            ),
            (
                "authority whose certificate is not for time stamps",
                stamped("no-usage"),
                &["proves nothing"],
            ),
        ]
    }

    /// A folder as `--keys` takes it, with certificate and key of two pairs.
    fn mixed_keys(&self, dir: &Path) -> Result<Vec<String>> {
        let (one, two) = (dir.join("one"), dir.join("two"));
        let (one, two) = (Keys::open_or_make(&one)?, Keys::open_or_make(&two)?);
        fs::copy(two.signing_key(), one.signing_key())?;
        let folder = dir.join("one").to_string_lossy().into_owned();
        Ok(vec!["--keys".to_owned(), folder])
    }

    /// Keeps a good answer, for a request that somebody else made.
    fn old_stamp(&self) -> Result<()> {
        let dir = self.kit.path("");
        let openssl = |args: &[&str]| Run::new("openssl").dir(&dir).args(args).ok();
        fs::write(
            dir.join("old.cnf"),
            "[tsa]\ndefault_tsa = us\n[us]\nserial = old.serial\ndefault_policy = 1.2.3.4\nsigner_digest = sha256\n\
             digests = sha256\ness_cert_id_alg = sha256\n",
        )?;
        fs::write(dir.join("old.serial"), "7000\n")?;
        openssl(&[
            "ts", "-query", "-data", "old.cnf", "-sha256", "-cert", "-out", "old.tsq",
        ])?;
        openssl(&[
            "ts",
            "-reply",
            "-config",
            "old.cnf",
            "-queryfile",
            "old.tsq",
            "-signer",
            "tsa.pem",
            "-inkey",
            "tsa.key",
            "-chain",
            "root.pem",
            "-out",
            "old.tsr",
        ])?;
        Ok(())
    }

    pub fn slow_authority(&self, dir: &Path) -> Outcome {
        Outcome::of("refused: authority that never answers", || {
            let parent = dir.join("slow");
            fs::create_dir(&parent)?;
            let key = self.by_file(&self.good, "password");
            let output = self.pack(&parent.join("pack"), &self.stamped(key, "slow"))?;
            says(&output, &["not done after 20 s", "--timestamp"])?;
            let left = entries(&parent)?;
            ensure!(left.is_empty(), "written all the same: {left:?}");
            Ok(())
        })
    }
}
