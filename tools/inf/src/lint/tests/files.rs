//! Mutations for the rules about files and strings.

use super::{Mutation, Options, STORAGE, SYSTEM, USER, append, change};

pub(super) fn all() -> Vec<Mutation> {
    let mut all = files();
    all.extend(strings());
    all
}

/// A second device and install for old Windows, which may do what new Windows may not.
const SECOND: (&str, &str) = (
    "%Device% = Old, PCI\\VEN_1AF4&DEV_1042",
    "%Device% = Old, PCI\\VEN_1AF4&DEV_1042\n%Device% = Second, PCI\\VEN_1AF4&DEV_1048",
);

fn files() -> Vec<Mutation> {
    let only = |file: &'static str| Options {
        present: Some(Box::new(move |path| path == file)),
        ..Options::default()
    };
    let same = [("Strings", "Strings")];
    vec![
        change(
            "INF301",
            STORAGE,
            &[
                ("DefaultDestDir = 13", "DefaultDestDir = 12"),
                ("= %13%", "= %12%"),
            ],
        ),
        change(
            "INF301",
            SYSTEM,
            &[
                ("DefaultDestDir = 13", "DefaultDestDir = 11"),
                ("%13%", "%11%"),
            ],
        ),
        change(
            "INF302",
            STORAGE,
            &[
                ("Old_Files      = 12", "Old_Files      = 13"),
                ("= %12%", "= %13%"),
            ],
        ),
        change("INF302", STORAGE, &[("16299", "16298")]),
        change(
            "INF303",
            STORAGE,
            &[("= SCSIAdapter", "= NetTrans"), ("{4D36E97B", "{4D36E975")],
        ),
        change(
            "INF303",
            STORAGE,
            &[
                ("= SCSIAdapter", "= NetService"),
                ("{4D36E97B", "{4D36E974"),
            ],
        ),
        change(
            "INF304",
            STORAGE,
            &[("[SourceDisksFiles]", "[SourceDisksFiles.x86]")],
        ),
        change("INF304", SYSTEM, &[("serve.exe  = 1\n", "")]),
        change("INF305", STORAGE, &[("disk.sys = 1", "disk.sys = 1,amd64")]),
        change(
            "INF305",
            STORAGE,
            &[
                ("[New_Files]\ndisk.sys", "[New_Files]\nnew.sys,disk.sys"),
                ("%13%\\disk", "%13%\\new"),
            ],
        ),
        change(
            "INF305",
            USER,
            &[
                ("User_Files = 13", "User_Files = 13,sub"),
                ("%13%\\user", "%13%\\sub\\user"),
            ],
        ),
        change("INF306", STORAGE, &same).with(only("")),
        change("INF306", STORAGE, &same).with(only("amd64/disk.sys")),
        change("INF307", STORAGE, &[("1 = %Disk%", "2 = %Disk%")]),
        change("INF307", STORAGE, &[("disk.sys = 1", "disk.sys = 7")]),
        change(
            "INF308",
            STORAGE,
            &[("disk.sys = 1", "disk.sys = 1\nother.dll = 1")],
        ),
        change(
            "INF308",
            SYSTEM,
            &[("serve.exe  = 1", "serve.exe  = 1\nother.dll = 1")],
        ),
        change("INF309", STORAGE, &[("DefaultDestDir = 13\n", "")]),
        change("INF309", USER, &[("User_Files = 13\n", "")]),
        change(
            "INF310",
            STORAGE,
            &[
                ("disk.sys = 1", "disk.sys = 1\nother.sys = 1"),
                ("[Old_Files]\n", "[Old_Files]\ndisk.sys,other.sys\n"),
            ],
        ),
        change(
            "INF310",
            STORAGE,
            &[
                SECOND,
                ("disk.sys = 1", "disk.sys = 1\nother.sys = 1"),
                (
                    "Old_Files      = 12",
                    "Old_Files      = 12\nSecond_Files = 12",
                ),
                (
                    "[Strings]",
                    "[Second]\nCopyFiles = Second_Files\n[Second_Files]\ndisk.sys,other.sys\n[Second.Services]\nAddService = disk,2,Old_Service\n[Strings]",
                ),
            ],
        ),
        change(
            "INF311",
            STORAGE,
            &[("disk.sys = 1", "disk.sys = 1\ndisk.sys = 1")],
        ),
        change(
            "INF311",
            SYSTEM,
            &[("serve.exe  = 1", "serve.exe  = 1\nSERVE.EXE  = 1")],
        ),
        append(
            "INF312",
            STORAGE,
            "[New_Files.security]\n\"D:P(A;;GA;;;SY)\"",
        ),
        change(
            "INF312",
            STORAGE,
            &[
                (
                    "CopyFiles = Old_Files",
                    "CopyFiles = Old_Files\nDelFiles = Gone",
                ),
                ("[Old_Files]", "[Gone]\ngone.sys\n[Old_Files]"),
            ],
        ),
        change(
            "INF313",
            STORAGE,
            &[("disk.sys = 1", "disk.sys = 1\ndisk.cat = 1")],
        ),
        change(
            "INF313",
            STORAGE,
            &[("[New_Files]\n", "[New_Files]\nother.inf\n")],
        ),
        change(
            "INF314",
            STORAGE,
            &[("disk.sys = 1", "disk.sys = 1\ndisk.sy_ = 1")],
        ),
        change(
            "INF314",
            SYSTEM,
            &[("serve.exe  = 1", "serve.exe  = 1\nserve.ex_  = 1")],
        ),
        change(
            "INF315",
            STORAGE,
            &[("Old_Files      = 12", "Old_Files      = 12\nFonts = 20")],
        ),
        change(
            "INF315",
            STORAGE,
            &[("Old_Files      = 12", "Old_Files      = 12\nPlace = %13%")],
        ),
    ]
}

fn strings() -> Vec<Mutation> {
    vec![
        change(
            "INF401",
            STORAGE,
            &[(
                "AddReg        = Service_AddReg",
                "Description = %Text%\nAddReg        = Service_AddReg",
            )],
        ),
        change(
            "INF401",
            SYSTEM,
            &[("HKR,,Depth", "HKR,,Share,,50%\nHKR,,Depth")],
        ),
        change("INF401", STORAGE, &[("%%SystemRoot%%", "%SystemRoot%")]),
        change("INF402", STORAGE, &[("\"Example disk\"", "\"%13%\\disk\"")]),
        change(
            "INF402",
            SYSTEM,
            &[("\"Beispiel\"\nOther", "\"%12%\"\nOther")],
        ),
        change(
            "INF403",
            STORAGE,
            &[("[Strings]", "[Strings]\nDisk = \"first\"")],
        ),
        change(
            "INF403",
            STORAGE,
            &[("[Strings]", "[Strings]\nDEVICE = \"first\"")],
        ),
        change(
            "INF404",
            STORAGE,
            &[("[Strings]", "[Strings]\nUnused = \"x\"")],
        ),
        change("INF404", STORAGE, &[("DisplayName   = %Service%\n", "")]),
        change("INF405", SYSTEM, &[("Other        = \"Anderes\"\n", "")]),
        change(
            "INF405",
            SYSTEM,
            &[("[Strings.0407]", "[Strings.0407]\nExtra = \"x\"")],
        ),
    ]
}
