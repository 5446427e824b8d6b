//! Signs files with one key, after that key was seen to work.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use driver_catalog::Builder;
use tempfile::TempDir;

use super::{Args, Certificate, Source, Subject, countersignature, root};
use crate::keys::Keys;
use crate::process::Run;
use crate::version::Epoch;

/// Holds the password when there is no file with it.
pub(crate) const PASSWORD: &str = "WINPV_SIGN_PASSWORD";
/// Lets OpenSSL use keys in tokens; Debian's libengine-pkcs11-openssl. osslsigncode looks for it where OpenSSL does: its option that
/// names the file fails in version 2.5.
const ENGINE: &str = "engines-3/pkcs11.so";
/// Offers the modules of every token that is set up; Debian's p11-kit-modules.
const PROXY: &str = "p11-kit-proxy.so";

/// How long a signature with a time stamp may take: osslsigncode itself waits for the authority without end.
const STAMP_DEADLINE: Duration = Duration::from_secs(20);

/// What osslsigncode and OpenSSL say of mistakes that a user can mend, and how.
const ADVICE: &[(&str, &str)] = &[
    (
        "PIN incorrect",
        "the PIN is wrong: give the right one in WINPV_SIGN_PASSWORD, or in a file named by --sign-password-file (a token locks itself after a few wrong ones)",
    ),
    (
        "No PIN code was entered",
        "the token asks for a PIN: give it in WINPV_SIGN_PASSWORD, or in a file named by --sign-password-file",
    ),
    (
        "object not found",
        "no token that is there holds this key: check the URI (`p11tool --list-all` and `pkcs11-tool --list-objects` show what there is) and --pkcs11-module",
    ),
    (
        "key values mismatch",
        "the key does not belong to the certificate: name the certificate that was issued for it",
    ),
    // Versions from 2.6 on, then 2.5.
    ("imestamping failed", AUTHORITY),
    ("timestamp reply", AUTHORITY),
    ("CURL failure", AUTHORITY),
];

/// Advice for a time stamp authority that does not do its work.
const AUTHORITY: &str = "the time stamp authority did not answer as RFC 3161 asks: check the URL of --timestamp, or try another";

/// Signs files; made only after a first signature has succeeded.
#[derive(Debug)]
pub struct Signer {
    /// What tells osslsigncode certificate and key.
    key: Vec<OsString>,
    timestamp: Option<String>,
    certificate: Certificate,
    certificates: Vec<(PathBuf, &'static str)>,
    /// Holds what must not outlive us.
    scratch: TempDir,
}

impl Signer {
    /// Opens the key that the command line names, and tries it.
    ///
    /// # Errors
    ///
    /// A wrong password, an expired certificate or one that is not for code signing, a key that does not belong to it, no
    /// answer from the time stamp authority. Nothing has been written then.
    pub fn open(args: &Args, repository: &Path) -> Result<Signer> {
        let scratch = tempfile::tempdir()?;
        let mut signer = match &args.sign {
            Source::Test => {
                let keys = match &args.keys {
                    Some(dir) => Keys::open(dir)?,
                    None => Keys::open_or_make(&repository.join(".keys"))?,
                };
                Signer::of_test(&keys, args, scratch)
            }
            Source::Pkcs12(file) => Signer::of_pkcs12(file, args, scratch)
                .with_context(|| format!("cannot sign with {}", file.display())),
            Source::Pkcs11(uri) => Signer::of_pkcs11(uri, args, scratch)
                .context("cannot sign with the key in the token"),
        }?;
        signer.certificate.check()?;
        signer.try_out()?;
        if args.sign != Source::Test {
            let own = &signer.certificates[0].0;
            if let Some(root) = root::of(&signer.first(), own, signer.scratch.path())? {
                signer.certificates.push((root, "winpv-signing-root.cer"));
            }
        }
        Ok(signer)
    }

