//! The system event log, as far as a miniport and its port driver write to it.

use std::time::Duration;

use crate::request::Address;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Virtual time.
    pub when: Duration,
    /// Who logged it and how.
    pub source: Source,
    /// `ErrorCode` of StorPortLogError (`SP_*`) or of STOR_LOG_EVENT_DETAILS, or StorPort's own event id.
    pub code: u32,
    /// `UniqueId`.
    pub unique_id: u32,
    /// The unit it is about.
    pub address: Address,
    /// Insertion strings.
    pub strings: Vec<String>,
    /// Dump data.
    pub data: Vec<u8>,
}

/// Where an [`Event`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// StorPortLogError.
    LogError,
    /// StorPortLogSystemEvent.
    LogSystemEvent,
    /// The port driver itself: event 129, a reset was issued.
    Port,
}

/// What a miniport told event tracing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// `EventId`.
    pub id: u32,
    /// `EventLevel`.
    pub level: u32,
    /// `EventDescription`.
    pub description: String,
    /// Names and values.
    pub parameters: Vec<(String, u64)>,
}
