//! Boot configurations as bcdedit leaves them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::bcd::{NextStart, Store, next_start};

const MANAGER: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
const DEFAULT: &str = "23000003";
const MENU: &str = "24000001";
const ONCE: &str = "24000002";
const INHERITS: &str = "14000006";
const TESTSIGNING: &str = "16000049";
const WIN_PE: &str = "26000022";
const LOADER: u32 = 0x1020_0003;

enum Value {
    Kind(u32),
    Boolean(bool),
    Object(&'static str),
    Objects(&'static [&'static str]),
}

use Value::{Boolean, Kind, Object, Objects};

/// A store in memory that fails where it is told to.
struct Fake {
    values: BTreeMap<(String, &'static str), Value>,
    unreadable: Option<&'static str>,
}

impl Fake {
    fn new(values: impl IntoIterator<Item = (&'static str, &'static str, Value)>) -> Fake {
        let values = values
            .into_iter()
            .map(|(object, element, value)| ((object.to_lowercase(), element), value))
            .collect();
        Fake {
            values,
            unreadable: None,
        }
    }

    fn get(&self, object: &str, element: &str) -> Result<Option<&Value>, ()> {
        if self.unreadable == Some(element) {
            return Err(());
        }
        let found = self
            .values
            .iter()
            .find(|((at, name), _)| *at == object.to_lowercase() && *name == element);
        Ok(found.map(|(_, value)| value))
    }
}

impl Store for Fake {
    type Error = ();

    fn kind(&mut self, object: &str) -> Result<Option<u32>, ()> {
        Ok(match self.get(object, "kind")? {
            Some(Kind(kind)) => Some(*kind),
            _ => None,
        })
    }

    fn boolean(&mut self, object: &str, element: &str) -> Result<Option<bool>, ()> {
        Ok(match self.get(object, element)? {
            Some(Boolean(value)) => Some(*value),
            _ => None,
        })
    }

    fn object(&mut self, object: &str, element: &str) -> Result<Option<String>, ()> {
        Ok(match self.get(object, element)? {
            Some(Object(value)) => Some((*value).to_string()),
            _ => None,
        })
    }

    fn objects(&mut self, object: &str, element: &str) -> Result<Vec<String>, ()> {
        Ok(match self.get(object, element)? {
            Some(Objects(values)) => values.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        })
    }
}

fn one_windows() -> Vec<(&'static str, &'static str, Value)> {
    vec_of([
        (MANAGER, DEFAULT, Object("{A}")),
        (MANAGER, MENU, Objects(&["{A}"])),
        ("{A}", "kind", Kind(LOADER)),
        ("{A}", INHERITS, Objects(&["{settings}"])),
    ])
}

fn vec_of<const N: usize>(
    values: [(&'static str, &'static str, Value); N],
) -> Vec<(&'static str, &'static str, Value)> {
    values.into_iter().collect()
}

/// What a store with one Windows and these additions says.
fn with<const N: usize>(more: [(&'static str, &'static str, Value); N]) -> NextStart {
    let mut values = one_windows();
    values.extend(more);
    next_start(&mut Fake::new(values)).unwrap()
}

fn refuses(entry: &str) -> NextStart {
    NextStart::Refuses(entry.to_string())
}

#[test]
fn one_entry() {
    assert_eq!(with([]), refuses("{A}"));
    assert_eq!(with([("{A}", TESTSIGNING, Boolean(false))]), refuses("{A}"));
    assert_eq!(
        with([("{A}", TESTSIGNING, Boolean(true))]),
        NextStart::Allows
    );
}

#[test]
fn inherited() {
    assert_eq!(
        with([("{settings}", TESTSIGNING, Boolean(true))]),
        NextStart::Allows
    );
    // What an entry says itself counts more.
    assert_eq!(
        with([
            ("{settings}", TESTSIGNING, Boolean(true)),
            ("{A}", TESTSIGNING, Boolean(false)),
        ]),
        refuses("{A}")
    );
    // Two objects that inherit from each other.
    assert_eq!(
        with([("{settings}", INHERITS, Objects(&["{a}"]))]),
        refuses("{A}")
    );
}

#[test]
fn every_entry_that_can_be_started_counts() {
    // A copy for tests beside the entry that starts by itself.
    let copy = [
        ("{B}", "kind", Kind(LOADER)),
        ("{B}", TESTSIGNING, Boolean(true)),
        (MANAGER, MENU, Objects(&["{A}", "{B}"])),
    ];
    assert_eq!(with(copy), refuses("{A}"));
    // The other way round, also if only the next start uses it.
    for list in [MENU, ONCE] {
        assert_eq!(
            with([
                ("{A}", TESTSIGNING, Boolean(true)),
                ("{B}", "kind", Kind(LOADER)),
                (MANAGER, list, Objects(&["{B}"])),
            ]),
            refuses("{B}"),
            "{list}"
        );
    }
    // An entry that no list names cannot be started, and Windows PE starts no installed driver.
    assert_eq!(
        with([
            ("{A}", TESTSIGNING, Boolean(true)),
            ("{B}", "kind", Kind(LOADER)),
        ]),
        NextStart::Allows
    );
    assert_eq!(
        with([
            ("{A}", TESTSIGNING, Boolean(true)),
            ("{B}", "kind", Kind(LOADER)),
            ("{B}", WIN_PE, Boolean(true)),
            (MANAGER, MENU, Objects(&["{A}", "{B}"])),
        ]),
        NextStart::Allows
    );
    // Nor do the memory test and an entry that is gone.
    assert_eq!(
        with([
            ("{A}", TESTSIGNING, Boolean(true)),
            ("{test}", "kind", Kind(0x1020_0005)),
            (MANAGER, MENU, Objects(&["{A}", "{test}", "{gone}"])),
        ]),
        NextStart::Allows
    );
}

#[test]
fn what_cannot_be_read_is_not_known() {
    assert_eq!(
        next_start(&mut Fake::new([])).unwrap(),
        NextStart::Unknown,
        "an empty store"
    );
    for element in [DEFAULT, MENU, ONCE, "kind", TESTSIGNING, INHERITS, WIN_PE] {
        let mut store = Fake::new(one_windows());
        store.unreadable = Some(element);
        assert_eq!(next_start(&mut store), Err(()), "{element}");
    }
}
