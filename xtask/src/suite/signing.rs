//! Signing with keys of one's own: a whole pack signed by a key in a token and time-stamped, and every mistake refused before
//! anything is written.
//!
//! The token is SoftHSM's, the time stamp authority OpenSSL's over HTTP on this machine; the program is this very one.

mod authority;
pub(super) mod kit;
mod refusals;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest, Sha256};
use winpv::pack::MANIFEST;
use winpv::process::{Output, Run};

use self::authority::Authority;
use self::kit::{Kit, MODULE, PASSWORD, SIGNER, URI};
use super::{Context, Outcome};

/// A pack whose drivers are compiled already, with a question to the authority for each signature.
const PACK_DEADLINE: Duration = Duration::from_secs(400);

/// Every test.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let place = |name: &str| -> Result<PathBuf> {
        let dir = scratch.path().join(name);
        fs::create_dir(&dir)?;
        Ok(dir)
    };
    let kit = Kit::make(&place("kit")?)?;
    let authority = Authority::start(&kit.path(""))?;
    let bench = Bench {
        context,
        kit: &kit,
        authority: &authority,
        good: kit.pkcs12("good", "good.p12", true)?,
    };
    let mut outcomes = Vec::new();
    let (packs, refusals) = (place("packs")?, place("refusals")?);
    thread::scope(|scope| {
        // Almost all of its time is waiting.
        let slow = scope.spawn(|| bench.slow_authority(&packs));
        outcomes.extend(bench.whole_pack(&packs));
        outcomes.extend(bench.refusals(&refusals));
        outcomes.push(slow.join().unwrap_or_else(|_| Outcome {
            name: "slow authority".to_owned(),
            result: Err("the test panicked".to_owned()),
        }));
    });
    Ok(outcomes)
}

struct Bench<'a> {
    context: &'a Context,
    kit: &'a Kit,
    authority: &'a Authority,
    /// What `--sign` takes for a key in a file with which nothing is wrong.
    good: String,
}

