//! What the MSI refuses, with a reason that can be read, and that nothing has changed then.

use anyhow::{Result, ensure};
use winpv_msi::Platform;
use winpv_msi::check::{Msi, text};

use super::devices::texts;
use super::kit::{Kit, PROGRAM_FILES, Package, WINPV, windows_path};
use super::prefix::{Prefix, Windows, exit};

fn untouched(prefix: &Prefix, package: &Package) -> Result<()> {
    package.is_absent(prefix)?;
    prefix.lacks(PROGRAM_FILES)?;
    prefix.unregistered(WINPV)
}

pub fn downgrade(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    prefix.msiexec_ends(&["/i", &kit.newer.path], exit::SUCCESS)?;
    let log = prefix.log();
    prefix.msiexec_ends(&["/i", &kit.trusted.path], exit::FAILURE)?;
    kit.newer.is_installed(&prefix)?;
    kit.trusted.is_absent(&prefix)?;
    ensure!(prefix.log() == log, "the helper ran");
    Ok(())
}

/// The pack's own MSI: what Windows says of code integrity in Wine is that test signing is off.
pub fn test_signed(kit: &Kit<'_>) -> Result<()> {
    const STATE: &str = r"HKLM\System\CurrentControlSet\Control\SecureBoot\State";
    let prefix = kit.ten()?;
    for (noted, expected) in [(None, false), (Some("0"), false), (Some("1"), true)] {
        if let Some(value) = noted {
            prefix.set(STATE, "UEFISecureBootEnabled", "REG_DWORD", value)?;
        }
        prefix.msiexec_ends(&["/i", &kit.shipped.path], exit::FAILURE)?;
        let log = prefix.msi_log();
        ensure!(
            log.contains("WinPVRefusal") && log.contains("bcdedit /set testsigning on"),
            "no clear refusal:\n{log}"
        );
        ensure!(
            log.contains("Secure Boot is on") == expected,
            "UEFISecureBootEnabled {noted:?}:\n{log}"
        );
        untouched(&prefix, &kit.shipped)?;
        ensure!(prefix.log().is_empty(), "the helper ran:\n{}", prefix.log());
    }
    Ok(())
}

/// Without the first question, which asks with the user's rights: the second is asked by the system, before any file is there.
pub fn late(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    let code = prefix.msiexec(&["/i", &kit.unasked.path])?;
    ensure!(
        [exit::FAILURE, exit::ACTION_FAILED].contains(&code),
        "ended with {code}"
    );
    prefix.logged("signature: test; test signing now off")?;
    prefix.logged("check: FAILED: ")?;
    prefix.logged("bcdedit /set testsigning on")?;
    let log = prefix.log();
    ensure!(!log.contains("vioblk"), "a driver was touched:\n{log}");
    untouched(&prefix, &kit.unasked)
}

pub fn attestation(kit: &Kit<'_>) -> Result<()> {
    const PRODUCT: &str = r"HKLM\System\CurrentControlSet\Control\ProductOptions";
    let prefix = kit.ten()?;
    prefix.set(PRODUCT, "ProductType", "REG_SZ", "ServerNT")?;
    ensure!(kit.trusted.content.signature == "attestation");
    prefix.msiexec_ends(&["/i", &kit.trusted.path], exit::FAILURE)?;
    let log = prefix.msi_log();
    ensure!(
        log.contains("WinPVRefusal") && log.contains("WINPV_ACCEPT_ATTESTATION_ON_SERVER=1"),
        "no clear refusal:\n{log}"
    );
    untouched(&prefix, &kit.trusted)?;
    let accepted = [
        "/i",
        &kit.trusted.path,
        "WINPV_ACCEPT_ATTESTATION_ON_SERVER=1",
    ];
    prefix.msiexec_ends(&accepted, exit::SUCCESS)?;
    kit.trusted.is_installed(&prefix)?;
    prefix.logged("Windows Server")?;
    prefix.logged("vioblk: has only Microsoft's attestation signature")
}

/// A boot manager with an entry that starts by itself and one that the menu offers.
const STORE: &str = r#"
[HKEY_LOCAL_MACHINE\BCD00000000\Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\23000003]
"Element"="{aaaaaaaa-0000-0000-0000-000000000001}"

[HKEY_LOCAL_MACHINE\BCD00000000\Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\24000001]
"Element"=hex(7):MENU

[HKEY_LOCAL_MACHINE\BCD00000000\Objects\{aaaaaaaa-0000-0000-0000-000000000001}\Description]
"Type"=dword:10200003

[HKEY_LOCAL_MACHINE\BCD00000000\Objects\{aaaaaaaa-0000-0000-0000-000000000001}\Elements\14000006]
"Element"=hex(7):SETTINGS

[HKEY_LOCAL_MACHINE\BCD00000000\Objects\{bbbbbbbb-0000-0000-0000-000000000002}\Description]
"Type"=dword:10200003
"#;

fn test_signing(object: &str, value: u8) -> String {
    format!(
        "[HKEY_LOCAL_MACHINE\\BCD00000000\\Objects\\{object}\\Elements\\16000049]\r\n\"Element\"=hex:0{value}\r\n"
    )
}

