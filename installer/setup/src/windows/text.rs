//! Text as Windows wants it: UTF-16 with a final zero.

use alloc::string::String;
use alloc::vec::Vec;

/// For a parameter.
pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// From a buffer, up to its first zero.
pub fn narrow(buffer: &[u16]) -> String {
    let end = buffer
        .iter()
        .position(|&unit| unit == 0)
        .unwrap_or(buffer.len());
    String::from_utf16_lossy(buffer.get(..end).unwrap_or_default())
}
