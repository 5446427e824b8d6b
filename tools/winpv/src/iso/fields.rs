//! What the texts of a medium take from the table of drivers.

use crate::drivers::Driver;
use crate::iso::layout::BOOT;
use crate::version::Version;

/// Columns before what README.txt says of a thing.
const INDENT: usize = 32;

/// Fills in the fields between @ signs.
pub fn fill(text: &str, version: Version, drivers: &[Driver]) -> String {
    let boot = drivers.iter().filter(|driver| driver.boot_start);
    let drvload: Vec<String> = boot
        .map(|driver| format!(r"drvload D:\{BOOT}\amd64\{}.inf", driver.name))
        .collect();
    let (mut folders, mut names, mut advice) = (Vec::new(), Vec::new(), Vec::new());
    for driver in drivers {
        if let Some(other) = driver.compatible {
            let folder = format!(r"{}\SYSTEM\PROCESSOR", other.folder);
            let pad = INDENT - 2;
            folders.push(format!("{folder:pad$}{} as {},", driver.name, other.name));
            names.push(format!("{} and {}", driver.name, other.name));
            advice.push(format!(
                "Take {} unless a tool asks for {}.",
                driver.name, other.name
            ));
        }
    }
    text.replace("@VERSION@", &version.to_string())
        .replace(
            "@DRVLOAD@",
            &drvload.join(&format!("\n{}", " ".repeat(INDENT))),
        )
        .replace("@COMPATIBLE@", &folders.join("\n  "))
        .replace("@NAMES@", &names.join(", "))
        .replace("@ADVICE@", &advice.join("\n"))
}
