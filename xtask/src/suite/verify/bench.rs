//! A package of the pack to break, and what breaking it takes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use driver_catalog::der::{self, Reader};
use driver_catalog::{Builder, Catalog};
use winpv::drivers::{Arch, DRIVERS, Driver};
use winpv::pack;
use winpv::process::Run;
use winpv::verify::{self, Options};

use super::super::Context;
use super::super::signing::kit::Kit;

/// Whom a check trusts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trusted {
    /// The pack's root and the bench's.
    Both,
    /// A root that has signed nothing.
    Other,
    /// Nobody is named.
    Nobody,
}

/// A folder with one package, good when it is set up.
pub struct Bench {
    /// The pack.
    pub dist: PathBuf,
    /// Certificates and keys.
    pub kit: Kit,
    /// Where the package lies.
    pub dir: PathBuf,
    scratch: PathBuf,
    /// Whom the check is to trust.
    pub trusted: Cell<Trusted>,
}

/// The driver that is broken, for this processor.
pub const ARCH: Arch = Arch::Amd64;
/// The date of catalogs and signatures made here.
const EPOCH: u64 = 1_790_000_000;

/// What a catalog is made of.
pub struct Parts {
    pub os: &'static str,
    pub ids: Vec<String>,
    pub files: Vec<(String, Vec<u8>)>,
}

impl Bench {
    pub fn new(context: &Context, scratch: &Path) -> Result<Bench> {
        let place = |name: &str| -> Result<PathBuf> {
            let dir = scratch.join(name);
            fs::create_dir(&dir)?;
            Ok(dir)
        };
        let bench = Bench {
            dist: context.dist.clone(),
            kit: Kit::make(&place("kit")?)?,
            dir: place("package")?,
            scratch: scratch.to_owned(),
            trusted: Cell::new(Trusted::Both),
        };
        Run::new("openssl")
            .args(["x509", "-inform", "DER", "-in"])
            .arg(bench.dist.join("cert/winpv-test-root.cer"))
            .arg("-out")
            .arg(bench.scratch.join("root.pem"))
            .ok()?;
        bench.old()?;
        bench.set_up()?;
        Ok(bench)
    }

