//! Linux's kernel as QEMU starts it soonest: unpacked. Without KVM a packed one unpacks itself for six seconds.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use winpv::process::Run;

/// Where the header of an image says so (Linux, Documentation/arch/x86/boot.rst): sectors of the real-mode part after the first,
/// the header's mark, and start and length of what is packed, from the end of the real-mode part.
const SETUP_SECTORS: usize = 0x1f1;
const MARK: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// Behind what is packed stands its length when unpacked.
const LENGTH_BEHIND: usize = 4;
/// The first bytes of the format that Debian packs with.
const XZ: &[u8] = b"\xfd7zXZ\0";

/// Writes the kernel of this image to a file: unpacked where it is packed as Debian packs it, else as it is.
///
/// QEMU starts such a file by its note for PVH, which Debian's kernels have.
///
/// # Errors
///
/// A file cannot be read or written, or `xz` fails.
pub fn unpack(image: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let Some(packed) = packed(&bytes) else {
        fs::write(to, bytes)?;
        return Ok(());
    };
    let file = to.with_extension("xz");
    fs::write(&file, packed)?;
    Run::new("xz").arg("--decompress").arg(&file).ok()?;
    fs::rename(file.with_extension(""), to)?;
    Ok(())
}

/// What is packed in an image, if it is by xz.
fn packed(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if image.get(MARK..MARK + 4) != Some(b"HdrS") {
        return None;
    }
    let start = (usize::from(*image.get(SETUP_SECTORS)?) + 1) * SECTOR;
    let start = start.checked_add(word(PAYLOAD_OFFSET)?)?;
    let length = word(PAYLOAD_LENGTH)?.checked_sub(LENGTH_BEHIND)?;
    let packed = image.get(start..start.checked_add(length)?)?;
    packed.starts_with(XZ).then_some(packed)
}

#[cfg(test)]
mod tests {
    use super::{PAYLOAD_LENGTH, PAYLOAD_OFFSET, XZ, packed};

    /// An image with one sector after the first, and the packed part 16 bytes behind that.
    fn image(content: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16u32.to_le_bytes());
        let length = u32::try_from(content.len() + 4).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend(content);
        image.extend([9; 4]);
        image
    }

    #[test]
    fn what_is_packed_is_found_without_the_length_behind_it() {
        let content = [XZ, b"stream"].concat();
        assert_eq!(packed(&image(&content)), Some(content.as_slice()));
    }

    #[test]
    fn what_is_packed_otherwise_or_cut_off_is_left_as_it_is() {
        assert_eq!(packed(&image(b"\x1f\x8b stream")), None);
        let whole = image(&[XZ, b"stream"].concat());
        assert_eq!(packed(&whole[..whole.len() - 5]), None);
        assert_eq!(packed(&whole[..0x24a]), None);
        assert_eq!(packed(b"\x7fELF"), None);
    }
}
