//! What the program notes about its work, as text that the registry keeps.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::content::Content;

/// Stands between the fields: no file name and no GUID may contain it.
const SEPARATOR: char = '|';

/// A package that was installed and committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its name in the driver store.
    pub published: String,
    /// True if it came into the store by us; what was there before is not ours to remove.
    pub added: bool,
    /// The MSI product that answers for it.
    pub product: String,
    /// Its version.
    pub version: String,
    /// What it is, so that another one that has got its name since is not taken for it; `None` in records of the first builds.
    pub content: Option<Content>,
}

/// A package of ours that a newer one replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The driver that it is of.
    pub driver: String,
    /// What it is, as in [`Installed`].
    pub content: Option<Content>,
}

/// How far the work on one driver got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The package is about to be added; written first, so that an interruption leaves a trace.
    Adding,
    /// It was added, and was not in the store before.
    Added,
    /// It was in the store already.
    Found,
    /// It was removed.
    Removed,
    /// It was in the store before us and stays; only the record of it goes.
    Released,
}

impl Step {
    const ALL: [Step; 5] = [
        Step::Adding,
        Step::Added,
        Step::Found,
        Step::Removed,
        Step::Released,
    ];

    const fn name(self) -> &'static str {
        match self {
            Step::Adding => "adding",
            Step::Added => "added",
            Step::Found => "found",
            Step::Removed => "removed",
            Step::Released => "released",
        }
    }
}

/// What a transaction did to one driver, until it is committed or rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What was done.
    pub step: Step,
    /// The package's name in the driver store; empty while it is being added.
    pub published: String,
    /// The MSI product that does it.
    pub product: String,
    /// The package's version.
    pub version: String,
    /// Where the package's INF lies; a removal is undone from there.
    pub inf: String,
    /// What the package is; `None` while it is being added.
    pub content: Option<Content>,
    /// The published INFs that all devices it is for had before, if each had one: what they fall back to.
    pub others: Vec<String>,
}

/// A record in the registry is not of the form that this program writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the note {0:?} is damaged")]
pub struct Damaged(pub String);

/// Reads the fields of a record one after the other.
struct Fields<'a>(core::str::Split<'a, char>);

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Fields<'a> {
        Fields(text.split(SEPARATOR))
    }

    fn text(&mut self) -> Option<String> {
        self.0.next().map(ToString::to_string)
    }

    /// Records of the first builds end before it.
    fn content(&mut self) -> Option<Option<Content>> {
        match self.0.next() {
            None | Some("") => Some(None),
            Some(text) => Content::parse(text).map(Some),
        }
    }

    /// The record, if no more fields follow.
    fn end<T>(mut self, record: T) -> Option<T> {
        self.0.next().is_none().then_some(record)
    }
}

fn content_field(content: Option<&Content>) -> String {
    content.map_or_else(String::new, ToString::to_string)
}

impl Installed {
    /// The record as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let added = if self.added { "added" } else { "found" };
        format!(
            "{}|{added}|{}|{}|{}",
            self.published,
            self.product,
            self.version,
            content_field(self.content.as_ref())
        )
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Result<Installed, Damaged> {
        Installed::read(Fields::of(text)).ok_or_else(|| Damaged(text.to_string()))
    }

    fn read(mut fields: Fields<'_>) -> Option<Installed> {
        let record = Installed {
            published: fields.text().filter(|name| is_published(name))?,
            added: match fields.text()?.as_str() {
                "added" => true,
                "found" => false,
                _ => return None,
            },
            product: fields.text()?,
            version: fields.text()?,
            content: fields.content()?,
        };
        fields.end(record)
    }
}

impl Superseded {
    /// The record as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}|{}", self.driver, content_field(self.content.as_ref()))
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Result<Superseded, Damaged> {
        let mut fields = Fields::of(text);
        let mut read = || {
            Some(Superseded {
                driver: fields.text()?,
                content: fields.content()?,
            })
        };
        read()
            .and_then(|record| fields.end(record))
            .ok_or_else(|| Damaged(text.to_string()))
    }
}

impl Pending {
    /// The record as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}|{}|{}",
            self.step.name(),
            self.published,
            self.product,
            self.version,
            self.inf,
            content_field(self.content.as_ref()),
            self.others.join(",")
        )
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Result<Pending, Damaged> {
        Pending::read(Fields::of(text)).ok_or_else(|| Damaged(text.to_string()))
    }

    fn read(mut fields: Fields<'_>) -> Option<Pending> {
        let step = match fields.text()?.as_str() {
            // The first builds did not say which drivers the devices had, so none of them counts as a way back.
            "added-over" => Step::Added,
            name => Step::ALL.into_iter().find(|step| step.name() == name)?,
        };
        let named = |name: &String| is_published(name) || (step == Step::Adding && name.is_empty());
        let record = Pending {
            step,
            published: fields.text().filter(named)?,
            product: fields.text()?,
            version: fields.text()?,
            inf: fields.text()?,
            content: fields.content()?,
            others: match fields.text().unwrap_or_default().as_str() {
                "" => Vec::new(),
                names => names.split(',').map(ToString::to_string).collect(),
            },
        };
        if !record.others.iter().all(|name| is_published(name)) {
            return None;
        }
        fields.end(record)
    }
}

/// True for the plain file name of an INF. On Windows it is `oemN.inf` (MS: SetupCopyOEMInf); Wine's store keeps the given name.
/// A path would lead out of the folder of published INFs, and never comes from the store; the rest would break up a record.
#[must_use]
pub fn is_published(name: &str) -> bool {
    name.ends_with(".inf") && !name.contains(['\\', '/', ':', SEPARATOR, ','])
}
