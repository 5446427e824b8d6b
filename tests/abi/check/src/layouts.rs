//! The rows of nt-sys's layout assertions against layouts.json.

use crate::facts::{Facts, Layout};
use crate::source::Source;
use std::collections::BTreeMap;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitInt, Token, braced};

mod keyword {
    syn::custom_keyword!(only64);
    syn::custom_keyword!(within);
}

/// Offset and size of a member.
pub type Place = (usize, usize);

/// One `layout!` assertion.
#[derive(Debug)]
pub struct Rows {
    /// The type.
    pub name: String,
    /// Size and alignment on 64 bits.
    pub wide: (usize, usize),
    /// Size and alignment on i686.
    pub narrow: (usize, usize),
    /// Members on 64 bits and, where they exist there, on i686.
    pub fields: BTreeMap<String, (Place, Option<Place>)>,
    /// Parts or other names of a member: their own name, then the member's.
    pub within: BTreeMap<String, String>,
}

impl Parse for Rows {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let number = |input: ParseStream<'_>| input.parse::<LitInt>()?.base10_parse::<usize>();
        let pair = |input: ParseStream<'_>, slash: bool| {
            let first = number(input)?;
            if slash {
                input.parse::<Token![/]>()?;
            } else {
                input.parse::<Token![+]>()?;
            }
            Ok::<_, syn::Error>((first, number(input)?))
        };
        let name = input.parse::<Ident>()?.to_string();
        input.parse::<Token![:]>()?;
        let wide = pair(input, true)?;
        input.parse::<Token![,]>()?;
        let narrow = pair(input, true)?;
        let mut rows = Self {
            name,
            wide,
            narrow,
            fields: BTreeMap::new(),
            within: BTreeMap::new(),
        };
        let body;
        braced!(body in input);
        while !body.is_empty() {
            let field = body.parse::<Ident>()?.to_string();
            body.parse::<Token![:]>()?;
            let wide = pair(&body, false)?;
            body.parse::<Token![,]>()?;
            let narrow = pair(&body, false)?;
            body.parse::<Token![;]>()?;
            rows.fields.insert(field, (wide, Some(narrow)));
        }
        if input.peek(keyword::only64) {
            input.parse::<keyword::only64>()?;
            let body;
            braced!(body in input);
            while !body.is_empty() {
                let field = body.parse::<Ident>()?.to_string();
                body.parse::<Token![:]>()?;
                let wide = pair(&body, false)?;
                body.parse::<Token![;]>()?;
                rows.fields.insert(field, (wide, None));
            }
        }
        if input.peek(keyword::within) {
            input.parse::<keyword::within>()?;
            let body;
            braced!(body in input);
            while !body.is_empty() {
                let part = body.parse::<Ident>()?.to_string();
                body.parse::<Token![:]>()?;
                rows.within.insert(part, body.parse::<Ident>()?.to_string());
                body.parse::<Token![;]>()?;
            }
        }
        Ok(rows)
    }
}

/// What is wrong with the structures of nt-sys and their assertions.
#[must_use]
pub fn check(source: &Source, facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, item) in &source.structs {
        let Some(measured) = facts.layouts.get(name) else {
            continue;
        };
        let Some(rows) = source.layouts.get(name) else {
            wrong.push(format!(
                "{name}: measured, but no layout! assertion covers it"
            ));
            continue;
        };
        for (field, _) in &item.fields {
            if !rows.fields.contains_key(field) {
                wrong.push(format!(
                    "{name}.{field}: no row of layout! asserts its place"
                ));
            }
        }
        for (arch, wide) in [("x86_64", true), ("aarch64", true), ("i686", false)] {
            match measured.get(arch) {
                Some(layout) => one(rows, layout, wide, &mut |what| {
                    wrong.push(format!("{name} on {arch}: {what}"))
                }),
                None => wrong.push(format!("{name}: not measured on {arch}")),
            }
        }
    }
    for name in source
        .layouts
        .keys()
        .filter(|name| !source.structs.contains_key(*name))
    {
        wrong.push(format!("{name}: layout! names no structure"));
    }
    wrong
}

fn one(rows: &Rows, measured: &Layout, wide: bool, wrong: &mut dyn FnMut(String)) {
    let (size, align) = if wide { rows.wide } else { rows.narrow };
    if (size, align) != (measured.size, measured.align) {
        let Layout {
            size: real_size,
            align: real_align,
            ..
        } = measured;
        wrong(format!(
            "asserted {size} bytes aligned to {align}, measured {real_size} aligned to {real_align}"
        ));
    }
    let asserted = |field: &str| {
        let (wide_place, narrow_place) = rows.fields.get(field)?;
        if wide {
            Some(*wide_place)
        } else {
            *narrow_place
        }
    };
    for (field, place) in &measured.fields {
        // A dotted name is a member of a member, whose own type has its own assertion.
        let first = field.split('.').next().unwrap_or(field);
        let whole = rows.within.get(first).map_or(first, String::as_str);
        let Some((at, len)) = asserted(whole) else {
            wrong(format!("{field}: no row asserts it"));
            continue;
        };
        match place.as_slice() {
            [real_at, real_len] if whole == field => {
                if (at, len) != (*real_at, *real_len) {
                    wrong(format!(
                        "{field}: asserted {at} + {len}, measured {real_at} + {real_len}"
                    ));
                }
            }
            [real_at, rest @ ..] => {
                // Bit-fields are [byte, 0, bit, width], parts [offset, size].
                let real_len = match rest {
                    [_, bit, width] => (bit + width).div_ceil(8),
                    [len] => *len,
                    _ => 0,
                };
                if *real_at < at || real_at + real_len > at + len {
                    wrong(format!(
                        "{field}: measured at {real_at} + {real_len}, not inside {whole} at {at} + {len}"
                    ));
                }
            }
            [] => wrong(format!("{field}: measured without a place")),
        }
    }
    for field in rows.fields.keys() {
        // `Bits` is what stands for Microsoft's bit-fields, which `within` lists.
        let stands_for_parts = rows.within.values().any(|whole| whole == field);
        if asserted(field).is_some() && !measured.fields.contains_key(field) && !stands_for_parts {
            wrong(format!("{field}: asserted, but not measured"));
        }
    }
}
