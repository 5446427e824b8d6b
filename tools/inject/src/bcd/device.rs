//! Which partition a device element of a BCD names.

/// What tells a partition from the others of its disk in a BCD (MS: BcdDeviceQualifiedPartitionData,
/// `PartitionIdentifier`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition([u8; 16]);

/// Where the device's kind stands in the element, after the GUID of an object with options.
const KIND: usize = 16;
/// A partition; others are the one that the machine was booted from, a file, a RAM disk, or one that is searched for.
const PARTITION: u32 = 6;
/// Where the partition's identifier stands.
const IDENTIFIER: std::ops::Range<usize> = 32..48;

impl Partition {
    /// A partition of a disk with an MBR, by its start in bytes.
    #[must_use]
    pub fn mbr(start: u64) -> Partition {
        Partition(u128::from(start).to_le_bytes())
    }

    /// A partition of a disk with a GPT, by its GUID as it is stored.
    #[must_use]
    pub fn gpt(guid: [u8; 16]) -> Partition {
        Partition(guid)
    }

    /// Reads the element; `None` if it does not name one certain partition. Microsoft does not document the bytes; they are
    /// measured in mistyprojects.co.uk, "BCDEdit", "Devices Partition - Data".
    #[must_use]
    pub fn of_device(element: &[u8]) -> Option<Partition> {
        let kind = element.get(KIND..KIND + 4)?.try_into().ok()?;
        if u32::from_le_bytes(kind) != PARTITION {
            return None;
        }
        Some(Partition(element.get(IDENTIFIER)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::Partition;

    #[test]
    fn a_measured_element_names_its_partition() {
        // The entry of a Windows 8.1 on a disk with an MBR, without its zeros at the end, as published there.
        let mut element = vec![0; 88];
        element[16] = 6;
        element[24] = 0x48;
        element[34..36].copy_from_slice(&[0xf0, 0x15]);
        element[52] = 1;
        element[56..60].copy_from_slice(&[0xf1, 0xa8, 0xeb, 0xb3]);
        assert_eq!(
            Partition::of_device(&element),
            Some(Partition::mbr(368_050_176))
        );
        let guid: [u8; 16] = std::array::from_fn(|at| at as u8);
        element[32..48].copy_from_slice(&guid);
        assert_eq!(Partition::of_device(&element), Some(Partition::gpt(guid)));
        // Another kind of device, and an element that is cut off.
        element[16] = 5;
        assert_eq!(Partition::of_device(&element), None);
        element[16] = 6;
        assert_eq!(Partition::of_device(&element[..47]), None);
        assert_eq!(Partition::of_device(&[]), None);
    }
}