    /// A certificate of 2020 that is its own root: those of the kit begin today.
    fn old(&self) -> Result<()> {
        fs::create_dir(self.kit.path("old"))?;
        fs::write(self.kit.path("old/index.txt"), "")?;
        fs::write(
            self.kit.path("old.cnf"),
            "[ca]\ndefault_ca=us\n[us]\ndatabase=old/index.txt\nnew_certs_dir=old\nrand_serial=yes\n\
             default_md=sha256\npolicy=any\nx509_extensions=leaf\n[any]\ncommonName=supplied\n\
             [leaf]\nkeyUsage=digitalSignature\nextendedKeyUsage=codeSigning\n",
        )?;
        let openssl = |args: &[&str]| Run::new("openssl").dir(self.kit.path("")).args(args).ok();
        openssl(&[
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-subj",
            "/CN=Old Vendor",
            "-keyout",
            "old.key",
            "-out",
            "old.csr",
        ])?;
        openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-selfsign",
            "-config",
            "old.cnf",
            "-keyfile",
            "old.key",
            "-startdate",
            "20200101000000Z",
            "-enddate",
            "20210101000000Z",
            "-in",
            "old.csr",
            "-out",
            "old.pem",
        ])?;
        fs::copy(self.kit.path("old.pem"), self.kit.path("old-chain.pem"))?;
        Ok(())
    }

    /// Makes the package good again.
    pub fn reset(&mut self) -> Result<()> {
        self.trusted.set(Trusted::Both);
        fs::remove_dir_all(&self.dir)?;
        fs::create_dir(&self.dir)?;
        self.set_up()
    }

    fn set_up(&self) -> Result<()> {
        for ending in ["inf", "sys", "cat"] {
            self.put(&self.file(ending), &self.original(ARCH, ending)?)?;
        }
        Ok(())
    }

    fn driver() -> &'static Driver {
        &DRIVERS[0]
    }

    /// The package's file with this ending, as its name.
    pub fn file(&self, ending: &str) -> String {
        format!("{}.{ending}", Bench::driver().name)
    }

    /// What the pack has for it.
    pub fn original(&self, arch: Arch, ending: &str) -> Result<Vec<u8>> {
        let path = self.dist.join(Bench::driver().file(arch, ending));
        fs::read(&path).with_context(|| path.display().to_string())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn get(&self, name: &str) -> Result<Vec<u8>> {
        Ok(fs::read(self.path(name))?)
    }

    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(path, bytes)?)
    }

    pub fn delete(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.path(name))?)
    }

    /// Flips one bit of a byte.
    pub fn flip(&self, name: &str, at: usize) -> Result<()> {
        let mut bytes = self.get(name)?;
        *bytes.get_mut(at).context("too short")? ^= 1;
        self.put(name, &bytes)
    }

    /// What the package's catalog is to be made of.
    pub fn parts(&self) -> Result<Parts> {
        let mut files = Vec::new();
        for ending in ["inf", "sys"] {
            files.push((self.file(ending), self.get(&self.file(ending))?));
        }
        Ok(Parts {
            os: ARCH.catalog_os(),
            ids: Bench::driver()
                .hardware_ids
                .iter()
                .map(|id| (*id).to_owned())
                .collect(),
            files,
        })
    }

    /// Writes a catalog, unsigned.
    pub fn catalog(&self, parts: &Parts) -> Result<Vec<u8>> {
        let mut builder = Builder::new(parts.os, EPOCH)?;
        for id in &parts.ids {
            builder.hardware_id(id);
        }
        for (name, bytes) in &parts.files {
            builder.file(name, bytes)?;
        }
        Ok(builder.unsigned()?)
    }

    /// Replaces the package's catalog by one of these parts, signed with the bench's key.
    pub fn recatalog(&self, parts: &Parts) -> Result<()> {
        let name = self.file("cat");
        self.put(&name, &self.catalog(parts)?)?;
        self.sign(&name, "good", &[])
    }

    /// Signs a file of the package with a certificate of the kit.
    pub fn sign(&self, name: &str, certificate: &str, more: &[&str]) -> Result<()> {
        let signed = self.scratch.join("signed");
        if signed.exists() {
            fs::remove_file(&signed)?;
        }
        Run::new("osslsigncode")
            .args([
                "sign",
                "-h",
                "sha256",
                "-time",
                &EPOCH.to_string(),
                "-certs",
            ])
            .arg(self.kit.path(&format!("{certificate}-chain.pem")))
            .arg("-key")
            .arg(self.kit.path(&format!("{certificate}.key")))
            .args(more)
            .arg("-in")
            .arg(self.path(name))
            .arg("-out")
            .arg(&signed)
            .ok()?;
        self.put(name, &fs::read(signed)?)
    }

    /// Takes a file's own signature away.
    pub fn unsign(&self, name: &str) -> Result<()> {
        let bare = self.scratch.join("bare");
        if bare.exists() {
            fs::remove_file(&bare)?;
        }
        Run::new("osslsigncode")
            .args(["remove-signature", "-in"])
            .arg(self.path(name))
            .arg("-out")
            .arg(&bare)
            .ok()?;
        self.put(name, &fs::read(bare)?)
    }

    /// Verifies the folder: these rules must be broken, those for INF files aside, and no others.
    pub fn finds(&self, rules: &[&str]) -> Result<()> {
        let roots = match self.trusted.get() {
            Trusted::Both => vec![
                self.scratch.join("root.pem"),
                self.kit.path("root.pem"),
                self.kit.path("old.pem"),
            ],
            Trusted::Other => vec![self.kit.path("other-root.pem")],
            Trusted::Nobody => Vec::new(),
        };
        let options = Options {
            roots,
            ..Options::default()
        };
        let report = verify::verify(&self.dir, &options)?;
        let found: BTreeSet<&str> = report
            .findings
            .iter()
            .map(|finding| finding.rule)
            .filter(|rule| !rule.starts_with("INF"))
            .collect();
        let wanted: BTreeSet<&str> = rules.iter().copied().collect();
        let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        ensure!(
            found == wanted,
            "wanted {wanted:?}, found {found:?}:\n{}",
            lines.join("\n")
        );
        Ok(())
    }

    /// Turns the folder into a small pack around the package: root certificate, sums and manifest.
    pub fn pack(&self) -> Result<()> {
        let certificate = "cert/winpv-test-root.cer";
        self.put(certificate, &fs::read(self.dist.join(certificate))?)?;
        self.put("README.txt", b"A small pack.\r\n")?;
        self.describe()
    }

    /// Writes manifest.json and SHA256SUMS of what is in the folder.
    pub fn describe(&self) -> Result<()> {
        for name in [pack::SUMS, pack::MANIFEST] {
            if self.path(name).exists() {
                self.delete(name)?;
            }
        }
        let mut paths = super::super::dist::files(&self.dir, &self.dir)?;
        paths.sort();
        let mut files = Vec::new();
        for path in &paths {
            let bytes = self.get(path)?;
            files.push(serde_json::json!({
                "path": path, "size": bytes.len(), "sha256": digest(&bytes),
            }));
        }
        let manifest = serde_json::json!({ "name": pack::NAME, "files": files });
        self.put(pack::MANIFEST, manifest.to_string().as_bytes())?;
        self.sums()
    }

    /// Writes SHA256SUMS of what is in the folder.
    pub fn sums(&self) -> Result<()> {
        let mut text = String::new();
        for path in super::super::dist::files(&self.dir, &self.dir)? {
            if path != pack::SUMS {
                text.push_str(&format!("{}  {path}\n", digest(&self.get(&path)?)));
            }
        }
        self.put(pack::SUMS, text.as_bytes())
    }

    /// The signer's signature over the catalog: what a time stamp is for.
    pub fn signature_value(&self) -> Result<Vec<u8>> {
        let catalog = Catalog::parse(&self.get(&self.file("cat"))?)?;
        let signature = catalog.signatures.first().context("not signed")?;
        Ok(signature.value.clone())
    }

    /// An RFC 3161 time stamp for these bytes, by a certificate of the kit; the time is today's unless given.
    pub fn stamp(&self, value: &[u8], certificate: &str, time: Option<&[u8]>) -> Result<Vec<u8>> {
        let file = |name: &str| self.scratch.join(name);
        let openssl = |args: &[&str]| Run::new("openssl").dir(&self.scratch).args(args).ok();
        fs::write(file("value"), value)?;
        fs::write(file("serial"), "01\n")?;
        fs::write(
            file("tsa.cnf"),
            "[tsa]\ndefault_tsa=one\n[one]\nserial=serial\ndefault_policy=1.2.3.4\ndigests=sha256\n\
             signer_digest=sha256\ness_cert_id_alg=sha256\n",
        )?;
        openssl(&["ts", "-query", "-sha256", "-data", "value", "-out", "query"])?;
        openssl(&[
            "ts",
            "-reply",
            "-config",
            "tsa.cnf",
            "-queryfile",
            "query",
            "-token_out",
            "-signer",
            &self.kit.text("tsa.pem"),
            "-inkey",
            &self.kit.text("tsa.key"),
            "-out",
            "token",
        ])?;
        // What the authority of OpenSSL says, which takes no other time and no certificate for other purposes, signed anew.
        openssl(&[
            "cms",
            "-verify",
            "-noverify",
            "-inform",
            "DER",
            "-in",
            "token",
            "-certfile",
            &self.kit.text("tsa.pem"),
            "-out",
            "info",
        ])?;
        let mut info = fs::read(file("info"))?;
        if let Some(time) = time {
            // version, policy, imprint, serial number, time. // RFC 3161 §2.4.2
            info = edit(&info, &[4], &|_| Ok(time.to_vec()))?;
        }
        fs::write(file("info"), info)?;
        openssl(&[
            "cms",
            "-sign",
            "-binary",
            "-nodetach",
            "-nosmimecap",
            "-outform",
            "DER",
            "-econtent_type",
            "1.2.840.113549.1.9.16.1.4",
            "-in",
            "info",
            "-out",
            "token",
            "-signer",
            &self.kit.text(&format!("{certificate}.pem")),
            "-inkey",
            &self.kit.text(&format!("{certificate}.key")),
            "-certfile",
            &self.kit.text("root.pem"),
        ])?;
        Ok(fs::read(file("token"))?)
    }

    /// Adds an attribute that is not signed to the catalog's signature.
    pub fn attribute(&self, kind: &[u8], value: &[u8]) -> Result<()> {
        let name = self.file("cat");
        let attribute = der::sequence([der::oid(kind), der::element(der::SET, value)]);
        let unsigned = der::element(der::explicit(1), &attribute);
        // ContentInfo, [0], SignedData, the last of its fields, the first signer.
        let changed = edit(&self.get(&name)?, &[1, 0, 4, 0], &|signer| {
            Ok([signer, unsigned.as_slice()].concat())
        })?;
        self.put(&name, &changed)
    }
}

pub fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    pack::hex(&Sha256::digest(bytes))
}

/// Changes what is inside one element, found by the index of each element on the way to it.
pub fn edit(
    encoded: &[u8],
    path: &[usize],
    change: &dyn Fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let outer = Reader::new(encoded).any()?;
    let Some((index, rest)) = path.split_first() else {
        return Ok(der::element(outer.tag, &change(outer.content)?));
    };
    let mut children = outer.inside();
    let mut content = Vec::new();
    for at in 0.. {
        if children.is_empty() {
            ensure!(at > *index, "there is no element {index}");
            break;
        }
        let child = children.any()?.encoded;
        if at == *index {
            content.extend(edit(child, rest, change)?);
        } else {
            content.extend(child);
        }
    }
    Ok(der::element(outer.tag, &content))
}
