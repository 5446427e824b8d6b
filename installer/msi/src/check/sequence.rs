//! The order of actions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Msi, number, text};

/// Standard actions that our sequences use (MS: "Standard Actions Reference").
const STANDARD: &[&str] = &[
    "AppSearch",
    "CostFinalize",
    "CostInitialize",
    "CreateFolders",
    "ExecuteAction",
    "FileCost",
    "FindRelatedProducts",
    "InstallAdminPackage",
    "InstallExecute",
    "InstallFiles",
    "InstallFinalize",
    "InstallInitialize",
    "InstallValidate",
    "LaunchConditions",
    "MigrateFeatureStates",
    "ProcessComponents",
    "PublishFeatures",
    "PublishProduct",
    "RegisterProduct",
    "RegisterUser",
    "RemoveExistingProducts",
    "RemoveFiles",
    "RemoveFolders",
    "ScheduleReboot",
    "UnpublishFeatures",
    "ValidateProductID",
];

/// Pairs that the pages of the actions demand: the first before the second (ICE27, ICE77, ICE84).
const ORDER: &[(&str, &str)] = &[
    ("FindRelatedProducts", "MigrateFeatureStates"),
    ("AppSearch", "LaunchConditions"),
    ("CostInitialize", "FileCost"),
    ("FileCost", "CostFinalize"),
    ("CostFinalize", "InstallValidate"),
    ("CostFinalize", "MigrateFeatureStates"),
    ("InstallValidate", "InstallInitialize"),
    ("InstallInitialize", "ProcessComponents"),
    ("ProcessComponents", "RemoveFiles"),
    ("RemoveFiles", "RemoveFolders"),
    ("RemoveFolders", "CreateFolders"),
    ("CreateFolders", "InstallFiles"),
    ("InstallFiles", "RegisterProduct"),
    ("PublishFeatures", "PublishProduct"),
    ("PublishProduct", "InstallExecute"),
    ("InstallExecute", "RemoveExistingProducts"),
    ("RemoveExistingProducts", "InstallFinalize"),
    ("InstallFinalize", "ScheduleReboot"),
];

const EXECUTE: &str = "InstallExecuteSequence";

/// Bits of CustomAction.Type.
const ROLLBACK: i32 = 256;
const COMMIT: i32 = 512;
const IN_SCRIPT: i32 = 1024;
const NO_IMPERSONATE: i32 = 2048;

pub fn check(msi: &Msi, problems: &mut Vec<String>) {
    let custom: BTreeMap<&str, i32> = msi
        .rows("CustomAction")
        .iter()
        .map(|row| (text(row, "Action"), number(row, "Type").unwrap_or(0)))
        .collect();
    for table in [
        EXECUTE,
        "InstallUISequence",
        "AdminExecuteSequence",
        "AdvtExecuteSequence",
    ] {
        let mut numbers = BTreeSet::new();
        for row in msi.rows(table) {
            let action = text(row, "Action");
            let at = number(row, "Sequence").unwrap_or(0);
            if at <= 0 || !numbers.insert(at) {
                problems.push(format!(
                    "{table}: {action} has number {at}, which is no number of its own (ICE82)"
                ));
            }
            if !custom.contains_key(action) && !STANDARD.contains(&action) {
                problems.push(format!("{table}: there is no action {action} (ICE27)"));
            }
        }
        order(msi, table, problems);
    }
    for table in [EXECUTE, "InstallUISequence"] {
        // What a launch condition reads must have been asked for.
        for action in custom.keys().filter(|action| finds(msi, action)) {
            let (at, conditions) = (
                position(msi, table, action),
                position(msi, table, "LaunchConditions"),
            );
            if at.is_none() || at >= conditions {
                problems.push(format!(
                    "{table}: {action} does not come before LaunchConditions"
                ));
            }
        }
    }
    for action in custom.keys() {
        if position(msi, EXECUTE, action).is_none() {
            problems.push(format!("custom action {action} never runs"));
        }
    }
    scripts(msi, &custom, problems);
    conditions(msi, problems);
    sources(msi, problems);
}

fn position(msi: &Msi, table: &str, action: &str) -> Option<i32> {
    msi.rows(table)
        .iter()
        .find(|row| text(row, "Action") == action)
        .and_then(|row| number(row, "Sequence"))
}

