//! The custom actions and the order of all actions.
//!
//! What changes drivers is done by winpv-setup.exe in deferred actions (MS: "Deferred Execution Custom Actions"), each with a
//! rollback; what decides is done by winpv-check.dll in immediate ones. Every action has an explicit number.

use msi::Value;

use crate::{Content, Driver, Row};

/// Bits of CustomAction.Type (MS: "Summary List of All Custom Action Types", "Custom Action In-Script Execution Options",
/// "Custom Action Return Processing Options").
mod kind {
    pub const DLL: i32 = 1;
    pub const EXE: i32 = 2;
    pub const ERROR: i32 = 19;
    pub const SET_PROPERTY: i32 = 51;
    pub const CONTINUE: i32 = 64;
    pub const ROLLBACK: i32 = 256;
    pub const COMMIT: i32 = 512;
    pub const IN_SCRIPT: i32 = 1024;
    pub const NO_IMPERSONATE: i32 = 2048;
    /// Runs as the system, in its turn.
    pub const DEFERRED: i32 = EXE + IN_SCRIPT + NO_IMPERSONATE;
}

/// Set by winpv-check.dll; lower-case letters make a property private, so that no command line can set it.
const REFUSAL: &str = "WinPVRefusal";
const RESTART: &str = "WinPVRestart";
/// The machine's own processor, as IsWow64Process2 says it.
pub const NATIVE_MACHINE: &str = "WinPVNativeMachine";
const STAGE_OPTION: &str = "WinPVStageOption";
const ACCEPT_OPTION: &str = "WinPVAcceptOption";
const FORCE_OPTION: &str = "WinPVForceOption";
/// The three together: the column for a command is short.
const OPTIONS: &str = "WinPVOptions";

/// What the user may choose: `1`, or nothing. The launch conditions refuse every other value.
pub const CHOICES: [&str; 3] = [ACCEPT_ATTESTATION, FORCE, STAGE_ONLY];
const ACCEPT_ATTESTATION: &str = "WINPV_ACCEPT_ATTESTATION_ON_SERVER";
const FORCE: &str = "WINPV_FORCE";
const STAGE_ONLY: &str = "WINPV_STAGEONLY";

/// Asks for the processor before the launch conditions, in the sequence with windows as well: a private property is not handed on.
const NATIVE: &str = "WinPVNative";
const NATIVE_AT: i32 = 60;

/// One custom action: where it stands, when it runs and what it is.
struct Action {
    name: String,
    condition: Option<String>,
    sequence: i32,
    kind: i32,
    source: Option<&'static str>,
    target: String,
    /// What the user sees while it runs.
    shown: Option<String>,
}

fn install_name(driver: &Driver) -> String {
    format!("WinPVInstall_{}", driver.name)
}

