//! The one thing that rings ask of virtio-core's `transport`: a proof that the device has stopped. Nothing stops one here.

use crate::mem::DeviceAddress;

/// A proof that nobody has.
pub trait Stopped {
    /// Whether the proof speaks of the queue whose descriptor area the device sees at `descriptor`.
    fn covers(&self, descriptor: DeviceAddress) -> bool;
}
