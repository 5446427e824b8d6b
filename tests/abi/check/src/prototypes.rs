//! Imports and callback types of nt-sys against prototypes.json and callbacks.json: count, widths, order, result, calling
//! convention.

use crate::ctype::{Passed, c, rust};
use crate::facts::{Facts, Signature};
use crate::source::{Function, Source, X86};
use crate::width::Width;
use syn::Type;

/// What is wrong with the callbacks and imports of nt-sys.
#[must_use]
pub fn check(source: &Source, facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    let checker = Checker { source, facts };
    for (name, function) in &source.callbacks {
        let mut complain = |what: String| wrong.push(format!("callback {name}: {what}"));
        match facts.callbacks.get(name) {
            None => complain("no measured callback of this name".to_owned()),
            Some(measured) => {
                checker.wide(function, &measured.params, &measured.ret, &mut complain);
                checker.narrow(function, measured, &mut complain);
            }
        }
    }
    for (name, import) in &source.imports {
        let mut complain = |what: String| wrong.push(format!("import {name}: {what}"));
        let function = &import.function;
        match facts.prototypes.get(name) {
            None => complain("no measured prototype of this name".to_owned()),
            Some(measured) if measured.inline => {
                complain("is inline in Microsoft's headers, not an export".to_owned())
            }
            Some(measured) => {
                checker.wide(function, &measured.params, &measured.ret, &mut complain)
            }
        }
        match (import.x86, facts.imports.get(name)) {
            (X86::Absent, _) => {}
            (X86::Decorated, _) => {
                complain("x86 needs import_name_type = \"undecorated\"".to_owned())
            }
            (X86::Undecorated, None) => {
                complain("does not exist on i686, so it must not be declared there".to_owned())
            }
            (X86::Undecorated, Some(measured)) => checker.narrow(function, measured, &mut complain),
        }
    }
    wrong
}

struct Checker<'a> {
    source: &'a Source,
    facts: &'a Facts,
}

impl Checker<'_> {
    /// The 64-bit declaration: kind and width of everything, in order.
    fn wide(
        &self,
        function: &Function,
        params: &[String],
        ret: &str,
        complain: &mut dyn FnMut(String),
    ) {
        if function.params.len() != params.len() {
            complain(format!(
                "{} parameters here, {} measured",
                function.params.len(),
                params.len()
            ));
        }
        for (index, (here, measured)) in function.params.iter().zip(params).enumerate() {
            let here = self.rust(Some(here), Width::Wide);
            let measured = c(measured, self.facts);
            if !agree(&here, &measured) {
                complain(format!(
                    "parameter {} is {here:?} here, measured {measured:?}",
                    index + 1
                ));
            }
        }
        let here = self.rust(function.ret.as_ref(), Width::Wide);
        let measured = c(ret, self.facts);
        if !agree(&here, &measured) {
            complain(format!("returns {here:?} here, measured {measured:?}"));
        }
    }

    /// i686: widths, and the calling convention, which differs there.
    fn narrow(&self, function: &Function, measured: &Signature, complain: &mut dyn FnMut(String)) {
        let expected = match (measured.x86.convention.as_str(), measured.variadic) {
            ("stdcall", false) => "system",
            ("cdecl", _) => "C",
            (other, _) => other,
        };
        if function.abi != expected {
            complain(format!(
                "extern {:?} here, but {} on i686",
                function.abi, measured.x86.convention
            ));
        }
        if function.variadic != measured.variadic {
            complain(format!(
                "variadic: {} here, {} measured",
                function.variadic, measured.variadic
            ));
        }
        let here: Vec<usize> = function
            .params
            .iter()
            .map(|kind| bytes(&self.rust(Some(kind), Width::Narrow), Width::Narrow))
            .collect();
        if here != measured.x86.param_bytes {
            complain(format!(
                "parameters of {here:?} bytes on i686, measured {:?}",
                measured.x86.param_bytes
            ));
        }
        let ret = bytes(
            &self.rust(function.ret.as_ref(), Width::Narrow),
            Width::Narrow,
        );
        if ret != measured.x86.ret_bytes {
            complain(format!(
                "returns {ret} bytes on i686, measured {}",
                measured.x86.ret_bytes
            ));
        }
    }

    fn rust(&self, kind: Option<&Type>, width: Width) -> Passed {
        kind.map_or(Passed::Void, |kind| {
            rust(kind, self.source, self.facts, width)
        })
    }
}

/// A pointer to a structure may be declared as a pointer to anything by either side; two named structures must be one.
fn agree(here: &Passed, measured: &Passed) -> bool {
    match (here, measured) {
        (Passed::Pointer(Some(here)), Passed::Pointer(Some(measured))) => here == measured,
        (Passed::Pointer(_), Passed::Pointer(_)) => true,
        (Passed::Unknown(_), _) | (_, Passed::Unknown(_)) => false,
        (here, measured) => here == measured,
    }
}

fn bytes(passed: &Passed, width: Width) -> usize {
    match passed {
        Passed::Void | Passed::Unknown(_) => 0,
        Passed::Pointer(_) => width.pointer(),
        Passed::Integer(bytes) | Passed::Aggregate(bytes) => *bytes,
    }
}
