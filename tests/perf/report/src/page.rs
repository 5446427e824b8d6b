//! A page of which some parts are generated: each stands between two comments that name it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Replaces generated parts of the page, by name.
///
/// # Errors
/// There is no such page or part, or it cannot be written.
pub fn write(path: &Path, parts: &[(&str, String)]) -> Result<()> {
    let text = parts
        .iter()
        .try_fold(read(path)?, |text, (name, part)| replace(&text, name, part))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A generated part of the page as it is.
///
/// # Errors
/// There is no such page or part.
pub fn part(path: &Path, name: &str) -> Result<String> {
    let text = read(path)?;
    let (from, to) = bounds(&text, name)?;
    Ok(text[from..to].to_owned())
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

fn replace(text: &str, name: &str, with: &str) -> Result<String> {
    let (from, to) = bounds(text, name)?;
    Ok(format!("{}{with}{}", &text[..from], &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::{bounds, replace};

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let page = "a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb\n";
        let new = replace(page, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- generated: x -->\nnew\n<!-- end: x -->\nb\n");
        let (from, to) = bounds(&new, "x").unwrap();
        assert_eq!(&new[from..to], "new\n");
        assert!(replace(page, "y", "").is_err());
    }
}
