//! Size, alignment and every member's place and width, asserted at compile time for the target at hand.
//!
//! Each row has the numbers of 64-bit Windows (x86_64 and aarch64 agree) and of i686. They are copied from
//! tests/abi/layouts.json, and the abi-check tests hold every row against that file. `within` names members that Microsoft
//! declares as parts or other names of one that stands here.

mod kernel;
mod request;
mod storport;

/// The number for this target.
const fn here(wide: usize, narrow: usize) -> usize {
    if cfg!(target_pointer_width = "64") {
        wide
    } else {
        narrow
    }
}

const fn pointee_size<T>(_: *const T) -> usize {
    size_of::<T>()
}

macro_rules! layout {
    ($type:ident: $size:literal / $align:literal, $size32:literal / $align32:literal {
         $($field:ident: $at:literal + $len:literal, $at32:literal + $len32:literal;)*
     }
     $(only64 { $($field64:ident: $at64:literal + $len64:literal;)* })?
     $(within { $($part:ident: $whole:ident;)* })?) => {
        const _: () = {
            use $crate::layout::{here, pointee_size};
            use core::mem::{MaybeUninit, align_of, offset_of, size_of};
            assert!(size_of::<$type>() == here($size, $size32), concat!("size of ", stringify!($type)));
            assert!(align_of::<$type>() == here($align, $align32), concat!("alignment of ", stringify!($type)));
            let any = MaybeUninit::<$type>::uninit();
            let any = any.as_ptr();
            $(
                assert!(offset_of!($type, $field) == here($at, $at32), concat!("place of ", stringify!($field)));
                // SAFETY: only the member's address is taken, inside `any`.
                let member = unsafe { &raw const (*any).$field };
                assert!(pointee_size(member) == here($len, $len32), concat!("width of ", stringify!($field)));
            )*
            $($(
                #[cfg(target_pointer_width = "64")]
                {
                    assert!(offset_of!($type, $field64) == $at64, concat!("place of ", stringify!($field64)));
                    // SAFETY: only the member's address is taken, inside `any`.
                    let member = unsafe { &raw const (*any).$field64 };
                    assert!(pointee_size(member) == $len64, concat!("width of ", stringify!($field64)));
                }
            )*)?
            // A `within` row must at least name a member.
            $($(let _ = offset_of!($type, $whole);)*)?
            let _ = any;
        };
    };
}
use layout;
