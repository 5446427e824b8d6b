//! Every rule, broken once: a check that cannot fail checks nothing.

use std::io::{Cursor, Write};

use msi::{Delete, Expr, Insert, Package, Update, Value};

use super::check;
use crate::tests::{content, image};
use crate::{Platform, write};

type Database = Package<Cursor<Vec<u8>>>;

/// The complaints about the toy MSI after a change.
fn complaints(change: impl FnOnce(&mut Database)) -> Vec<String> {
    let bytes = write(&content(Platform::X64)).unwrap();
    let mut package = Package::open(Cursor::new(bytes)).unwrap();
    change(&mut package);
    check(&package.into_inner().unwrap().into_inner()).unwrap()
}

fn broken(change: impl FnOnce(&mut Database), expected: &str) {
    let found = complaints(change);
    assert!(
        found.iter().any(|problem| problem.contains(expected)),
        "{expected:?} not in {found:?}"
    );
}

fn delete(table: &str, column: &str, value: &str) -> impl FnOnce(&mut Database) {
    let query = Delete::from(table).with(Expr::col(column).eq(Expr::string(value)));
    |package| package.delete_rows(query).unwrap()
}

fn update(
    table: &str,
    (column, value): (&str, &str),
    (set, to): (&str, Value),
) -> impl FnOnce(&mut Database) {
    let query = Update::table(table)
        .set(set, to)
        .with(Expr::col(column).eq(Expr::string(value)));
    |package| package.update_rows(query).unwrap()
}

fn property(name: &'static str, value: &'static str) -> impl FnOnce(&mut Database) {
    update(
        "Property",
        ("Property", name),
        ("Value", Value::from(value)),
    )
}

fn sequence(action: &'static str, number: i32) -> impl FnOnce(&mut Database) {
    update(
        "InstallExecuteSequence",
        ("Action", action),
        ("Sequence", Value::Int(number)),
    )
}

fn kind(action: &'static str, kind: i32) -> impl FnOnce(&mut Database) {
    update(
        "CustomAction",
        ("Action", action),
        ("Type", Value::Int(kind)),
    )
}

#[test]
fn unchanged_is_fine() {
    assert_eq!(complaints(|_| {}), Vec::<String>::new());
}

#[test]
fn references_resolve() {
    broken(
        delete("Directory", "Directory", "dir_toyblk"),
        "Component.Directory_",
    );
    broken(
        delete("Feature", "Feature", "toynet"),
        "FeatureComponents.Feature_",
    );
    broken(
        delete("Component", "Component", "cmp_toyblk"),
        "File.Component_",
    );
    broken(
        delete("File", "File", "toyblk_toyblk.inf"),
        "MsiFileHash.File_",
    );
    broken(
        |package| package.delete_rows(Delete::from("_Validation")).unwrap(),
        "ICE01",
    );
}

#[test]
fn properties_are_sound() {
    broken(
        property("ProductCode", "{d2a8b1b6-0e0c-4f0b-9e0b-6c5c3b5e7a10}"),
        "ProductCode",
    );
    broken(property("UpgradeCode", "none"), "UpgradeCode");
    broken(
        property("UpgradeCode", "{00000000-0E0C-4F0B-9E0B-6C5C3B5E7A10}"),
        "another product",
    );
    broken(
        delete("Property", "Property", "Manufacturer"),
        "Manufacturer",
    );
    broken(property("ProductVersion", "256.0.0.0"), "ProductVersion");
    broken(property("ProductVersion", "1.x"), "ProductVersion");
    broken(property("ALLUSERS", "2"), "ALLUSERS");
    broken(property("REINSTALLMODE", "omus"), "another build");
    broken(property("SecureCustomProperties", "NEWERFOUND"), "ICE61");
    broken(
        property("SecureCustomProperties", "OLDERFOUND;NEWERFOUND;private"),
        "ICE74",
    );
    broken(property("ARPPRODUCTICON", "none.ico"), "ARPPRODUCTICON");
}

#[test]
fn components_are_sound() {
    let component =
        |set: &'static str, to: Value| update("Component", ("Component", "cmp_toynet"), (set, to));
    broken(component("Attributes", Value::Int(0)), "ICE80");
    broken(
        component("KeyPath", Value::from("toyblk_toyblk.inf")),
        "ICE18",
    );
    broken(component("KeyPath", Value::Null), "ICE18");
    broken(component("ComponentId", Value::Null), "ICE08");
    broken(
        delete("FeatureComponents", "Component_", "cmp_toynet"),
        "ICE21",
    );
    broken(
        delete("FeatureComponents", "Component_", "cmp_toynet"),
        "feature toynet",
    );
}

#[test]
fn drivers_are_not_advertised() {
    broken(
        update(
            "Feature",
            ("Feature", "toynet"),
            ("Attributes", Value::Int(0)),
        ),
        "feature toynet may be advertised",
    );
}

#[test]
fn folders_lead_to_the_root() {
    broken(
        update(
            "Directory",
            ("Directory", "WinPVFolder"),
            ("Directory_Parent", Value::from("INSTALLDIR")),
        ),
        "does not lead to TARGETDIR",
    );
}

