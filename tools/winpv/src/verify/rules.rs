//! The rules of `verify` for packages, catalogs, signatures and archives.
//!
//! INF files are judged by the rules of `lint-inf`, driver images by those in [`super::sys`].

use serde::Serialize;

use super::report::Level::{self, Error, Note, Warning};

/// A rule.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// Its name, which never changes.
    pub id: &'static str,
    /// How bad it is to break it; in a pack of WinPV a warning is an error.
    pub level: Level,
    /// What must hold.
    pub title: &'static str,
    /// Why, and who says so.
    pub reason: &'static str,
}

const fn rule(id: &'static str, level: Level, title: &'static str, reason: &'static str) -> Rule {
    Rule {
        id,
        level,
        title,
        reason,
    }
}

/// Every rule.
pub const RULES: &[Rule] = &[
    // A folder as a whole.
    rule(
        "sum-wrong",
        Error,
        "Each file has the digest that SHA256SUMS names",
        "A file that was changed after packing",
    ),
    rule(
        "sum-unlisted",
        Warning,
        "SHA256SUMS names every file",
        "A file that was added after packing",
    ),
    rule(
        "sum-gone",
        Error,
        "Each file that SHA256SUMS names is there",
        "A file that was lost after packing",
    ),
    rule(
        "manifest-wrong",
        Error,
        "manifest.json describes the files as they are",
        "Programs choose packages by it",
    ),
    rule(
        "pack-differs",
        Error,
        "A package in an MSI, cabinet or ISO is the one in the pack's own folder",
        "Two packages of one version and different content cannot be told apart by Windows",
    ),
    // A driver package.
    rule(
        "catalog-none",
        Error,
        "An INF names its catalog",
        "Windows installs no unsigned package (MS: inf-version-section, CatalogFile)",
    ),
    rule(
        "catalog-missing",
        Error,
        "The catalog lies beside the INF",
        "MS: inf-version-section, CatalogFile: the catalog is in the INF's folder",
    ),
    rule(
        "file-missing",
        Error,
        "Every file that the INF copies is in the package",
        "Installing stops at a missing file (MS: inf-sourcedisksfiles-section)",
    ),
    rule(
        "file-not-in-catalog",
        Error,
        "The catalog vouches for the INF and each file that it copies",
        "MS: Catalog files and digital signatures: every file of a package needs its digest in the catalog",
    ),
    rule(
        "file-changed",
        Error,
        "Each file is the one that the catalog vouches for",
        "Windows refuses a package with a file whose digest is another one",
    ),
    rule(
        "file-unlisted",
        Warning,
        "Every program beside an INF is part of a package",
        "Nothing vouches for a driver that no INF copies",
    ),
    rule(
        "file-arch",
        Error,
        "A driver is built for the processor for which the INF installs it",
        "Windows does not load an image for another processor",
    ),
    // A catalog.
    rule(
        "catalog-unreadable",
        Error,
        "The catalog is a version 2 catalog (SHA-256)",
        "Windows 10 and later take SHA-256 catalogs; older ones cannot be checked here",
    ),
    rule(
        "catalog-unsigned",
        Error,
        "The catalog is signed",
        "An unsigned catalog vouches for nothing",
    ),
    rule(
        "member-unknown",
        Warning,
        "Every member of the catalog is a file of a package",
        "A catalog that vouches for more than what it came with can be used to install other files",
    ),
    rule(
        "member-duplicate",
        Error,
        "No member stands in the catalog twice",
        "Windows finds members by their digests, which are sorted",
    ),
    rule(
        "member-name",
        Warning,
        "A member's name is that of its file",
        "Windows looks for the digest only; people and tools look for the name",
    ),
    rule(
        "catalog-arch",
        Error,
        "The catalog's OS attribute names each processor for which the INF installs drivers",
        "MS: Inf2Cat, /os: the versions of Windows that a catalog is valid for",
    ),
    rule(
        "catalog-windows",
        Warning,
        "The catalog's OS attribute names a Windows that the INF has models for",
        "MS: Inf2Cat, /os: the versions of Windows that a catalog is valid for",
    ),
    rule(
        "catalog-ids",
        Warning,
        "The catalog names the INF's hardware ids, and no others",
        "Inf2Cat and Microsoft's portal write them; Windows Update finds packages by them",
    ),
    // A signature.
    rule(
        "signature-missing",
        Warning,
        "Drivers, MSIs and cabinets carry a signature of their own",
        "What is downloaded alone has no catalog beside it",
    ),
    rule(
        "boot-unsigned",
        Error,
        "A boot-start driver carries a signature of its own",
        "The boot loader reads no catalogs (MS: Embedded signatures in a driver file)",
    ),
    rule(
        "signature-unreadable",
        Error,
        "The signature is one signer's PKCS#7 signature",
        "Microsoft, Windows Authenticode Portable Executable Signature Format",
    ),
    rule(
        "signature-digest",
        Error,
        "The signature is for these bytes",
        "The file was changed after it was signed",
    ),
    rule(
        "signature-wrong",
        Error,
        "The signature was made with the signer's key",
        "A signature that is not proves nothing (RFC 2315 §9.4)",
    ),
    rule(
        "page-hashes-missing",
        Warning,
        "A boot-start driver's signature has page hashes",
        "The kernel checks each page as it reads it in (MS: signtool, /ph)",
    ),
    rule(
        "page-hashes-wrong",
        Error,
        "Page hashes are those of the pages",
        "The kernel refuses a page with another digest",
    ),
    rule(
        "certificate-usage",
        Error,
        "The signer's certificate is for code signing, and not an authority's",
        "Windows takes no other (RFC 5280 §4.2.1.12; MS: Software publisher certificate)",
    ),
    rule(
        "certificate-expired",
        Error,
        "The certificates had not ended when the file was signed, or today if no time stamp says when that was",
        "A signature without a time stamp ends with its certificate (MS: Time stamping Authenticode signatures)",
    ),
    rule(
        "certificate-not-begun",
        Error,
        "The certificates had begun when the file was signed",
        "A certificate is good only from its first day on",
    ),
    rule(
        "chain-broken",
        Error,
        "Each certificate was issued by the next",
        "Otherwise nothing ties the signer to the root (RFC 5280 §6)",
    ),
    rule(
        "certificate-stray",
        Warning,
        "Every certificate in a signature or time stamp is in its chain, and is as its issuer signed it",
        "No signature is over them: what stands there can be changed, and can hold what nobody signed (RFC 2315 §9.1)",
    ),
    rule(
        "root-untrusted",
        Error,
        "The signer's certificate leads to a trusted root",
        "Given by --ca, or shipped with the pack in cert/",
    ),
    rule(
        "root-unknown",
        Note,
        "It is known which root to trust",
        "Without --ca only the chain inside the signature can be checked",
    ),
    rule(
        "timestamp-wrong",
        Error,
        "The time stamp is for this signature, and by an authority for time stamps",
        "Otherwise it does not say when the file was signed (RFC 3161 §2.3)",
    ),
    rule(
        "timestamp-old",
        Note,
        "A time stamp is an RFC 3161 token",
        "Older countersignatures are not checked here",
    ),
    // An archive.
    rule(
        "archive-unreadable",
        Error,
        "The archive can be opened, and so can each file in it",
        "Windows could not open it either",
    ),
    rule(
        "archive-path",
        Error,
        "No path in an archive leads out of it",
        "A file would be written to a place that the user did not choose",
    ),
    rule(
        "archive-empty",
        Warning,
        "The archive holds a driver package",
        "There was nothing to check in it",
    ),
    rule(
        "msi-class",
        Error,
        "An MSI of WinPV names the signature class of its weakest driver",
        "It installs by that class: a boot-start driver that Windows does not load would be taken for one that it does",
    ),
    rule(
        "msi-tables",
        Warning,
        "The MSI's tables obey Microsoft's validation rules",
        "MS: Internal Consistency Evaluators; those that winpv build obeys",
    ),
];
