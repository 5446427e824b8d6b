//! The static rules on the packed drivers, and the proof that each rule can fail.

use anyhow::Result;

use super::{Context, Outcome};
use winpv::drivers::{Arch, DRIVERS};
use winpv::verify;

/// Every rule on every packed .sys; each rule must also refuse a .sys that was made to break it.
pub fn rules(context: &Context) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for driver in DRIVERS {
        for arch in Arch::ALL {
            let dir = context
                .dist
                .join("drivers")
                .join(driver.name)
                .join(arch.name());
            let sys = dir.join(format!("{}.sys", driver.name));
            let inf = dir.join(format!("{}.inf", driver.name));
            for row in verify::check(&sys, None)? {
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
