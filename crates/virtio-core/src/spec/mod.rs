//! Wire types and constants of the specification, and nothing else.
//!
//! All integers are little-endian and all types are unaligned plain bytes; each layout is asserted at compile time.
#![forbid(unsafe_code)]

pub mod blk;
pub mod features;
pub mod pci;
pub mod ring;

/// Asserts at compile time the size of a wire type and the offset of each of its fields, both in bytes.
macro_rules! assert_layout {
    ($type:ty, $size:literal, { $($field:ident: $offset:literal),+ $(,)? }) => {
        const _: () = assert!(core::mem::size_of::<$type>() == $size);
        $(const _: () = assert!(core::mem::offset_of!($type, $field) == $offset);)+
    };
}
pub(crate) use assert_layout;
