//! Keys and certificates that sign, and those that must be refused before anything is written.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Args, Certificate, Signer, Source, Subject, verify};
use crate::process::Run;
use crate::version::Epoch;

const CODE_SIGNING: &str =
    "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=codeSigning\n";
const PASSWORD: &str = "correct horse";

fn openssl(dir: &Path, args: &[&str]) {
    Run::new("openssl").dir(dir).args(args).ok().unwrap();
}

/// Makes `name.key` and `name.pem`.
fn certificate(dir: &Path, name: &str, extensions: &str, days: &str) {
    let (key, csr, pem) = (
        format!("{name}.key"),
        format!("{name}.csr"),
        format!("{name}.pem"),
    );
    fs::write(dir.join("extensions"), extensions).unwrap();
    let curve = "ec_paramgen_curve:P-256";
    openssl(
        dir,
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            curve,
            "-nodes",
            "-subj",
            "/CN=Some One",
            "-keyout",
            &key,
            "-out",
            &csr,
        ],
    );
    openssl(
        dir,
        &[
            "x509",
            "-req",
            "-in",
            &csr,
            "-signkey",
            &key,
            "-days",
            days,
            "-extfile",
            "extensions",
            "-out",
            &pem,
        ],
    );
}

/// Makes `name.p12` of a certificate, with or without its key.
fn pkcs12(dir: &Path, name: &str, more: &[&str]) -> PathBuf {
    let (key, pem, p12) = (
        format!("{name}.key"),
        format!("{name}.pem"),
        format!("{name}.p12"),
    );
    let pass = format!("pass:{PASSWORD}");
    let mut args = vec![
        "pkcs12", "-export", "-in", &pem, "-passout", &pass, "-out", &p12,
    ];
    if more.is_empty() {
        args.extend(["-inkey", &key]);
    }
    args.extend(more);
    openssl(dir, &args);
    dir.join(p12)
}

fn args(dir: &Path, file: &Path, password: &str) -> Args {
    let pass = dir.join("password");
    fs::write(&pass, format!("{password}\n")).unwrap();
    Args {
        sign: Source::Pkcs12(file.to_owned()),
        sign_password_file: Some(pass),
        ..Args::default()
    }
}

fn refused(args: &Args, dir: &Path, why: &str) {
    let error = format!("{:#}", Signer::open(args, dir).unwrap_err());
    assert!(error.contains(why), "{error}");
}

#[test]
fn sources_are_read_from_text() {
    assert_eq!("test".parse(), Ok(Source::Test));
    assert_eq!(
        "pkcs12:a:b.p12".parse(),
        Ok(Source::Pkcs12("a:b.p12".into()))
    );
    let uri = "pkcs11:token=t;object=o";
    assert_eq!(uri.parse(), Ok(Source::Pkcs11(uri.to_owned())));
    for bad in [
        "",
        "tests",
        "pkcs12:",
        "pkcs11:",
        "pkcs11:token=t?pin-value=1234",
        "file:x",
    ] {
        assert!(bad.parse::<Source>().is_err(), "{bad}");
    }
}

#[test]
fn certificate_says_what_is_wrong_with_it() {
    let good = "subject=\n    commonName                = Some One\n\
        notBefore=2026-01-01 00:00:00Z\nnotAfter=2027-01-01 00:00:00Z\n\
        X509v3 Basic Constraints: critical\n    CA:FALSE\n\
        X509v3 Key Usage: critical\n    Digital Signature\n\
        X509v3 Extended Key Usage: \n    Code Signing\n";
    let check = |text: &str, now| Certificate::parse(text).unwrap().check_at(now);
    let now = "2026-06-01 00:00:00Z";
    assert!(check(good, now).is_ok());
    assert!(
        check(
            &good
                .replace("    Digital Signature\n", "")
                .replace("X509v3 Key Usage: critical\n", ""),
            now
        )
        .is_ok()
    );
    for (change, to, at, why) in [
        ("", "", "2027-01-01 00:00:01Z", "ended on 2027"),
        ("", "", "2025-12-31 23:59:59Z", "begins only on 2026"),
        (
            "Code Signing",
            "TLS Web Server Authentication",
            now,
            "not for code signing",
        ),
        (
            "Digital Signature",
            "Key Encipherment",
            now,
            "not for signatures",
        ),
        ("CA:FALSE", "CA:TRUE, pathlen:0", now, "an authority's"),
    ] {
        let error = check(&good.replace(change, to), at)
            .unwrap_err()
            .to_string();
        assert!(change.is_empty() || good.contains(change));
        assert!(error.contains(why) && error.contains("Some One"), "{error}");
    }
    assert!(Certificate::parse("notBefore=2026-01-01 00:00:00Z\n").is_err());
}

