//! Single fields of the device configuration that are lied about, each at each time that the driver reads it.

use anyhow::{Context, Result, bail, ensure};
use test_device::Field;
use test_device::inproc::{Lie, What};

use super::life::{self, Ground};
use super::plan::{Plan, parse};

/// A life in which every field is read, all features being offered: at the start, when the disk grows, at a restart, and after resets.
fn life() -> Result<Plan> {
    let more = "size-max=65536 physical-block-exp=3 min-io-size=8 opt-io-size=64 zoned=0";
    let mut plan = Plan::whole_life();
    plan.device.extend(parse(more));
    plan.lies = vec![Lie::parse("grow=2112@12")?];
    Ok(plan)
}

/// The plan `OFFSET:VALUE:N`: the N-th read of the field at OFFSET gives VALUE, which has as many hexadecimal digits as the field.
///
/// # Errors
/// It is none of that form.
pub fn plan(rest: &str) -> Result<Plan> {
    let parts: Vec<&str> = rest.split(':').collect();
    let [place, value, nth] = parts[..] else {
        bail!("field:OFFSET:VALUE:N");
    };
    let (place, nth) = (u64::from_str_radix(place, 16)?, nth.parse()?);
    ensure!(nth > 0, "reads are counted from 1");
    let mut plan = life()?;
    for at in (0..value.len()).step_by(2).rev() {
        let digits = value.get(at..at + 2);
        let digits = digits.context("a value has two digits a byte")?;
        let byte = u8::from_str_radix(digits, 16)?;
        let place = place + ((value.len() - at) / 2 - 1) as u64;
        plan.lies.push(Lie {
            what: What::Field(place, byte),
            at: nth,
            times: 1,
        });
    }
    Ok(plan)
}

/// The names of all of them, for each field that this driver reads, with the values 0, 1 and all ones.
///
/// # Errors
/// The driver does not live through the life without a lie.
pub fn names(sys: &[u8], ground: &mut Ground) -> Result<Vec<String>> {
    let found = life::run(&life()?, sys, ground);
    ensure!(
        found.wrong.is_empty(),
        "while nothing is lied about but the size: {}",
        found.wrong.join("\n")
    );
    Ok(lies(&found.fields))
}

fn lies(read: &[(Field, u64)]) -> Vec<String> {
    let mut names = Vec::new();
    for (Field { at, width }, count) in read {
        let digits = 2 * usize::from(*width);
        for value in [0, 1, u64::MAX >> (64 - 4 * digits)] {
            let value = format!("{value:0digits$x}");
            names.extend((1..=*count).map(|nth| format!("field:{at:x}:{value}:{nth}")));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_lied_about_byte_for_byte() {
        let field = Field { at: 8, width: 4 };
        let names = lies(&[(field, 2)]);
        assert_eq!(names.len(), 6);
        assert_eq!(names.last().unwrap(), "field:8:ffffffff:2");
        let plan = Plan::named("field:8:00000102:2").unwrap();
        let lies: Vec<String> = plan.lies.iter().map(ToString::to_string).collect();
        assert_eq!(
            lies,
            [
                "grow=2112@12",
                "field=8:2@2",
                "field=9:1@2",
                "field=a:0@2",
                "field=b:0@2"
            ]
        );
        for wrong in ["field:8:1", "field:8:123:1", "field:8:12:0", "field:x:12:1"] {
            assert!(Plan::named(wrong).is_err(), "{wrong}");
        }
    }
}
