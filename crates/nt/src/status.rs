//! NTSTATUS, the answer of every kernel routine.

use nt_sys::types::{NTSTATUS, STATUS_REVISION_MISMATCH, STATUS_SUCCESS, STATUS_UNSUCCESSFUL};

/// A kernel status as a driver handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Status {
    /// STATUS_SUCCESS.
    Success,
    /// The caller speaks a newer version of a structure than this Windows.
    RevisionMismatch,
    /// Failed for no reason that anyone could act on.
    Unsuccessful,
    /// Any other status, as the kernel gave it.
    Other(NTSTATUS),
}

impl From<NTSTATUS> for Status {
    fn from(raw: NTSTATUS) -> Self {
        match raw {
            STATUS_SUCCESS => Self::Success,
            STATUS_REVISION_MISMATCH => Self::RevisionMismatch,
            STATUS_UNSUCCESSFUL => Self::Unsuccessful,
            other => Self::Other(other),
        }
    }
}

impl Status {
    /// The number that Windows wants to see: the only place where a status becomes one.
    #[must_use]
    pub const fn to_raw(self) -> NTSTATUS {
        match self {
            Self::Success => STATUS_SUCCESS,
            Self::RevisionMismatch => STATUS_REVISION_MISMATCH,
            Self::Unsuccessful => STATUS_UNSUCCESSFUL,
            Self::Other(raw) => raw,
        }
    }

    /// NT_SUCCESS: informational and success severities are the non-negative numbers.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.to_raw() >= 0
    }
}

#[cfg(test)]
mod tests;
