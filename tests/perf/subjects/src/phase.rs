//! The phases of one round, as the markers number them.

/// A batch is added and published, and it is decided whether to notify the device.
pub const PUBLISH: u8 = 1;
/// The device is notified.
pub const KICK: u8 = 2;
/// Interrupts are switched off.
pub const DISARM: u8 = 3;
/// All that the device has finished is taken, until there is no more.
pub const COMPLETE: u8 = 4;
/// Interrupts are switched on, and the ring is looked at once more.
pub const ARM: u8 = 5;
