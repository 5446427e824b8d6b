//! VERSIONINFO of a .sys and DriverVer of an INF: Windows shows the one and ranks by the other.

use super::image::Image;
use std::path::Path;

/// Four-part version, most significant first.
pub type Version = [u16; 4];

/// File and product version from the image's VS_FIXEDFILEINFO (MS: verrsrc.h, `ns-verrsrc-vs_fixedfileinfo`).
pub fn of_image(image: &Image) -> Option<(Version, Version)> {
    const RT_VERSION: u16 = 16;
    const SIGNATURE: u32 = 0xFEEF_04BD;
    let bytes = image.resource(RT_VERSION)?;
    let at = bytes
        .windows(4)
        .position(|w| w == SIGNATURE.to_le_bytes())?;
    let word = |i: usize| {
        let b = bytes.get(at + i * 4..at + i * 4 + 4)?;
        Some(u32::from_le_bytes(b.try_into().ok()?))
    };
    let version = |ms: u32, ls: u32| [(ms >> 16) as u16, ms as u16, (ls >> 16) as u16, ls as u16];
    Some((version(word(2)?, word(3)?), version(word(4)?, word(5)?)))
}

/// The version in an INF's `DriverVer = mm/dd/yyyy,a.b.c.d` (MS: inf-driverver-directive).
pub fn of_inf(text: &str) -> Option<Version> {
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("DriverVer")
            .then_some(value)
    })?;
    let (_, version) = value.split(';').next()?.split_once(',')?;
    parse(version.trim())
}

/// Parses `a.b.c.d`; missing parts are zero.
pub fn parse(text: &str) -> Option<Version> {
    let mut version = [0; 4];
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() > version.len() {
        return None;
    }
    for (slot, part) in version.iter_mut().zip(parts) {
        *slot = part.parse().ok()?;
    }
    Some(version)
}

/// Prints `a.b.c.d`.
pub fn show(version: Version) -> String {
    version.map(|part| part.to_string()).join(".")
}

/// The INF that lies beside `sys` under the same name, decoded from ASCII/UTF-8 or UTF-16.
pub fn inf_beside(sys: &Path) -> Option<String> {
    let bytes = std::fs::read(sys.with_extension("inf")).ok()?;
    match bytes.strip_prefix(&[0xFF, 0xFE]) {
        Some(wide) => {
            let units: Vec<u16> = wide
                .chunks_exact(2)
                .map(|c| u16::from_le_bytes([c[0], c[1]]))
                .collect();
            Some(String::from_utf16_lossy(&units))
        }
        None => Some(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_ver_is_found_among_other_keys_and_comments() {
        let inf = "[Version]\r\nProvider = %P%\r\ndriverver = 11/21/2026,1.2.3.4 ; stamped\r\n";
        assert_eq!(of_inf(inf), Some([1, 2, 3, 4]));
    }

    #[test]
    fn malformed_versions_are_refused() {
        assert_eq!(of_inf("DriverVer = 11/21/2026"), None);
        assert_eq!(parse("1.2.3.4.5"), None);
        assert_eq!(parse("1.70000"), None);
        assert_eq!(parse("1.2"), Some([1, 2, 0, 0]));
    }
}
