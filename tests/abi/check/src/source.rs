//! The items of nt-sys, taken from its source text.

use crate::layouts::Rows;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use syn::{Attribute, Expr, Fields, FnArg, ForeignItem, Item, Meta, Type};

/// What an item's documentation, or else its module's, says of where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// Header.
    pub source: Option<String>,
    /// First Windows version.
    pub since: Option<String>,
}

impl Marks {
    /// The source, for a listing.
    #[must_use]
    pub fn source(&self) -> &str {
        self.source.as_deref().unwrap_or("no source")
    }
}

/// A structure.
#[derive(Debug)]
pub struct Struct {
    /// Members, in order.
    pub fields: Vec<(String, Type)>,
    /// Where it comes from.
    pub marks: Marks,
}

/// A constant.
#[derive(Debug)]
pub struct Constant {
    /// Its type as written.
    pub type_name: String,
    /// Its value, if it is written as a number.
    pub value: Option<i64>,
    /// Where it comes from.
    pub marks: Marks,
}

/// A type alias that is not a callback.
#[derive(Debug)]
pub struct Alias {
    /// What it stands for.
    pub target: Type,
    /// Where it comes from.
    pub marks: Marks,
}

/// A callback type or an import.
#[derive(Debug)]
pub struct Function {
    /// The ABI string: "system" or "C".
    pub abi: String,
    /// Parameters, in order.
    pub params: Vec<Type>,
    /// Result; `None` for void and for never.
    pub ret: Option<Type>,
    /// Takes further arguments.
    pub variadic: bool,
    /// Where it comes from.
    pub marks: Marks,
}

/// An import.
#[derive(Debug)]
pub struct Import {
    /// Its declaration.
    pub function: Function,
    /// The DLL on 64-bit Windows.
    pub dll: String,
    /// Whether and how it exists on i686.
    pub x86: X86,
}

/// How an import exists on i686.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum X86 {
    /// Not declared there.
    Absent,
    /// Imported by its plain name, as the exports are spelled.
    Undecorated,
    /// Imported by a decorated name, which Windows does not export.
    Decorated,
}

/// Everything that nt-sys defines.
#[derive(Debug, Default)]
pub struct Source {
    /// Structures by name.
    pub structs: BTreeMap<String, Struct>,
    /// Constants by name; those of an impl block as well.
    pub constants: BTreeMap<String, Constant>,
    /// Aliases by name.
    pub aliases: BTreeMap<String, Alias>,
    /// Callback types by name.
    pub callbacks: BTreeMap<String, Function>,
    /// Imports by name.
    pub imports: BTreeMap<String, Import>,
    /// Rows of the layout assertions by type.
    pub layouts: BTreeMap<String, Rows>,
}

