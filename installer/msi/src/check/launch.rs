//! The launch conditions: the processor, and what the user may choose.

use super::{Msi, text};
use crate::Platform;

pub fn check(msi: &Msi, problems: &mut Vec<String>) {
    let conditions: Vec<&str> = msi
        .rows("LaunchCondition")
        .iter()
        .map(|row| text(row, "Condition"))
        .collect();
    // The template alone does not keep an MSI for x64 from a machine that emulates x64.
    let platform = [Platform::X64, Platform::Arm64]
        .into_iter()
        .find(|platform| msi.template() == Some(platform.template()));
    let native = platform.map(|platform| format!("WinPVNativeMachine = {}", platform.machine()));
    if !native.is_some_and(|native| {
        conditions
            .iter()
            .any(|condition| condition.ends_with(&native))
    }) {
        problems.push("no launch condition names the template's processor".to_owned());
    }
    let secure = msi.property("SecureCustomProperties").unwrap_or_default();
    for name in secure.split(';').filter(|name| name.starts_with("WINPV_")) {
        let one = format!("NOT {name} OR {name} = \"1\"");
        if !conditions.contains(&one.as_str()) {
            problems.push(format!(
                "no launch condition refuses {name} with another value than 1"
            ));
        }
        // A condition that only asks whether a property is set takes 0 for yes.
        for row in msi.rows("InstallExecuteSequence") {
            let condition = text(row, "Condition");
            if condition.contains(name) && condition != format!("{name}=\"1\"") {
                problems.push(format!(
                    "{}: {condition:?} holds for other values of {name} than 1",
                    text(row, "Action")
                ));
            }
        }
    }
}