impl Bench<'_> {
    /// Runs `pack` of this very program.
    fn pack(&self, out: &Path, arguments: &[String]) -> Result<Output> {
        let (variable, config) = self.kit.token_environment();
        Run::new(env::current_exe()?)
            .dir(&self.context.root)
            .env(variable, config)
            .env_remove("WINPV_SIGN_PASSWORD")
            .args(["pack", "--out"])
            .arg(out)
            .args(arguments)
            .deadline(PACK_DEADLINE)
            .output()
    }

    fn by_token(&self, uri: &str, certificate: &str, password: Option<&str>) -> Vec<String> {
        let mut arguments = vec!["--sign".to_owned(), uri.to_owned()];
        arguments.extend(["--sign-certificate".to_owned(), self.kit.text(certificate)]);
        arguments.extend(["--pkcs11-module".to_owned(), MODULE.to_owned()]);
        if let Some(password) = password {
            arguments.extend(["--sign-password-file".to_owned(), self.kit.text(password)]);
        }
        arguments
    }

    fn by_file(&self, key: &str, password: &str) -> Vec<String> {
        let file = self.kit.text(password);
        ["--sign", key, "--sign-password-file", &file]
            .map(str::to_owned)
            .to_vec()
    }

    fn stamped(&self, mut arguments: Vec<String>, manner: &str) -> Vec<String> {
        arguments.extend(["--timestamp".to_owned(), self.authority.url(manner)]);
        arguments
    }

    /// The whole way: token, authority, every signed file of the pack; then a failure in the middle of the next pack.
    fn whole_pack(&self, dir: &Path) -> Vec<Outcome> {
        let out = dir.join("pack");
        let mut outcomes = vec![Outcome::of("token and authority: the pack is made", || {
            let key = self.by_token(URI, "good-chain.pem", Some("password"));
            let output = self.pack(&out, &self.stamped(key, "good"))?;
            ensure!(output.status.success(), "{}", output.text());
            ensure!(
                !output.text().contains(PASSWORD),
                "the PIN is in the output:\n{}",
                output.text()
            );
            Ok(())
        })];
        outcomes.push(Outcome::of(
            "token and authority: every signed file verifies, time stamp included (osslsigncode)",
            || self.every_file(&out),
        ));
        outcomes.push(Outcome::of(
            "token: the shipped certificates are the token's and its root",
            || {
                for (name, own) in [
                    ("winpv-signing.cer", "good.pem"),
                    ("winpv-signing-root.cer", "root.pem"),
                ] {
                    let shipped = Run::new("openssl")
                        .args(["x509", "-inform", "DER", "-in"])
                        .arg(out.join("cert").join(name))
                        .ok()?
                        .stdout;
                    ensure!(
                        shipped == fs::read_to_string(self.kit.path(own))?,
                        "{name} is another certificate:\n{shipped}"
                    );
                }
                Ok(())
            },
        ));
        outcomes.push(Outcome::of(
            "authority that fails in the middle: the pack that was there stays as it was",
            || {
                let before = tree(&out)?;
                ensure!(before.contains_key(Path::new(MANIFEST)), "there is no pack");
                let key = self.by_file(&self.good, "password");
                let output = self.pack(&out, &self.stamped(key, "fails-later"))?;
                says(&output, &["time stamp authority", "--timestamp"])?;
                ensure!(tree(&out)? == before, "the old pack has changed");
                ensure!(
                    entries(dir)?.iter().all(|name| !name.starts_with(".dist")),
                    "left behind: {:?}",
                    entries(dir)?
                );
                Ok(())
            },
        ));
        outcomes
    }

    fn every_file(&self, out: &Path) -> Result<()> {
        let signed: Vec<PathBuf> = tree(out)?
            .into_keys()
            .filter(|path| {
                path.extension().is_some_and(|ending| {
                    ["sys", "cat", "msi", "cab"]
                        .iter()
                        .any(|known| ending == *known)
                })
            })
            .collect();
        for kind in ["sys", "cat", "msi", "cab"] {
            ensure!(
                signed
                    .iter()
                    .any(|path| path.extension().is_some_and(|ending| ending == kind)),
                "the pack has no .{kind}"
            );
        }
        let (root, other) = (self.kit.path("root.pem"), self.kit.path("other-root.pem"));
        for path in &signed {
            let file = out.join(path);
            let good = verify(&file, &root, &root).with_context(|| path.display().to_string())?;
            ensure!(
                good.signature && good.stamp,
                "{}:\n{}",
                path.display(),
                good.text
            );
            ensure!(
                good.text.contains(SIGNER),
                "{} is not by {SIGNER}:\n{}",
                path.display(),
                good.text
            );
            // That the check can fail: other anchors. Changed bytes are what "verify" tries.
            ensure!(
                !verify(&file, &root, &other)?.stamp,
                "{}: the time stamp is said to be good whoever made it",
                path.display()
            );
            ensure!(
                !verify(&file, &other, &root)?.signature,
                "{}: the signature is said to be good whoever made it",
                path.display()
            );
        }
        Ok(())
    }
}

/// What osslsigncode says of a signed file.
struct Verified {
    signature: bool,
    stamp: bool,
    text: String,
}

fn verify(file: &Path, root: &Path, authority: &Path) -> Result<Verified> {
    let output = Run::new("osslsigncode")
        .args(["verify", "-CAfile"])
        .arg(root)
        .arg("-TSA-CAfile")
        .arg(authority)
        .arg("-in")
        .arg(file)
        .output()?;
    let text = output.text();
    Ok(Verified {
        signature: output.status.success() && text.contains("Signature verification: ok"),
        // Its exit code does not tell.
        stamp: text.contains("Timestamp Server Signature verification: ok"),
        text,
    })
}

/// Every file below a folder, with its digest.
fn tree(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    fn walk(base: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(base, &path, found)?;
            } else {
                let digest = Sha256::digest(fs::read(&path)?).to_vec();
                found.insert(path.strip_prefix(base)?.to_owned(), digest);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<String>> {
    fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Failed, and says each of these.
fn says(output: &Output, words: &[&str]) -> Result<()> {
    let text = output.text();
    ensure!(!output.status.success(), "no error:\n{text}");
    for word in words {
        ensure!(
            text.contains(word),
            "{word:?} is not in the message:\n{text}"
        );
    }
    ensure!(!text.contains("panicked"), "{text}");
    Ok(())
}