impl Source {
    /// Reads every .rs file under `dir`.
    ///
    /// # Errors
    /// A file that cannot be read or parsed, an item defined twice, or an item of a kind that no checker covers.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut source = Self::default();
        source.read_dir(dir)?;
        Ok(source)
    }

    fn read_dir(&mut self, dir: &Path) -> Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(dir)
            .with_context(|| format!("reading {}", dir.display()))?
            .collect::<std::io::Result<_>>()?;
        entries.sort_by_key(std::fs::DirEntry::path);
        for path in entries.iter().map(std::fs::DirEntry::path) {
            if path.is_dir() {
                self.read_dir(&path)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?;
                self.add(&text)
                    .with_context(|| format!("in {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Adds the items of one file.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn add(&mut self, text: &str) -> Result<()> {
        let file = syn::parse_file(text)?;
        let module = marks(&file.attrs, &Marks::default());
        for item in file.items {
            self.item(item, &module)?;
        }
        Ok(())
    }

    fn item(&mut self, item: Item, module: &Marks) -> Result<()> {
        match item {
            Item::Struct(item) => {
                let fields = match item.fields {
                    Fields::Named(fields) => fields.named,
                    _ => bail!("struct {} has no named members", item.ident),
                };
                let fields = fields
                    .into_iter()
                    .map(|field| {
                        (
                            field.ident.map(|name| name.to_string()).unwrap_or_default(),
                            field.ty,
                        )
                    })
                    .collect();
                let marks = marks(&item.attrs, module);
                insert(
                    &mut self.structs,
                    item.ident.to_string(),
                    Struct { fields, marks },
                )
            }
            Item::Const(item) if item.ident == "_" => Ok(()),
            Item::Const(item) => self.constant(
                item.ident.to_string(),
                &item.ty,
                &item.expr,
                marks(&item.attrs, module),
            ),
            Item::Impl(item) => {
                for part in item.items {
                    let syn::ImplItem::Const(part) = part else {
                        bail!("an impl block with more than constants")
                    };
                    self.constant(
                        part.ident.to_string(),
                        &part.ty,
                        &part.expr,
                        marks(&part.attrs, module),
                    )?;
                }
                Ok(())
            }
            Item::Type(item) => {
                let marks = marks(&item.attrs, module);
                let name = item.ident.to_string();
                match *item.ty {
                    Type::BareFn(pointer) => {
                        insert(&mut self.callbacks, name, callback(&pointer, marks))
                    }
                    target => insert(&mut self.aliases, name, Alias { target, marks }),
                }
            }
            Item::ForeignMod(block) => self.foreign(block, module),
            Item::Macro(item) if item.mac.path.is_ident("layout") => {
                let rows: Rows = syn::parse2(item.mac.tokens)?;
                insert(&mut self.layouts, rows.name.clone(), rows)
            }
            Item::Union(item) => bail!("union {}: no checker covers unions", item.ident),
            Item::Enum(item) => bail!(
                "enum {}: nt-sys has integers with constants instead",
                item.ident
            ),
            Item::Static(item) => bail!("static {}: nt-sys only declares", item.ident),
            // Helpers of the layout assertions, and modules.
            Item::Fn(_) | Item::Macro(_) | Item::Mod(_) | Item::Use(_) => Ok(()),
            _ => bail!("an item of a kind that no checker covers"),
        }
    }

    fn constant(&mut self, name: String, kind: &Type, value: &Expr, marks: Marks) -> Result<()> {
        let type_name = last_name(kind).unwrap_or_default();
        insert(
            &mut self.constants,
            name,
            Constant {
                type_name,
                value: evaluate(value),
                marks,
            },
        )
    }

    fn foreign(&mut self, block: syn::ItemForeignMod, module: &Marks) -> Result<()> {
        let abi = block
            .abi
            .name
            .map(|name| name.value())
            .unwrap_or_else(|| "C".to_owned());
        let Linkage { dll, x86 } = linkage(&block.attrs)?;
        for item in block.items {
            let ForeignItem::Fn(item) = item else {
                bail!("an import that is not a function")
            };
            let function = Function {
                abi: abi.clone(),
                params: item
                    .sig
                    .inputs
                    .iter()
                    .filter_map(|input| match input {
                        FnArg::Typed(typed) => Some((*typed.ty).clone()),
                        FnArg::Receiver(_) => None,
                    })
                    .collect(),
                ret: result(&item.sig.output),
                variadic: item.sig.variadic.is_some(),
                marks: marks(&item.attrs, module),
            };
            insert(
                &mut self.imports,
                item.sig.ident.to_string(),
                Import {
                    function,
                    dll: dll.clone(),
                    x86,
                },
            )?;
        }
        Ok(())
    }

    /// Every item with its marks.
    pub fn all_marks(&self) -> impl Iterator<Item = (&String, &Marks)> {
        let structs = self.structs.iter().map(|(name, item)| (name, &item.marks));
        let constants = self
            .constants
            .iter()
            .map(|(name, item)| (name, &item.marks));
        let aliases = self.aliases.iter().map(|(name, item)| (name, &item.marks));
        let callbacks = self
            .callbacks
            .iter()
            .map(|(name, item)| (name, &item.marks));
        let imports = self
            .imports
            .iter()
            .map(|(name, item)| (name, &item.function.marks));
        structs
            .chain(constants)
            .chain(aliases)
            .chain(callbacks)
            .chain(imports)
    }
}

fn insert<T>(map: &mut BTreeMap<String, T>, name: String, item: T) -> Result<()> {
    if map.contains_key(&name) {
        bail!("{name} is defined twice");
    }
    map.insert(name, item);
    Ok(())
}

fn callback(pointer: &syn::TypeBareFn, marks: Marks) -> Function {
    let abi = pointer
        .abi
        .as_ref()
        .and_then(|abi| abi.name.as_ref())
        .map(syn::LitStr::value);
    Function {
        abi: abi.unwrap_or_else(|| "Rust".to_owned()),
        params: pointer
            .inputs
            .iter()
            .map(|input| input.ty.clone())
            .collect(),
        ret: result(&pointer.output),
        variadic: pointer.variadic.is_some(),
        marks,
    }
}

fn result(output: &syn::ReturnType) -> Option<Type> {
    match output {
        syn::ReturnType::Type(_, kind) if !matches!(**kind, Type::Never(_)) => {
            Some((**kind).clone())
        }
        _ => None,
    }
}

/// The documentation's `source:` and `since:`, up to the next `;` or the end of the line.
fn marks(attributes: &[Attribute], inherited: &Marks) -> Marks {
    let mut found = inherited.clone();
    for attribute in attributes {
        let Meta::NameValue(pair) = &attribute.meta else {
            continue;
        };
        let Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) = &pair.value
        else {
            continue;
        };
        if !pair.path.is_ident("doc") {
            continue;
        }
        let text = text.value();
        for (mark, slot) in [("source:", &mut found.source), ("since:", &mut found.since)] {
            if let Some((_, rest)) = text.split_once(mark) {
                let value = rest.split(';').next().unwrap_or(rest).trim();
                let value = value.split(". ").next().unwrap_or(value);
                if !value.is_empty() {
                    *slot = Some(value.to_owned());
                }
            }
        }
    }
    found
}

struct Linkage {
    dll: String,
    x86: X86,
}

/// Reads the `link` attributes of an extern block.
fn linkage(attributes: &[Attribute]) -> Result<Linkage> {
    let text: Vec<String> = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::List(list) => Some(format!("{} {}", list.path.get_ident()?, list.tokens)),
            _ => None,
        })
        .collect();
    let without_x86 =
        |text: &str| text.starts_with("cfg ") && text.contains("not (target_arch = \"x86\")");
    let absent = text.iter().any(|text| without_x86(text));
    let links: Vec<&String> = text
        .iter()
        .filter(|text| text.starts_with("cfg_attr "))
        .collect();
    let mut dll = None;
    for link in &links {
        for wanted in [
            "windows",
            "kind = \"raw-dylib\"",
            "modifiers = \"+verbatim\"",
        ] {
            if !link.contains(wanted) {
                bail!("a link attribute without {wanted}");
            }
        }
        let name = link
            .split("name = \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let name = name.context("a link attribute without a name")?.to_owned();
        if dll.get_or_insert_with(|| name.clone()) != &name {
            bail!("an extern block with two DLLs");
        }
    }
    let undecorated = links.iter().any(|link| {
        !link.contains("not (target_arch") && link.contains("import_name_type = \"undecorated\"")
    });
    let x86 = match (absent, undecorated) {
        (true, _) => X86::Absent,
        (false, true) => X86::Undecorated,
        (false, false) => X86::Decorated,
    };
    Ok(Linkage {
        dll: dll.context("an extern block without a DLL")?,
        x86,
    })
}

/// The last name of a path type.
#[must_use]
pub fn last_name(kind: &Type) -> Option<String> {
    match kind {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// The value of a number, a negated one, a shift of numbers, or a cast of any of these.
fn evaluate(value: &Expr) -> Option<i64> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            syn::Lit::Int(number) => number.base10_parse().ok(),
            _ => None,
        },
        Expr::Unary(negated) if matches!(negated.op, syn::UnOp::Neg(_)) => {
            evaluate(&negated.expr)?.checked_neg()
        }
        Expr::Binary(shift) if matches!(shift.op, syn::BinOp::Shl(_)) => {
            evaluate(&shift.left)?.checked_shl(u32::try_from(evaluate(&shift.right)?).ok()?)
        }
        Expr::Cast(cast) => evaluate(&cast.expr),
        Expr::Paren(inner) => evaluate(&inner.expr),
        _ => None,
    }
}
