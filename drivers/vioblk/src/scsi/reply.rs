//! The data that an emulated command returns.
#![forbid(unsafe_code)]

/// Longest answer that this driver builds: the list of all commands that it knows.
pub const MAX_REPLY: usize = 240;

/// A reply under construction. Unwritten bytes are zero, as SCSI wants reserved fields.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    bytes: [u8; MAX_REPLY],
    len: usize,
}

impl Reply {
    // Not inlined: nothing here is on a transfer's way, and a page has many fields.

    /// No bytes.
    pub const EMPTY: Self = Self {
        bytes: [0; MAX_REPLY],
        len: 0,
    };

    /// Makes an empty reply one of `len` zero bytes, at most [`MAX_REPLY`].
    pub fn of(&mut self, len: usize) -> &mut Self {
        self.len = len.min(MAX_REPLY);
        self
    }

    /// Puts `field` at `offset`. What lies outside the reply is left out.
    #[inline(never)]
    pub fn put(&mut self, offset: usize, field: &[u8]) -> &mut Self {
        for (to, from) in self.bytes.iter_mut().take(self.len).skip(offset).zip(field) {
            *to = *from;
        }
        self
    }

    /// Puts `text` at `offset`, padded with spaces to `width`. SPC-5 §4.3.1
    #[inline(never)]
    pub fn text(&mut self, offset: usize, width: usize, text: &[u8]) -> &mut Self {
        let padded = text.iter().copied().chain(core::iter::repeat(b' '));
        let field = self
            .bytes
            .iter_mut()
            .take(self.len)
            .skip(offset)
            .take(width);
        for (to, from) in field.zip(padded) {
            *to = from;
        }
        self
    }

    /// Cuts the reply to what the command asked for.
    pub fn truncate(&mut self, allocation: usize) {
        self.len = self.len.min(allocation);
    }

    /// The reply.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
