//! What lies in a folder, and how it is called in messages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file or folder: where it is now, and how the user knows it (it may have been taken out of an archive).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// What messages call it.
    pub label: String,
}

impl Place {
    /// A place that the user named.
    #[must_use]
    pub fn new(path: &Path) -> Place {
        Place {
            path: path.to_owned(),
            label: path.display().to_string(),
        }
    }

    /// What lies below it, folders separated by `/`.
    #[must_use]
    pub fn join(&self, below: &str) -> Place {
        Place {
            path: self.path.join(below),
            label: format!("{}/{below}", self.label.trim_end_matches('/')),
        }
    }

    /// The folder around it.
    #[must_use]
    pub fn parent(&self) -> Place {
        let label = Path::new(&self.label).parent();
        Place {
            path: self.path.parent().map_or_else(PathBuf::new, Path::to_owned),
            label: label.map_or_else(String::new, |label| label.display().to_string()),
        }
    }

    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its name ends so, in any case.
    #[must_use]
    pub fn has_ending(&self, ending: &str) -> bool {
        let own = self.path.extension();
        own.is_some_and(|own| own.eq_ignore_ascii_case(ending))
    }

    /// The file's content.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).with_context(|| format!("cannot read {}", self.label))
    }
}

/// Every file below a folder, by path; none if there is no such folder.
///
/// # Errors
///
/// The folder cannot be read.
pub fn files(folder: &Place) -> Result<Vec<Place>> {
    let mut all = Vec::new();
    if folder.path.is_dir() {
        collect(folder, &mut all)?;
    }
    all.sort();
    Ok(all)
}

fn collect(folder: &Place, all: &mut Vec<Place>) -> Result<()> {
    let entries =
        fs::read_dir(&folder.path).with_context(|| format!("cannot read {}", folder.label))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.label))?;
        let place = folder.join(&entry.file_name().to_string_lossy());
        // A link to a folder above would be followed for ever.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&place, all)?;
        } else if place.path.is_file() {
            all.push(place);
        }
    }
    Ok(())
}
