//! How requests are to end, and whether they did.

use host_storport::Outcome;

use crate::plan::Kind;

/// Which requests are to fail, and how.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Every write fails with DATA PROTECT.
    pub write_protected: bool,
    /// Reads of these blocks fail.
    pub bad_reads: Vec<u64>,
    /// Writes to these blocks fail.
    pub bad_writes: Vec<u64>,
    /// What happens to the device meanwhile.
    pub disturbance: Disturbance,
    /// The device lies about data in a way that nobody can notice.
    pub spoilt: bool,
}

/// Something that cuts requests off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Disturbance {
    /// Nothing.
    #[default]
    None,
    /// Bus resets.
    Reset,
    /// Surprise removal.
    Removal,
    /// Surprise removal of which the miniport is told before anything times out.
    Told,
    /// A device or a port driver that fails in any way: every request may fail, if it says so properly.
    Anything,
}

impl Disturbance {
    /// Whether a request may end like this because of it: the statuses that storport.h has for the purpose.
    #[must_use]
    pub fn explains(self, outcome: &Outcome) -> bool {
        // storport.h
        const ABORTED: u8 = 0x02;
        const NO_DEVICE: u8 = 0x08;
        const SELECTION_TIMEOUT: u8 = 0x0a;
        const BUS_RESET: u8 = 0x0e;
        const NO_HBA: u8 = 0x11;
        let status = outcome.srb_status();
        match self {
            Self::None => false,
            Self::Anything => !outcome.is_success() && well_formed(outcome),
            Self::Reset => matches!(status, ABORTED | BUS_RESET),
            Self::Told => status == NO_DEVICE,
            Self::Removal => matches!(
                status,
                ABORTED | NO_DEVICE | SELECTION_TIMEOUT | BUS_RESET | NO_HBA
            ),
        }
    }
}

/// How a request is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Well.
    Success,
    /// With CHECK CONDITION and one of these sense keys.
    Failure(&'static [u8]),
}

impl Faults {
    /// How a request of this kind on these blocks is to end.
    #[must_use]
    pub fn expected(&self, kind: Kind, lba: u64, blocks: u64) -> Expected {
        // QEMU's scsi-disk tells of a full image with DATA PROTECT: SPACE ALLOCATION FAILED.
        const ERROR: Expected =
            Expected::Failure(&[MEDIUM_ERROR, HARDWARE_ERROR, ABORTED_COMMAND, DATA_PROTECT]);
        let hits = |bad: &[u64]| bad.iter().any(|block| (lba..lba + blocks).contains(block));
        match kind {
            Kind::Write if self.write_protected => Expected::Failure(&[DATA_PROTECT]),
            Kind::Write if hits(&self.bad_writes) => ERROR,
            Kind::Read if hits(&self.bad_reads) => ERROR,
            _ => Expected::Success,
        }
    }
}

// Sense keys. // SPC-4 §4.5.6
const MEDIUM_ERROR: u8 = 0x3;
const HARDWARE_ERROR: u8 = 0x4;
const UNIT_ATTENTION: u8 = 0x6;
const DATA_PROTECT: u8 = 0x7;
const ABORTED_COMMAND: u8 = 0xb;

/// Whether a failure is told the way storport.h has it: an error comes with CHECK CONDITION and sense data, and sense data with
/// nothing else.
fn well_formed(outcome: &Outcome) -> bool {
    let error = outcome.srb_status() == SRB_STATUS_ERROR;
    let sense = outcome.sense_code().is_some_and(|(key, ..)| key != 0);
    error == sense && error == (outcome.scsi_status == CHECK_CONDITION)
}

/// SRB_STATUS_ERROR, storport.h.
const SRB_STATUS_ERROR: u8 = 0x04;
/// SCSI status CHECK CONDITION. // SAM-5 §5.3
const CHECK_CONDITION: u8 = 0x02;

/// Whether the device only told of something that happened before, such as a reset, and did not process the request. The class
/// driver then sends it again. // SAM-5 §5.14; MS: nf-classpnp-classinterpretsenseinfo
#[must_use]
pub fn attention(outcome: &Outcome) -> bool {
    failure(outcome, &[UNIT_ATTENTION]).is_ok()
}

/// Checks a request that was to move `bytes` bytes.
///
/// # Errors
/// It failed, or moved another number of bytes.
pub fn success(outcome: &Outcome, bytes: usize) -> Result<(), String> {
    if !outcome.is_success() || outcome.scsi_status != 0 {
        return Err(format!("failed: {}", describe(outcome)));
    }
    if outcome.transferred as usize != bytes {
        return Err(format!(
            "moved {} of {bytes} bytes and calls it success",
            outcome.transferred
        ));
    }
    Ok(())
}

/// Checks a request that was to fail with one of these sense keys.
///
/// # Errors
/// It ended otherwise.
pub fn failure(outcome: &Outcome, keys: &[u8]) -> Result<(), String> {
    let key = outcome.sense_code().map(|(key, ..)| key);
    let status = outcome.srb_status() == SRB_STATUS_ERROR && outcome.scsi_status == CHECK_CONDITION;
    if status && key.is_some_and(|key| keys.contains(&key)) {
        return Ok(());
    }
    Err(format!(
        "was to fail with SRB status 0x04, CHECK CONDITION and a sense key of {keys:x?}: {}",
        describe(outcome)
    ))
}

