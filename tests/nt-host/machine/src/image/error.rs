//! Why a file was not loaded.

/// Why a file was not loaded, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not a PE file at all.
    #[error("{0} is not a Windows executable (PE) file")]
    NotPe(String),
    /// For another processor that this host can serve when built for it.
    #[error("{name} is {image} driver: run with --arch {arch} (this host runs {host} drivers)")]
    OtherArchitecture {
        /// The file.
        name: String,
        /// The image's architecture with its article.
        image: &'static str,
        /// The value of the option.
        arch: &'static str,
        /// This host's architecture.
        host: &'static str,
    },
    /// For a processor that no host serves.
    #[error("{name} is for machine {machine:#06x}: only x64 and ARM64 drivers can be run")]
    UnknownMachine {
        /// The file.
        name: String,
        /// IMAGE_FILE_HEADER.Machine.
        machine: u16,
    },
    /// An application or a library.
    #[error("{name} is no kernel driver: its subsystem is {subsystem}, a driver's is 1 (native)")]
    NotNative {
        /// The file.
        name: String,
        /// IMAGE_OPTIONAL_HEADER.Subsystem.
        subsystem: u16,
    },
    /// Sections share pages, so they cannot have protections of their own.
    #[error("{name} has sections aligned to {alignment:#x} bytes: link it with 4096 or more")]
    Alignment {
        /// The file.
        name: String,
        /// IMAGE_OPTIONAL_HEADER.SectionAlignment.
        alignment: u32,
    },
    /// Its memory image is larger than any driver's.
    #[error("{name} wants {size} bytes of memory: more than {limit} is refused")]
    TooLarge {
        /// The file.
        name: String,
        /// IMAGE_OPTIONAL_HEADER.SizeOfImage.
        size: u32,
        /// The limit.
        limit: u32,
    },
    /// The file ends before something that its headers promise.
    #[error("{name} is cut short: {what} lies beyond its end")]
    Truncated {
        /// The file.
        name: String,
        /// What is missing.
        what: String,
    },
    /// It can be loaded at its preferred address only.
    #[error("{name} has no relocations: link it with /DYNAMICBASE and without /FIXED")]
    Fixed {
        /// The file.
        name: String,
    },
    /// A relocation that images of this machine do not have.
    #[error("{name} has a relocation of the unknown type {kind} at {rva:#x}")]
    Relocation {
        /// The file.
        name: String,
        /// IMAGE_REL_BASED_*.
        kind: u16,
        /// Where.
        rva: u32,
    },
    /// An import without a name.
    #[error("{name} imports ordinal {ordinal} of {dll}: kernel imports must be by name")]
    Ordinal {
        /// The file.
        name: String,
        /// The library.
        dll: String,
        /// The number.
        ordinal: u16,
    },
    /// Headers that contradict themselves.
    #[error("{name} is damaged: {what}")]
    Malformed {
        /// The file.
        name: String,
        /// In what.
        what: String,
    },
    /// What it executes was to be recorded, and cannot be.
    #[error("the coverage map for {name} cannot be used: {reason}")]
    Coverage {
        /// The file.
        name: String,
        /// Why.
        reason: String,
    },
    /// The system gave no memory.
    #[error("no memory for {name}: {reason}")]
    Memory {
        /// The file.
        name: String,
        /// What the system said.
        reason: String,
    },
}
