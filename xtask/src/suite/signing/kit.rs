//! Certificates, keys and a token for the tests of signing, all made for one run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use winpv::process::Run;

/// The password of every PKCS#12 file and the token's PIN.
pub const PASSWORD: &str = "correct-horse";
/// The signing certificate's name.
pub const SIGNER: &str = "Test Vendor";
/// The key in the token.
pub const URI: &str = "pkcs11:token=winpv-test;object=signing";
/// Where Debian has the token in software.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

const CODE_SIGNING: &str =
    "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=codeSigning\n";
const TIME_STAMPING: &str = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n";

/// The folder with all of it.
pub struct Kit {
    dir: PathBuf,
}

impl Kit {
    /// Makes everything in an empty folder.
    pub fn make(dir: &Path) -> Result<Kit> {
        let kit = Kit {
            dir: dir.to_owned(),
        };
        kit.root("root")?;
        kit.root("other-root")?;
        // Time: (first day, last day) as openssl writes them.
        let now = ("20200101000000Z", "20490101000000Z");
        let past = ("20200101000000Z", "20210101000000Z");
        let future = ("20480101000000Z", "20490101000000Z");
        kit.leaf("good", CODE_SIGNING, now)?;
        kit.leaf("other", CODE_SIGNING, now)?;
        kit.leaf("ended", CODE_SIGNING, past)?;
        kit.leaf("early", CODE_SIGNING, future)?;
        kit.leaf(
            "server",
            "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n",
            now,
        )?;
        kit.leaf(
            "cipher",
            "basicConstraints=CA:FALSE\nkeyUsage=keyEncipherment\nextendedKeyUsage=codeSigning\n",
            now,
        )?;
        kit.leaf(
            "authority",
            "basicConstraints=CA:TRUE\nextendedKeyUsage=codeSigning\n",
            now,
        )?;
        kit.leaf("tsa", TIME_STAMPING, now)?;
        kit.leaf("tsa-ended", TIME_STAMPING, past)?;
        kit.leaf("tsa-no-usage", CODE_SIGNING, now)?;
        kit.token()?;
        for (name, text) in [("password", PASSWORD), ("wrong", "wrong"), ("empty", "")] {
            fs::write(kit.path(name), text)?;
        }
        Ok(kit)
    }

    /// A file of the kit.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A file of the kit as an argument.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// Makes a PKCS#12 file of a certificate and its key, or of the certificate alone.
    pub fn pkcs12(&self, name: &str, file: &str, with_key: bool) -> Result<String> {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let mut args = vec!["pkcs12", "-export", "-in", &certificate, "-out", file];
        let pass = format!("pass:{PASSWORD}");
        args.extend(["-passout", &pass]);
        if with_key {
            args.extend(["-inkey", &key]);
        } else {
            args.push("-nokeys");
        }
        self.openssl(&args)?;
        Ok(format!("pkcs12:{}", self.text(file)))
    }

    /// What a program needs in its environment to see the token.
    pub fn token_environment(&self) -> (&'static str, PathBuf) {
        ("SOFTHSM2_CONF", self.path("softhsm2.conf"))
    }

    fn openssl(&self, args: &[&str]) -> Result<()> {
        Run::new("openssl").dir(&self.dir).args(args).ok()?;
        Ok(())
    }

    fn root(&self, name: &str) -> Result<()> {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN=Test {name}");
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            &subject,
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            &key,
            "-out",
            &pem,
        ])
    }

    /// Makes `name.key`, `name.pem` and, with the root below it, `name-chain.pem`.
    fn leaf(&self, name: &str, extensions: &str, (from, to): (&str, &str)) -> Result<()> {
        let file = |ending: &str| format!("{name}.{ending}");
        let (key, csr, pem) = (file("key"), file("csr"), file("pem"));
        let subject = format!("/CN={SIGNER}");
        // RSA for the key in the token, as most certificates have it; the others only have to be made quickly.
        let kind: &[&str] = match name {
            "good" => &["rsa:2048"],
            _ => &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        };
        let asked = ["req", "-new", "-nodes", "-subj", &subject, "-keyout", &key];
        self.openssl(&[&asked[..], &["-out", &csr, "-newkey"], kind].concat())?;
        // `openssl x509` of OpenSSL 3.0 can set no first day; `openssl ca` wants a folder of its own.
        let ca = self.path(&file("ca"));
        fs::create_dir(&ca)?;
        fs::write(ca.join("index.txt"), "")?;
        fs::write(
            ca.join("ca.cnf"),
            format!(
                "[ca]\ndefault_ca=us\n[us]\ndatabase={0}/index.txt\nnew_certs_dir={0}\nrand_serial=yes\n\
                 default_md=sha256\npolicy=any\nx509_extensions=leaf\n[any]\ncommonName=supplied\n[leaf]\n{extensions}",
                ca.display()
            ),
        )?;
        let config = ca.join("ca.cnf");
        self.openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            &config.to_string_lossy(),
            "-cert",
            "root.pem",
            "-keyfile",
            "root.key",
            "-startdate",
            from,
            "-enddate",
            to,
            "-in",
            &csr,
            "-out",
            &pem,
        ])?;
        let chain = [fs::read(self.path(&pem))?, fs::read(self.path("root.pem"))?].concat();
        fs::write(self.path(&format!("{name}-chain.pem")), chain)?;
        Ok(())
    }

    /// Makes a token that holds the good key.
    fn token(&self) -> Result<()> {
        let tokens = self.path("tokens");
        fs::create_dir(&tokens)?;
        let (variable, config) = self.token_environment();
        fs::write(
            &config,
            format!(
                "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                tokens.display()
            ),
        )?;
        self.openssl(&[
            "pkcs8", "-topk8", "-nocrypt", "-in", "good.key", "-out", "good.p8",
        ])?;
        let util = |args: &[&str]| {
            Run::new("softhsm2-util")
                .dir(&self.dir)
                .env(variable, &config)
                .args(args)
                .ok()
                .context("cannot make the token")
        };
        util(&[
            "--init-token",
            "--free",
            "--label",
            "winpv-test",
            "--pin",
            PASSWORD,
            "--so-pin",
            "so-pin",
        ])?;
        util(&[
            "--import",
            "good.p8",
            "--token",
            "winpv-test",
            "--label",
            "signing",
            "--id",
            "01",
            "--pin",
            PASSWORD,
        ])?;
        Ok(())
    }
}