#[test]
fn pkcs12_file_signs() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), "good", CODE_SIGNING, "30");
    // The second one is encrypted as Windows did it for decades.
    let old = ["-legacy", "-inkey", "good.key"];
    for more in [&[][..], &old] {
        let file = pkcs12(dir.path(), "good", more);
        let signer = Signer::open(&args(dir.path(), &file, PASSWORD), dir.path()).unwrap();
        assert_eq!(signer.name(), "Some One");
        let catalog = dir.path().join("some.cat");
        let mut builder = driver_catalog::Builder::new("_v100_X64", 1_700_000_000).unwrap();
        let unsigned = builder.file("a", b"a").unwrap().unsigned().unwrap();
        fs::write(&catalog, unsigned).unwrap();
        signer
            .sign(&catalog, Subject::Catalog, "some", Epoch(1_700_000_000))
            .unwrap();
        let output = verify(&dir.path().join("good.pem"), &catalog).unwrap();
        assert!(output.stdout.contains("Some One"), "{}", output.text());
    }
}

/// A company's own authority: its root goes with the pack if it came with the key, and only if it is the one that signed.
#[test]
fn the_root_of_a_chain_goes_with_the_pack() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for root in ["root", "impostor"] {
        let (key, pem) = (format!("{root}.key"), format!("{root}.pem"));
        let options = ["req", "-x509", "-newkey", "ec", "-nodes", "-days", "30"];
        let curve = [
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-subj",
            "/CN=Our Root",
        ];
        let files = ["-keyout", &key, "-out", &pem];
        openssl(dir, &[&options[..], &curve, &files].concat());
    }
    certificate(dir, "own", CODE_SIGNING, "30");
    let issue = ["x509", "-req", "-in", "own.csr", "-CA", "root.pem"];
    let rest = ["-CAkey", "root.key", "-set_serial", "7", "-days", "30"];
    let files = ["-extfile", "extensions", "-out", "own.pem"];
    openssl(dir, &[&issue[..], &rest, &files].concat());
    let open = |root: Option<&str>| {
        let with = root.map(|root| format!("{root}.pem"));
        let mut more = vec!["-inkey", "own.key"];
        more.extend(with.iter().flat_map(|with| ["-certfile", with]));
        let file = pkcs12(dir, "own", &more);
        Signer::open(&args(dir, &file, PASSWORD), dir)
    };
    let names =
        |signer: &Signer| Vec::from_iter(signer.certificates().iter().map(|(_, name)| *name));
    let alone = open(None).unwrap();
    assert_eq!(names(&alone), ["winpv-signing.cer"]);
    let with_root = open(Some("root")).unwrap();
    assert_eq!(
        names(&with_root),
        ["winpv-signing.cer", "winpv-signing-root.cer"]
    );
    let shipped = fs::read_to_string(&with_root.certificates()[1].0).unwrap();
    assert_eq!(shipped, fs::read_to_string(dir.join("root.pem")).unwrap());
    let error = format!("{:#}", open(Some("impostor")).unwrap_err());
    assert!(error.contains("no chain"), "{error}");
}

#[test]
fn pkcs12_file_that_will_not_do_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    certificate(dir, "good", CODE_SIGNING, "30");
    let file = pkcs12(dir, "good", &[]);
    refused(&args(dir, &file, "wrong"), dir, "the password is wrong");
    refused(
        &args(dir, &dir.join("none.p12"), ""),
        dir,
        "there is no such file",
    );
    refused(
        &args(dir, &dir.join("good.pem"), ""),
        dir,
        "it is no PKCS#12 file",
    );
    let alone = pkcs12(dir, "good", &["-nokeys"]);
    refused(&args(dir, &alone, PASSWORD), dir, "no key to sign with");

    certificate(dir, "ended", CODE_SIGNING, "-1");
    let file = pkcs12(dir, "ended", &[]);
    refused(&args(dir, &file, PASSWORD), dir, "ended on");

    certificate(dir, "server", "extendedKeyUsage=serverAuth\n", "30");
    let file = pkcs12(dir, "server", &[]);
    refused(&args(dir, &file, PASSWORD), dir, "not for code signing");
}

#[test]
fn time_stamp_authority_that_does_not_answer_is_noticed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), "good", CODE_SIGNING, "30");
    let file = pkcs12(dir.path(), "good", &[]);
    let args = Args {
        // Nobody listens at the discard port.
        timestamp: Some("http://127.0.0.1:9/".to_owned()),
        ..args(dir.path(), &file, PASSWORD)
    };
    refused(&args, dir.path(), "does not work");
}

#[test]
fn token_without_certificate_or_module_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let args = Args {
        sign: Source::Pkcs11("pkcs11:token=none".to_owned()),
        ..Args::default()
    };
    refused(&args, dir.path(), "--sign-certificate");
}
