//! A request on its way to the device and back: what it is, and how it ended.
#![forbid(unsafe_code)]

use crate::ffi::extension::RequestBox;
use crate::limits::FIXED_DESCRIPTORS;
use crate::ranges::Steps;
use core::mem::{MaybeUninit, size_of};
use core::num::NonZeroU8;
use storport::{Dma, Sense, Srb};
use virtio_core::ring::IndirectChain;
use virtio_core::spec::blk::{ID_LEN, RequestHeader, RequestStatus, RequestType};

/// What the device is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Nothing: the request is answered without the device.
    None,
    /// Read sectors.
    Read,
    /// Write sectors.
    Write {
        /// A flush must follow before the request is done.
        force_unit_access: bool,
    },
    /// Empty the cache.
    Flush {
        /// The disk counts as stopped when that is done.
        stop: bool,
    },
    /// Return the serial number.
    Identify,
    /// Tell how worn the medium is.
    Lifetime,
    /// Give blocks up.
    Discard,
    /// Write zeroes.
    Zero {
        /// The blocks may be given up.
        unmap: bool,
    },
    /// Write one block to many.
    Repeat,
    /// Read blocks and drop what was read.
    Verify,
    /// Wait for a reset of the device.
    Reset,
}

/// What the device is doing for the request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The operation itself.
    Operation,
    /// The flush after a write.
    Flush,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// It failed, and the sense data says why.
    Failed(Sense),
    /// The device was reset; the request can be repeated.
    Reset,
    /// There is no device any more.
    Gone,
    /// No room now; StorPort repeats the request.
    Busy,
    /// The request contradicts itself or the promised limits.
    Invalid,
}

/// What some operations need besides what all have. Of a transfer only the tag is written.
#[derive(Clone, Copy, Debug)]
pub enum Extra {
    /// Nothing.
    Nothing,
    /// How far an operation on ranges of blocks has come.
    Steps(Steps),
    /// What the device returned to [`Operation::Identify`] and, in the first bytes, to [`Operation::Lifetime`].
    Answer([u8; ID_LEN]),
}

/// A request in full.
#[derive(Debug)]
pub struct Request {
    /// The request block, while the driver owns it.
    pub srb: Option<Srb>,
    /// The next request, while this one is in a list.
    pub next: MaybeUninit<Option<RequestBox>>,
    /// The part of the extension that is contiguous for the device: at least the head. `None`: not even that is.
    pub memory: Option<Dma>,
    /// The table that was written into `memory` before the request came to a queue, if the request can be sent.
    pub chain: Option<IndirectChain>,
    /// First sector.
    pub sector: u64,
    /// Data bytes, of the present step.
    pub bytes: u32,
    /// Data descriptors, of the present step.
    pub parts: u32,
    /// What the device is asked to do.
    pub operation: Operation,
    /// What it is doing now.
    pub stage: Stage,
    /// The slot of the queue's pool that the request uses instead of `memory`.
    pub slot: Option<NonZeroU8>,
    /// The data does not fit the device's limits as it lies and goes through a bounce page.
    pub needs_bounce: bool,
    /// That page.
    pub bounce: Option<NonZeroU8>,
    /// How it ended.
    pub outcome: Outcome,
    /// What only some operations need.
    pub extra: Extra,
}

/// Memory that the device sees, before the indirect table: header, serial number, status. In bytes.
pub const HEAD_LEN: usize = 48;
/// Offset of the serial number.
pub const ID_OFFSET: usize = size_of::<RequestHeader>();
/// Offset of the status byte.
pub const STATUS_OFFSET: usize = ID_OFFSET + ID_LEN;
/// Bytes of a descriptor. Virtio 1.3 §2.7.5
pub const DESCRIPTOR_LEN: usize = 16;
/// What the status byte is before the device writes it; no status of the specification.
pub const NO_STATUS: u8 = 0xff;

const _: () = assert!(STATUS_OFFSET < HEAD_LEN && HEAD_LEN.is_multiple_of(DESCRIPTOR_LEN));

