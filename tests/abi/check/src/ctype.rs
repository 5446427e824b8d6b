//! C types as the facts spell them, and Rust types as nt-sys writes them, reduced to what a call passes.

use crate::facts::Facts;
use crate::source::{Source, last_name};
use crate::width::Width;
use syn::Type;

/// What one argument or result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Nothing.
    Void,
    /// A pointer, to a named structure if known.
    Pointer(Option<String>),
    /// An integer or enumeration of so many bytes.
    Integer(usize),
    /// A structure or union by value, of so many bytes.
    Aggregate(usize),
    /// A type that this checker does not know.
    Unknown(String),
}

/// Reads a C type of the facts (x86_64).
#[must_use]
pub fn c(text: &str, facts: &Facts) -> Passed {
    let text = text.trim();
    if text.contains("(*)") {
        return Passed::Pointer(None);
    }
    if let Some(target) = text.strip_suffix('*') {
        return Passed::Pointer(record(target));
    }
    match text.trim_start_matches("const ") {
        "void" => Passed::Void,
        "char" | "unsigned char" | "signed char" => Passed::Integer(1),
        "short" | "unsigned short" => Passed::Integer(2),
        "int" | "unsigned int" | "long" | "unsigned long" => Passed::Integer(4),
        "long long" | "unsigned long long" => Passed::Integer(8),
        other if other.starts_with("enum ") => Passed::Integer(4),
        other => match record(other)
            .and_then(|name| facts.layouts.get(&name)?.get("x86_64").map(|it| it.size))
        {
            Some(size) => Passed::Aggregate(size),
            None => Passed::Unknown(other.to_owned()),
        },
    }
}

/// The name of a structure or union without its tag and underscore.
fn record(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("const ");
    let name = text
        .strip_prefix("struct ")
        .or_else(|| text.strip_prefix("union "))?;
    let name = name.trim();
    (!name.contains('*')).then(|| name.strip_prefix('_').unwrap_or(name).to_owned())
}

/// Reads a type of nt-sys.
#[must_use]
pub fn rust(kind: &Type, source: &Source, facts: &Facts, width: Width) -> Passed {
    match kind {
        Type::Ptr(pointer) => Passed::Pointer(pointee(&pointer.elem, source)),
        Type::BareFn(_) => Passed::Pointer(None),
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else {
                return Passed::Unknown("a path".to_owned());
            };
            let name = last.ident.to_string();
            if name == "Option" {
                return optional(last, source);
            }
            named(&name, source, facts, width)
        }
        _ => Passed::Unknown("a type of another kind".to_owned()),
    }
}

/// `Option` of a function is a pointer that may be NULL; of anything else it has no C meaning.
fn optional(segment: &syn::PathSegment, source: &Source) -> Passed {
    if let syn::PathArguments::AngleBracketed(list) = &segment.arguments
        && let Some(syn::GenericArgument::Type(inner)) = list.args.first()
    {
        let function = matches!(inner, Type::BareFn(_))
            || last_name(inner).is_some_and(|name| source.callbacks.contains_key(&name));
        if function {
            return Passed::Pointer(None);
        }
    }
    Passed::Unknown("an Option of something other than a function".to_owned())
}

fn named(name: &str, source: &Source, facts: &Facts, width: Width) -> Passed {
    match name {
        "u8" | "i8" | "c_char" => Passed::Integer(1),
        "u16" | "i16" => Passed::Integer(2),
        "u32" | "i32" => Passed::Integer(4),
        "u64" | "i64" => Passed::Integer(8),
        "usize" | "isize" => Passed::Integer(width.pointer()),
        _ => {
            if let Some(alias) = source.aliases.get(name) {
                return rust(&alias.target, source, facts, width);
            }
            let size = facts
                .layouts
                .get(name)
                .and_then(|by_arch| by_arch.get(width.arch()))
                .map(|it| it.size);
            match size {
                Some(size) if source.structs.contains_key(name) => Passed::Aggregate(size),
                _ => Passed::Unknown(name.to_owned()),
            }
        }
    }
}

/// The structure that a Rust pointer points to; `None` for c_void, integers and pointers.
fn pointee(kind: &Type, source: &Source) -> Option<String> {
    let name = last_name(kind)?;
    match source.aliases.get(&name) {
        Some(alias) => pointee(&alias.target, source),
        None => source.structs.contains_key(&name).then_some(name),
    }
}
