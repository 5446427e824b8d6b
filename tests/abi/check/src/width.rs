//! The two pointer widths of Windows.

/// 64-bit Windows (x86_64 and aarch64 agree) or i686.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// x86_64 and aarch64.
    Wide,
    /// i686.
    Narrow,
}

impl Width {
    /// Bytes of a pointer.
    #[must_use]
    pub const fn pointer(self) -> usize {
        match self {
            Self::Wide => 8,
            Self::Narrow => 4,
        }
    }

    /// The architecture's name in the facts.
    #[must_use]
    pub const fn arch(self) -> &'static str {
        match self {
            Self::Wide => "x86_64",
            Self::Narrow => "i686",
        }
    }
}
