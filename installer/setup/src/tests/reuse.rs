//! A published name that has become another package's: what was noted under it is not removed in its place.

use alloc::string::ToString;

use super::commands::{NEW, OLD, installed, installing, removing};
use super::fake::Fake;
use crate::engine::{begin, commit, install, rollback, uninstall};
use crate::record::{Installed, Pending, Step};
use crate::system::{System, Table};

const VIOSTOR: &str = r"D:\viostor\viostor.inf";

/// Somebody removes the package that has the lowest number, and virtio-win's gets that number and the boot disk.
fn replaced_by_hand(fake: &mut Fake) {
    fake.state.store.remove("oem5.inf").unwrap();
    fake.state.devices.clear();
    assert_eq!(fake.publish(VIOSTOR), "oem5.inf");
    fake.plug("viostor");
    fake.update_devices(VIOSTOR, false).unwrap();
}

fn is_untouched(fake: &Fake) {
    assert_eq!(fake.state.store["oem5.inf"], VIOSTOR, "{:?}", fake.log);
    assert_eq!(fake.state.devices["viostor"], ["oem5.inf"]);
    let told = "oem5.inf is another package now and is left alone";
    assert!(fake.logged(told), "{:?}", fake.log);
}

#[test]
fn uninstallation() {
    for end in [commit, rollback] {
        let mut fake = installed(&["vioblk"], OLD);
        replaced_by_hand(&mut fake);
        uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
        end(&mut fake, OLD).unwrap();
        is_untouched(&fake);
    }
    // Also where the log would name the package for pnputil.
    let mut fake = installed(&["vioblk"], OLD);
    replaced_by_hand(&mut fake);
    fake.boot.insert("vioblk".to_string());
    fake.state
        .devices
        .insert("vioblk".to_string(), ["oem9.inf".to_string()].into());
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(!fake.logged("pnputil"), "{:?}", fake.log);
    assert!(fake.state.records.is_empty());
}

#[test]
fn sweep() {
    let mut fake = installed(&["vioblk"], OLD);
    fake.restart_on_update = true;
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert_eq!(fake.names(Table::Superseded).unwrap(), ["oem5.inf"]);
    // Only staged, so that no device keeps it.
    fake.state.store.remove("oem5.inf").unwrap();
    fake.publish(VIOSTOR);
    fake.restart = false;
    begin(&mut fake, NEW).unwrap();
    assert_eq!(fake.state.store["oem5.inf"], VIOSTOR, "{:?}", fake.log);
    assert!(fake.logged("oem5.inf is another package now"));
    assert_eq!(fake.names(Table::Superseded).unwrap().len(), 0);
}

#[test]
fn roll_back() {
    let mut fake = Fake::new();
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    // The power went; it is rolled back later.
    replaced_by_hand(&mut fake);
    rollback(&mut fake, OLD).unwrap();
    is_untouched(&fake);
    assert!(fake.logged("vioblk: rolled back"));
    assert!(fake.state.records.is_empty());
}

#[test]
fn the_package_before_is_no_way_back_once_its_name_is_anothers() {
    for replaced in [false, true] {
        let mut fake = Fake::new();
        fake.plug("vioblk");
        fake.boot.insert("vioblk".to_string());
        install(&mut fake, &installing("vioblk", OLD)).unwrap();
        commit(&mut fake, OLD).unwrap();
        install(&mut fake, &installing("vioblk", NEW)).unwrap();
        if replaced {
            fake.state
                .store
                .insert("oem5.inf".to_string(), VIOSTOR.to_string());
        }
        rollback(&mut fake, NEW).unwrap();
        let stays = fake.published().contains(&"oem6.inf");
        assert_eq!(stays, replaced, "{:?}", fake.log);
    }
}

#[test]
fn an_upgrade_after_the_name_went_to_another() {
    let mut fake = installed(&["vioblk"], OLD);
    replaced_by_hand(&mut fake);
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    is_untouched(&fake);
    uninstall(&mut fake, &removing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
}

#[test]
fn our_own_newer_package_under_the_freed_name() {
    let mut fake = installed(&["vioblk"], OLD);
    fake.state.store.clear();
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
    assert_eq!(fake.names(Table::Superseded).unwrap().len(), 0);
    // Somebody removed ours and added the newer package by hand before the MSI came: it is not ours.
    let mut fake = installed(&["vioblk"], OLD);
    fake.state.store.clear();
    fake.publish(&installing("vioblk", NEW).inf);
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    uninstall(&mut fake, &removing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"], "{:?}", fake.log);
}

#[test]
fn a_replaced_package_that_is_installed_again() {
    let mut fake = installed(&["vioblk"], OLD);
    fake.restart_on_update = true;
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    uninstall(&mut fake, &removing("vioblk", NEW)).unwrap();
    commit(&mut fake, NEW).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"], "waits for the restart");
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    fake.restart = false;
    begin(&mut fake, OLD).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"], "{:?}", fake.log);
    // It came by us.
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.published().is_empty());
}

/// What the first builds noted, of which nobody can tell whose it is by now.
#[test]
fn names_without_content_are_left_alone() {
    let mut fake = installed(&["vioblk"], OLD);
    let text = fake.read(Table::Installed, "vioblk").unwrap().unwrap();
    let record = Installed::parse(&text).unwrap();
    let old = |record: &Installed| {
        let text = Installed {
            content: None,
            ..record.clone()
        }
        .to_text();
        text.trim_end_matches('|').to_string()
    };
    fake.write(Table::Installed, "vioblk", &old(&record))
        .unwrap();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
    assert!(fake.logged("pnputil /delete-driver oem5.inf /uninstall"));
    assert!(fake.state.records.is_empty());

    // A repair learns it, and the package is removed like any other.
    fake.write(Table::Installed, "vioblk", &old(&record))
        .unwrap();
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.published().is_empty());

    // Nor does a sweep or a rollback go by the name alone.
    let inf = installing("vioblk", OLD).inf;
    fake.publish(&inf);
    fake.write(Table::Superseded, "oem5.inf", "vioblk").unwrap();
    let note = Pending {
        step: Step::Added,
        published: "oem5.inf".to_string(),
        product: OLD.to_string(),
        version: "0.1.0.0".to_string(),
        inf,
        content: None,
        others: [].into(),
    };
    let text = note.to_text();
    fake.write(Table::Pending, "vioblk", text.trim_end_matches('|'))
        .unwrap();
    rollback(&mut fake, OLD).unwrap();
    begin(&mut fake, OLD).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"], "{:?}", fake.log);
    assert!(fake.state.records.is_empty());
}

#[test]
fn what_cannot_be_read_is_not_removed() {
    // Not even noted: the package that was added just now goes again.
    let mut fake = Fake::new();
    fake.unreadable = true;
    install(&mut fake, &installing("vioblk", OLD)).unwrap_err();
    assert!(fake.published().is_empty(), "{:?}", fake.log);

    let mut fake = installed(&["vioblk"], OLD);
    install(&mut fake, &installing("vioblk", NEW)).unwrap();
    fake.unreadable = true;
    rollback(&mut fake, NEW).unwrap_err();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    assert!(fake.logged("another version of WinPV has taken it over"));
    assert_eq!(fake.published(), ["oem5.inf", "oem6.inf"]);
    // It is undone once it can be.
    fake.unreadable = false;
    rollback(&mut fake, NEW).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"]);
    fake.unreadable = true;
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap_err();
    assert_eq!(fake.published(), ["oem5.inf"]);
}
