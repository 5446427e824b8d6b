//! Breaks the package's catalog.

use winpv::drivers::Arch;

use super::Mutation;
use super::bench::edit;

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        what: "a catalog of the same content by another signer is good",
        breaks: &[],
        make: |bench| bench.recatalog(&bench.parts()?),
    },
    Mutation {
        what: "the catalog is cut off",
        breaks: &["catalog-unreadable"],
        make: |bench| {
            let bytes = bench.get(&bench.file("cat"))?;
            bench.put(&bench.file("cat"), &bytes[..bytes.len() / 2])
        },
    },
    Mutation {
        what: "nobody signed the catalog",
        breaks: &["catalog-unsigned"],
        make: |bench| bench.put(&bench.file("cat"), &bench.catalog(&bench.parts()?)?),
    },
    Mutation {
        what: "the catalog vouches for one file more",
        breaks: &["member-unknown"],
        make: |bench| {
            let mut parts = bench.parts()?;
            parts
                .files
                .push(("other.sys".to_owned(), b"other".to_vec()));
            bench.recatalog(&parts)
        },
    },
    Mutation {
        what: "a member stands in the catalog twice",
        breaks: &["member-duplicate"],
        make: |bench| {
            let unsigned = bench.catalog(&bench.parts()?)?;
            // ContentInfo, [0], SignedData, content, [0], list, members.
            let doubled = edit(&unsigned, &[1, 0, 2, 1, 0, 4], &|members| {
                Ok(members.repeat(2))
            })?;
            let name = bench.file("cat");
            bench.put(&name, &doubled)?;
            bench.sign(&name, "good", &[])
        },
    },
    Mutation {
        what: "the catalog knows the driver under another name",
        breaks: &["member-name"],
        make: |bench| {
            let mut parts = bench.parts()?;
            parts.files[1].0 = "other.sys".to_owned();
            bench.recatalog(&parts)
        },
    },
    Mutation {
        what: "the catalog's OS attribute names another processor",
        breaks: &["catalog-arch"],
        make: |bench| {
            let mut parts = bench.parts()?;
            parts.os = Arch::Arm64.catalog_os();
            bench.recatalog(&parts)
        },
    },
    Mutation {
        what: "the catalog is the one for another processor",
        breaks: &["catalog-arch", "file-changed"],
        make: |bench| bench.put(&bench.file("cat"), &bench.original(Arch::Arm64, "cat")?),
    },
    Mutation {
        what: "the catalog's OS attribute names Windows 8.1 only",
        breaks: &["catalog-windows"],
        make: |bench| {
            let mut parts = bench.parts()?;
            parts.os = "_v63_X64";
            bench.recatalog(&parts)
        },
    },
    Mutation {
        what: "the catalog lacks a hardware id",
        breaks: &["catalog-ids"],
        make: |bench| {
            let mut parts = bench.parts()?;
            parts.ids.pop();
            bench.recatalog(&parts)
        },
    },
    Mutation {
        what: "the catalog names a hardware id more",
        breaks: &["catalog-ids"],
        make: |bench| {
            let mut parts = bench.parts()?;
            parts.ids.push(r"PCI\VEN_1AF4&DEV_1043".to_owned());
            bench.recatalog(&parts)
        },
    },
];