fn custom(content: &Content) -> Vec<Action> {
    let version = content.version_text();
    let setup = |name: &str, sequence, kind, target: &str| Action {
        name: name.to_owned(),
        condition: None,
        sequence,
        kind,
        source: Some("setup"),
        target: target.to_owned(),
        shown: None,
    };
    let immediate =
        |name: &str, condition: Option<String>, sequence, kind, source, target: &str| Action {
            name: name.to_owned(),
            condition,
            sequence,
            kind,
            source,
            target: target.to_owned(),
            shown: None,
        };
    let boot: Vec<String> = content
        .drivers
        .iter()
        .filter(|driver| driver.boot_start)
        .map(installs)
        .collect();
    let mut actions = vec![
        immediate(
            NATIVE,
            None,
            NATIVE_AT,
            kind::DLL,
            Some("check"),
            "winpv_native",
        ),
        immediate(
            "WinPVSetLocation",
            None,
            1010,
            kind::SET_PROPERTY,
            Some("ARPINSTALLLOCATION"),
            "[INSTALLDIR]",
        ),
        immediate(
            "WinPVSetStageOption",
            Some(format!("{STAGE_ONLY}=\"1\"")),
            1020,
            kind::SET_PROPERTY,
            Some(STAGE_OPTION),
            "--stage-only",
        ),
        immediate(
            "WinPVSetAcceptOption",
            Some(format!("{ACCEPT_ATTESTATION}=\"1\"")),
            1030,
            kind::SET_PROPERTY,
            Some(ACCEPT_OPTION),
            "--accept-attestation-on-server",
        ),
        immediate(
            "WinPVSetForceOption",
            Some(format!("{FORCE}=\"1\"")),
            1040,
            kind::SET_PROPERTY,
            Some(FORCE_OPTION),
            "--force",
        ),
        immediate(
            "WinPVSetOptions",
            None,
            1050,
            kind::SET_PROPERTY,
            Some(OPTIONS),
            &format!("[{ACCEPT_OPTION}] [{FORCE_OPTION}] [{STAGE_OPTION}]"),
        ),
        // MS: "Commit Custom Actions": neither they nor rollback actions run when rollback is disabled.
        immediate(
            "WinPVNeedRollback",
            Some("RollbackDisabled".to_owned()),
            1410,
            kind::ERROR,
            None,
            "WinPV changes drivers and does so only where a failed installation can be rolled back: remove DISABLEROLLBACK and the policy of that name.",
        ),
    ];
    if !boot.is_empty() {
        actions.push(immediate(
            "WinPVCheck",
            Some(boot.join(" OR ")),
            1420,
            kind::DLL,
            Some("check"),
            "winpv_check",
        ));
        actions.push(immediate(
            "WinPVRefuse",
            Some(REFUSAL.to_owned()),
            1430,
            kind::ERROR,
            None,
            &format!("[{REFUSAL}]"),
        ));
    }
    actions.push(setup(
        "WinPVRollback",
        3300,
        kind::DEFERRED + kind::ROLLBACK + kind::CONTINUE,
        "rollback --product [ProductCode]",
    ));
    actions.push(Action {
        shown: Some("Preparing drivers".to_owned()),
        ..setup(
            "WinPVBegin",
            3301,
            kind::DEFERRED,
            "begin --product [ProductCode]",
        )
    });
    if !boot.is_empty() {
        // The first action of the system: what it refuses, nothing has been changed for.
        actions.push(Action {
            condition: Some(boot.join(" OR ")),
            shown: Some("Checking whether Windows loads the drivers".to_owned()),
            ..setup(
                "WinPVJudge",
                1510,
                kind::DEFERRED,
                &format!(
                    "check --class {} --boot-start [{ACCEPT_OPTION}]",
                    content.signature
                ),
            )
        });
    }
    for (sequence, driver) in (3310..).zip(&content.drivers) {
        let name = &driver.name;
        actions.push(Action {
            condition: Some(format!("&{name}=2")),
            shown: Some(format!("Removing {}", driver.description)),
            ..setup(
                &format!("WinPVRemove_{name}"),
                sequence,
                kind::DEFERRED,
                &format!(
                    "uninstall --driver {name} --inf \"[dir_{name}]{name}.inf\" --product [ProductCode]"
                ),
            )
        });
    }
    for (sequence, driver) in (4010..).zip(&content.drivers) {
        let name = &driver.name;
        let boot = if driver.boot_start {
            " --boot-start"
        } else {
            ""
        };
        let devices = if driver.hardware_ids.is_empty() {
            String::new()
        } else {
            format!(" --devices {}", driver.hardware_ids.join(","))
        };
        actions.push(Action {
            condition: Some(installs(driver)),
            shown: Some(format!("Installing {}", driver.description)),
            ..setup(
                &install_name(driver),
                sequence,
                kind::DEFERRED,
                &format!(
                    "install --driver {name} --inf \"[dir_{name}]{name}.inf\" --class {}{boot}{devices} --product [ProductCode] --version {version} [{OPTIONS}]",
                    content.signature
                ),
            )
        });
    }
    actions.push(setup(
        "WinPVCommit",
        5990,
        kind::DEFERRED + kind::COMMIT + kind::CONTINUE,
        "commit --product [ProductCode]",
    ));
    actions.push(immediate(
        "WinPVRestart",
        None,
        6610,
        kind::DLL + kind::CONTINUE,
        Some("check"),
        "winpv_restart",
    ));
    actions
}

/// True if the driver's feature is installed or repaired (MS: "Conditional Statement Syntax", feature states): 3 is local, 4 from the
/// source, which `ADDSOURCE` says though the files are installed locally all the same (MS: "ADDSOURCE property").
fn installs(driver: &Driver) -> String {
    let name = &driver.name;
    format!("&{name}>=3 OR (REINSTALL AND !{name}>=3)")
}