fn order(msi: &Msi, table: &str, problems: &mut Vec<String>) {
    for (first, second) in ORDER {
        let at = |action| position(msi, table, action);
        if let (Some(a), Some(b)) = (at(first), at(second))
            && a >= b
        {
            problems.push(format!(
                "{table}: {first} must come before {second} (ICE27)"
            ));
        }
    }
}

/// ICE77, ICE63 and what a transaction takes: what runs in the script lies in it, and its rollback before it.
fn scripts(msi: &Msi, custom: &BTreeMap<&str, i32>, problems: &mut Vec<String>) {
    let at = |action: &str| position(msi, EXECUTE, action);
    let (Some(start), Some(end)) = (at("InstallInitialize"), at("InstallFinalize")) else {
        problems.push(format!(
            "{EXECUTE} lacks InstallInitialize or InstallFinalize"
        ));
        return;
    };
    let rollback = custom
        .iter()
        .filter(|(_, kind)| *kind & ROLLBACK != 0)
        .filter_map(|(action, _)| at(action))
        .min();
    for (action, kind) in custom {
        let Some(here) = at(action) else { continue };
        let inside = start < here && here < end;
        if kind & IN_SCRIPT == 0 {
            if inside {
                problems.push(format!("{action} is immediate but lies in the script"));
            }
            continue;
        }
        if !inside {
            problems.push(format!(
                "{action} is deferred but lies outside the script (ICE77)"
            ));
        }
        if kind & NO_IMPERSONATE == 0 {
            problems.push(format!("{action} would run as the user, not as the system"));
        }
        if asks(msi, action) {
            // What it refuses must not have begun.
            if at("ProcessComponents").is_none_or(|first| first <= here) {
                problems.push(format!("{action} asks after something was changed"));
            }
            continue;
        }
        let changes = kind & (ROLLBACK | COMMIT) == 0;
        if changes && rollback.is_none_or(|rollback| rollback >= here) {
            problems.push(format!("{action} has no rollback action before it"));
        }
    }
    for needed in ["RemoveFiles", "InstallFiles"] {
        if at(needed).is_none() {
            problems.push(format!("{EXECUTE} lacks {needed}"));
        }
    }
    // A package is added from the installed files, and a removal is undone from them.
    for action in custom.keys() {
        let (files, first) = match *action {
            name if name.starts_with("WinPVRemove_") => ("RemoveFiles", true),
            name if name.starts_with("WinPVInstall_") => ("InstallFiles", false),
            _ => continue,
        };
        if (at(action) < at(files)) != first {
            problems.push(format!("{action} is on the wrong side of {files}"));
        }
    }
}

/// True if an action runs the helper's `check`, which changes nothing.
fn asks(msi: &Msi, action: &str) -> bool {
    msi.rows("CustomAction")
        .iter()
        .any(|row| text(row, "Action") == action && text(row, "Target").starts_with("check "))
}

/// True if an action asks for the machine's processor.
fn finds(msi: &Msi, action: &str) -> bool {
    msi.rows("CustomAction")
        .iter()
        .any(|row| text(row, "Action") == action && text(row, "Target") == "winpv_native")
}

/// ICE79: features that conditions name are there.
fn conditions(msi: &Msi, problems: &mut Vec<String>) {
    let features: BTreeSet<&str> = msi
        .rows("Feature")
        .iter()
        .map(|row| text(row, "Feature"))
        .collect();
    for row in msi.rows(EXECUTE) {
        let condition = text(row, "Condition");
        for (at, _) in condition.match_indices(['&', '!']) {
            let rest = &condition[at + 1..];
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
                .unwrap_or(rest.len());
            if !features.contains(&rest[..end]) {
                problems.push(format!(
                    "{}: there is no feature {:?} (ICE79)",
                    text(row, "Action"),
                    &rest[..end]
                ));
            }
        }
    }
}

/// ICE68 in part: an action that runs a Binary names one that is there.
fn sources(msi: &Msi, problems: &mut Vec<String>) {
    for row in msi.rows("CustomAction") {
        let basic = number(row, "Type").unwrap_or(0) & 0x3f;
        let source = text(row, "Source");
        let fine = match basic {
            1 | 2 => msi
                .rows("Binary")
                .iter()
                .any(|binary| text(binary, "Name") == source),
            19 => source.is_empty(),
            51 => !source.is_empty(),
            _ => false,
        };
        if !fine {
            problems.push(format!(
                "{}: type {basic} with source {source:?} (ICE68)",
                text(row, "Action")
            ));
        }
    }
}
