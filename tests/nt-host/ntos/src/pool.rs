//! The kernel pool: each allocation ends at a guard page, and freed memory is taken away.

use serde::Serialize;

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// Resident, not executable.
    NonPaged,
    /// May be paged out: touched only below DISPATCH_LEVEL.
    Paged,
}

/// Memory that was never freed.
#[derive(Clone, Debug, Serialize)]
pub struct Leak {
    /// The tag as text, first character first.
    pub tag: String,
    /// Bytes asked for.
    pub len: usize,
    /// Who allocated it.
    pub who: String,
}

/// `len` bytes aligned to 16 (to a page when `len` is a page or more), filled with a pattern, or 0 when there is none.
///
/// The allocation is charged to whatever driver code runs now. `tag` is in memory order (`u32::from_le_bytes(*b"Vblk")`).
#[must_use]
pub fn alloc(_tag: u32, _len: usize, _kind: Kind) -> usize {
    todo!()
}

/// Frees what [`alloc`] gave; with a tag it must be the same. A wrong address or a second free is a violation.
pub fn free(_address: usize, _tag: Option<u32>) {
    todo!()
}

/// The tag and length of the live allocation that holds `address`.
#[must_use]
pub fn find(_address: usize) -> Option<(u32, usize)> {
    todo!()
}

/// What is allocated now.
#[must_use]
pub fn live() -> Vec<Leak> {
    todo!()
}

/// Records [`crate::rules`] violations for everything that is still allocated: called when the driver was unloaded.
pub fn check_leaks() {
    todo!()
}

/// Makes the `nth` allocation from now (1 = the next) fail, once; `None` makes all succeed.
pub fn fail_nth(_nth: Option<u64>) {
    todo!()
}
