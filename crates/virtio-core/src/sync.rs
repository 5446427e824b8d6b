//! Every atomic and every fence of this crate comes from here, so that a model checker can take their place.
#![forbid(unsafe_code)]

pub(crate) use core::sync::atomic::{AtomicU16, Ordering, fence};
