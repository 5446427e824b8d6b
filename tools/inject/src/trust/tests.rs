//! Signatures made by osslsigncode with certificates that openssl made.

use std::fs;
use std::path::{Path, PathBuf};

use winpv_process::Run;

use super::{Error, Trust, classify};

/// A PE image that can be signed: a section, so that there is something to digest.
fn image() -> Vec<u8> {
    fake_windows::pe::program(fake_windows::pe::AMD64)
}

/// A certificate authority and a signer with these purposes.
fn signer(dir: &Path, authority: &str, purposes: &str) -> (PathBuf, PathBuf) {
    let path = |name: &str| dir.join(name).display().to_string();
    let subject = format!("/O=Toy/CN={authority}");
    let key = ["-newkey", "rsa:2048", "-nodes", "-batch"];
    let openssl = |arguments: &[&str]| {
        Run::new("openssl").args(arguments).ok().unwrap();
    };
    openssl(
        &[
            &["req", "-x509"],
            &key[..],
            &[
                "-subj",
                &subject,
                "-keyout",
                &path("ca.key"),
                "-out",
                &path("ca.pem"),
            ],
        ]
        .concat(),
    );
    openssl(
        &[
            &["req"],
            &key[..],
            &[
                "-subj",
                "/CN=Signer",
                "-keyout",
                &path("leaf.key"),
                "-out",
                &path("leaf.csr"),
            ],
        ]
        .concat(),
    );
    fs::write(dir.join("ext"), format!("extendedKeyUsage={purposes}\n")).unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        &path("leaf.csr"),
        "-CA",
        &path("ca.pem"),
        "-CAkey",
        &path("ca.key"),
        "-CAcreateserial",
        "-extfile",
        &path("ext"),
        "-out",
        &path("leaf.pem"),
    ]);
    (dir.join("leaf.pem"), dir.join("leaf.key"))
}

fn sign(dir: &Path, input: &[u8], authority: &str, purposes: &str, nest: bool) -> Vec<u8> {
    let (certificate, key) = signer(dir, authority, purposes);
    let (from, to) = (dir.join("in.sys"), dir.join("out.sys"));
    fs::write(&from, input).unwrap();
    let _ = fs::remove_file(&to);
    let mut run = Run::new("osslsigncode").arg("sign");
    if nest {
        run = run.arg("-nest");
    }
    run.args(["-h", "sha256", "-certs"])
        .arg(certificate)
        .arg("-key")
        .arg(key)
        .arg("-in")
        .arg(from)
        .arg("-out")
        .arg(&to)
        .ok()
        .unwrap();
    fs::read(to).unwrap()
}

const MICROSOFT: &str = "Microsoft Windows Third Party Component CA 2014";
const CODE: &str = "codeSigning";
const WHQL: &str = "codeSigning,1.3.6.1.4.1.311.10.3.5";
const ATTESTED: &str = "1.3.6.1.4.1.311.10.3.5,1.3.6.1.4.1.311.10.3.5.1,codeSigning";

#[test]
fn signatures_are_told_apart_by_issuer_and_purpose() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(classify(&image()), Ok(Trust::Unsigned));
    for (authority, purposes, expected) in [
        ("Toy", CODE, Trust::Test),
        // Anyone can put a purpose into a certificate.
        ("Toy", WHQL, Trust::Test),
        (MICROSOFT, CODE, Trust::Test),
        (MICROSOFT, WHQL, Trust::Whcp),
        (MICROSOFT, ATTESTED, Trust::Attestation),
    ] {
        let signed = sign(dir.path(), &image(), authority, purposes, false);
        assert_eq!(classify(&signed), Ok(expected), "{authority} {purposes}");
    }
}

#[test]
fn a_signature_that_was_added_later_counts() {
    let dir = tempfile::tempdir().unwrap();
    let vendor = sign(dir.path(), &image(), "Toy", CODE, false);
    let both = sign(dir.path(), &vendor, MICROSOFT, ATTESTED, true);
    assert_eq!(classify(&both), Ok(Trust::Attestation));
}

#[test]
fn changed_and_damaged_files_are_no_drivers() {
    let dir = tempfile::tempdir().unwrap();
    let signed = sign(dir.path(), &image(), "Toy", CODE, false);
    let mut changed = signed.clone();
    // Behind the headers.
    changed[1000] ^= 1;
    assert_eq!(classify(&changed), Err(Error::Changed));
    let mut cut = signed.clone();
    cut.truncate(signed.len() - 8);
    assert!(classify(&cut).is_err());
    assert!(matches!(classify(b"text"), Err(Error::Image(_))));
    // The signature's own bytes: whatever is made of them, nothing panics.
    for at in (1024..signed.len()).step_by(7) {
        let mut damaged = signed.clone();
        damaged[at] ^= 0x55;
        let _ = classify(&damaged);
    }
}
