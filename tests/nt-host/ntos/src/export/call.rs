//! One call of an imported function.

/// The arguments of a call, and where it came from.
pub struct Call {
    args: *const u64,
    return_address: usize,
    name: &'static str,
    widths: Option<&'static [u8]>,
}

impl Call {
    pub(super) fn new(
        args: *const u64,
        return_address: usize,
        name: &'static str,
        widths: Option<&'static [u8]>,
    ) -> Call {
        Call {
            args,
            return_address,
            name,
            widths,
        }
    }

    /// The argument, cut to the width its prototype gives it: what a driver leaves in the upper bits is not part of it.
    #[must_use]
    pub fn arg(&self, index: usize) -> u64 {
        let slot = self.slot(index);
        let width = self
            .widths
            .and_then(|widths| widths.get(index))
            .copied()
            .unwrap_or(8);
        slot & u64::MAX
            .checked_shr(64 - 8 * u32::from(width.clamp(1, 8)))
            .unwrap_or(u64::MAX)
    }

    /// The argument as a `u8` (UCHAR, BOOLEAN, KIRQL).
    #[must_use]
    pub fn u8(&self, index: usize) -> u8 {
        self.arg(index) as u8
    }

    /// The argument as a `u16`.
    #[must_use]
    pub fn u16(&self, index: usize) -> u16 {
        self.arg(index) as u16
    }

    /// The argument as a `u32` (ULONG, LONG, enumerations).
    #[must_use]
    pub fn u32(&self, index: usize) -> u32 {
        self.arg(index) as u32
    }

    /// The argument as an address or SIZE_T.
    #[must_use]
    pub fn ptr(&self, index: usize) -> usize {
        self.arg(index) as usize
    }

    /// The 8-byte slot as it was passed, for variadic arguments.
    #[must_use]
    pub fn slot(&self, index: usize) -> u64 {
        let slot = self.args.wrapping_add(index);
        // SAFETY: the machine spills register arguments before the stack arguments of the caller's frame, so slots up to
        // the arguments that were passed are readable; handlers read no further than the prototype or format says.
        unsafe { slot.read_unaligned() }
    }

    /// The address of a slot, for `va_list`s.
    #[must_use]
    pub fn slot_address(&self, index: usize) -> usize {
        self.args.wrapping_add(index) as usize
    }

    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it returns to.
    #[must_use]
    pub fn caller(&self) -> usize {
        self.return_address
    }
}
