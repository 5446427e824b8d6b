//! Rules about the text itself.

use super::Lint;
use crate::decode::Encoding;
use crate::{Pos, lex};

/// MS: general-syntax-rules-for-inf-files, INF Size Limits.
const MAX_FIELD: usize = 4096;
const MAX_SECTION_NAME: usize = 255;
/// MS: running-infverif-from-the-command-line.
const MAX_PATH: usize = 260;

pub(super) fn check(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    for problem in &inf.problems {
        let rule = if problem.kind == lex::Kind::OutsideSection {
            "INF007"
        } else {
            "INF001"
        };
        lint.report(
            rule,
            problem.at,
            problem.kind.to_string(),
            "correct the line; a semicolon starts a comment",
        );
    }
    encoding(lint);
    line_ends(lint);
    template(lint);
    lengths(lint);
}

fn encoding(lint: &mut Lint<'_>) {
    let text = &lint.inf().text;
    let first = lex::lines(&text.text)
        .enumerate()
        .find_map(|(line, content)| {
            let column = content.chars().position(|c| !c.is_ascii())?;
            Some(Pos {
                line: u32::try_from(line + 1).ok()?,
                column: u32::try_from(column + 1).ok()?,
            })
        });
    match text.encoding {
        Encoding::Utf8 | Encoding::Utf16Be => lint.report(
            "INF002",
            first.unwrap_or(Pos::START),
            format!("the file is {:?}", text.encoding),
            "save it as UTF-16 LE with a byte order mark, or use ASCII only",
        ),
        Encoding::Ansi => lint.report(
            "INF003",
            first.unwrap_or(Pos::START),
            "a character that depends on the machine's code page",
            "use ASCII only, or save the file as UTF-16 LE",
        ),
        Encoding::Ascii | Encoding::Utf16Le => {}
    }
}

fn line_ends(lint: &mut Lint<'_>) {
    let text = &lint.inf().text.text;
    let mut line = 1;
    let mut before = '\0';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let bare = (c == '\n' && before != '\r') || (c == '\r' && chars.peek() != Some(&'\n'));
        if bare {
            return lint.report(
                "INF004",
                Pos { line, column: 1 },
                "the line does not end with CR LF",
                "convert the file before its catalog is made, and mark *.inf as -text in .gitattributes",
            );
        }
        line += u32::from(c == '\n');
        before = c;
    }
}

/// Fields that a build step should have filled in.
fn template(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    for entry in inf.sections.iter().flat_map(|section| &section.entries) {
        for field in entry.key.iter().chain(&entry.values) {
            if let Some(name) = placeholder(&field.text) {
                lint.report(
                    "INF005",
                    field.at,
                    format!("{name} was not filled in"),
                    "run stampinf, or the step of your build that fills in the template",
                );
            }
        }
    }
}

/// A placeholder of stampinf, `$ARCH$`; the signature has dollar signs too, but with a blank between.
fn placeholder(text: &str) -> Option<&str> {
    let start = text.find('$')?;
    let length = text[start + 1..].find('$')?;
    let name = &text[start + 1..start + 1 + length];
    let word = !name.is_empty()
        && !name.eq_ignore_ascii_case("chicago")
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    word.then(|| &text[start..start + length + 2])
}

fn lengths(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    if lint.options.path_length >= MAX_PATH {
        lint.report(
            "INF006",
            Pos::START,
            format!(
                "the file's path has {} characters",
                lint.options.path_length
            ),
            format!("keep it under {MAX_PATH}"),
        );
    }
    for section in &inf.sections {
        if section.name.chars().count() > MAX_SECTION_NAME {
            lint.report(
                "INF006",
                section.start(),
                "the section's name is too long",
                format!("keep it at {MAX_SECTION_NAME} characters"),
            );
        }
        for field in section.entries.iter().flat_map(|entry| &entry.values) {
            let longest = field
                .text
                .chars()
                .count()
                .max(inf.text(field).chars().count());
            if longest >= MAX_FIELD {
                lint.report(
                    "INF006",
                    field.at,
                    format!("the value has {longest} characters"),
                    format!(
                        "keep it under {MAX_FIELD}, before and after string tokens are replaced"
                    ),
                );
            }
        }
    }
}
