//! Event tracing: StorPortEtwEvent2, whose events go to the channel Microsoft-Windows-Storage-Storport/Diagnose.

use crate::adapter::Adapter;
use core::ptr::{null, null_mut};
use nt_sys::storport::*;

/// Most characters of a description and of a name. Windows 10 2004 takes twice as many. // storport.h
pub const MAX_DESCRIPTION: usize = 32;
/// See [`MAX_DESCRIPTION`].
pub const MAX_NAME: usize = 16;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// StorportEtwLevelWarning.
    Warning = StorportEtwLevelWarning,
    /// StorportEtwLevelInformational.
    Information = StorportEtwLevelInformational,
}

/// A kind of event. The texts end with NUL.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its number.
    pub id: u32,
    /// How much it matters.
    pub level: Level,
    /// What happened, in up to [`MAX_DESCRIPTION`] characters.
    pub description: &'static [u16],
    /// What its two values are, in up to [`MAX_NAME`] characters each; empty: there is no such value.
    pub names: [&'static [u16]; 2],
}

impl Adapter {
    /// Records an event about the adapter. IRQL <= DISPATCH_LEVEL. Nothing comes of it if nobody listens, or before Windows 8.1,
    /// and that is no error.
    pub fn trace(self, kind: &Kind, values: [u64; 2]) {
        let [first, second] = kind.names.map(|name| match name {
            [] => null::<u16>(),
            name => name.as_ptr(),
        });
        // The slots of a variable argument list are as wide as a pointer, so each number is passed with its own width.
        // SAFETY: StorPort copies the texts, which are NUL-terminated and live for ever.
        let _ = unsafe {
            StorPortExtendedFunction(
                ExtFunctionMiniportEtwEvent2,
                self.as_raw(),
                null_mut::<STOR_ADDR_BTL8>(),
                kind.id,
                kind.description.as_ptr(),
                STORPORT_ETW_EVENT_KEYWORD_NON_IO,
                kind.level as i32,
                StorportEtwEventOpcodeInfo,
                null_mut::<SCSI_REQUEST_BLOCK>(),
                first,
                values[0],
                second,
                values[1],
            )
        };
    }
}

/// ASCII as a NUL-terminated UTF-16 string of `N` characters in all.
#[must_use]
pub const fn wide<const N: usize>(text: &str) -> [u16; N] {
    let mut rest = text.as_bytes();
    assert!(text.is_ascii() && rest.len() == N.saturating_sub(1));
    let mut wide = [0; N];
    let mut to: &mut [u16] = &mut wide;
    while let ([first, tail @ ..], [place, others @ ..]) = (rest, to) {
        *place = *first as u16;
        rest = tail;
        to = others;
    }
    wide
}

/// The same as a constant.
#[macro_export]
macro_rules! wide {
    ($text:literal) => {{
        const WIDE: [u16; $text.len().saturating_add(1)] = $crate::trace::wide($text);
        const { &WIDE }
    }};
}
