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

/// What else is unlike a modern device next to the driver's own processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Plain,
    /// The legacy interface: no VERSION_1, parts laid out from a page boundary on. // Virtio 1.3 §2.7.2
    Legacy,
    /// ORDER_PLATFORM: barriers as a device on a bus needs them.
    OrderPlatform,
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
    /// What else.
    pub variant: Variant,
}

impl Mode {
    /// The 16 plain modes, with `ring-device` as the device.
    #[must_use]
    pub fn judged() -> Vec<Self> {
        let mode = |bits: u8| Self {
            packed: bits & 8 != 0,
            indirect: bits & 4 != 0,
            event_idx: bits & 2 != 0,
            in_order: bits & 1 != 0,
            side: Side::RingDevice,
            variant: Variant::Plain,
        };
        (0..16).map(mode).collect()
    }

    /// Every mode: the plain ones, those of them that rust-vmm's device knows (not under Miri), and the variants.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Self::judged();
        for mode in Self::judged() {
            let old = !mode.packed && !mode.in_order;
            let side = Side::RustVmm;
            let variant = Variant::Legacy;
            all.extend((old && !cfg!(miri)).then_some(Self { side, ..mode }));
            all.extend(old.then_some(Self { variant, ..mode }));
            let variant = Variant::OrderPlatform;
            let some = mode.event_idx && !mode.indirect;
            all.extend(some.then_some(Self { variant, ..mode }));
        }
        all
    }

    /// What was negotiated.
    #[must_use]
    pub fn features(self) -> Features {
        let mut features = Features::empty();
        features.set(Features::VERSION_1, self.variant != Variant::Legacy);
        features.set(
            Features::ORDER_PLATFORM,
            self.variant == Variant::OrderPlatform,
        );
        features.set(Features::RING_PACKED, self.packed);
        features.set(Features::INDIRECT_DESC, self.indirect);
        features.set(Features::EVENT_IDX, self.event_idx);
        features.set(Features::IN_ORDER, self.in_order);
        features
    }

    /// Small queue sizes at which behaviour may differ: of a packed ring also such that are no power of two.
    #[must_use]
    pub fn sizes(self) -> &'static [u16] {
        match (self.packed, cfg!(miri)) {
            (true, false) => &[1, 2, 3, 5, 7, 8, 256],
            (false, false) => &[1, 2, 4, 8, 256],
            // Each step is interpreted there.
            (true, true) => &[1, 5, 8],
            (false, true) => &[1, 8],
        }
    }
}
