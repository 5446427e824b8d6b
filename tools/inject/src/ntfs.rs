//! The marks by which a volume shows that Windows is not done with it: NTFS's dirty flag, a hibernated session, BitLocker.

/// Where the name of the file system stands in a boot sector, after the jump instruction.
const OEM_ID: std::ops::Range<usize> = 3..11;

/// True if the volume is encrypted with BitLocker (cryptsetup, `lib/bitlk/bitlk.c`, BITLK_SIGNATURE).
#[must_use]
pub fn is_bitlocker(boot_sector: &[u8]) -> bool {
    boot_sector.get(OEM_ID) == Some(b"-FVE-FS-")
}

/// True if hiberfil.sys, of which this is the start, holds a session to resume. libntfs-3g
/// (`ntfs_volume_check_hiberfile`) knows the first two, libhibr documents the others, for a session that is being resumed.
#[must_use]
pub fn is_hibernated(hiberfil: &[u8]) -> bool {
    let marks = [b"hibr", b"HIBR", b"rstr", b"RSTR"];
    hiberfil
        .get(..4)
        .is_some_and(|head| marks.iter().any(|mark| *mark == head))
}

/// Where the record of `$Volume` lies, which holds the volume's flags: file number 3 of the master file table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Offset in the volume, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

impl VolumeRecord {
    /// From the boot sector; `None` if it is not NTFS's.
    ///
    /// Layout as in the Linux kernel's `fs/ntfs3/ntfs.h`, `struct NTFS_BOOT`: sector size at 11, sectors a cluster at 13,
    /// first cluster of the table at 48, clusters a record at 64 (negative: its power of two in bytes).
    #[must_use]
    pub fn find(boot_sector: &[u8]) -> Option<VolumeRecord> {
        if boot_sector.get(OEM_ID) != Some(b"NTFS    ") {
            return None;
        }
        let byte = |at: usize| boot_sector.get(at).copied();
        let sector = u64::from(u16::from_le_bytes([byte(11)?, byte(12)?]));
        // Above 0x80 it is the negative of a power of two.
        let sectors = match byte(13)? {
            count @ 1..=0x80 => u64::from(count),
            power => 1u64.checked_shl(256 - u32::from(power))?,
        };
        let cluster = sector.checked_mul(sectors)?;
        let table = u64::from_le_bytes(boot_sector.get(48..56)?.try_into().ok()?);
        let record = i8::from_le_bytes([byte(64)?]);
        let length = match u64::try_from(record) {
            Ok(clusters) => cluster.checked_mul(clusters)?,
            Err(_) => 1u64.checked_shl(u32::from(record.unsigned_abs()))?,
        };
        // NTFS has records of 1 or 4 KiB; anything far from that is a damaged boot sector.
        (512..=65536).contains(&length).then_some(VolumeRecord {
            offset: table
                .checked_mul(cluster)?
                .checked_add(length.checked_mul(3)?)?,
            length,
        })
    }
}

/// The volume's flags, from its record; `None` if that is damaged. Bit 0: Windows checks the volume at its next start
/// (`fs/ntfs3/ntfs.h`, VOLUME_FLAG_DIRTY).
///
/// Layout there: MFT_REC, attributes from the offset at 20; ATTRIB, type at 0, length at 4, offset of a resident value at
/// 20; type 0x70 is VOLUME_INFO, its flags at 10. The two bytes before each multiple of 512 are replaced by a sequence
/// number; the flags of this small record are never among them, which is checked.
#[must_use]
pub fn volume_flags(record: &[u8]) -> Option<u16> {
    const VOLUME_INFORMATION: u32 = 0x70;
    const LAST: u32 = 0xffff_ffff;
    let half = |at: usize| Some(u16::from_le_bytes(record.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?));
    if record.get(..4) != Some(b"FILE") {
        return None;
    }
    let mut at = usize::from(half(20)?);
    loop {
        let kind = word(at)?;
        if kind == VOLUME_INFORMATION {
            let flags = at.checked_add(usize::from(half(at.checked_add(20)?)?))? + 10;
            let replaced = flags % 512 >= 509;
            return if replaced { None } else { half(flags) };
        }
        let length = usize::try_from(word(at.checked_add(4)?)?).ok()?;
        if kind == LAST || length < 8 {
            return None;
        }
        at = at.checked_add(length)?;
    }
}

/// VOLUME_FLAG_DIRTY.
pub const DIRTY: u16 = 1;

#[cfg(test)]
mod tests;