/// CustomAction.
pub fn table(content: &Content) -> Vec<Row> {
    custom(content)
        .into_iter()
        .map(|action| {
            vec![
                Value::from(action.name),
                Value::Int(action.kind),
                action.source.map_or(Value::Null, Value::from),
                Value::from(action.target),
                Value::Null,
            ]
        })
        .collect()
}

/// ActionText: what a window shows while our actions run.
pub fn texts(content: &Content) -> Vec<Row> {
    custom(content)
        .into_iter()
        .filter_map(|action| {
            let shown = action.shown?;
            Some(vec![
                Value::from(action.name),
                Value::from(shown),
                Value::Null,
            ])
        })
        .collect()
}

fn row(name: &str, condition: Option<&str>, sequence: i32) -> Row {
    vec![
        Value::from(name),
        condition.map_or(Value::Null, Value::from),
        Value::Int(sequence),
    ]
}

/// InstallExecuteSequence (MS: "Suggested InstallExecuteSequence").
///
/// The older product goes after the newer one is in place and within its transaction (MS: "RemoveExistingProducts Action",
/// third place): drivers are then updated in place, and a failure leaves the older version as it was.
pub fn execute_sequence(content: &Content) -> Vec<Row> {
    let mut rows: Vec<Row> = [
        ("FindRelatedProducts", 25),
        ("AppSearch", 50),
        ("LaunchConditions", 100),
        ("ValidateProductID", 700),
        ("CostInitialize", 800),
        ("FileCost", 900),
        ("CostFinalize", 1000),
        ("MigrateFeatureStates", 1200),
        ("InstallValidate", 1400),
        ("InstallInitialize", 1500),
        ("ProcessComponents", 1600),
        ("UnpublishFeatures", 1800),
        ("RemoveFiles", 3500),
        ("RemoveFolders", 3600),
        ("CreateFolders", 3700),
        ("InstallFiles", 4000),
        ("RegisterUser", 6000),
        ("RegisterProduct", 6100),
        ("PublishFeatures", 6300),
        ("PublishProduct", 6400),
        ("InstallExecute", 6500),
        ("RemoveExistingProducts", 6550),
        ("InstallFinalize", 6600),
    ]
    .into_iter()
    .map(|(name, sequence)| row(name, None, sequence))
    .collect();
    rows.push(row("ScheduleReboot", Some(RESTART), 6620));
    rows.extend(
        custom(content)
            .iter()
            .map(|action| row(&action.name, action.condition.as_deref(), action.sequence)),
    );
    rows
}

/// InstallUISequence: what a double click runs first, without dialogs of our own.
pub fn ui_sequence() -> Vec<Row> {
    [
        ("FindRelatedProducts", 25),
        ("AppSearch", 50),
        ("LaunchConditions", 100),
        ("ValidateProductID", 700),
        ("CostInitialize", 800),
        ("FileCost", 900),
        ("CostFinalize", 1000),
        ("MigrateFeatureStates", 1200),
        ("ExecuteAction", 1300),
        (NATIVE, NATIVE_AT),
    ]
    .into_iter()
    .map(|(name, sequence)| row(name, None, sequence))
    .collect()
}

/// AdminExecuteSequence: `msiexec /a` unpacks the drivers and winpv-setup.exe.
pub fn admin_sequence() -> Vec<Row> {
    [
        ("CostInitialize", 800),
        ("FileCost", 900),
        ("CostFinalize", 1000),
        ("InstallValidate", 1400),
        ("InstallInitialize", 1500),
        ("InstallAdminPackage", 3900),
        ("InstallFiles", 4000),
        ("InstallFinalize", 6600),
    ]
    .into_iter()
    .map(|(name, sequence)| row(name, None, sequence))
    .collect()
}

/// AdvtExecuteSequence.
pub fn advertise_sequence() -> Vec<Row> {
    [
        ("CostInitialize", 800),
        ("CostFinalize", 1000),
        ("InstallValidate", 1400),
        ("InstallInitialize", 1500),
        ("PublishFeatures", 6300),
        ("PublishProduct", 6400),
        ("InstallFinalize", 6600),
    ]
    .into_iter()
    .map(|(name, sequence)| row(name, None, sequence))
    .collect()
}