    /// Opens a test certificate.
    ///
    /// # Errors
    ///
    /// As [`Signer::open`].
    pub fn test(keys: &Keys) -> Result<Signer> {
        Signer::of_test(keys, &Args::default(), tempfile::tempdir()?)
    }

    fn of_test(keys: &Keys, args: &Args, scratch: TempDir) -> Result<Signer> {
        Ok(Signer {
            key: vec![
                "-certs".into(),
                keys.chain().into(),
                "-key".into(),
                keys.signing_key().into(),
            ],
            timestamp: args.timestamp.clone(),
            certificate: Certificate::read(&keys.signing())?,
            certificates: vec![
                (keys.root(), "winpv-test-root.cer"),
                (keys.signing(), "winpv-test-signing.cer"),
            ],
            scratch,
        })
    }

    fn of_pkcs12(file: &Path, args: &Args, scratch: TempDir) -> Result<Signer> {
        ensure!(file.is_file(), "there is no such file");
        let password = password(args, &scratch)?;
        let pass = [OsString::from("-passin"), prefixed("file:", &password)];
        let openssl = |what: &[&str]| {
            Run::new("openssl")
                .args(["pkcs12", "-in"])
                .arg(file)
                .args(&pass)
                .args(what)
                .output()
        };
        // Files of older programs are encrypted in ways that OpenSSL 3 reads only if told so.
        let mut legacy: &[&str] = &[];
        let mut answer = openssl(&["-info", "-noout"])?;
        if !answer.status.success() {
            legacy = &["-legacy"];
            let second = openssl(&["-info", "-noout", "-legacy"])?;
            if second.status.success() {
                answer = second;
            }
        }
        if !answer.status.success() {
            if answer.text().contains("invalid password") {
                bail!(
                    "the password is wrong: give the right one in {PASSWORD}, or in a file named by --sign-password-file"
                );
            }
            bail!("it is no PKCS#12 file: {}", answer.text().trim());
        }
        ensure!(
            answer.text().contains("Keybag") || answer.text().contains("Key bag"),
            "it holds certificates, but no key to sign with"
        );
        let own = openssl(&[&["-clcerts", "-nokeys"], legacy].concat())?;
        let pem = scratch.path().join("signing.pem");
        fs::write(&pem, own.stdout)?;
        Ok(Signer {
            key: vec![
                "-pkcs12".into(),
                file.into(),
                "-readpass".into(),
                password.into(),
            ],
            timestamp: args.timestamp.clone(),
            certificate: Certificate::read(&pem)?,
            certificates: vec![(pem, "winpv-signing.cer")],
            scratch,
        })
    }

    fn of_pkcs11(uri: &str, args: &Args, scratch: TempDir) -> Result<Signer> {
        let pem = args.sign_certificate.as_ref().context(
            "its certificate is not known: name a PEM file with it, and those above it, by --sign-certificate",
        )?;
        // Whoever keeps engines elsewhere tells OpenSSL so.
        ensure!(
            env::var_os("OPENSSL_ENGINES").is_some() || library(ENGINE).is_some(),
            "OpenSSL's {ENGINE} is missing: install the package libengine-pkcs11-openssl"
        );
        let module = match &args.pkcs11_module {
            Some(module) => {
                ensure!(module.is_file(), "there is no module {}", module.display());
                module.clone()
            }
            None => library(PROXY).with_context(|| {
                format!("{PROXY} is missing: install the package p11-kit-modules, or name the token's module by --pkcs11-module")
            })?,
        };
        let mut key = vec![
            "-pkcs11module".into(),
            module.into(),
            "-certs".into(),
            pem.into(),
            "-key".into(),
            uri.into(),
        ];
        if args.sign_password_file.is_some() || env::var_os(PASSWORD).is_some() {
            key.extend(["-readpass".into(), password(args, &scratch)?.into()]);
        }
        Ok(Signer {
            key,
            timestamp: args.timestamp.clone(),
            certificate: Certificate::read(pem)?,
            certificates: vec![(pem.clone(), "winpv-signing.cer")],
            scratch,
        })
    }