impl Request {
    /// A request for the device.
    pub const fn new(operation: Operation, sector: u64, bytes: u32) -> Self {
        Self {
            srb: None,
            next: MaybeUninit::uninit(),
            memory: None,
            chain: None,
            sector,
            bytes,
            parts: 0,
            operation,
            stage: Stage::Operation,
            slot: None,
            needs_bounce: false,
            bounce: None,
            outcome: Outcome::Done,
            extra: Extra::Nothing,
        }
    }

    /// How far an operation on ranges of blocks has come.
    pub fn steps(&self) -> Steps {
        match self.extra {
            Extra::Steps(steps) => steps,
            _ => Steps::default(),
        }
    }

    /// What the device returned to a question.
    pub fn answer(&self) -> [u8; ID_LEN] {
        match self.extra {
            Extra::Answer(answer) => answer,
            _ => [0; ID_LEN],
        }
    }

    /// The header for the present stage. Virtio 1.3 §5.2.6
    pub fn header(&self) -> RequestHeader {
        match (self.stage, self.operation) {
            (Stage::Flush, _)
            | (_, Operation::Flush { .. } | Operation::None | Operation::Reset) => {
                RequestHeader::new(RequestType::FLUSH, 0)
            }
            (_, Operation::Read | Operation::Verify) => {
                RequestHeader::new(RequestType::IN, self.sector)
            }
            (_, Operation::Write { .. } | Operation::Repeat) => {
                RequestHeader::new(RequestType::OUT, self.sector)
            }
            (_, Operation::Identify) => RequestHeader::new(RequestType::GET_ID, 0),
            (_, Operation::Lifetime) => RequestHeader::new(RequestType::GET_LIFETIME, 0),
            (_, Operation::Discard) => RequestHeader::new(RequestType::DISCARD, 0),
            (_, Operation::Zero { .. }) => RequestHeader::new(RequestType::WRITE_ZEROES, 0),
        }
    }

    /// Descriptors of the present stage's chain: header, data, status.
    pub fn chain_len(&self) -> u32 {
        let data = match (self.stage, self.operation) {
            (Stage::Flush, _) | (_, Operation::None | Operation::Flush { .. }) => 0,
            (_, Operation::Identify | Operation::Lifetime) => 1,
            _ => self.parts,
        };
        data.saturating_add(FIXED_DESCRIPTORS)
    }

    /// Bytes behind the head that name ranges of blocks.
    pub fn ranges_len(&self) -> usize {
        match self.operation {
            Operation::Discard | Operation::Zero { .. } => self.bytes as usize,
            _ => 0,
        }
    }

    /// Judges the device's answer: the status byte and the bytes that it says it wrote.
    ///
    /// Beyond the bytes written nothing may be assumed of what the device should have filled in, so a read that is shorter than
    /// asked has failed. Virtio 1.3 §2.7.8.3
    ///
    /// The status byte need not be counted, as it proves itself: Cloud Hypervisor before 52 leaves it out, and counts nothing at
    /// all of an identification (its pull request 8066). So the answers to questions are cleared before the device fills them in, and go by the status.
    pub fn judge(&self, status: RequestStatus, written: u32) -> Outcome {
        use Operation::{Discard, Identify, Lifetime, Read, Verify, Zero};
        let reads = matches!(self.operation, Read | Verify);
        Outcome::Failed(match status {
            RequestStatus::OK if reads && written < self.bytes => Sense::TARGET_FAILURE,
            RequestStatus::OK => return Outcome::Done,
            RequestStatus::IOERR if reads || matches!(self.operation, Identify | Lifetime) => {
                Sense::READ_ERROR
            }
            RequestStatus::IOERR => Sense::WRITE_ERROR,
            // What a device need not know, and what its storage may turn out not to do after all.
            RequestStatus::UNSUPP if matches!(self.operation, Identify | Lifetime | Discard) => {
                Sense::INVALID_OPCODE
            }
            // Other WRITE SAME commands may still be carried out.
            RequestStatus::UNSUPP if matches!(self.operation, Zero { .. }) => Sense::INVALID_FIELD,
            _ => Sense::TARGET_FAILURE,
        })
    }
}

#[cfg(test)]
mod tests;
