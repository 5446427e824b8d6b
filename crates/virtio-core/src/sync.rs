//! Every atomic and every fence of this crate comes from here, so that a model checker can take their place.
#![forbid(unsafe_code)]

pub(crate) use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering, fence};
