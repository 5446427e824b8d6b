//! The generated parts of docs/benchmarks.md.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Replaces generated parts of the page, by name.
pub fn write(path: &Path, parts: &[(&str, String)]) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("no page {}", path.display()))?;
    let text = parts
        .iter()
        .try_fold(text, |text, (name, part)| replace(&text, name, part))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn replace(text: &str, name: &str, with: &str) -> Result<String> {
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
    Ok(format!("{}{with}{}", &text[..from], &text[from + to..]))
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let page = "a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb\n";
        let new = replace(page, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- generated: x -->\nnew\n<!-- end: x -->\nb\n");
        assert!(replace(page, "y", "").is_err());
    }
}
