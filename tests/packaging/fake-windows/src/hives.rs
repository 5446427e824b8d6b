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

/// A BCD store with a boot manager, one entry for Windows and the settings it inherits. `testsigning`: what the entry says,
/// if anything.
#[must_use]
pub fn bcd(testsigning: Option<bool>) -> Vec<u8> {
    let mut hive = Maker::new("BCD00000000");
    let manager = r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
    let global = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}";
    hive.dword(&format!(r"{manager}\Description"), "Type", 0x1010_0002);
    hive.text(&format!(r"{manager}\Elements\23000003"), "Element", LOADER);
    hive.dword(
        &format!(r"Objects\{global}\Description"),
        "Type",
        0x2010_0000,
    );
    hive.value(
        &format!(r"Objects\{global}\Elements\16000020"),
        "Element",
        DataType::Binary,
        &[1],
    );
    let loader = format!(r"Objects\{LOADER}");
    hive.dword(&format!(r"{loader}\Description"), "Type", 0x1020_0003);
    hive.text(
        &format!(r"{loader}\Elements\12000004"),
        "Element",
        "Windows 10",
    );
    hive.text(
        &format!(r"{loader}\Elements\22000002"),
        "Element",
        r"\Windows",
    );
    let mut inherited = utf16(global);
    inherited.extend([0, 0]);
    hive.value(
        &format!(r"{loader}\Elements\14000006"),
        "Element",
        DataType::MultiString,
        &inherited,
    );
    if let Some(on) = testsigning {
        hive.value(
            &format!(r"{loader}\Elements\16000049"),
            "Element",
            DataType::Binary,
            &[u8::from(on)],
        );
    }
    hive.bytes()
}
