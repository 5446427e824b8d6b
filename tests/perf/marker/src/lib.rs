//! Marks the stretches of a program that `perf-count` counts, and names the memory that it watches.
//!
//! A marker is a breakpoint instruction followed by a long no-operation whose displacement says what is marked. Nothing
//! is loaded into registers for [`begin`] and [`end`], so that a marked stretch has not one instruction more than the
//! code between them. Only a counting parent may run a program with markers: alone it dies of SIGTRAP at the first one.
//!
//! On other processors than x86-64 the markers do nothing; `perf-count` refuses to count there.
#![no_std]

/// High half of every payload; the low half is operation and operand.
pub const SIGNATURE: u32 = 0x5750_0000;
/// Operation: a stretch begins; the operand is its phase.
pub const BEGIN: u32 = 1 << 8;
/// Operation: the stretch ends; the operand is its phase.
pub const END: u32 = 2 << 8;
/// Operation: watch `rsi` bytes at `rdi`; the operand is the [`Area`].
pub const WATCH: u32 = 3 << 8;
/// Operation: count how often the function at `rdi` is entered; the operand is its [`Kind`].
pub const FUNCTION: u32 = 4 << 8;

/// Operation: of the code at `rdi`, `rsi` bytes of it, count calls of its entries, and nothing that it calls elsewhere.
pub const IMAGE: u32 = 5 << 8;
/// Operation: `rdi` is an entry of the image, whose calls are stretches of phase `rsi`.
pub const ENTRY: u32 = 6 << 8;
/// Operation: calls of entries count from here on (operand 1), or no longer (0).
pub const CALLS: u32 = 7 << 8;

/// Who writes a piece of memory, which is what an access to it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Area {
    /// Written by the device, if not by it alone: a load from it misses the cache when the device runs on another
    /// processor. What shares a cache line with such memory counts as such too.
    Device = 1,
    /// Written by the driver only, read by the device.
    Driver = 2,
    /// Device registers: under virtualisation an access leaves the guest.
    Registers = 3,
}

impl Area {
    /// The area with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Device,
            2 => Self::Driver,
            3 => Self::Registers,
            _ => return None,
        })
    }
}

/// What a function that is watched does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Allocates or frees memory.
    Heap = 1,
    /// Acquires a lock.
    Lock = 2,
    /// Looks up a physical address.
    Address = 3,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Heap,
            2 => Self::Lock,
            3 => Self::Address,
            _ => return None,
        })
    }
}

/// The stretch of this phase begins here.
#[inline(always)]
pub fn begin<const PHASE: u8>() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the parent takes the breakpoint, and the no-operation that follows accesses nothing.
    unsafe {
        core::arch::asm!(
            "int3", ".byte 0x0f, 0x1f, 0x80", ".long {payload}",
            payload = const SIGNATURE | BEGIN | PHASE as u32,
            options(nostack, preserves_flags),
        );
    }
}

/// The stretch of this phase ends here.
#[inline(always)]
pub fn end<const PHASE: u8>() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as for `begin`.
    unsafe {
        core::arch::asm!(
            "int3", ".byte 0x0f, 0x1f, 0x80", ".long {payload}",
            payload = const SIGNATURE | END | PHASE as u32,
            options(nostack, preserves_flags),
        );
    }
}

/// Makes the compiler forget what it knows of a value and of all that it leads to, without an instruction.
#[inline(always)]
pub fn forget<T>(value: &mut T) {
    // SAFETY: nothing is executed; the pointer is one that may be written through.
    unsafe {
        core::arch::asm!("/* {} */", in(reg) core::ptr::from_mut(value), options(nostack, preserves_flags));
    }
}

/// Watches `len` bytes at `start` from now on; memory areas count by whole cache lines.
pub fn watch(area: Area, start: *const u8, len: usize) {
    match area {
        Area::Device => register::<{ WATCH | Area::Device as u32 }>(start, len),
        Area::Driver => register::<{ WATCH | Area::Driver as u32 }>(start, len),
        Area::Registers => register::<{ WATCH | Area::Registers as u32 }>(start, len),
    }
}

/// Counts from now on how often the function that starts at `entry` is entered.
pub fn watch_function(kind: Kind, entry: *const u8) {
    match kind {
        Kind::Heap => register::<{ FUNCTION | Kind::Heap as u32 }>(entry, 1),
        Kind::Lock => register::<{ FUNCTION | Kind::Lock as u32 }>(entry, 1),
        Kind::Address => register::<{ FUNCTION | Kind::Address as u32 }>(entry, 1),
    }
}

/// Names code that the process has loaded: only what runs inside it is counted, between the calls of its entries and their
/// return. What it calls elsewhere runs at full speed.
pub fn image(start: *const u8, len: usize) {
    register::<IMAGE>(start, len);
}

/// Each call of the function at `entry`, which lies in the image, is a stretch of `phase`.
pub fn entry(entry: *const u8, phase: u8) {
    register::<ENTRY>(entry, phase.into());
}

/// Counts calls of entries from here on, or no longer. None may be under way.
pub fn calls(counted: bool) {
    if counted {
        register::<{ CALLS | 1 }>(core::ptr::null(), 0);
    } else {
        register::<CALLS>(core::ptr::null(), 0);
    }
}

/// Hands an operation with two operands over; outside of every stretch.
#[inline(never)]
fn register<const OPERATION: u32>(start: *const u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as for `begin`; the registers are only read.
    unsafe {
        core::arch::asm!(
            "int3", ".byte 0x0f, 0x1f, 0x80", ".long {payload}",
            payload = const SIGNATURE | OPERATION,
            in("rdi") start,
            in("rsi") len,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, len);
}
