//! The rates as a picture: a bar for each client, its middle round, with a line from the slowest to the fastest.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::bench::{MEDIA, Row, Who};

/// Colours of the clients, in their order; told apart without colour vision too.
const COLOURS: [&str; 3] = ["#d55e00", "#0072b2", "#56b4e9"];

const LEFT: f64 = 150.0;
const WIDTH: f64 = 520.0;
const BAR: f64 = 11.0;
const GAP: f64 = 8.0;

/// Writes the picture.
pub fn write(path: &Path, rows: &[Row]) -> Result<()> {
    fs::write(path, svg(rows)?).with_context(|| format!("cannot write {}", path.display()))
}

fn svg(rows: &[Row]) -> Result<String> {
    let mut body = String::new();
    let mut y = 56.0;
    for medium in MEDIA {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.medium == medium).collect();
        // Each disk has a scale of its own.
        let most = rows
            .iter()
            .map(|row| row.spread(|one| one.iops)[2])
            .fold(1.0, f64::max);
        y += 22.0;
        writeln!(
            body,
            r#"<text x="10" y="{y}" font-size="12" font-weight="bold">{medium}: thousand requests in a second</text>"#
        )?;
        y += 10.0;
        for row in rows {
            let Some(place) = Who::ALL.iter().position(|who| *who == row.who) else {
                continue;
            };
            if place == 0 {
                y += GAP;
                writeln!(
                    body,
                    r#"<text x="{}" y="{}" text-anchor="end">{} queues, {} in flight</text>"#,
                    LEFT - 6.0,
                    y + 2.0 * BAR - 2.0,
                    row.queues,
                    row.depth
                )?;
            }
            bar(
                &mut body,
                row.spread(|one| one.iops),
                most,
                y,
                COLOURS[place],
            )?;
            y += BAR;
        }
    }
    let (width, height) = (LEFT + WIDTH + 60.0, y + 16.0);
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="white"/>
<text x="10" y="20" font-size="14">Random 4 KiB requests on one qemu-storage-daemon</text>
"#
    );
    for (at, (who, colour)) in Who::ALL.iter().zip(COLOURS).enumerate() {
        let x = LEFT + 170.0 * at as f64;
        writeln!(
            out,
            r#"<rect x="{x}" y="34" width="10" height="10" fill="{colour}"/><text x="{}" y="43">{}</text>"#,
            x + 14.0,
            who.words()
        )?;
    }
    out.push_str(&body);
    out.push_str("</svg>\n");
    Ok(out)
}

fn bar(out: &mut String, spread: [f64; 3], most: f64, y: f64, colour: &str) -> Result<()> {
    let [from, to, end] = spread.map(|iops| LEFT + iops / most * WIDTH);
    let (middle, height) = (y + BAR / 2.0, BAR - 1.0);
    writeln!(
        out,
        r#"<rect x="{LEFT}" y="{y}" width="{:.1}" height="{height}" fill="{colour}"/>"#,
        to - LEFT
    )?;
    writeln!(
        out,
        r#"<line x1="{from:.1}" y1="{middle}" x2="{end:.1}" y2="{middle}" stroke="black"/>"#
    )?;
    writeln!(
        out,
        r#"<text x="{:.1}" y="{}">{:.0}</text>"#,
        end + 4.0,
        y + BAR - 2.0,
        spread[1] / 1e3
    )?;
    Ok(())
}
