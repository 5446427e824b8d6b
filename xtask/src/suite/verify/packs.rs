//! Breaks a pack around a package, and the package's INF and files.

use anyhow::{Context as _, Result, ensure};
use winpv::drivers::Arch;
use winpv::pack::MANIFEST;

use super::Mutation;
use super::bench::Bench;

/// A byte in the first section of the driver, after the headers.
pub const CODE: usize = 0x480;

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        what: "a small pack around the package is good",
        breaks: &[],
        make: Bench::pack,
    },
    Mutation {
        what: "a file of the pack was changed",
        breaks: &["sum-wrong", "manifest-wrong"],
        make: |bench| {
            bench.pack()?;
            bench.put("README.txt", b"Another text.\r\n")
        },
    },
    Mutation {
        what: "a file was added to the pack",
        breaks: &["sum-unlisted", "manifest-wrong"],
        make: |bench| {
            bench.pack()?;
            bench.put("more.txt", b"more")
        },
    },
    Mutation {
        what: "a file of the pack was lost",
        breaks: &["sum-gone", "manifest-wrong"],
        make: |bench| {
            bench.pack()?;
            bench.delete("README.txt")
        },
    },
    Mutation {
        what: "the manifest names another size",
        breaks: &["manifest-wrong"],
        make: |bench| {
            bench.pack()?;
            change(bench, MANIFEST, "\"size\":15", "\"size\":16")?;
            bench.sums()
        },
    },
    Mutation {
        what: "the INF names no catalog",
        breaks: &["catalog-none", "file-unlisted"],
        make: |bench| change(bench, &bench.file("inf"), "CatalogFile", ";atalogFile"),
    },
    Mutation {
        what: "the catalog is missing",
        breaks: &["catalog-missing"],
        make: |bench| bench.delete(&bench.file("cat")),
    },
    Mutation {
        what: "the driver is missing",
        breaks: &["file-missing", "member-unknown"],
        make: |bench| bench.delete(&bench.file("sys")),
    },
    Mutation {
        what: "the catalog vouches for the INF only",
        breaks: &["file-not-in-catalog"],
        make: |bench| {
            let mut parts = bench.parts()?;
            parts.files.truncate(1);
            bench.recatalog(&parts)
        },
    },
    Mutation {
        what: "a comment in the INF was changed",
        breaks: &["file-changed"],
        make: |bench| {
            change(
                bench,
                &bench.file("inf"),
                "; SERVICE_BOOT_START",
                "; service_boot_start",
            )
        },
    },
    Mutation {
        what: "a byte of the driver's code was changed",
        breaks: &["file-changed", "checksum", "signature-digest"],
        make: |bench| bench.flip(&bench.file("sys"), CODE),
    },
    Mutation {
        what: "a driver that no INF names lies in the folder",
        breaks: &["file-unlisted"],
        make: |bench| bench.put("other.sys", &bench.get(&bench.file("sys"))?),
    },
    Mutation {
        what: "the driver is the one for another processor",
        breaks: &["file-arch"],
        make: |bench| {
            bench.put(&bench.file("sys"), &bench.original(Arch::Arm64, "sys")?)?;
            bench.recatalog(&bench.parts()?)
        },
    },
];

/// Replaces text in a file.
pub fn change(bench: &Bench, name: &str, from: &str, to: &str) -> Result<()> {
    let text = String::from_utf8(bench.get(name)?).context("no text")?;
    ensure!(text.contains(from), "{from:?} is not in {name}");
    bench.put(name, text.replacen(from, to, 1).as_bytes())
}
