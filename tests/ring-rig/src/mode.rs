//! The modes in which every behaviour has to be the same.

use virtio_core::spec::features::Features;

/// Who plays the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `ring-device`, which also judges the driver.
    RingDevice,
    /// rust-vmm's `virtio-queue`: split rings without IN_ORDER only.
    RustVmm,
}

/// How a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Packed ring; otherwise split.
    pub packed: bool,
    /// Chains lie in tables of their own; otherwise in the ring.
    pub indirect: bool,
    /// EVENT_IDX.
    pub event_idx: bool,
    /// IN_ORDER.
    pub in_order: bool,
    /// Who plays the device.
    pub side: Side,
}

impl Mode {
    /// Every mode: 16 with `ring-device`, 4 with rust-vmm (not under Miri).
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for bits in 0..16_u8 {
            let mode = Self {
                packed: bits & 8 != 0,
                indirect: bits & 4 != 0,
                event_idx: bits & 2 != 0,
                in_order: bits & 1 != 0,
                side: Side::RingDevice,
            };
            all.push(mode);
            if !mode.packed && !mode.in_order && !cfg!(miri) {
                all.push(Self {
                    side: Side::RustVmm,
                    ..mode
                });
            }
        }
        all
    }

    /// The modes in which `ring-device` plays the device.
    #[must_use]
    pub fn judged() -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|mode| mode.side == Side::RingDevice);
        all
    }

    /// What was negotiated.
    #[must_use]
    pub fn features(self) -> Features {
        let mut features = Features::VERSION_1;
        features.set(Features::RING_PACKED, self.packed);
        features.set(Features::INDIRECT_DESC, self.indirect);
        features.set(Features::EVENT_IDX, self.event_idx);
        features.set(Features::IN_ORDER, self.in_order);
        features
    }

    /// Small queue sizes at which behaviour may differ: of a packed ring also such that are no power of two.
    #[must_use]
    pub fn sizes(self) -> &'static [u16] {
        if self.packed {
            &[1, 2, 3, 5, 7, 8, 256]
        } else {
            &[1, 2, 4, 8, 256]
        }
    }
}
