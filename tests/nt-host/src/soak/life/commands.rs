//! One of each command that is no transfer. What exactly they answer is judged elsewhere (`crate::commands`); here they have to end, and
//! well where nothing can make them fail.

use anyhow::{Result, ensure};
use host_storport::{Adapter, Address, Data, Outcome, Request};
use test_device::inproc::Config;

use super::{Life, TIMEOUT};
use crate::cdb;
use crate::judge::{self, Disturbance};
use crate::workload::Tally;

/// Times that a command is sent again after a unit attention, as the class driver does.
const ATTENTIONS: u32 = 4;

/// What a device has to offer for a command to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Lifetime,
    Discard,
    WriteZeroes,
    /// It changes blocks.
    Writes,
}

impl Needs {
    fn offered(self, config: &Config) -> bool {
        match self {
            Self::Nothing => true,
            Self::Lifetime => config.lifetime.is_some(),
            Self::Discard => config.discard.is_some() && !config.read_only,
            Self::WriteZeroes => config.write_zeroes.is_some() && !config.read_only,
            Self::Writes => !config.read_only,
        }
    }
}

impl Life<'_> {
    pub(super) fn commands(&mut self, adapter: &Adapter, address: Address) -> Result<()> {
        // Three blocks from block 1 on.
        let unmap = vec![
            0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0,
        ];
        let same = [0x93, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0];
        self.disk.lost(1, 3);
        self.disk.lost(8, 18);
        let serial = [0x12, 1, 0x80, 0, 64, 0];
        let identity = [0x12, 1, 0x83, 0, 64, 0];
        let wear = [0x4d, 0, 0x51, 0, 0, 0, 0, 0, 255, 0];
        let capacity = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
        let sent: [(Needs, &[u8], Data); 11] = [
            (Needs::Nothing, &serial, Data::In(64)),
            (Needs::Nothing, &identity, Data::In(64)),
            (Needs::Lifetime, &wear, Data::In(255)),
            (Needs::Nothing, &capacity, Data::In(32)),
            (Needs::Nothing, &cdb::mode_sense(), Data::In(255)),
            (
                Needs::Discard,
                &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
                Data::Out(unmap),
            ),
            (Needs::WriteZeroes, &same, Data::Out(vec![0; 512])),
            (
                Needs::Writes,
                &[0x41, 0, 0, 0, 0, 17, 0, 0, 9, 0],
                Data::Out(vec![7; 512]),
            ),
            (
                Needs::Nothing,
                &[0x2f, 0, 0, 0, 0, 3, 0, 0, 40, 0],
                Data::None,
            ),
            (Needs::Nothing, &cdb::synchronize_cache(), Data::None),
            (Needs::Nothing, &[0, 0, 0, 0, 0, 0], Data::None),
        ];
        for (needs, cdb, data) in sent {
            let mut tries = 0;
            let outcome = loop {
                let mut request = Request::scsi(address, cdb, data.clone());
                request.timeout = TIMEOUT;
                let outcome = adapter.request(request)?;
                self.tally.requests += 1;
                if !judge::attention(&outcome) || tries == ATTENTIONS {
                    break outcome;
                }
                tries += 1;
            };
            let disturbance = self.disturbance(Disturbance::None);
            let offered = needs.offered(self.config);
            judge(offered, disturbance, &outcome, &mut self.tally)
                .map_err(|error| error.context(format!("{cdb:02x?}")))?;
        }
        Ok(())
    }
}

/// Whether a command may end like this, given what the plan can do to any request; what failed although the device offers it is counted
/// with the requests that did.
fn judge(
    offered: bool,
    disturbance: Disturbance,
    outcome: &Outcome,
    tally: &mut Tally,
) -> Result<()> {
    if outcome.is_success() && outcome.scsi_status == 0 {
        return Ok(());
    }
    let refused = !offered && Disturbance::Anything.explains(outcome);
    ensure!(
        refused || disturbance.explains(outcome),
        "{}",
        judge::describe(outcome)
    );
    if !refused {
        tally.disturbed += 1;
        tally.failed += u64::from(!Disturbance::Reset.explains(outcome));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::Plan;
    use super::*;

    /// CHECK CONDITION with this sense key; or, without one, SRB_STATUS_BUS_RESET.
    fn ended(key: Option<u8>) -> Outcome {
        let (raw_status, scsi_status) = if key.is_some() { (0x84, 2) } else { (0x0e, 0) };
        Outcome {
            raw_status,
            scsi_status,
            sense: key.map(|key| vec![0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0]),
            transferred: 0,
            data: Vec::new(),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn what_the_device_offers_fails_only_by_a_fault_of_the_plan() {
        let judged = |offered, disturbance, outcome: &Outcome| {
            let mut tally = Tally::default();
            let judged = judge(offered, disturbance, outcome, &mut tally);
            judged.ok().map(|()| (tally.disturbed, tally.failed))
        };
        let (error, reset) = (ended(Some(5)), ended(None));
        assert_eq!(judged(true, Disturbance::None, &error), None);
        assert_eq!(judged(true, Disturbance::None, &reset), None);
        assert_eq!(judged(false, Disturbance::None, &error), Some((0, 0)));
        assert_eq!(judged(true, Disturbance::Removal, &error), None);
        assert_eq!(judged(true, Disturbance::Removal, &reset), Some((1, 0)));
        // This is what the tally of a plan with failing calls is about.
        assert_eq!(judged(true, Disturbance::Anything, &error), Some((1, 1)));
    }

    #[test]
    fn the_device_of_the_whole_life_offers_all_of_it() {
        let mut config = Config::new(Path::new(""));
        let all = [
            Needs::Lifetime,
            Needs::Discard,
            Needs::WriteZeroes,
            Needs::Writes,
        ];
        assert!(!all.iter().all(|needs| needs.offered(&config)));
        for (key, value) in Plan::whole_life().device {
            config.set(&key, &value).unwrap();
        }
        assert!(all.iter().all(|needs| needs.offered(&config)));
        config.read_only = true;
        let left: Vec<_> = all.iter().filter(|needs| needs.offered(&config)).collect();
        assert_eq!(left, [&Needs::Lifetime]);
    }
}
