//! What is counted, for comparisons that noise cannot move.

use std::collections::BTreeMap;

/// Counts of one adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls by export, notification type and extended function: `StorPortNotification/RequestComplete`.
    pub calls: BTreeMap<String, u64>,
    /// Calls of HwBuildIo.
    pub build_io: u64,
    /// Calls of HwStartIo.
    pub start_io: u64,
    /// Interrupt routines called.
    pub interrupts: u64,
    /// DPC routines called.
    pub dpcs: u64,
    /// Requests completed.
    pub completed: u64,
    /// Requests that came back with UNIT ATTENTION, the port driver's own among them.
    pub attentions: u64,
    /// Requests that came back with SRB_STATUS_BUSY and were sent again.
    pub busy: u64,
    /// Requests that timed out.
    pub timeouts: u64,
    /// Bytes of data moved by successful requests.
    pub bytes: u64,
    /// Most requests outstanding at once.
    pub max_outstanding: usize,
    /// Chains that the device was given.
    pub chains: u64,
    /// Of these, chains that begin in the uncached extension: what they describe is not in the request's own memory.
    pub moved: u64,
    /// Bytes of SRB extensions that no longer hold what they were handed over with, at completion.
    pub extension_bytes_written: u64,
    /// The most of that for one request.
    pub max_extension_bytes_written: usize,
}

impl Counters {
    /// Counts a call.
    pub fn call(&mut self, name: &str) {
        match self.calls.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.calls.insert(name.to_owned(), 1);
            }
        }
    }
}
