//! The proof that each static rule can fail; that the packed drivers obey them is shown by `verify`. And the barriers of the
//! ARM64 driver, which no rule for every driver asks for.

mod barriers;

use anyhow::Result;

use super::{Context, Outcome};
use winpv::drivers::{self, Arch};
use winpv::verify;

/// Each rule must refuse a .sys that was made to break it.
pub fn rules(context: &Context) -> Result<Vec<Outcome>> {
    let mut outcomes = barriers::all(context)?;
    for driver in drivers::packages() {
        for arch in Arch::ALL {
            let sys = context.dist.join(driver.file(arch, "sys"));
            let inf = context.dist.join(driver.file(arch, "inf"));
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
