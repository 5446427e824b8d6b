//! What each command leaves behind.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::fake::Fake;
use crate::bcd::NextStart;
use crate::engine::{
    Command, Failure, Install, Uninstall, begin, commit, install, rollback, uninstall,
};
use crate::plan::Plan;
use crate::policy::{Candidate, Class, CodeIntegrity, SecureBoot};
use crate::record::Installed;
use crate::system::{System, Table};

pub const OLD: &str = "{OLD}";
pub const NEW: &str = "{NEW}";

pub fn installing(driver: &str, product: &str) -> Install {
    Install {
        driver: driver.to_string(),
        inf: format!(r"C:\Program Files\WinPV\{product}\{driver}.inf"),
        candidate: Candidate {
            class: Class::Test,
            boot_start: true,
            attestation_on_server: false,
        },
        product: product.to_string(),
        version: "0.1.0.0".to_string(),
        devices: [r"PCI\VEN_1AF4&DEV_1042".to_string()].into(),
        force: false,
        stage_only: false,
    }
}

pub fn removing(driver: &str, product: &str) -> Uninstall {
    Uninstall {
        driver: driver.to_string(),
        inf: installing(driver, product).inf,
        product: product.to_string(),
    }
}

/// What the MSI does for a first installation.
pub fn installed(drivers: &[&str], product: &str) -> Fake {
    let mut fake = Fake::new();
    begin(&mut fake, product).unwrap();
    for driver in drivers {
        install(&mut fake, &installing(driver, product)).unwrap();
    }
    commit(&mut fake, product).unwrap();
    fake
}

fn record(fake: &mut Fake, driver: &str) -> Option<Installed> {
    let text = fake.read(Table::Installed, driver).unwrap()?;
    Some(Installed::parse(&text).unwrap())
}

#[test]
fn install_adds_updates_and_notes() {
    let mut fake = Fake::new();
    fake.plug("vioblk");
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
    assert_eq!(fake.state.devices["vioblk"], ["oem5.inf"]);
    assert!(
        record(&mut fake, "vioblk").is_none(),
        "not before the commit"
    );
    commit(&mut fake, OLD).unwrap();
    let record = record(&mut fake, "vioblk").unwrap();
    assert!(record.added && record.product == OLD && record.published == "oem5.inf");
    assert_eq!(fake.names(Table::Pending).unwrap().len(), 0);
    assert!(fake.logged("added to the driver store as oem5.inf"));
    assert!(fake.logged("present devices that run on it: 1"));
}

#[test]
fn staging_leaves_devices_alone() {
    let mut fake = Fake::new();
    fake.plug("vioblk");
    let mut request = installing("vioblk", OLD);
    request.stage_only = true;
    install(&mut fake, &request).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
    assert!(fake.state.devices["vioblk"].is_empty());
}

#[test]
fn uninstall_removes_only_what_came_by_us() {
    let mut fake = installed(&["vioblk"], OLD);
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.published().is_empty());
    assert!(fake.state.records.is_empty());

    // Somebody used pnputil before WinPV was installed.
    let mut fake = Fake::new();
    fake.add_package(&installing("vioblk", OLD).inf).unwrap();
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
    assert!(fake.state.records.is_empty());
    assert!(fake.logged("it was in the driver store before WinPV"));
}

#[test]
fn uninstall_of_what_is_not_there_is_no_failure() {
    let mut fake = Fake::new();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    assert_eq!(fake.calls, 0);
    // Removed by hand meanwhile.
    let mut fake = installed(&["vioblk"], OLD);
    fake.state.store.clear();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.logged("oem5.inf is not in the driver store any more"));
    assert!(fake.state.records.is_empty());
}

#[test]
fn the_boot_driver_stays() {
    let mut fake = Fake::new();
    fake.plug("vioblk");
    fake.boot.insert("vioblk".to_string());
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    let before = fake.state.clone();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert_eq!(fake.state, before, "nothing may change");
    assert!(fake.logged("Windows may boot from it"));
    assert!(fake.logged("pnputil /delete-driver oem5.inf /uninstall"));
    // Without a device it may go.
    fake.state.devices.clear();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.published().is_empty());
}

#[test]
fn rollback_takes_no_driver_from_a_boot_device_without_another() {
    let mut fake = Fake::new();
    fake.plug("vioblk");
    fake.boot.insert("vioblk".to_string());
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    rollback(&mut fake, OLD).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
    assert!(fake.logged("oem5.inf stays; a device is installed with it"));

    // The package of the installation before is a way back.
    let mut fake = Fake::new();
    fake.plug("vioblk");
    fake.boot.insert("vioblk".to_string());
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    let before = fake.state.clone();
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    rollback(&mut fake, NEW).unwrap();
    assert_eq!(fake.state, before);
}

