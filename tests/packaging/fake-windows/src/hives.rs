//! Registry hives.

use regf::{DataType, HiveBuilder};

use crate::Windows;

/// A hive in the making. Every name and value here is fixed, so a failure is a mistake in this crate.
pub struct Maker(HiveBuilder);

impl Maker {
    /// An empty hive.
    ///
    /// # Panics
    ///
    /// The crate `regf` fails.
    #[must_use]
    pub fn new(name: &str) -> Maker {
        Maker(HiveBuilder::new_with_name(name).expect("an empty hive"))
    }

    /// A key, with those above it.
    ///
    /// # Panics
    ///
    /// The crate `regf` fails.
    pub fn key(&mut self, key: &str) -> &mut Maker {
        self.0.create_key(key).expect("a key");
        self
    }

    /// A value of any type; the key is made if need be.
    ///
    /// # Panics
    ///
    /// The crate `regf` fails.
    pub fn value(&mut self, key: &str, name: &str, kind: DataType, bytes: &[u8]) -> &mut Maker {
        self.key(key);
        self.0
            .add_value_with_type(key, Some(name), bytes, kind)
            .expect("a value");
        self
    }

    /// A REG_SZ.
    pub fn text(&mut self, key: &str, name: &str, text: &str) -> &mut Maker {
        self.value(key, name, DataType::String, &utf16(text))
    }

    /// A REG_DWORD.
    pub fn dword(&mut self, key: &str, name: &str, number: u32) -> &mut Maker {
        self.value(key, name, DataType::Dword, &number.to_le_bytes())
    }

    /// A REG_MULTI_SZ.
    pub fn multi(&mut self, key: &str, name: &str, list: &[&str]) -> &mut Maker {
        let mut bytes: Vec<u8> = list.iter().flat_map(|text| utf16(text)).collect();
        bytes.extend([0, 0]);
        self.value(key, name, DataType::MultiString, &bytes)
    }

    /// A Boolean element of a BCD: one byte.
    pub fn boolean(&mut self, key: &str, on: bool) -> &mut Maker {
        self.value(key, "Element", DataType::Binary, &[u8::from(on)])
    }

    /// The hive's bytes.
    ///
    /// # Panics
    ///
    /// The crate `regf` fails.
    #[must_use]
    pub fn bytes(&mut self) -> Vec<u8> {
        self.0.build().expect("a hive")
    }
}

fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

/// The SYSTEM hive.
#[must_use]
pub fn system(windows: &Windows) -> Vec<u8> {
    let mut hive = Maker::new("SYSTEM");
    for name in ["Current", "Default", "LastKnownGood"] {
        hive.dword("Select", name, windows.control_set);
    }
    hive.dword("Select", "Failed", 0);
    let mut sets = vec![1, windows.control_set];
    sets.dedup();
    for set in sets {
        let set = format!("ControlSet{set:03}");
        for key in [
            r"Control\Class",
            r"Control\Session Manager\Environment",
            "Enum",
            r"Services\Disk",
            r"Services\EventLog",
        ] {
            hive.key(&format!(r"{set}\{key}"));
        }
        hive.text(
            &format!(r"{set}\Services\Tcpip\Parameters"),
            "Hostname",
            "FAKEWIN",
        );
        hive.text(
            &format!(r"{set}\Control\ProductOptions"),
            "ProductType",
            if windows.is_server {
                "ServerNT"
            } else {
                "WinNT"
            },
        );
        if windows.is_pe {
            hive.key(&format!(r"{set}\Control\MiniNT"));
        }
    }
    for key in [
        r"DriverDatabase\DriverInfFiles",
        r"DriverDatabase\DriverPackages",
        r"DriverDatabase\DeviceIds\PCI",
        r"DriverDatabase\DriverFiles",
        "Setup",
    ] {
        hive.key(key);
    }
    hive.value(
        "MountedDevices",
        r"\DosDevices\C:",
        DataType::Binary,
        // The disk's signature in the MBR, the partition's offset in bytes.
        &[0x78, 0x56, 0x34, 0x12, 0, 0, 0x10, 0, 0, 0, 0, 0],
    );
    hive.bytes()
}