#[test]
fn summary_fits_the_platform() {
    broken(
        |package| package.summary_info_mut().set_arch("Intel"),
        "ICE39",
    );
    broken(
        |package| package.summary_info_mut().set_page_count(100),
        "page count",
    );
    broken(
        |package| package.summary_info_mut().set_arch("Arm64"),
        "page count",
    );
    broken(
        |package| package.summary_info_mut().set_arch("Arm64"),
        "is for machine 0x8664",
    );
    broken(
        |package| package.summary_info_mut().set_word_count(0),
        "word count",
    );
    broken(
        |package| package.summary_info_mut().clear_uuid(),
        "package code",
    );
    broken(
        |package| package.summary_info_mut().clear_languages(),
        "language",
    );
}

#[test]
fn actions_stand_in_order() {
    broken(sequence("WinPVBegin", 3300), "ICE82");
    broken(
        sequence("AppSearch", 150),
        "AppSearch must come before LaunchConditions",
    );
    broken(
        sequence("RemoveExistingProducts", 1450),
        "InstallExecute must come before",
    );
    broken(sequence("WinPVBegin", 1450), "outside the script");
    broken(
        sequence("WinPVJudge", 1700),
        "WinPVJudge asks after something was changed",
    );
    broken(sequence("WinPVJudge", 1450), "outside the script");
    broken(
        sequence("WinPVCheck", 1700),
        "immediate but lies in the script",
    );
    broken(
        sequence("WinPVRollback", 5000),
        "no rollback action before it",
    );
    broken(
        delete("CustomAction", "Action", "WinPVRollback"),
        "no rollback action before it",
    );
    broken(
        sequence("WinPVRemove_toynet", 3600),
        "wrong side of RemoveFiles",
    );
    broken(
        sequence("WinPVInstall_toynet", 3900),
        "wrong side of InstallFiles",
    );
    broken(
        delete("InstallExecuteSequence", "Action", "InstallFiles"),
        "lacks InstallFiles",
    );
    broken(
        delete("InstallExecuteSequence", "Action", "InstallFinalize"),
        "InstallFinalize",
    );
    broken(
        delete("InstallExecuteSequence", "Action", "WinPVCommit"),
        "WinPVCommit never runs",
    );
    broken(kind("WinPVBegin", 2 + 1024), "as the user");
    broken(kind("WinPVBegin", 18 + 1024 + 2048), "ICE68");
    broken(delete("Binary", "Name", "setup"), "ICE68");
    broken(
        update(
            "InstallExecuteSequence",
            ("Action", "WinPVInstall_toynet"),
            ("Condition", Value::from("&toyscsi>=3")),
        ),
        "ICE79",
    );
    broken(
        |package| {
            let row = vec![Value::from("MakeCoffee"), Value::Null, Value::Int(1234)];
            package
                .insert_rows(Insert::into("InstallUISequence").row(row))
                .unwrap();
        },
        "no action MakeCoffee",
    );
}

#[test]
fn launch_conditions_keep_out_what_does_not_fit() {
    let condition = |from: &'static str, to: &'static str| {
        update(
            "LaunchCondition",
            ("Condition", from),
            ("Condition", Value::from(to)),
        )
    };
    let native = "Installed OR NOT WinPVNativeMachine OR WinPVNativeMachine = 34404";
    broken(
        condition(
            native,
            "Installed OR NOT WinPVNativeMachine OR WinPVNativeMachine = 43620",
        ),
        "no launch condition names the template's processor",
    );
    broken(
        delete("LaunchCondition", "Condition", native),
        "no launch condition names the template's processor",
    );
    let force = "NOT WINPV_FORCE OR WINPV_FORCE = \"1\"";
    broken(
        delete("LaunchCondition", "Condition", force),
        "no launch condition refuses WINPV_FORCE",
    );
    broken(
        update(
            "InstallExecuteSequence",
            ("Action", "WinPVSetForceOption"),
            ("Condition", Value::from("WINPV_FORCE")),
        ),
        "holds for other values of WINPV_FORCE than 1",
    );
    broken(
        sequence("WinPVNative", 150),
        "WinPVNative does not come before LaunchConditions",
    );
    broken(
        delete("InstallUISequence", "Action", "WinPVNative"),
        "InstallUISequence: WinPVNative does not come before",
    );
}

#[test]
fn payload_is_what_the_tables_say() {
    let file =
        |set: &'static str, to: Value| update("File", ("File", "toyblk_toyblk.sys"), (set, to));
    broken(file("FileSize", Value::Int(7)), "size is not");
    broken(file("Version", Value::from("9.9.9.9")), "VERSIONINFO");
    broken(file("Version", Value::Null), "ICE60");
    broken(file("Sequence", Value::Int(9)), "without gaps");
    broken(
        update(
            "MsiFileHash",
            ("File_", "toynet_toynet.inf"),
            ("HashPart2", Value::Int(1)),
        ),
        "toynet_toynet.inf: the hash",
    );
    broken(
        delete("MsiFileHash", "File_", "toynet_toynet.cat"),
        "toynet_toynet.cat: the hash",
    );
    broken(
        |package| {
            let query = Update::table("Media").set("LastSequence", Value::Int(3));
            package.update_rows(query).unwrap();
        },
        "LastSequence",
    );
    broken(
        |package| {
            let bytes = image(Platform::Arm64, [1, 2, 3, 0]);
            let mut stream = package.write_stream("Binary.setup").unwrap();
            stream.write_all(&bytes).unwrap();
        },
        "Binary setup is for machine 0xaa64",
    );
    broken(
        |package| {
            let mut stream = package.write_stream("Icon.winpv.ico").unwrap();
            stream.write_all(b"GIF8").unwrap();
        },
        "no icon",
    );
}
