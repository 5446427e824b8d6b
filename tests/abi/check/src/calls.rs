//! Calls of StorPort's two variadic imports against the argument lists of Microsoft's inline wrappers.
//!
//! The compiler checks nothing behind the `...`: this does, for the number of arguments.

use crate::facts::Facts;
use anyhow::{Context, Result};
use std::path::Path;
use syn::visit::Visit;
use syn::{Expr, ExprCall};

/// Codes that no wrapper of the measured headers uses, with their import and the number of arguments after the code: the device
/// extension is the first. MS: nf-storport-storportnotification; the last is what StorPortEtwEvent2 calls for Windows 8.1 to 10 1803,
/// which knows no channels. // storport.h
const DIRECT: [(&str, &str, usize); 4] = [
    ("StorPortNotification", "RequestComplete", 2),
    ("StorPortNotification", "BusChangeDetected", 2),
    ("StorPortNotification", "RequestTimerCall", 3),
    (
        "StorPortExtendedFunction",
        "ExtFunctionMiniportEtwEvent2",
        12,
    ),
];

/// One call.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The import.
    pub import: String,
    /// Its first argument.
    pub code: String,
    /// Arguments after the code.
    pub args: usize,
}

/// The calls in one source file.
///
/// # Errors
/// Text that is not Rust.
pub fn find(text: &str) -> Result<Vec<Call>> {
    struct Finder(Vec<Call>);
    impl<'ast> Visit<'ast> for Finder {
        fn visit_expr_call(&mut self, call: &'ast ExprCall) {
            if let Some(import) = name(&call.func)
                && (import == "StorPortNotification" || import == "StorPortExtendedFunction")
            {
                let code = call
                    .args
                    .first()
                    .and_then(name)
                    .unwrap_or_else(|| "not a plain name".to_owned());
                self.0.push(Call {
                    import,
                    code,
                    args: call.args.len().saturating_sub(1),
                });
            }
            syn::visit::visit_expr_call(self, call);
        }
    }
    let mut finder = Finder(Vec::new());
    finder.visit_file(&syn::parse_file(text)?);
    Ok(finder.0)
}

fn name(value: &Expr) -> Option<String> {
    match value {
        Expr::Path(path) => path
            .path
            .segments
            .last()
            .map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// The calls in every .rs file under `dir`.
///
/// # Errors
/// A file that cannot be read or parsed.
pub fn find_all(dir: &Path) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            calls.extend(find_all(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            calls.extend(find(&text).with_context(|| format!("in {}", path.display()))?);
        }
    }
    Ok(calls)
}

/// What is wrong with the calls.
#[must_use]
pub fn check(calls: &[Call], facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for Call { import, code, args } in calls {
        let wrapper = facts
            .wrappers
            .values()
            .find(|wrapper| &wrapper.code == code);
        let direct = DIRECT.iter().find(|(_, name, _)| name == code);
        let (through, expected) = match (wrapper, direct) {
            (Some(wrapper), _) => (wrapper.through.as_str(), wrapper.args.len()),
            (None, Some((through, _, count))) => (*through, *count),
            (None, None) => {
                wrong.push(format!(
                    "{import}({code}): no wrapper of Microsoft's uses this code"
                ));
                continue;
            }
        };
        if through != import {
            wrong.push(format!("{import}({code}): the code belongs to {through}"));
        }
        if expected != *args {
            wrong.push(format!(
                "{import}({code}): {args} arguments after the code, measured {expected}"
            ));
        }
    }
    wrong
}
