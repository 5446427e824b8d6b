//! The counts as a picture: a bar for each case, cut by routine, with the gate across.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::gates::GATES;
use crate::measure::{Measured, PHASES};

/// Colours of the routines, in their order; told apart without colour vision too.
const COLOURS: [&str; 3] = ["#0072b2", "#e69f00", "#009e73"];
const NAMES: [&str; 3] = ["HwStartIo", "interrupt", "DPC"];

const LEFT: f64 = 230.0;
const WIDTH: f64 = 560.0;
const ROW: f64 = 18.0;
const TOP: f64 = 60.0;

/// Writes the picture.
pub fn write(path: &Path, measured: &[Measured]) -> Result<()> {
    fs::write(path, svg(measured)?).with_context(|| format!("cannot write {}", path.display()))
}

fn svg(measured: &[Measured]) -> Result<String> {
    let gate = GATES.first().map_or(0.0, |gate| gate.most);
    let most = measured
        .iter()
        .map(|one| one.each(one.instructions()))
        .fold(gate, f64::max);
    let scale = WIDTH / most;
    let bottom = TOP + ROW * measured.len() as f64;
    let mut out = String::new();
    let (width, height) = (LEFT + WIDTH + 60.0, bottom + 30.0);
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">"#
    )?;
    writeln!(out, r#"<rect width="100%" height="100%" fill="white"/>"#)?;
    writeln!(
        out,
        r#"<text x="10" y="20" font-size="14">vioblk.sys: instructions for each 4 KiB request</text>"#
    )?;
    for (at, (name, colour)) in NAMES.iter().zip(COLOURS).enumerate() {
        let x = LEFT + 110.0 * at as f64;
        writeln!(
            out,
            r#"<rect x="{x}" y="34" width="10" height="10" fill="{colour}"/><text x="{}" y="43">{name}</text>"#,
            x + 14.0
        )?;
    }
    for (at, one) in measured.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        writeln!(
            out,
            r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#,
            LEFT - 6.0,
            y + 11.0,
            one.case
        )?;
        let mut x = LEFT;
        for ((_, phase), colour) in PHASES.iter().zip(COLOURS) {
            let instructions = one.phases.get(phase).map_or(0, |sums| sums.instructions);
            let part = one.each(instructions) * scale;
            writeln!(
                out,
                r#"<rect x="{x:.1}" y="{y}" width="{part:.1}" height="14" fill="{colour}"/>"#
            )?;
            x += part;
        }
        let total = one.each(one.instructions());
        writeln!(
            out,
            r#"<text x="{:.1}" y="{}">{total:.0}</text>"#,
            x + 4.0,
            y + 11.0
        )?;
    }
    let x = LEFT + gate * scale;
    writeln!(
        out,
        r#"<line x1="{x:.1}" y1="{}" x2="{x:.1}" y2="{bottom}" stroke="black" stroke-dasharray="4 3"/>"#,
        TOP - 6.0
    )?;
    writeln!(
        out,
        r#"<text x="{x:.1}" y="{}" text-anchor="middle">goal: {gate}</text>"#,
        bottom + 14.0
    )?;
    out.push_str("</svg>\n");
    Ok(out)
}
