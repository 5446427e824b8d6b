//! Any PCI configuration space and any BARs: what is found lies inside them, and the walk ends.

use std::cell::Cell;

use virtio_core::transport::{CONFIG_LEN, Interface, Location};

use crate::bytes::Bytes;

/// Dwords of configuration space behind the header: no list is longer.
const MOST_CAPABILITIES: usize = (CONFIG_LEN - 0x40) / 4;

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let shape = bytes.u8();
    let bars: [Option<u64>; 6] = core::array::from_fn(|_| {
        let (mantissa, shift) = (bytes.u8(), bytes.u8());
        (mantissa != 0).then(|| u64::from(mantissa) << (shift % 57))
    });
    let mut config = [0; CONFIG_LEN];
    config.fill_with(|| bytes.u8());
    if shape & 1 != 0 {
        // A device as far as the header tells, so that the list is looked at.
        config[..4].copy_from_slice(&[0xf4, 0x1a, 0x01, 0x10]);
        config[6] |= 0x10;
        config[0x34] = 0x40;
    }
    let asked = Cell::new(0_usize);
    let bar_len = |bar: u8| {
        asked.set(asked.get() + 1);
        bars.get(usize::from(bar)).copied().flatten()
    };
    let found = Interface::find(&config, bar_len);
    assert!(
        asked.get() <= MOST_CAPABILITIES + 1,
        "BARs asked {} times",
        asked.get()
    );
    assert_eq!(found, Interface::find(&config, bar_len), "not repeatable");
    let inside = |location: Location, least: u32, align: u32| {
        let bar = bars.get(usize::from(location.bar)).copied().flatten();
        let bar = bar.expect("a BAR that can be mapped");
        let end = u64::from(location.offset) + u64::from(location.len);
        assert!(end <= bar, "{location:?} in a BAR of {bar}");
        assert!(
            location.len >= least,
            "{location:?} holds less than {least}"
        );
        assert!(
            location.offset.is_multiple_of(align),
            "{location:?} misaligned"
        );
    };
    let msix = match found {
        Ok(Interface::Modern(locations)) => {
            // Virtio 1.3 §4.1.4.3, §4.1.4.4, §4.1.4.5: what each holds at least; §4.1.4.3.1 and others: how it is aligned.
            inside(locations.common, 56, 4);
            inside(locations.notify, 2, 2);
            inside(locations.isr, 1, 1);
            locations.device.inspect(|device| inside(*device, 0, 4));
            locations.msix
        }
        Ok(Interface::Legacy(location)) => {
            assert_eq!((location.registers.bar, location.registers.offset), (0, 0));
            // Virtio 1.3 §4.1.4.10: 20 bytes, and 4 more with MSI-X.
            inside(location.registers, 20, 4);
            location.msix
        }
        Err(_) => None,
    };
    // PCI 3.0 §6.8.2.3: 11 bits, less one.
    assert!(msix.is_none_or(|msix| (1..=2048).contains(&msix.vectors)));
}
