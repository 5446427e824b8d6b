//! The device side against rings written by hand, byte by byte.

mod packed;
mod split;

use std::cell::RefCell;

use crate::{Memory, Queue, Setup, Unreachable, Violation};

/// Plain memory from device address 0x1000 on.
pub(crate) struct Plain(RefCell<Vec<u8>>);

const START: u64 = 0x1000;
/// Where the parts of the ring lie.
pub(crate) const DESCRIPTOR: u64 = START;
pub(crate) const DRIVER: u64 = START + 0x400;
pub(crate) const DEVICE: u64 = START + 0x500;
/// An indirect table.
pub(crate) const TABLE: u64 = START + 0x800;

impl Plain {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(vec![0; 0x1000]))
    }

    fn range(&self, address: u64, len: usize) -> Result<std::ops::Range<usize>, Unreachable> {
        let from = address.checked_sub(START).ok_or(Unreachable { address })? as usize;
        if from + len > self.0.borrow().len() {
            return Err(Unreachable { address });
        }
        Ok(from..from + len)
    }

    /// A descriptor's 16 bytes: the two last words are flags and next (split) or id and flags (packed).
    pub(crate) fn descriptor(&self, at: u64, address: u64, len: u32, words: [u16; 2]) {
        self.write(at, &address.to_le_bytes()).unwrap();
        self.write(at + 8, &len.to_le_bytes()).unwrap();
        self.word(at + 12, words[0]);
        self.word(at + 14, words[1]);
    }

    pub(crate) fn word(&self, at: u64, value: u16) {
        self.write(at, &value.to_le_bytes()).unwrap();
    }

    pub(crate) fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.read(at, &mut bytes).unwrap();
        bytes
    }
}

impl Memory for Plain {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Unreachable> {
        let range = self.range(address, to.len())?;
        to.copy_from_slice(&self.0.borrow()[range]);
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Unreachable> {
        let range = self.range(address, from.len())?;
        self.0.borrow_mut()[range].copy_from_slice(from);
        Ok(())
    }

    fn load_u16(&self, address: u64) -> Result<u16, Unreachable> {
        self.read_u16(address)
    }

    fn store_u16(&self, address: u64, value: u16) -> Result<(), Unreachable> {
        self.write(address, &value.to_le_bytes())
    }
}

/// A ring's descriptors by place: of a split ring flags and next, of a packed one id and flags.
pub(crate) type Descriptors = &'static [(u64, u16, u16)];

/// A set-up with all features but IN_ORDER.
pub(crate) const fn setup(packed: bool, size: u16) -> Setup {
    Setup {
        packed,
        size,
        descriptor: DESCRIPTOR,
        driver: DRIVER,
        device: DEVICE,
        indirect: true,
        event_idx: true,
        in_order: false,
    }
}

#[test]
fn ring_has_to_start_as_the_specification_says() {
    let memory = Plain::new();
    for packed in [false, true] {
        let good = setup(packed, 8);
        assert!(Queue::new(good, &memory).is_ok());
        let sizes: &[u16] = if packed { &[0, 32769] } else { &[0, 3, 32769] };
        for size in sizes {
            let queue = Queue::new(
                Setup {
                    size: *size,
                    ..good
                },
                &memory,
            );
            assert_eq!(queue.err(), Some(Violation::Size { size: *size }));
        }
        for (bad, align) in [
            (
                Setup {
                    descriptor: DESCRIPTOR + 8,
                    ..good
                },
                16,
            ),
            (
                Setup {
                    driver: DRIVER + 1,
                    ..good
                },
                if packed { 4 } else { 2 },
            ),
            (
                Setup {
                    device: DEVICE + 2,
                    ..good
                },
                4,
            ),
        ] {
            let found = Queue::new(bad, &memory).err();
            assert!(
                matches!(found, Some(Violation::Misaligned { align: found, .. }) if found == align),
                "{found:?}"
            );
        }
        let dirty = if packed {
            DESCRIPTOR + 16 * 7 + 14
        } else {
            DRIVER + 2
        };
        for address in [dirty, DEVICE, DEVICE + 2] {
            memory.word(address, 0x100);
            let found = Queue::new(good, &memory).err();
            assert_eq!(found, Some(Violation::NotZero { address }));
            memory.word(address, 0);
        }
        let far = Setup {
            descriptor: 0x10_0000,
            driver: 0x20_0000,
            ..good
        };
        let found = Queue::new(far, &memory).err();
        assert!(matches!(found, Some(Violation::Unreachable(_))));
    }
}
