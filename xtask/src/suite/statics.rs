//! The static rules on the packed drivers, and the proof that each rule can fail.

use anyhow::Result;

use super::{Context, Outcome};
use winpv::drivers::{self, Arch};
use winpv::verify;

/// Every rule on every packed .sys; each rule must also refuse a .sys that was made to break it.
pub fn rules(context: &Context) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for driver in drivers::packages() {
        for arch in Arch::ALL {
            let sys = context.dist.join(driver.file(arch, "sys"));
            let inf = context.dist.join(driver.file(arch, "inf"));
            for row in verify::check_image(&sys, None)? {
                // A rule that did not apply to our own driver has shown nothing.
                let result = if row.verdict == "pass" {
                    Ok(())
                } else {
                    Err(row.detail.join("\n"))
                };
                outcomes.push(Outcome {
                    name: format!("{} {arch} {}", driver.name, row.rule),
                    result,
                });
            }
            // The same driver under another name has the same places to break.
            if driver.name != driver.source {
                continue;
            }
            for (rule, result) in verify::mutations::prove(&sys, &inf)? {
                outcomes.push(Outcome {
                    name: format!("{} {arch} {rule} catches its mutation", driver.name),
                    result,
                });
            }
        }
    }
    Ok(outcomes)
}
