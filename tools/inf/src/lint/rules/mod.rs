//! The table of rules. InfVerif's codes: MS: inf-validation-errors-and-warnings.

mod contents;
mod effects;

use super::Rule;

/// Every rule. Numbers: 0 text, 1 version, 2 models, 3 files, 4 strings, 5 sections, 6 directives, 7 registry, 8 services.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    contents::RULES.iter().chain(effects::RULES)
}
