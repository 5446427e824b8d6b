//! Every section of the specification that binds the driver, and what shows that it is kept.
//!
//! The sections are those with normative statements for a driver in chapters 2, 3 and 6 and in §4.1; numbers are those of version 1.3.

/// A section with requirements for the driver.
pub struct Must {
    /// Of Virtio 1.3.
    pub section: &'static str,
    /// Rows of the table.
    pub rows: &'static [&'static str],
    /// What else shows it, or why it is the caller's; empty if the rows are all.
    pub more: &'static str,
}

const fn must(section: &'static str, rows: &'static [&'static str], more: &'static str) -> Must {
    Must {
        section,
        rows,
        more,
    }
}

/// All of them, in the order of the specification.
pub const MUSTS: &[Must] = &[
    must("2.1.1", &["F001", "F011", "F015", "F016"], ""),
    must(
        "2.2.1",
        &["F030", "F031", "F032", "F033", "F034"],
        "No bit of `Features::IMPLEMENTED` requires another but VERSION_1; what the bits of a device type require is the caller's to keep",
    ),
    must("2.4.2", &["F002", "F003"], ""),
    must(
        "2.5.1",
        &["T070", "T071", "T075", "T077", "T079"],
        "Whether the feature of an optional field was offered is the caller's to look at: fields belong to the device type",
    ),
    must("2.6.1.1.2", &["T140", "T143", "T150"], ""),
    must("2.6.1.2.2", &["T140", "T151", "T152"], ""),
    must("2.7.1", &["R100", "R101"], ""),
    must("2.7.4.2", &["R105"], ""),
    must("2.7.5.2", &["R108", "S103"], ""),
    must("2.7.5.3.1", &["R106", "R107", "R112", "R114", "S103"], ""),
    must("2.7.6.1", &["S101"], ""),
    must("2.7.7.1", &["R050", "S102"], ""),
    must(
        "2.7.8.3",
        &["R014"],
        "What lies beyond the written bytes is the caller's not to read",
    ),
    must("2.7.10.1", &["S001", "S002", "S003", "S004", "R115"], ""),
    must(
        "2.7.13.3.1",
        &[],
        "tests/loom, and the step «weakened rings under loom»: without the release order a model fails",
    ),
    must(
        "2.7.13.4.1",
        &[],
        "tests/loom, and the step «weakened rings under loom»: without the full fence a model fails",
    ),
    must("2.8.11", &["R100", "R101"], ""),
    must("2.8.16", &["P100", "P101"], ""),
    must("2.8.17", &["R105", "R106", "P100"], ""),
    must("2.8.19", &["R107", "R112", "R114"], ""),
    must(
        "2.8.21.1.1",
        &[],
        "tests/loom, and the step «weakened rings under loom»: without the release order a model fails",
    ),
    must(
        "2.8.21.3.1",
        &[],
        "tests/loom, and the step «weakened rings under loom»: without the full fence a model fails",
    ),
    must("2.12.1.1.7", &["F032"], "ADMIN_VQ is never accepted"),
    must("2.12.1.3", &["F032"], "ADMIN_VQ is never accepted"),
    must("2.13.2", &["F032"], "ADMIN_VQ is never accepted"),
    must(
        "3.1.1",
        &[
            "F001", "F006", "F016", "F017", "F018", "F019", "F021", "T178",
        ],
        "",
    ),
    must(
        "3.3.1",
        &["R060", "R062", "T150"],
        "`Queue::drain` and `Queue::into_memory` take a proof that the device has stopped",
    ),
    must(
        "4.1.2.2",
        &["T050", "T051"],
        "Which ids are matched is the caller's: vioblk's INF names both of a block device, of any revision; the modern interface is looked for whatever id and revision are",
    ),
    must("4.1.3.1", &["T079", "T081"], ""),
    must("4.1.4.1", &["T009", "T010", "T012", "T013", "T026"], ""),
    must(
        "4.1.4.3.2",
        &["F003", "T119", "T140", "T141", "T142", "T145"],
        "",
    ),
    must("4.1.4.5.2", &["T168", "T170"], ""),
    must("4.1.4.8.2", &["T030"], "Vendor data is never read"),
    must(
        "4.1.4.9.2",
        &["T031"],
        "Access through configuration space is never used",
    ),
    must("4.1.5.1.2.2", &["T114", "T115", "T116", "T117", "T118"], ""),
    must("4.1.5.2.1", &["T165", "T166", "T167"], ""),
    must("4.1.5.4.2", &["T170"], ""),
    must(
        "6.1",
        &["F033", "F041", "F042", "F043", "R117"],
        "Where the barriers of ORDER_PLATFORM stand: virtio-core's own tests; that ARM64 has them: the step «static rules»",
    ),
];
