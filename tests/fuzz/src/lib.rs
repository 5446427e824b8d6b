//! Fuzz targets: a device that does whatever some bytes say, against virtio-core.
//!
//! Each target is a plain function that panics when virtio-core breaks a promise. `tests/smoke.rs` runs them over the corpus
//! and over random changes of it; `guided/` lets libFuzzer look for more (`cargo xtask fuzz`).

mod bytes;
mod capability;
mod device;
mod ring;

/// A target: its name and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target; each has its inputs in `corpus/NAME`.
pub const TARGETS: [Target; 5] = [
    ("split", split),
    ("packed", packed),
    ("capability", capability),
    ("modern", modern),
    ("legacy", legacy),
];

/// A device that answers and lies, in a split ring.
pub fn split(data: &[u8]) {
    ring::run(false, data);
}

/// The same in a packed ring.
pub fn packed(data: &[u8]) {
    ring::run(true, data);
}

/// PCI configuration space and BAR lengths.
pub fn capability(data: &[u8]) {
    capability::run(data);
}

/// The registers of a modern device, from reset to removal.
pub fn modern(data: &[u8]) {
    device::run(false, data);
}

/// The same for a legacy device.
pub fn legacy(data: &[u8]) {
    device::run(true, data);
}
