//! Which memory the device may touch, by device address, and for whom.

use std::collections::BTreeMap;

/// Why memory was mapped for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The uncached extension.
    Uncached,
    /// The device extension, where DMA is not remapped.
    DeviceExtension,
    /// Contiguous or DMA memory that the miniport asked for.
    Contiguous,
    /// Any other resident memory for which the miniport asked an address, where DMA is not remapped.
    Resident,
    /// The SRB extension of the SRB at this address.
    Extension(usize),
    /// The sense buffer of this SRB.
    Sense(usize),
    /// The data of this SRB.
    Data(usize),
}

impl Owner {
    /// The SRB it belongs to.
    pub fn srb(self) -> Option<usize> {
        match self {
            Self::Extension(srb) | Self::Sense(srb) | Self::Data(srb) => Some(srb),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Grant {
    end: u64,
    owner: Owner,
    writable: bool,
}

/// Why an access is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// Nothing is mapped there, or only a part.
    Outside,
    /// The device would write to what it is to read.
    Direction(Owner),
}

/// The grants of one adapter. They never overlap.
#[derive(Debug, Default)]
pub struct Grants {
    by_start: BTreeMap<u64, Grant>,
}

impl Grants {
    /// Lets the device reach `len` bytes at `start`.
    pub fn add(&mut self, start: u64, len: u64, owner: Owner, writable: bool) {
        if len > 0 {
            self.by_start.insert(
                start,
                Grant {
                    end: start + len,
                    owner,
                    writable,
                },
            );
        }
    }

    /// Takes a grant back.
    pub fn remove(&mut self, start: u64) {
        self.by_start.remove(&start);
    }

    /// Forgets all grants.
    pub fn clear(&mut self) {
        self.by_start.clear();
    }

    /// Whose memory `len` bytes at `start` are, all within one grant.
    pub fn check(&self, start: u64, len: u64, device_writes: bool) -> Result<Owner, Breach> {
        let Some((_, grant)) = self.by_start.range(..=start).next_back() else {
            return Err(Breach::Outside);
        };
        if start >= grant.end || len > grant.end - start {
            return Err(Breach::Outside);
        }
        if device_writes && !grant.writable {
            return Err(Breach::Direction(grant.owner));
        }
        Ok(grant.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_directions_are_kept() {
        let mut grants = Grants::default();
        grants.add(0x1000, 0x200, Owner::Data(7), false);
        grants.add(0x1200, 0x100, Owner::Uncached, true);
        assert_eq!(grants.check(0x1000, 0x200, false), Ok(Owner::Data(7)));
        assert_eq!(
            grants.check(0x1000, 0x201, false),
            Err(Breach::Outside),
            "two grants are not one"
        );
        assert_eq!(
            grants.check(0x11ff, 1, true),
            Err(Breach::Direction(Owner::Data(7)))
        );
        assert_eq!(grants.check(0x12ff, 1, true), Ok(Owner::Uncached));
        assert_eq!(grants.check(0x1300, 1, false), Err(Breach::Outside));
        assert_eq!(grants.check(0xfff, 1, false), Err(Breach::Outside));
        assert_eq!(
            grants.check(0x1100, u64::MAX, false),
            Err(Breach::Outside),
            "no overflow"
        );
        grants.remove(0x1000);
        assert_eq!(grants.check(0x1000, 1, false), Err(Breach::Outside));
    }
}