/// What the helper reads from the hive that Windows has loaded, told by its `check`. Wine says that test signing is off now, so
/// every answer is a refusal; which reasons it names is what counts.
pub fn boot_configuration(kit: &Kit<'_>) -> Result<()> {
    const FIRST: &str = "{aaaaaaaa-0000-0000-0000-000000000001}";
    const SECOND: &str = "{bbbbbbbb-0000-0000-0000-000000000002}";
    const SETTINGS: &str = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}";
    let prefix = kit.with_trusted()?;
    let setup = format!(r"C:\{}\winpv-setup.exe", kit.trusted.folder());
    let says = |expected: &str| -> Result<()> {
        let (code, text) = prefix.run(&setup, &["check", "--class", "test", "--boot-start"])?;
        ensure!(
            code == 2
                && text.contains(&format!(
                    "test signing now off, at the next start {expected}, "
                )),
            "not {expected:?}: {code} {text}"
        );
        let named = text.contains("for the next start") || text.contains("at the next start;");
        ensure!(
            named == (expected != "on"),
            "the refusal of {expected:?}: {text}"
        );
        Ok(())
    };
    says("not readable")?;
    let store = STORE
        .replace("MENU", &texts(&[FIRST, SECOND]))
        .replace("SETTINGS", &texts(&[SETTINGS]));
    prefix.import(&store)?;
    says(&format!("off in the boot entry {FIRST}"))?;
    // Inherited by the first; the second says nothing.
    prefix.import(&test_signing(SETTINGS, 1))?;
    says(&format!("off in the boot entry {SECOND}"))?;
    prefix.import(&test_signing(SECOND, 1))?;
    says("on")?;
    prefix.import(&test_signing(FIRST, 0))?;
    says(&format!("off in the boot entry {FIRST}"))?;
    prefix.import(&test_signing(FIRST, 1))?;
    says("on")
}

pub fn no_rollback(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    prefix.msiexec_ends(
        &["/i", &kit.trusted.path, "DISABLEROLLBACK=1"],
        exit::FAILURE,
    )?;
    let log = prefix.msi_log();
    ensure!(log.contains("WinPVNeedRollback. Return value 0"), "{log}");
    untouched(&prefix, &kit.trusted)
}

pub fn windows_7(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.template.prefix(Windows::Seven)?;
    let arguments = ["/i", &kit.trusted.path];
    let log = launch_refused(&prefix, &kit.trusted, &arguments)?;
    ensure!(log.contains("WINPVBUILD = 7601"), "{log}");
    told(&kit.trusted, "WINPVBUILD", "needs Windows 10 version 1607")
}

/// Runs msiexec, which a launch condition must end before anything is changed. Returns its log.
fn launch_refused(prefix: &Prefix, package: &Package, arguments: &[&str]) -> Result<String> {
    prefix.msiexec_ends(arguments, exit::FAILURE)?;
    let log = prefix.msi_log();
    ensure!(log.contains("LaunchConditions. Return value 0"), "{log}");
    untouched(prefix, package)?;
    ensure!(prefix.log().is_empty(), "the helper ran:\n{}", prefix.log());
    Ok(log)
}

/// Wine shows the message of a launch condition in a window only; it stands in the table.
fn told(package: &Package, condition: &str, message: &str) -> Result<()> {
    let msi = Msi::open(&winpv_msi::write(&package.content)?)?;
    let told = msi.rows("LaunchCondition").iter().any(|row| {
        text(row, "Condition").contains(condition) && text(row, "Description").contains(message)
    });
    ensure!(told, "no message for {condition}");
    Ok(())
}

/// A script that passes 0 for "no" means no: it is told how to say so, and nothing is switched on.
pub fn other_than_one(kit: &Kit<'_>) -> Result<()> {
    const PRODUCT: &str = r"HKLM\System\CurrentControlSet\Control\ProductOptions";
    let prefix = kit.ten()?;
    // Where accepting would make the difference.
    prefix.set(PRODUCT, "ProductType", "REG_SZ", "ServerNT")?;
    for property in [
        "WINPV_ACCEPT_ATTESTATION_ON_SERVER=0",
        "WINPV_FORCE=0",
        "WINPV_STAGEONLY=yes",
    ] {
        let (name, _) = property.split_once('=').unwrap_or_default();
        launch_refused(&prefix, &kit.trusted, &["/i", &kit.trusted.path, property])?;
        told(&kit.trusted, name, "It must be 1 for yes")?;
    }
    Ok(())
}

/// The processor is what Windows says of the machine, not of the program that asks.
pub fn emulated_platform(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    let arguments = ["/i", &kit.emulated.path];
    let log = launch_refused(&prefix, &kit.emulated, &arguments)?;
    let native = format!("WinPVNativeMachine = {}", Platform::X64.machine());
    ensure!(log.contains(&native), "no {native:?}:\n{log}");
    told(&kit.trusted, &native, "the MSI of WinPV for ARM64")
}

pub fn wrong_platform(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    prefix.msiexec_ends(&["/i", &windows_path(&kit.arm64)], exit::WRONG_PLATFORM)?;
    prefix.lacks(PROGRAM_FILES)
}
