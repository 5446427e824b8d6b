//! The registry entries by which Windows starts a storage driver that it has not installed yet.
//!
//! At boot Windows matches the disk controller against the driver database in the SYSTEM hive. A made-up package there, with
//! one configuration that names the service, is what virt-v2v writes so that a converted guest boots from virtio; these are
//! the same keys and values (libguestfs-common, mlcustomize/inject_virtio_win.ml, `add_guestor_to_registry` and
//! `ddb_regedits`). Plug and play replaces them with the real package later (see first_boot.rs).

use crate::package::Package;
use crate::registry::{Edit, Value};
use crate::windows::Windows;

/// The value that ties a device id to an INF. libguestfs-common writes the same for every id.
const DEVICE_ID: [u8; 4] = [0x01, 0xff, 0x00, 0x00];

/// What the `Version` value of a package starts with, before the class GUID; 24 zero bytes follow. Windows 10 and later do
/// not use a package without it (libguestfs-common, `ddb_regedits`).
const VERSION_HEAD: [u8; 8] = [0x00, 0xff, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00];

/// What the kernel's loader looks for: the path under the system root.
fn image_path(package: &Package) -> String {
    format!(r"system32\drivers\{}", package.service.binary)
}

/// What one boot-start package needs in the SYSTEM hive.
pub struct Change {
    /// Values to write.
    pub edits: Vec<Edit>,
    /// Keys to remove.
    pub removed: Vec<String>,
    /// False if Windows has installed the driver in each control set and runs it from its own copy.
    pub needs_driver: bool,
}

/// Works out the change, in each control set that a start can use.
///
/// # Errors
///
/// The hive cannot be read.
pub fn change(windows: &Windows, package: &Package) -> anyhow::Result<Change> {
    let mut change = Change {
        edits: Vec::new(),
        removed: Vec::new(),
        needs_driver: false,
    };
    for set in &windows.control_sets {
        let key = format!(r"{set}\Services\{}", package.service.name);
        let installed = is_installed(windows, &key)?;
        change.edits.extend(service(package, &key, installed));
        change.needs_driver |= !installed;
        let lower = start_override(&key);
        if windows.system.values(&lower)?.is_some() {
            change.removed.push(lower);
        }
    }
    if change.needs_driver {
        change.edits.extend(database(windows, package));
    }
    Ok(change)
}

/// Windows keeps a boot-start driver that no device of the last start needed from starting at the next one: the key's value
/// `0` is then 3, start on demand, and goes before `Start`. A guest that never saw a virtio disk has it, and does not boot
/// from one. Microsoft's own way to move a guest to another controller is to remove it in each control set
/// (Azure/SAP-on-Azure-Scripts-and-Utilities, Azure-NVMe-Utils/windows-manual-nvme-prepare.ps1).
fn start_override(service: &str) -> String {
    format!(r"{service}\StartOverride")
}

/// A guest that was made without a PCI bus, as on Hyper-V, has the same key for the driver of the bus. That driver is
/// Windows' own and is not touched.
///
/// # Errors
///
/// The hive cannot be read.
pub fn bus_note(windows: &Windows) -> anyhow::Result<Option<String>> {
    for set in &windows.control_sets {
        let key = start_override(&format!(r"{set}\Services\pci"));
        let values = windows.system.values(&key)?.unwrap_or_default();
        if values.iter().any(|(_, value)| *value != Value::Dword(0)) {
            return Ok(Some(format!(
                r"HKLM\SYSTEM\{key} keeps the PCI bus from being there at boot, and with it virtio: this Windows last ran without a PCI bus. In Windows, run `sc config pci start= boot` before you move it"
            )));
        }
    }
    Ok(None)
}

/// The service's values.
fn service(package: &Package, key: &str, installed: bool) -> Vec<Edit> {
    let service = &package.service;
    let mut edits = vec![Edit::new(key, "Start", Value::Dword(service.start))];
    if installed {
        // Windows runs the driver from its own copy; the INF that it came from said the rest.
        return edits;
    }
    edits.extend([
        Edit::new(key, "Type", Value::Dword(service.kind)),
        Edit::new(key, "ErrorControl", Value::Dword(service.error_control)),
        Edit::new(key, "Group", Value::String(service.group.clone())),
        Edit::new(key, "ImagePath", Value::Expand(image_path(package))),
    ]);
    for (subkey, name, value) in &service.values {
        edits.push(Edit::new(format!(r"{key}\{subkey}"), name, value.clone()));
    }
    edits
}

/// The entries of the driver database.
fn database(windows: &Windows, package: &Package) -> Vec<Edit> {
    // Not the real package's name: an INF of that name may come into the database in its own right.
    let inf = format!("winpv-{}.inf", package.name);
    let label = format!("{inf}_{}_0000000000000000", windows.machine.name());
    let configuration = format!("winpv-{}", package.name);
    let infs = format!(r"DriverDatabase\DriverInfFiles\{inf}");
    let of_package = format!(r"DriverDatabase\DriverPackages\{label}");
    let mut version = VERSION_HEAD.to_vec();
    version.extend(package.class);
    version.resize(48, 0);
    let mut edits = vec![
        Edit::new(&infs, "", Value::Multi(vec![label.clone()])),
        Edit::new(&infs, "Active", Value::String(label)),
        Edit::new(
            &infs,
            "Configurations",
            Value::Multi(vec![configuration.clone()]),
        ),
        Edit::new(&of_package, "Version", Value::binary(&version)),
    ];
    let configurations = format!(r"{of_package}\Configurations\{configuration}");
    edits.extend([
        Edit::new(&configurations, "ConfigFlags", Value::Dword(0)),
        Edit::new(
            &configurations,
            "Service",
            Value::String(package.service.name.clone()),
        ),
    ]);
    for id in &package.hardware_ids {
        edits.push(Edit::new(
            format!(r"DriverDatabase\DeviceIds\{id}"),
            &inf,
            Value::binary(&DEVICE_ID),
        ));
        edits.push(Edit::new(
            format!(r"{of_package}\Descriptors\{id}"),
            "Configuration",
            Value::String(configuration.clone()),
        ));
    }
    edits
}

/// Path in the image of the driver file that the service names.
#[must_use]
pub fn driver_path(windows: &Windows, package: &Package) -> String {
    format!(
        "{}/System32/drivers/{}",
        windows.root, package.service.binary
    )
}

/// True if Windows itself has installed the driver: the service then names a file in the driver store, and must not be
/// sent back to the older one in `drivers`.
fn is_installed(windows: &Windows, service: &str) -> anyhow::Result<bool> {
    // MS: "Using a Run From Driver Store INF": DIRID 13 is a folder of System32\DriverStore\FileRepository.
    let path = windows.system.text(service, "ImagePath")?;
    Ok(path.is_some_and(|path| {
        path.to_lowercase()
            .contains(r"\driverstore\filerepository\")
    }))
}
