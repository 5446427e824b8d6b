//! The rows of the hostile table that are not tried at the driver, each with the reason.

/// Reasons, each with the rows that it is good for. With the rows that are tried they are the whole table: a test compares.
pub const EXCLUDED: &[(&str, &[&str])] = &[
    (
        "the driver does not negotiate IN_ORDER",
        &[
            "P039", "P040", "P041", "P042", "P043", "R055", "S034", "S035", "S036", "S037", "S038",
            "S039", "S103",
        ],
    ),
    (
        "the driver does not negotiate RING_RESET",
        &[
            "F038", "T140", "T141", "T142", "T143", "T144", "T148", "T149", "T151",
        ],
    ),
    (
        "the driver does not negotiate NOTIFICATION_DATA or NOTIF_CONFIG_DATA",
        &["F039", "R116", "T162", "T163", "T166", "T167"],
    ),
    (
        "the device in this process has no legacy interface",
        &[
            "F035", "F036", "S041", "S104", "T051", "T057", "T073", "T074", "T080", "T107", "T108",
            "T111", "T112", "T118", "T120", "T121", "T122", "T123", "T146",
        ],
    ),
    (
        "a mistake of virtio-core's caller, not a lie of a device",
        &[
            "F016", "F017", "F018", "F019", "F020", "F021", "F031", "F032", "R101", "R102", "R103",
            "R104", "R106", "R107", "R108", "R109", "R110", "R111", "R112", "R113", "S100", "T117",
            "T126", "T145", "T147", "T150", "T152", "T178",
        ],
    ),
    (
        "a rule that the driver keeps, with no lie in it: device and observer judge it in every plan",
        &[
            "F041", "P100", "P101", "P102", "P103", "P104", "R041", "R054", "R100", "R105", "R114",
            "R115", "R117", "S101", "S102", "T026", "T079", "T081", "T119", "T165", "T170",
        ],
    ),
    (
        "whether addresses are the platform's and translated is no property of the device: scenarios iommu-opted-in and remapped",
        &["F037", "F042", "F043"],
    ),
    (
        "StorPort maps a range whole or not: call:StorPortGetDeviceBase makes it fail",
        &["T060"],
    ),
    (
        "the bus driver owns bus mastering; the driver never switches it",
        &["T174", "T175", "T176"],
    ),
    (
        "every request of a block device ends in a status byte that the device writes",
        &["R011"],
    ),
    (
        "a new queue is never smaller: T105 refuses the device",
        &["R063"],
    ),
    (
        "the device in this process acts only while the driver waits or touches a register",
        &["P032", "S027"],
    ),
    ("needs 65,536 requests first", &["S026"]),
];
