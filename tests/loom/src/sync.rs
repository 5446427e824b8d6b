//! loom's orderings and fences in the place of the processor's.

/// Named by the file that `mem::access` replaces; nothing uses them.
pub(crate) use core::sync::atomic::{AtomicU16, AtomicU32};
pub use loom::sync::atomic::{Ordering, fence};
