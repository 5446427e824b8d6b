//! Which functions can be imported, and what is known of each.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use host_machine::cpu;
use host_machine::image::Binding;

use super::Call;
use crate::abi::{self, Range, Source};
use crate::rules;

/// Does what an imported function does; the result goes to RAX/X0.
pub type Handler = fn(&Call) -> u64;

#[derive(Clone, Copy)]
pub(super) struct Target {
    pub name: &'static str,
    pub handler: Handler,
    pub widths: Option<&'static [u8]>,
    pub irql: Option<Range>,
    source: Source,
    evidence: &'static str,
    /// A mere computation: callable anywhere, no place to pre-empt.
    pub pure: bool,
    /// Whether the host has such a function.
    known: bool,
    calls: u64,
}

#[derive(Default)]
struct State {
    targets: Vec<Target>,
    functions: HashMap<(&'static str, &'static str), u32>,
    data: HashMap<(&'static str, &'static str), usize>,
    /// [`note_curated`].
    curated: BTreeMap<String, String>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

pub(super) fn boot() {
    STATE.with_borrow_mut(|s| {
        s.curated.clear();
        s.targets.iter_mut().for_each(|target| target.calls = 0);
    });
}

/// Makes a function importable. Its parameters and IRQL come from [`crate::abi::function`]. The last registration counts.
///
/// `dll` is in lower case.
pub fn register(dll: &'static str, name: &'static str, handler: Handler) {
    // Each boot registers everything again.
    if is_registered(dll, name, handler) {
        return;
    }
    let function = abi::function(name);
    add(
        dll,
        Target {
            name,
            handler,
            widths: function.and_then(|f| f.widths),
            irql: function.and_then(|f| f.irql),
            source: function.map_or(Source::Silent, |f| f.source),
            evidence: function.map_or("", |f| f.evidence),
            pure: false,
            known: true,
            calls: 0,
        },
    );
}

/// As [`register`], for a function on whose IRQL the facts are silent: `evidence` says what the range rests on.
///
/// Where the facts do say something, they count.
pub fn register_curated(
    dll: &'static str,
    name: &'static str,
    irql: Range,
    evidence: &'static str,
    handler: Handler,
) {
    register(dll, name, handler);
    STATE.with_borrow_mut(|s| {
        let Some(target) = s
            .functions
            .get(&(dll, name))
            .and_then(|id| s.targets.get_mut(*id as usize))
        else {
            return;
        };
        if target.irql.is_none() {
            (target.irql, target.source, target.evidence) = (Some(irql), Source::Curated, evidence);
        }
    });
}

/// Lists a check that its caller makes by itself against a curated row, so that the report shows what it rests on.
pub fn note_curated(what: &str, evidence: &str) {
    STATE.with_borrow_mut(|s| {
        if !s.curated.contains_key(what) {
            s.curated.insert(what.to_owned(), evidence.to_owned());
        }
    });
}

/// As [`register`], for mere computations such as `memcpy`: callable at any IRQL, and no place to pre-empt.
pub(super) fn register_pure(dll: &'static str, name: &'static str, handler: Handler) {
    if is_registered(dll, name, handler) {
        return;
    }
    let widths = abi::function(name).and_then(|f| f.widths);
    let irql = Some(Range::ANY);
    add(
        dll,
        Target {
            name,
            handler,
            widths,
            irql,
            source: Source::Documentation,
            evidence: "",
            pure: true,
            known: true,
            calls: 0,
        },
    );
}

/// Makes a variable, or code of the host that is called without the machine's help, importable.
pub fn register_data(dll: &'static str, name: &'static str, address: usize) {
    STATE.with_borrow_mut(|s| s.data.insert((dll, name), address));
}

/// Whether the function is known as this one.
fn is_registered(dll: &'static str, name: &'static str, handler: Handler) -> bool {
    STATE.with_borrow(|s| {
        let target = s.functions.get(&(dll, name));
        let target = target.and_then(|id| s.targets.get(*id as usize));
        target.is_some_and(|target| std::ptr::fn_addr_eq(target.handler, handler))
    })
}

fn add(dll: &'static str, target: Target) {
    STATE.with_borrow_mut(|s| {
        let key = (dll, target.name);
        if let Some(known) = s
            .functions
            .get(&key)
            .and_then(|id| s.targets.get_mut(*id as usize))
        {
            *known = Target {
                calls: known.calls,
                ..target
            };
        } else {
            let id = s.targets.len() as u32;
            assert!(
                id < cpu::MAX_IMPORTS,
                "more exports than the machine has import ids"
            );
            s.functions.insert(key, id);
            s.targets.push(target);
        }
    });
}

/// What an import binds to; an unknown one to a function that ends the run when it is called.
#[must_use]
pub fn resolve(dll: &str, name: &str) -> Binding {
    let dll = dll.to_ascii_lowercase();
    if let Some(found) = find(&dll, name) {
        return found;
    }
    // The name lives as long as the thread's table; a driver has few imports that are not known.
    let leak = |text: &str| &*Box::leak(text.to_owned().into_boxed_str());
    let (leaked, name) = (leak(&dll), leak(name));
    let unknown = Target {
        name,
        handler: unknown,
        widths: None,
        irql: None,
        source: Source::Silent,
        evidence: "",
        pure: false,
        known: false,
        calls: 0,
    };
    add(leaked, unknown);
    find(&dll, name).unwrap_or_else(|| panic!("{dll}!{name} was just added"))
}

fn find(dll: &str, name: &str) -> Option<Binding> {
    STATE.with_borrow(|s| {
        let key = (dll, name);
        if let Some(address) = lookup(&s.data, &key) {
            return Some(Binding::Data(address as *mut u8));
        }
        lookup(&s.functions, &key).map(Binding::Function)
    })
}

fn lookup<'a, V: Copy>(
    map: &HashMap<(&'a str, &'a str), V>,
    key: &(&'a str, &'a str),
) -> Option<V> {
    map.get(key).copied()
}