/// The SOFTWARE hive.
#[must_use]
pub fn software(windows: &Windows) -> Vec<u8> {
    let mut hive = Maker::new("SOFTWARE");
    let build = windows.build.to_string();
    let key = r"Microsoft\Windows NT\CurrentVersion";
    for (name, text) in [
        ("ProductName", windows.product),
        ("CurrentVersion", "6.3"),
        ("CurrentBuild", &build),
        ("CurrentBuildNumber", &build),
        ("InstallationType", "Client"),
        (
            "EditionID",
            if windows.is_pe {
                "WindowsPE"
            } else {
                "Professional"
            },
        ),
        ("SystemRoot", r"C:\Windows"),
    ] {
        hive.text(key, name, text);
    }
    hive.dword(key, "CurrentMajorVersionNumber", 10);
    hive.dword(key, "CurrentMinorVersionNumber", 0);
    let key = r"Microsoft\Windows\CurrentVersion";
    hive.value(
        key,
        "DevicePath",
        DataType::ExpandString,
        &utf16(r"%SystemRoot%\inf"),
    );
    hive.text(key, "ProgramFilesDir", r"C:\Program Files");
    for sub in ["Uninstall", r"Policies\System", "RunOnce"] {
        hive.key(&format!(r"{key}\{sub}"));
    }
    hive.key("Classes").key("Policies");
    hive.bytes()
}

/// The entry for Windows in a BCD made here.
pub const LOADER: &str = "{b2721d73-1db4-4c62-bf78-c548a880142d}";
/// The entry for its recovery environment.
pub const RECOVERY: &str = "{b2721d73-1db4-4c62-bf78-c548a880142e}";
/// The settings that every entry inherits.
pub const GLOBAL: &str = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}";
/// The boot manager.
const MANAGER: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";

/// An entry for the Windows boot loader.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its GUID.
    pub object: &'a str,
    /// What the menu shows.
    pub title: &'a str,
    /// What it says about test-signed drivers, if anything.
    pub testsigning: Option<bool>,
    /// It starts Windows PE.
    pub is_pe: bool,
    /// Which partition it starts, if it says so: the start in bytes on a disk with an MBR, the stored GUID on one with a GPT.
    pub partition: Option<[u8; 16]>,
}

impl Entry<'_> {
    /// The entry of an installed Windows.
    #[must_use]
    pub fn windows(testsigning: Option<bool>) -> Entry<'static> {
        Entry {
            object: LOADER,
            title: "Windows 10",
            testsigning,
            is_pe: false,
            partition: None,
        }
    }
}

/// A BCD store with a boot manager that starts `default` and shows `menu`, and its entries.
#[must_use]
pub fn bcd_with(entries: &[Entry<'_>], default: &str, menu: &[&str]) -> Vec<u8> {
    let mut hive = Maker::new("BCD00000000");
    let element = |object: &str, number: &str| format!(r"Objects\{object}\Elements\{number}");
    let kind = |object: &str| format!(r"Objects\{object}\Description");
    hive.dword(&kind(MANAGER), "Type", 0x1010_0002);
    hive.text(&element(MANAGER, "23000003"), "Element", default);
    hive.multi(&element(MANAGER, "24000001"), "Element", menu);
    hive.dword(&kind(GLOBAL), "Type", 0x2010_0000);
    hive.boolean(&element(GLOBAL, "16000020"), true);
    for entry in entries {
        let element = |number| element(entry.object, number);
        hive.dword(&kind(entry.object), "Type", 0x1020_0003);
        hive.text(&element("12000004"), "Element", entry.title);
        hive.text(&element("22000002"), "Element", r"\Windows");
        hive.multi(&element("14000006"), "Element", &[GLOBAL]);
        if let Some(on) = entry.testsigning {
            hive.boolean(&element("16000049"), on);
        }
        if entry.is_pe {
            hive.boolean(&element("26000022"), true);
        } else {
            // The recovery sequence of an installed Windows.
            hive.multi(&element("14000008"), "Element", &[RECOVERY]);
        }
        if let Some(partition) = entry.partition {
            let device = device(partition);
            hive.value(&element("21000001"), "Element", DataType::Binary, &device);
        }
    }
    hive.bytes()
}

/// A device element that names a partition. Its length and the fields that are not zero are those of a measured one
/// (mistyprojects.co.uk, "BCDEdit", "Devices Partition - Data").
fn device(partition: [u8; 16]) -> Vec<u8> {
    let mut element = vec![0; 88];
    element[16] = 6;
    element[24] = 0x48;
    element[32..48].copy_from_slice(&partition);
    element
}

/// A BCD store with the entry for Windows in its menu, and that for the recovery environment beside it.
#[must_use]
pub fn bcd(testsigning: Option<bool>) -> Vec<u8> {
    let recovery = Entry {
        object: RECOVERY,
        title: "Windows Recovery Environment",
        is_pe: true,
        ..Entry::windows(None)
    };
    bcd_with(&[Entry::windows(testsigning), recovery], LOADER, &[LOADER])
}
