//! The generated parts of docs/benchmarks-ring.md.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::Test;
use crate::measure::Measured;
use crate::table;

/// Writes both tables into the page.
pub fn write(path: &Path, measured: &[Measured]) -> Result<()> {
    let text = read(path)?;
    let text = replace(&text, "ours", &table::ours(measured))?;
    let text = replace(&text, "comparison", &table::comparison(measured))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The page says of our ring what the baseline says.
pub fn test(path: &Path, baseline: &[Measured]) -> Result<Test> {
    let text = read(path)?;
    let result = match part(&text, "ours") {
        Ok(found) if found == table::ours(baseline) => Ok(()),
        Ok(_) => Err(format!(
            "{} has other numbers: run `cargo xtask bench ring --bless`",
            path.display()
        )),
        Err(error) => Err(error.to_string()),
    };
    Ok(("the page shows the baseline".to_owned(), result))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("no page {}", path.display()))
}

/// Between which bytes a generated part lies.
fn bounds(text: &str, name: &str) -> Result<(usize, usize)> {
    let (start, end) = (
        format!("<!-- generated: {name} -->\n"),
        format!("<!-- end: {name} -->"),
    );
    let Some(from) = text.find(&start).map(|at| at + start.len()) else {
        bail!("the page has no line {start:?}");
    };
    let Some(to) = text[from..].find(&end) else {
        bail!("the page has no line {end:?}");
    };
    Ok((from, from + to))
}

fn part<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let (from, to) = bounds(text, name)?;
    Ok(&text[from..to])
}

fn replace(text: &str, name: &str, with: &str) -> Result<String> {
    let (from, to) = bounds(text, name)?;
    Ok(format!("{}{with}{}", &text[..from], &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::{part, replace};

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let page = "a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb\n";
        let new = replace(page, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- generated: x -->\nnew\n<!-- end: x -->\nb\n");
        assert_eq!(part(&new, "x").unwrap(), "new\n");
        assert!(part(page, "y").is_err());
    }
}