/// The address of an export by which driver code can call it, `None` if there is none.
#[must_use]
pub fn address_of(dll: &str, name: &str) -> Option<usize> {
    match find(dll, name)? {
        Binding::Function(id) => {
            let known = STATE.with_borrow(|s| s.targets.get(id as usize).is_some_and(|t| t.known));
            known.then(|| cpu::import_stub(id))
        }
        Binding::Data(address) => Some(address as usize),
    }
}

/// Counts a call.
pub(super) fn enter(id: u32) -> Target {
    STATE.with_borrow_mut(|s| {
        let target = s.targets.get_mut(id as usize);
        let target = target.unwrap_or_else(|| panic!("import id {id} was never given out"));
        target.calls += 1;
        *target
    })
}

fn unknown(call: &Call) -> u64 {
    rules::fatal_at(
        rules::UNKNOWN_EXPORT,
        call.caller(),
        format!("{} is not provided by this host", call.name()),
    )
}

/// What was called, and on what its checks rest.
pub(crate) struct Usage {
    pub calls: BTreeMap<String, u64>,
    pub curated: BTreeMap<String, String>,
    pub unchecked: Vec<String>,
}

pub(crate) fn usage() -> Usage {
    STATE.with_borrow(|s| {
        let mut usage = Usage {
            calls: BTreeMap::new(),
            curated: s.curated.clone(),
            unchecked: Vec::new(),
        };
        for target in s.targets.iter().filter(|target| target.calls > 0) {
            *usage.calls.entry(target.name.to_owned()).or_default() += target.calls;
            match target.source {
                Source::Curated => {
                    usage
                        .curated
                        .insert(target.name.to_owned(), target.evidence.to_owned());
                }
                Source::Silent if target.irql.is_none() => {
                    usage.unchecked.push(target.name.to_owned())
                }
                _ => {}
            }
        }
        usage
    })
}