/// Checks a command that was to be refused with this sense data, as sense key, code and qualifier.
///
/// # Errors
/// It ended otherwise.
pub fn refusal(cdb: &[u8], outcome: &Outcome, sense: (u8, u8, u8)) -> Result<(), String> {
    let refused = failure(outcome, &[sense.0]).is_ok() && outcome.sense_code() == Some(sense);
    if refused {
        return Ok(());
    }
    Err(format!(
        "{cdb:02x?} was to be refused with {sense:x?}: {}",
        describe(outcome)
    ))
}

/// An outcome in words.
#[must_use]
pub fn describe(outcome: &Outcome) -> String {
    let sense = match outcome.sense_code() {
        Some((key, code, qualifier)) => format!("sense {key:x}/{code:02x}/{qualifier:02x}"),
        None => "no sense data".to_owned(),
    };
    format!(
        "SRB status {:#04x}, SCSI status {:#04x}, {sense}, {} bytes moved",
        outcome.raw_status, outcome.scsi_status, outcome.transferred
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outcome(raw_status: u8, scsi_status: u8, key: Option<u8>) -> Outcome {
        let sense = key.map(|key| {
            let mut sense = vec![0; 18];
            (sense[0], sense[2]) = (0x70, key);
            sense
        });
        Outcome {
            raw_status,
            scsi_status,
            sense,
            transferred: 512,
            data: Vec::new(),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn success_means_all_bytes() {
        assert!(success(&outcome(1, 0, None), 512).is_ok());
        assert!(success(&outcome(1, 0, None), 1024).is_err());
        assert!(success(&outcome(0x84, 2, Some(3)), 512).is_err());
    }

    #[test]
    fn failure_means_status_and_sense() {
        assert!(failure(&outcome(0x84, 2, Some(MEDIUM_ERROR)), &[MEDIUM_ERROR]).is_ok());
        assert!(failure(&outcome(0x84, 2, Some(DATA_PROTECT)), &[MEDIUM_ERROR]).is_err());
        assert!(failure(&outcome(0x04, 2, None), &[MEDIUM_ERROR]).is_err());
        assert!(failure(&outcome(0x01, 0, None), &[MEDIUM_ERROR]).is_err());
    }

    #[test]
    fn a_refusal_means_status_and_all_of_the_sense() {
        let refused = |raw, scsi, sense| {
            let outcome = outcome(raw, scsi, Some(DATA_PROTECT));
            refusal(&[0x2a], &outcome, sense).is_ok()
        };
        assert!(refused(0x84, 2, (DATA_PROTECT, 0, 0)));
        assert!(!refused(0x84, 2, (MEDIUM_ERROR, 0, 0)));
        assert!(!refused(0x84, 2, (DATA_PROTECT, 0x27, 0)));
        // Sense data without the statuses that go with it.
        assert!(!refused(0x84, 0, (DATA_PROTECT, 0, 0)));
        assert!(!refused(0x8e, 2, (DATA_PROTECT, 0, 0)));
    }

    #[test]
    fn attention_is_a_sense_key() {
        assert!(attention(&outcome(0x84, 2, Some(UNIT_ATTENTION))));
        assert!(!attention(&outcome(0x84, 2, Some(MEDIUM_ERROR))));
        assert!(!attention(&outcome(0x0e, 0, None)));
    }

    #[test]
    fn only_bad_blocks_are_to_fail() {
        let faults = Faults {
            bad_reads: vec![10],
            bad_writes: vec![20],
            ..Faults::default()
        };
        let fails = |kind, lba, blocks| faults.expected(kind, lba, blocks) != Expected::Success;
        assert!(fails(Kind::Read, 10, 1) && fails(Kind::Read, 3, 8) && !fails(Kind::Read, 3, 7));
        assert!(
            fails(Kind::Write, 20, 1) && !fails(Kind::Write, 10, 1) && !fails(Kind::Flush, 0, 0)
        );
    }

    #[test]
    fn disturbances_explain_their_own_statuses_only() {
        assert!(Disturbance::Reset.explains(&outcome(0x0e, 0, None)));
        assert!(!Disturbance::Reset.explains(&outcome(0x08, 0, None)));
        assert!(Disturbance::Removal.explains(&outcome(0x08, 0, None)));
        assert!(!Disturbance::Removal.explains(&outcome(0x04, 2, Some(3))));
        assert!(Disturbance::Told.explains(&outcome(0x08, 0, None)));
        assert!(!Disturbance::Told.explains(&outcome(0x0e, 0, None)));
        assert!(!Disturbance::None.explains(&outcome(0x0e, 0, None)));
        let anything =
            |status, scsi, key| Disturbance::Anything.explains(&outcome(status, scsi, key));
        assert!(anything(0x0e, 0, None) && anything(0x84, 2, Some(4)));
        assert!(!anything(0x01, 0, None) && !anything(0x04, 2, None) && !anything(0x04, 0, None));
        assert!(!anything(0x84, 2, Some(0)) && !anything(0x8e, 0, Some(4)));
    }
}
