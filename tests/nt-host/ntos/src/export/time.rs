//! The times that a driver can read, all from the kernel's clock.

use crate::sched;

/// What KeQueryPerformanceCounter counts per second: 10 MHz, as Windows 10 on most machines.
pub(crate) const FREQUENCY: u64 = 10_000_000;
/// The system time at boot, in 100 ns since 1601: 2024-01-01, so that runs are repeatable.
const BOOT_TIME: u64 = 133_485_408_000_000_000;
/// KeQueryTimeIncrement: 15.625 ms in 100 ns, Windows' usual clock interval.
pub(crate) const INCREMENT: u64 = 156_250;
/// KUSER_SHARED_DATA.TickCountMultiplier: milliseconds per tick, times 2^24.
pub(crate) const TICK_MULTIPLIER: u32 = (INCREMENT * (1 << 24) / 10_000) as u32;

/// Time since boot in 100 ns: the interrupt time, and the performance counter.
pub(crate) fn interrupt() -> u64 {
    (sched::now().as_nanos() / 100) as u64
}

/// Time since 1601 in 100 ns.
pub(crate) fn system() -> u64 {
    BOOT_TIME + interrupt()
}

/// Clock interrupts since boot.
pub(crate) fn tick_count() -> u64 {
    interrupt() / INCREMENT
}
