//! loom's orderings and fences in the place of the processor's.

pub use loom::sync::atomic::{Ordering, fence};
