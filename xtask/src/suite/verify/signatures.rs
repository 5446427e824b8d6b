//! Breaks signatures, certificates, chains and time stamps.

use std::fs;

use anyhow::{Context as _, Result};
use driver_catalog::Catalog;
use winpv::process::Run;

use super::Mutation;
use super::bench::{Bench, Trusted, edit};

/// 1.3.6.1.4.1.311.3.3.1, szOID_RFC3161_counterSign (wincrypt.h), as DER content.
const TIMESTAMP: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 3, 3, 1];
/// 1.2.840.113549.1.9.6, counterSignature (RFC 2985 §5.3.6).
const COUNTERSIGNATURE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 6];
/// 1.3.6.1.4.1.311.2.3.2, SHA-256 page hashes (osslsigncode: SPC_PE_IMAGE_PAGE_HASHES_V2).
const PAGE_HASHES: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 3, 2];
/// 1.2.840.113549.1.7.2, signedData (RFC 2315 §14).
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        what: "the boot driver has no signature of its own",
        breaks: &["boot-unsigned"],
        make: |bench| bench.unsign(&bench.file("sys")),
    },
    Mutation {
        what: "the boot driver is signed without page hashes",
        breaks: &["page-hashes-missing"],
        make: |bench| {
            bench.unsign(&bench.file("sys"))?;
            bench.sign(&bench.file("sys"), "good", &[])
        },
    },
    Mutation {
        what: "a page hash of the boot driver was changed",
        breaks: &["page-hashes-wrong", "signature-digest", "checksum"],
        make: |bench| {
            let name = bench.file("sys");
            let bytes = bench.get(&name)?;
            let at = bytes
                .windows(PAGE_HASHES.len())
                .position(|part| part == PAGE_HASHES);
            bench.flip(&name, at.context("no page hashes")? + 60)
        },
    },
    Mutation {
        what: "the driver's signature cannot be read",
        breaks: &["signature-unreadable", "checksum"],
        make: |bench| {
            let name = bench.file("sys");
            let bytes = bench.get(&name)?;
            let at = bytes
                .windows(SIGNED_DATA.len())
                .position(|part| part == SIGNED_DATA);
            bench.flip(&name, at.context("not signed")? + SIGNED_DATA.len())
        },
    },
    Mutation {
        what: "a byte of the signed list was changed",
        breaks: &["signature-digest"],
        make: |bench| {
            // The digits of its date.
            let name = bench.file("cat");
            let time = Catalog::parse(&bench.get(&name)?)?.time;
            replace(bench, &name, time.as_bytes(), b"200101000000Z")
        },
    },
    Mutation {
        what: "a byte of the signature was changed",
        breaks: &["signature-wrong"],
        make: |bench| {
            let value = bench.signature_value()?;
            let mut other = value.clone();
            other[value.len() / 2] ^= 1;
            replace(bench, &bench.file("cat"), &value, &other)
        },
    },
    Mutation {
        what: "the signer's certificate is for servers",
        breaks: &["certificate-usage"],
        make: |bench| resign(bench, "server"),
    },
    Mutation {
        what: "the signer's certificate is an authority's",
        breaks: &["certificate-usage"],
        make: |bench| resign(bench, "authority"),
    },
    Mutation {
        what: "the signer's certificate had ended",
        breaks: &["certificate-expired"],
        make: |bench| resign(bench, "ended"),
    },
    Mutation {
        what: "the signer's certificate has not begun",
        breaks: &["certificate-not-begun"],
        make: |bench| resign(bench, "early"),
    },
    Mutation {
        what: "the signer's certificate was issued by one that may not issue any",
        breaks: &["chain-broken"],
        make: |bench| {
            let kit = &bench.kit;
            fs::write(
                kit.path("below.ext"),
                "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=codeSigning\n",
            )?;
            let openssl = |args: &[&str]| Run::new("openssl").dir(kit.path("")).args(args).ok();
            openssl(&[
                "req",
                "-new",
                "-nodes",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-subj",
                "/CN=Below",
                "-keyout",
                "below.key",
                "-out",
                "below.csr",
            ])?;
            openssl(&[
                "x509",
                "-req",
                "-in",
                "below.csr",
                "-CA",
                "good.pem",
                "-CAkey",
                "good.key",
                "-set_serial",
                "7",
                "-days",
                "30",
                "-extfile",
                "below.ext",
                "-out",
                "below.pem",
            ])?;
            let chain = [
                fs::read(kit.path("below.pem"))?,
                fs::read(kit.path("good-chain.pem"))?,
            ];
            fs::write(kit.path("below-chain.pem"), chain.concat())?;
            resign(bench, "below")
        },
    },
    Mutation {
        what: "a bit was changed in the copy of the root that came along",
        breaks: &["certificate-stray"],
        make: |bench| {
            let root = certificate(bench, "root.pem")?;
            resign(bench, "good")?;
            let mut other = root.clone();
            *other.last_mut().context("no root")? ^= 1;
            replace(bench, &bench.file("cat"), &root, &other)
        },
    },
    Mutation {
        what: "a certificate that nobody asked for came along",
        breaks: &["certificate-stray"],
        make: |bench| bring_along(bench, certificate(bench, "other-root.pem")?),
    },
    Mutation {
        what: "what is no certificate came along",
        // OpenSSL does not read it then.
        breaks: &["certificate-stray", "signature-wrong"],
        make: |bench| {
            let kind = driver_catalog::der::explicit(3);
            bring_along(bench, driver_catalog::der::element(kind, &[]))
        },
    },
    Mutation {
        what: "a bit was changed in a root that came along with a time stamp",
        breaks: &["certificate-stray"],
        make: |bench| {
            let root = certificate(bench, "root.pem")?;
            stamped(bench, "good", &|value| {
                let mut token = bench.stamp(value, "tsa", None)?;
                let at = token.windows(root.len()).position(|part| part == root);
                token[at.context("no root in the token")? + root.len() - 1] ^= 1;
                Ok(token)
            })
        },
    },
    Mutation {
        what: "the signers lead to a root that is not trusted",
        breaks: &["root-untrusted"],
        make: |bench| {
            bench.trusted.set(Trusted::Other);
            Ok(())
        },
    },
    Mutation {
        what: "nobody says which root to trust",
        breaks: &["root-unknown"],
        make: |bench| {
            bench.trusted.set(Trusted::Nobody);
            Ok(())
        },
    },
    Mutation {
        what: "a catalog with a time stamp is good",
        breaks: &[],
        make: |bench| stamped(bench, "good", &|value| bench.stamp(value, "tsa", None)),
    },
    Mutation {
        what: "the certificate ended after the time stamp: the signature stays good",
        breaks: &[],
        make: |bench| stamped(bench, "old", &|value| bench.stamp(value, "tsa", IN_TIME)),
    },
    Mutation {
        what: "the certificate had ended before the time stamp",
        breaks: &["certificate-expired"],
        make: |bench| stamped(bench, "old", &|value| bench.stamp(value, "tsa", None)),
    },
    Mutation {
        what: "the time stamp is for another signature",
        breaks: &["timestamp-wrong"],
        make: |bench| stamped(bench, "good", &|_| bench.stamp(b"another", "tsa", None)),
    },
    Mutation {
        what: "a byte of the time stamp was changed",
        breaks: &["timestamp-wrong"],
        make: |bench| {
            stamped(bench, "good", &|value| {
                let mut token = bench.stamp(value, "tsa", IN_TIME)?;
                let time = b"20200601";
                let at = token.windows(time.len()).position(|part| part == time);
                token[at.context("no time")?] ^= 1;
                Ok(token)
            })
        },
    },
    Mutation {
        what: "the time stamp is by a certificate that is not for time stamps",
        breaks: &["timestamp-wrong"],
        make: |bench| {
            stamped(bench, "good", &|value| {
                bench.stamp(value, "tsa-no-usage", None)
            })
        },
    },
    Mutation {
        what: "the time stamp is of the older kind",
        breaks: &["timestamp-old"],
        make: |bench| {
            resign(bench, "good")?;
            bench.attribute(COUNTERSIGNATURE, &driver_catalog::der::null())
        },
    },
];

