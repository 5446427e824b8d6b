//! What makes a full Windows install the staged packages by itself after its first start.
//!
//! Two ways side by side: the folders become part of `DevicePath`, in which plug and play looks for an INF, and `RunOnce`
//! runs a script with pnputil. The first alone is not reliable (virt-v2v, convert_windows.ml, `update_software_hive`, says
//! so and adds a pnputil script as well).

use crate::package::{Certificate, Package};
use crate::registry::{Edit, Value};
use crate::windows::Windows;

use anyhow::Result;

/// Folder of the packages below that of Windows. virt-v2v uses `Drivers\VirtIO`.
pub const FOLDER: &str = "Drivers/WinPV";
/// The script's name in it.
pub const SCRIPT: &str = "first-boot.cmd";
/// The task that runs the script again after it failed.
const TASK: &str = "WinPV-first-boot";

const CURRENT_VERSION: &str = r"Microsoft\Windows\CurrentVersion";

/// The edits of the SOFTWARE hive. `staged`: files were put into the image that Windows has not installed yet.
///
/// # Errors
///
/// The hive cannot be read.
pub fn edits(windows: &Windows, packages: &[&Package], staged: bool) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    let old = windows.software.value(CURRENT_VERSION, "DevicePath")?;
    let (old, expand): (String, fn(String) -> Value) = match old {
        Some(Value::String(path)) => (path, Value::String),
        Some(Value::Expand(path)) => (path, Value::Expand),
        // MS: "DevicePath": %SystemRoot%\inf unless somebody changed it.
        _ => (r"%SystemRoot%\inf".to_owned(), Value::Expand),
    };
    let mut path = old.clone();
    for package in packages {
        let folder = format!(r"%SystemRoot%\Drivers\WinPV\{}", package.name);
        if !path
            .split(';')
            .any(|part| part.eq_ignore_ascii_case(&folder))
        {
            path = format!("{path};{folder}");
        }
    }
    if path != old {
        edits.push(Edit::new(CURRENT_VERSION, "DevicePath", expand(path)));
    }
    if staged {
        // MS: "Run and RunOnce Registry Keys": runs when an administrator logs on; with `!` the value goes only after the
        // command ran. cmd.exe expands the variable itself.
        edits.push(Edit::new(
            format!(r"{CURRENT_VERSION}\RunOnce"),
            "!WinPV",
            Value::String(format!(
                r#"cmd.exe /c "%SystemRoot%\Drivers\WinPV\{SCRIPT}""#
            )),
        ));
    }
    Ok(edits)
}

/// The script. A test-signed package is installed without a question only if its certificates are in both stores
/// (MS: "Installing Test Certificates").
#[must_use]
pub fn script(certificates: &[Certificate]) -> String {
    let mut lines = vec![
        "@echo off".to_owned(),
        "rem Installs the driver packages beside this file. Written by winpv inject.".to_owned(),
        r#"set log="%SystemRoot%\Drivers\WinPV\first-boot.log""#.to_owned(),
    ];
    for certificate in certificates {
        let store = if certificate.root {
            "Root"
        } else {
            "TrustedPublisher"
        };
        lines.push(format!(
            r#"certutil -addstore {store} "%~dp0{}" >> %log% 2>&1"#,
            certificate.name
        ));
    }
    // MS: "PnPUtil Command Syntax", /add-driver with /subdirs and /install: Windows 10 1607 and later.
    lines.push(
        r#""%SystemRoot%\System32\pnputil.exe" /add-driver "%~dp0*.inf" /subdirs /install >> %log% 2>&1"#
            .to_owned(),
    );
    lines.extend(
        [
            r"set result=%errorlevel%",
            // MS: "PnPUtil Return Values": done; nothing better than what is there; done, with a restart that was or is needed.
            r"for %%r in (0 259 1641 3010) do if %result%==%%r goto done",
            r"echo pnputil ended with %result%: this is tried again at each start >> %log%",
        ]
        .map(str::to_owned),
    );
    // RunOnce removes its value whatever the result, and a program that it runs must not write it again (MS: "Run and RunOnce
    // Registry Keys"). MS: "Schtasks.exe".
    lines.push(format!(
        r#""%SystemRoot%\System32\schtasks.exe" /create /f /tn {TASK} /sc onstart /ru SYSTEM /tr "\"%~f0\"" >> %log% 2>&1"#
    ));
    lines.extend(["exit /b %result%".to_owned(), ":done".to_owned()]);
    lines.push(format!(
        r#""%SystemRoot%\System32\schtasks.exe" /delete /f /tn {TASK} > nul 2>&1"#
    ));
    lines.extend(["exit /b 0".to_owned(), String::new()]);
    lines.join("\r\n")
}
