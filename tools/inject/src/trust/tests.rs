//! Signatures made by osslsigncode with certificates that openssl made.

use std::fs;
use std::path::{Path, PathBuf};

use winpv_process::Run;

use super::{Error, Trust, classify};

/// A PE image that can be signed: a section, so that there is something to digest.
fn image() -> Vec<u8> {
    fake_windows::pe::program(fake_windows::pe::AMD64)
}

/// A certificate authority with this name and a signer with these purposes.
fn signer(dir: &Path, subject: &str, purposes: &str) -> (PathBuf, PathBuf) {
    let path = |name: &str| dir.join(name).display().to_string();
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-batch",
    ];
    let openssl = |arguments: &[&str]| {
        Run::new("openssl").args(arguments).ok().unwrap();
    };
    openssl(
        &[
            &["req", "-x509"],
            &key[..],
            &[
                "-subj",
                subject,
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

const TOY: &str = "/O=Toy/CN=Toy";
/// The parts and their order as in Microsoft's own.
const MICROSOFT: &str = "/C=US/ST=Washington/L=Redmond/O=Microsoft Corporation/CN=Microsoft Windows Third Party Component CA 2014";
const CODE: &str = "codeSigning";
const WHQL: &str = "codeSigning,1.3.6.1.4.1.311.10.3.5";
const ATTESTED: &str = "1.3.6.1.4.1.311.10.3.5,1.3.6.1.4.1.311.10.3.5.1,codeSigning";

#[test]
fn signatures_are_told_apart_by_issuer_and_purpose() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(classify(&image()), Ok(Trust::Unsigned));
    for (authority, purposes, expected) in [
        (TOY, CODE, Trust::Test),
        // Anyone can put a purpose into a certificate.
        (TOY, WHQL, Trust::Test),
        (MICROSOFT, CODE, Trust::Test),
        (MICROSOFT, WHQL, Trust::Whcp),
        (MICROSOFT, ATTESTED, Trust::Attestation),
    ] {
        let signed = sign(dir.path(), &image(), authority, purposes, false);
        assert_eq!(classify(&signed), Ok(expected), "{authority} {purposes}");
    }
}

/// Names that hold Microsoft's and are others.
#[test]
fn impostors_are_not_microsoft() {
    let dir = tempfile::tempdir().unwrap();
    let sign = |subject: &str| {
        let signed = sign(dir.path(), &image(), subject, WHQL, false);
        classify(&signed)
    };
    let corporation = "/O=Microsoft Corporation";
    let name = "Microsoft Windows Third Party Component CA";
    assert_eq!(
        sign(&format!("{corporation}/CN={name} 2012")),
        Ok(Trust::Whcp)
    );
    for impostor in [
        format!("{corporation}/CN=Not {name} 2014"),
        format!("{corporation}/CN={name} 2014 (not)"),
        format!("{corporation}/CN={name}"),
        format!("{corporation}/CN={name} 20x4"),
        // Without the organisation, with another one, with one more.
        format!("/CN={name} 2014"),
        format!("/O=Toy/CN={name} 2014"),
        format!("/O=Toy{corporation}/CN={name} 2014"),
        format!("/O=Not Microsoft Corporation/CN={name} 2014"),
        // In other attributes than those that name it, and beside another name.
        format!("{corporation}/OU={name} 2014/CN=Toy"),
        format!("{corporation}/CN=Toy/CN={name} 2014"),
    ] {
        assert_eq!(sign(&impostor), Ok(Trust::Test), "{impostor}");
    }
}

#[test]
fn a_signature_that_was_added_later_counts() {
    let dir = tempfile::tempdir().unwrap();
    let vendor = sign(dir.path(), &image(), TOY, CODE, false);
    let both = sign(dir.path(), &vendor, MICROSOFT, ATTESTED, true);
    assert_eq!(classify(&both), Ok(Trust::Attestation));
}

#[test]
fn changed_and_damaged_files_are_no_drivers() {
    let dir = tempfile::tempdir().unwrap();
    let signed = sign(dir.path(), &image(), TOY, CODE, false);
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