    /// Common name of the signing certificate.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.certificate.name
    }

    /// The certificates that go with the pack, PEM, and their names there.
    #[must_use]
    pub fn certificates(&self) -> &[(PathBuf, &'static str)] {
        &self.certificates
    }

    /// The first file that is signed.
    fn first(&self) -> PathBuf {
        self.scratch.path().join("first.cat")
    }

    /// Signs a catalog that vouches for nothing, so that whatever can go wrong goes wrong before anything is written.
    fn try_out(&self) -> Result<()> {
        let file = self.first();
        let epoch = Epoch(1_700_000_000);
        let mut catalog = Builder::new("_v100_X64", epoch.0)?;
        fs::write(&file, catalog.file("none", b"")?.unsigned()?)?;
        self.sign(&file, Subject::Catalog, "first", epoch)
            .with_context(|| format!("the key of {} does not work", self.name()))
    }

    /// Signs a file in place. `epoch` becomes the signing time, so that the same input gives the same signature.
    ///
    /// # Errors
    ///
    /// osslsigncode's message, no answer in time, or a time stamp that is not over this signature; the file is unchanged then.
    pub fn sign(
        &self,
        file: &Path,
        subject: Subject,
        description: &str,
        epoch: Epoch,
    ) -> Result<()> {
        let signed = file.with_extension("signed");
        // osslsigncode refuses to overwrite what an interrupted run left.
        if signed.exists() {
            fs::remove_file(&signed)?;
        }
        let mut run = Run::new("osslsigncode").arg("sign").args(&self.key);
        if subject == Subject::Image {
            run = run.arg("-ph");
        }
        if let Some(url) = &self.timestamp {
            run = run.arg("-ts").arg(url).deadline(STAMP_DEADLINE);
        }
        let ran = run
            .args(["-h", "sha256", "-time", &epoch.0.to_string(), "-n"])
            .arg(description)
            .arg("-in")
            .arg(file)
            .arg("-out")
            .arg(&signed)
            .ok();
        if let Err(error) = ran {
            return Err(self.advise(error))
                .with_context(|| format!("cannot sign {}", file.display()));
        }
        if let Some(url) = &self.timestamp {
            countersignature::check(&signed, subject, self.scratch.path()).with_context(|| {
                format!(
                    "{url} answered with a time stamp that proves nothing: try another authority"
                )
            })?;
        }
        fs::rename(&signed, file).with_context(|| format!("cannot replace {}", file.display()))
    }

    /// Puts what to do before what osslsigncode said.
    fn advise(&self, error: anyhow::Error) -> anyhow::Error {
        let text = format!("{error:#}");
        // Signing itself takes no time: what takes long is the answer.
        let unanswered = self.timestamp.is_some() && text.contains("was stopped");
        let advice = ADVICE
            .iter()
            .find_map(|(said, advice)| text.contains(said).then_some(*advice))
            .or(unanswered.then_some(AUTHORITY));
        match advice {
            Some(advice) => error.context(advice),
            None => error,
        }
    }
}

/// A file that holds nothing but the password, readable by us alone; an empty one if none was given.
fn password(args: &Args, scratch: &TempDir) -> Result<PathBuf> {
    let text = match &args.sign_password_file {
        Some(file) => fs::read_to_string(file)
            .with_context(|| format!("cannot read the password from {}", file.display()))?,
        None => env::var(PASSWORD).unwrap_or_default(),
    };
    let copy = scratch.path().join("password");
    fs::write(&copy, "")?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600))?;
    // openssl reads a line: without its end, an empty password would be no password.
    fs::write(
        &copy,
        format!("{}\n", text.lines().next().unwrap_or_default()),
    )?;
    Ok(copy)
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

/// Finds a shared library in the folders of Debian's processors and of other distributions.
fn library(name: &str) -> Option<PathBuf> {
    let multiarch = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    [multiarch.as_str(), "/usr/lib64", "/usr/lib"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.is_file())
}