/// A time at which the certificate that has ended was good.
const IN_TIME: Option<&[u8]> = Some(b"20200601000000Z");

/// A new catalog, signed with a certificate of the kit and stamped by what `token` makes of the signature.
fn stamped(
    bench: &Bench,
    certificate: &str,
    token: &dyn Fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<()> {
    resign(bench, certificate)?;
    bench.attribute(TIMESTAMP, &token(&bench.signature_value()?)?)
}

/// A new catalog, signed with a certificate of the kit.
fn resign(bench: &Bench, certificate: &str) -> Result<()> {
    let name = bench.file("cat");
    bench.put(&name, &bench.catalog(&bench.parts()?)?)?;
    bench.sign(&name, certificate, &[])
}

/// A certificate of the kit in DER.
fn certificate(bench: &Bench, name: &str) -> Result<Vec<u8>> {
    let to = bench.kit.path("certificate.der");
    Run::new("openssl")
        .dir(bench.kit.path(""))
        .args(["x509", "-in", name, "-outform", "DER", "-out"])
        .arg(&to)
        .ok()?;
    Ok(fs::read(to)?)
}

/// Adds to the certificates in the catalog's signature.
fn bring_along(bench: &Bench, more: Vec<u8>) -> Result<()> {
    let name = bench.file("cat");
    // ContentInfo, [0], SignedData, its fourth field.
    let changed = edit(&bench.get(&name)?, &[1, 0, 3], &|certificates| {
        Ok([certificates, more.as_slice()].concat())
    })?;
    bench.put(&name, &changed)
}

/// Replaces bytes by others, as many, where they first are.
fn replace(bench: &Bench, name: &str, from: &[u8], to: &[u8]) -> Result<()> {
    let mut bytes = bench.get(name)?;
    let at = bytes.windows(from.len()).position(|part| part == from);
    let at = at.context("not there")?;
    bytes[at..at + to.len()].copy_from_slice(to);
    bench.put(name, &bytes)
}
