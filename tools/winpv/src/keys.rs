//! The test certificate: a root and a signing certificate, made once and kept out of `dist/` and of git.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::Run;

const ROOT_KEY: &str = "root.key";
const ROOT: &str = "root.pem";
const SIGNING_KEY: &str = "signing.key";
const SIGNING: &str = "signing.pem";
const CHAIN: &str = "chain.pem";
const FILES: [&str; 5] = [ROOT_KEY, ROOT, SIGNING_KEY, SIGNING, CHAIN];

/// Microsoft recommends 3072 bits or more for code signing; a test certificate need not differ.
const KEY: &str = "rsa:3072";
const DAYS: &str = "3650";

/// Two certificates: a CA certificate that signs code itself is refused by Windows' chain building.
const CONFIG: &str = "
[req]
distinguished_name = name
prompt = no
[name]
[root]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[signing]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = codeSigning
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// A folder with the two certificates and their keys.
#[derive(Clone, Debug)]
pub struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// Opens the folder, and makes it if it is not there at all.
    pub fn open_or_make(dir: &Path) -> Result<Keys> {
        if !dir.exists() {
            println!("making a test certificate in {}", dir.display());
            make(dir)
                .with_context(|| format!("cannot make a test certificate in {}", dir.display()))?;
        }
        Keys::open(dir)
    }

    /// Opens the folder, which must be complete.
    pub fn open(dir: &Path) -> Result<Keys> {
        for file in FILES {
            let path = dir.join(file);
            if !path.is_file() {
                bail!(
                    "missing key: {} is not there; put it back, or delete the folder {} to have a new test certificate made",
                    path.display(),
                    dir.display()
                );
            }
        }
        Ok(Keys {
            dir: dir.to_owned(),
        })
    }

    /// The root certificate, PEM.
    pub fn root(&self) -> PathBuf {
        self.dir.join(ROOT)
    }

    /// The signing certificate, PEM.
    pub fn signing(&self) -> PathBuf {
        self.dir.join(SIGNING)
    }

    /// The signing certificate and the root, PEM.
    pub fn chain(&self) -> PathBuf {
        self.dir.join(CHAIN)
    }

    /// The signing key, PEM.
    pub fn signing_key(&self) -> PathBuf {
        self.dir.join(SIGNING_KEY)
    }
}

/// Makes everything in a folder beside the wanted one, so that a failure leaves no half of it.
fn make(dir: &Path) -> Result<()> {
    let parent = dir.parent().context("no parent folder")?;
    let new = tempfile::Builder::new()
        .prefix(".keys-")
        .tempdir_in(parent)?;
    let file = |name: &str| new.path().join(name);
    fs::write(file("openssl.cnf"), CONFIG)?;
    let openssl = |args: &[&str]| {
        Run::new("openssl")
            .dir(new.path())
            .args(args)
            .ok()
            .map(|_| ())
    };
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        KEY,
        "-nodes",
        "-sha256",
        "-days",
        DAYS,
        "-config",
        "openssl.cnf",
        "-extensions",
        "root",
        "-subj",
        "/O=WinPV/CN=WinPV test root",
        "-keyout",
        ROOT_KEY,
        "-out",
        ROOT,
    ])?;
    openssl(&[
        "req",
        "-newkey",
        KEY,
        "-nodes",
        "-sha256",
        "-config",
        "openssl.cnf",
        "-subj",
        "/O=WinPV/CN=WinPV test signing",
        "-keyout",
        SIGNING_KEY,
        "-out",
        "signing.csr",
    ])?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        "signing.csr",
        "-CA",
        ROOT,
        "-CAkey",
        ROOT_KEY,
        "-CAcreateserial",
        "-sha256",
        "-days",
        DAYS,
        "-extfile",
        "openssl.cnf",
        "-extensions",
        "signing",
        "-out",
        SIGNING,
    ])?;
    let chain = [fs::read(file(SIGNING))?, fs::read(file(ROOT))?].concat();
    fs::write(file(CHAIN), chain)?;
    for key in [ROOT_KEY, SIGNING_KEY] {
        fs::set_permissions(file(key), fs::Permissions::from_mode(0o600))?;
    }
    for entry in fs::read_dir(new.path())? {
        let entry = entry?;
        if !FILES.iter().any(|name| entry.file_name() == *name) {
            fs::remove_file(entry.path())?;
        }
    }
    fs::rename(new.path(), dir)?;
    // The folder is now the wanted one, and no longer temporary.
    let _ = new.keep();
    Ok(())
}
