//! Why a file was not loaded.

/// Why a file was not loaded, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not a PE file at all.
    #[error("{name} is not a Windows executable (PE) file")]
    NotPe {
        /// The file.
        name: String,
    },
}