#[test]
fn upgrade_takes_over_in_place() {
    let mut fake = Fake::new();
    fake.plug("netkvm");
    install(&mut fake, &installing("netkvm", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    // The newer product installs; its transaction runs the older one's uninstallation.
    begin(&mut fake, NEW).unwrap();
    install(&mut fake, &installing("netkvm", NEW)).unwrap();
    begin(&mut fake, OLD).unwrap();
    uninstall(&mut fake, &removing("netkvm", OLD)).unwrap();
    assert!(fake.logged("another version of WinPV has taken it over"));
    assert_eq!(
        fake.state.devices["netkvm"],
        ["oem5.inf", "oem6.inf"],
        "never without a driver"
    );
    commit(&mut fake, OLD).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert_eq!(fake.published(), ["oem6.inf"], "the replaced package goes");
    assert_eq!(record(&mut fake, "netkvm").unwrap().product, NEW);
    // And the newer one goes as a whole.
    uninstall(&mut fake, &removing("netkvm", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert!(fake.published().is_empty());
}

#[test]
fn upgrade_drops_a_driver_that_is_not_wanted_any_more() {
    let mut fake = installed(&["netkvm", "vioblk"], OLD);
    begin(&mut fake, NEW).unwrap();
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    begin(&mut fake, OLD).unwrap();
    for driver in ["netkvm", "vioblk"] {
        uninstall(&mut fake, &removing(driver, OLD)).unwrap();
    }
    commit(&mut fake, OLD).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert_eq!(fake.published(), ["oem7.inf"]);
}

#[test]
fn the_replaced_package_outlives_a_needed_restart() {
    let mut fake = installed(&["vioblk"], OLD);
    fake.restart_on_update = true;
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert!(fake.restart, "the MSI ends with 3010");
    assert_eq!(fake.published(), ["oem5.inf", "oem6.inf"]);
    // Windows was restarted; the next run tidies up.
    fake.restart = false;
    begin(&mut fake, NEW).unwrap();
    assert_eq!(fake.published(), ["oem6.inf"]);
    assert_eq!(fake.names(Table::Superseded).unwrap().len(), 0);
}

#[test]
fn repair_keeps_ownership() {
    let mut fake = installed(&["vioblk"], OLD);
    begin(&mut fake, OLD).unwrap();
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    assert!(fake.logged("was in the driver store already"));
    commit(&mut fake, OLD).unwrap();
    assert!(record(&mut fake, "vioblk").unwrap().added);
    // A repair brings back what somebody removed by hand.
    fake.state.store.clear();
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
    assert!(record(&mut fake, "vioblk").unwrap().added);
}

#[test]
fn a_cut_off_run_is_taken_up() {
    let mut fake = Fake::new();
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    // No commit and no rollback: the power went. The product runs again.
    begin(&mut fake, OLD).unwrap();
    assert!(record(&mut fake, "vioblk").unwrap().added);
    assert!(fake.logged("cut off"));
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.published().is_empty());
}

#[test]
fn refusal_comes_before_any_change() {
    let fine = Fake::new().code_integrity;
    let states = [
        CodeIntegrity {
            test_signing: Some(false),
            ..fine.clone()
        },
        CodeIntegrity {
            test_signing: None,
            ..fine.clone()
        },
        CodeIntegrity {
            next_start: NextStart::Refuses("{A}".to_string()),
            ..fine.clone()
        },
        CodeIntegrity {
            next_start: NextStart::Unknown,
            ..fine.clone()
        },
        CodeIntegrity {
            secure_boot: SecureBoot::On,
            ..fine.clone()
        },
        CodeIntegrity {
            secure_boot: SecureBoot::Unknown,
            ..fine
        },
    ];
    let request = installing("vioblk", OLD);
    for state in states {
        for command in [
            Command::Check(request.candidate),
            Command::Install(request.clone()),
        ] {
            let mut fake = Fake::new();
            fake.code_integrity = state.clone();
            assert!(matches!(command.run(&mut fake), Err(Failure::Refused(_))));
            assert_eq!(fake.calls, 0);
            assert!(fake.logged("nothing was changed"), "{:?}", fake.log);
        }
    }
}

#[test]
fn another_processor_is_refused() {
    let mut request = installing("vioblk", OLD);
    request.candidate.boot_start = false;
    for command in [
        Command::Check(request.candidate),
        Command::Install(request.clone()),
    ] {
        let mut fake = Fake::new();
        fake.foreign = Some(0xAA64);
        assert!(matches!(command.run(&mut fake), Err(Failure::Refused(_))));
        assert_eq!(fake.calls, 0);
        assert!(fake.logged("another processor (0xaa64)"), "{:?}", fake.log);
        assert!(fake.logged("nothing was changed"), "{:?}", fake.log);
    }
    // What is there may go all the same.
    let mut fake = installed(&["vioblk"], OLD);
    fake.foreign = Some(0xAA64);
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.published().is_empty());
}

#[test]
fn attestation_on_a_server_has_to_be_accepted() {
    let mut fake = Fake::new();
    fake.code_integrity.server = Some(true);
    let mut request = installing("vioblk", OLD);
    request.candidate.class = Class::Attestation;
    let command = Command::Install(request.clone());
    assert!(matches!(command.run(&mut fake), Err(Failure::Refused(_))));
    assert_eq!(fake.calls, 0);
    assert!(fake.logged("WINPV_ACCEPT_ATTESTATION_ON_SERVER=1"));
    request.candidate.attestation_on_server = true;
    install(&mut fake, &request).unwrap();
    assert!(fake.logged("which Windows Server may not load"));
    assert_eq!(fake.published(), ["oem5.inf"]);
}

#[test]
fn the_check_says_what_it_read() {
    let mut fake = Fake::new();
    let candidate = installing("vioblk", OLD).candidate;
    Command::Check(candidate).run(&mut fake).unwrap();
    assert_eq!(
        fake.log,
        [
            "signature: test; test signing now on, at the next start on, Secure Boot off, Windows client"
        ]
    );
    assert_eq!(fake.calls, 0);
}

#[test]
fn a_package_may_change_its_name() {
    let mut fake = Fake::new();
    fake.rename_on_update = true;
    fake.plug("netkvm");
    install(&mut fake, &installing("netkvm", OLD)).unwrap();
    assert!(fake.logged("oem5.inf is oem6.inf now"));
    commit(&mut fake, OLD).unwrap();
    assert_eq!(record(&mut fake, "netkvm").unwrap().published, "oem6.inf");
    // A repair, committed or not, leaves it ours.
    for end in [commit, rollback] {
        install(&mut fake, &installing("netkvm", OLD)).unwrap();
        end(&mut fake, OLD).unwrap();
        let record = record(&mut fake, "netkvm").unwrap();
        assert!(record.added);
        assert_eq!(fake.published(), [record.published.as_str()]);
        assert_eq!(fake.names(Table::Superseded).unwrap().len(), 0);
    }
    // Rolling an uninstallation back gives it another one again.
    uninstall(&mut fake, &removing("netkvm", OLD)).unwrap();
    rollback(&mut fake, OLD).unwrap();
    let published = record(&mut fake, "netkvm").unwrap().published;
    assert_eq!(fake.published(), [published.as_str()]);
    assert_eq!(fake.state.devices["netkvm"], [published]);
    uninstall(&mut fake, &removing("netkvm", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.published().is_empty());
}

#[test]
fn a_package_without_a_name_is_not_noted() {
    for name in ["", r"C:\Windows\INF\oem1.inf", "oem1.sys"] {
        let mut fake = Fake::new();
        fake.publishes = Some(name.to_string());
        let command = Command::Install(installing("vioblk", OLD));
        assert!(matches!(
            command.run(&mut fake),
            Err(Failure::Unnamed(_, _))
        ));
        assert!(fake.logged("gave the package of"), "{:?}", fake.log);
        // The note of the attempt can be read, and a rollback and the next run get over it.
        rollback(&mut fake, OLD).unwrap();
        assert!(fake.logged("no package is known to have been added"));
        fake.publishes = None;
        begin(&mut fake, OLD).unwrap();
        install(&mut fake, &installing("vioblk", OLD)).unwrap();
    }
}

#[test]
fn damaged_records_stop_the_run() {
    let mut fake = installed(&["vioblk"], OLD);
    fake.write(Table::Installed, "vioblk", "rubbish").unwrap();
    let command = Command::Uninstall(removing("vioblk", OLD));
    assert!(matches!(command.run(&mut fake), Err(Failure::Damaged(_))));
    assert_eq!(fake.published(), ["oem5.inf"]);
    assert!(fake.logged("FAILED"));
}

#[test]
fn rollback_goes_on_after_a_failure() {
    let mut fake = Fake::new();
    for driver in ["netkvm", "vioblk"] {
        install(&mut fake, &installing(driver, OLD)).unwrap();
    }
    // vioblk, the later one, is undone first and fails.
    fake.fail_at = Some(fake.calls);
    assert!(rollback(&mut fake, OLD).is_err());
    assert_eq!(
        fake.published(),
        ["oem6.inf"],
        "netkvm was undone all the same"
    );
    assert!(fake.logged("vioblk: cannot be rolled back"));
}

#[test]
fn a_plan_changes_nothing() {
    let mut fake = Fake::new();
    fake.plug("vioblk");
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    let (before, calls) = (fake.state.clone(), fake.calls);
    let commands = [
        Command::Begin(NEW.to_string()),
        Command::Install(installing("vioblk", NEW)),
        Command::Uninstall(removing("vioblk", OLD)),
        Command::Commit(OLD.to_string()),
        Command::Rollback(OLD.to_string()),
    ];
    for command in commands {
        fake.log.clear();
        command.run(&mut Plan(&mut fake)).unwrap();
        assert!(
            fake.log.iter().all(|line| line.starts_with("plan: ")),
            "{:?}",
            fake.log
        );
    }
    assert_eq!(fake.state, before);
    assert_eq!(fake.calls, calls);
    let mut lines = Vec::new();
    Command::Install(installing("vioblk", NEW))
        .run(&mut Plan(&mut fake))
        .unwrap();
    lines.append(&mut fake.log);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("plan: would add ")),
        "{lines:?}"
    );
}
