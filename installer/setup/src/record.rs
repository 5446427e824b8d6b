//! What the program notes about its work, as text that the registry keeps.

use alloc::format;
use alloc::string::{String, ToString};

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
}

/// How far the work on one driver got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The package is about to be added; written first, so that an interruption leaves a trace.
    Adding,
    /// It was added, and was not in the store before.
    Added,
    /// The same, and every device that it is for had another driver, which stays in the store.
    AddedOver,
    /// It was in the store already.
    Found,
    /// It was removed.
    Removed,
    /// It was in the store before us and stays; only the record of it goes.
    Released,
}

impl Step {
    const ALL: [Step; 6] = [
        Step::Adding,
        Step::Added,
        Step::AddedOver,
        Step::Found,
        Step::Removed,
        Step::Released,
    ];

    const fn name(self) -> &'static str {
        match self {
            Step::Adding => "adding",
            Step::Added => "added",
            Step::AddedOver => "added-over",
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
}

/// A record in the registry is not of the form that this program writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the note {0:?} is damaged")]
pub struct Damaged(pub String);

impl Installed {
    /// The record as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let added = if self.added { "added" } else { "found" };
        format!(
            "{}|{added}|{}|{}",
            self.published, self.product, self.version
        )
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Result<Installed, Damaged> {
        let mut fields = text.split(SEPARATOR);
        let mut next = || fields.next().map(ToString::to_string);
        let record = (|| {
            let published = next().filter(|name| is_published(name))?;
            let added = match next()?.as_str() {
                "added" => true,
                "found" => false,
                _ => return None,
            };
            Some(Installed {
                published,
                added,
                product: next()?,
                version: next()?,
            })
        })();
        record
            .filter(|_| fields.next().is_none())
            .ok_or_else(|| Damaged(text.to_string()))
    }
}

impl Pending {
    /// The record as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}",
            self.step.name(),
            self.published,
            self.product,
            self.version,
            self.inf
        )
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Result<Pending, Damaged> {
        let mut fields = text.split(SEPARATOR);
        let mut next = || fields.next().map(ToString::to_string);
        let record = (|| {
            let name = next()?;
            let step = Step::ALL.into_iter().find(|step| step.name() == name)?;
            let published = next()
                .filter(|name| is_published(name) || (step == Step::Adding && name.is_empty()))?;
            Some(Pending {
                step,
                published,
                product: next()?,
                version: next()?,
                inf: next()?,
            })
        })();
        record
            .filter(|_| fields.next().is_none())
            .ok_or_else(|| Damaged(text.to_string()))
    }
}

/// True for the plain file name of an INF. On Windows it is `oemN.inf` (MS: SetupCopyOEMInf); Wine's store keeps the given name.
/// A path would lead out of the folder of published INFs, and never comes from the store.
#[must_use]
pub fn is_published(name: &str) -> bool {
    name.ends_with(".inf") && !name.contains(['\\', '/', ':'])
}
