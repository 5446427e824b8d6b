//! The part of the Windows kernel ABI that the drivers of this workspace use, in Microsoft's spelling.
//!
//! Nothing here does anything: these are types, constants and imports. Each module names the header that its items
//! come from (`source:`) and the Windows release that first had them (`since:`); an item that differs says so itself.
//! The numbers rest on `tests/abi/*.json`; `layout` asserts them at compile time and the `abi-check` tests hold
//! every item of this crate against them.
//!
//! Enumerations are integers with constants, since a value that Windows adds later must not be undefined behaviour.
//! Imports use raw-dylib, so that no import library is needed; on a non-Windows host they are declared and never called.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]
#![expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    reason = "the names are Microsoft's"
)]
#![allow(
    missing_docs,
    reason = "members keep the names under which Microsoft documents them"
)]

mod layout;
pub mod ntoskrnl;
pub mod storport;
pub mod types;
