//! When requests are held back: busy, pause, queue depth, resets.
//!
//! MS: nf-storport-storportbusy, -storportdevicebusy, -storportpause, -storportpausedevice, -storportsetdevicequeuedepth.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::request::Address;

/// Why and until when something is held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hold {
    /// Requests that must be completed before more are sent.
    busy: Option<u32>,
    /// Virtual time until which it is paused.
    paused: Option<Duration>,
    /// Resets in progress.
    frozen: u32,
    /// Requests with the miniport.
    outstanding: u32,
}

impl Hold {
    fn open(&self, now: Duration) -> bool {
        self.busy.is_none() && self.frozen == 0 && self.paused.is_none_or(|until| until <= now)
    }

    /// "If RequestsToComplete is greater than the number of currently outstanding requests", all of them count.
    fn set_busy(&mut self, requests: u32) {
        let count = requests.min(self.outstanding);
        self.busy = (count > 0).then_some(count);
    }

    fn completed(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.busy = self
            .busy
            .and_then(|left| left.checked_sub(1))
            .filter(|&left| left > 0);
        if self.outstanding == 0 {
            self.busy = None;
        }
    }
}

/// The holds of an adapter and its units.
#[derive(Debug, Default)]
pub struct Flow {
    adapter: Hold,
    units: BTreeMap<Address, (Hold, Option<u32>)>,
    /// `MaxNumberOfIO`.
    pub max: u32,
    /// `InitialLunQueueDepth`.
    pub initial_depth: u32,
    /// `MaxIOsPerLun`.
    pub max_depth: u32,
}

impl Flow {
    fn unit(&mut self, address: Address) -> &mut (Hold, Option<u32>) {
        self.units.entry(address).or_default()
    }

    /// Whether a request may go to the unit now.
    pub fn open(&mut self, address: Address, now: Duration) -> bool {
        let initial = self.initial_depth;
        let room = self.adapter.outstanding < self.max;
        let adapter = self.adapter.open(now);
        let (hold, depth) = self.unit(address);
        room && adapter && hold.open(now) && hold.outstanding < depth.unwrap_or(initial)
    }

    /// A request goes to the miniport.
    pub fn sent(&mut self, address: Address) {
        self.adapter.outstanding += 1;
        self.unit(address).0.outstanding += 1;
    }

    /// A request came back.
    pub fn completed(&mut self, address: Address) {
        self.adapter.completed();
        self.unit(address).0.completed();
    }

    /// StorPortBusy and StorPortDeviceBusy.
    pub fn set_busy(&mut self, unit: Option<Address>, requests: u32) {
        self.hold(unit).set_busy(requests);
    }

    /// StorPortReady and StorPortDeviceReady.
    pub fn set_ready(&mut self, unit: Option<Address>) {
        self.hold(unit).busy = None;
    }

    /// StorPortPause and StorPortPauseDevice; `None` for resume.
    pub fn set_paused(&mut self, unit: Option<Address>, until: Option<Duration>) {
        self.hold(unit).paused = until;
    }

    /// A reset begins or ends.
    pub fn freeze(&mut self, unit: Option<Address>, on: bool) {
        let hold = self.hold(unit);
        hold.frozen = if on {
            hold.frozen + 1
        } else {
            hold.frozen.saturating_sub(1)
        };
    }

    /// StorPortSetDeviceQueueDepth: accepted from 1 to MaxIOsPerLun.
    pub fn set_depth(&mut self, address: Address, depth: u32) -> bool {
        let fine = (1..=self.max_depth).contains(&depth);
        if fine {
            self.unit(address).1 = Some(depth);
        }
        fine
    }

    fn hold(&mut self, unit: Option<Address>) -> &mut Hold {
        match unit {
            Some(address) => &mut self.unit(address).0,
            None => &mut self.adapter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow {
            max: 4,
            initial_depth: 3,
            max_depth: 8,
            ..Flow::default()
        }
    }

    #[test]
    fn busy_counts_down_completions() {
        let (mut flow, a, now) = (flow(), Address::new(0, 0), Duration::ZERO);
        flow.sent(a);
        flow.sent(a);
        flow.set_busy(None, 2);
        assert!(!flow.open(a, now));
        flow.completed(a);
        assert!(!flow.open(a, now));
        flow.completed(a);
        assert!(flow.open(a, now));
        flow.set_busy(None, 5);
        assert!(
            flow.open(a, now),
            "nothing is outstanding, so nothing can be waited for"
        );
    }

    #[test]
    fn depth_is_per_unit_and_bounded() {
        let (mut flow, a, b, now) = (
            flow(),
            Address::new(0, 0),
            Address::new(1, 0),
            Duration::ZERO,
        );
        assert!(!flow.set_depth(a, 0) && !flow.set_depth(a, 9) && flow.set_depth(a, 1));
        flow.sent(a);
        assert!(!flow.open(a, now) && flow.open(b, now));
        (0..3).for_each(|_| flow.sent(b));
        assert!(!flow.open(b, now), "MaxNumberOfIO");
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let (mut flow, a) = (flow(), Address::new(0, 0));
        flow.set_paused(Some(a), Some(Duration::from_secs(2)));
        assert!(!flow.open(a, Duration::from_secs(1)));
        assert!(flow.open(a, Duration::from_secs(2)));
    }
}
