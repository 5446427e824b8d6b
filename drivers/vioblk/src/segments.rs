//! A scatter list as the device may see it: no element longer than `size_max`, no byte more than the request.
#![forbid(unsafe_code)]

use crate::ffi::dma::given;
use storport::Segment;
use virtio_core::ring::Part;

/// Cuts segments into parts.
#[derive(Clone, Debug)]
pub struct Parts<I> {
    segments: I,
    /// Most bytes of a part. Not zero.
    max: u32,
    /// Bytes of the request that are still to come.
    left: u32,
    /// What is left of the segment that is being cut.
    current: Segment,
}

impl<I: Iterator<Item = Segment>> Parts<I> {
    /// The first `bytes` bytes of `segments`, in parts of at most `max` bytes.
    pub fn new(segments: I, bytes: u32, max: u32) -> Self {
        Self {
            segments,
            max: max.max(1),
            left: bytes,
            current: Segment { address: 0, len: 0 },
        }
    }
}

impl<I: Iterator<Item = Segment>> Iterator for Parts<I> {
    type Item = Part;

    #[inline]
    fn next(&mut self) -> Option<Part> {
        if self.left == 0 {
            return None;
        }
        while self.current.len == 0 {
            self.current = self.segments.next()?;
        }
        let len = self.current.len.min(self.max).min(self.left);
        let part = Part::new(given(self.current.address), len);
        // None of these can wrap: `len` is the least of the three.
        self.current.address = self.current.address.wrapping_add(u64::from(len));
        self.current.len = self.current.len.wrapping_sub(len);
        self.left = self.left.wrapping_sub(len);
        Some(part)
    }
}

/// What a request's data comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Parts.
    pub parts: u32,
    /// Bytes.
    pub bytes: u32,
}

/// Counts parts and bytes.
pub fn measure(parts: impl Iterator<Item = Part>) -> Measure {
    let none = Measure { parts: 0, bytes: 0 };
    parts.fold(none, |sum, part| Measure {
        parts: sum.parts.saturating_add(1),
        bytes: sum.bytes.saturating_add(part.len),
    })
}

#[cfg(test)]
mod tests;
