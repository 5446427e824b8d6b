//! D3 and back.

use anyhow::{Context, Result, ensure};
use host_storport::{Adapter, Address, Data, Function, Request, Sleep};

use super::{Harm, Life, TIMEOUT};

impl Life<'_> {
    /// D3 and back to D0, for the unit and for the adapter. A function with PCI power management is put into D3 itself, every other time
    /// without power; either way it forgets all that it knew. MS: "PCI power management and device drivers"
    pub(super) fn sleep(&mut self, adapter: &Adapter, address: Address) -> Result<()> {
        // StorPowerDeviceD3 and StorPowerDeviceD0. MS: ne-storport-stor_device_power_state
        self.tell_unit(adapter, address, 4)?;
        if self.config.power {
            self.stop(adapter)?;
            let depth = if self.rounds.is_multiple_of(2) {
                Sleep::Cold
            } else {
                Sleep::Hot
            };
            let lost = adapter
                .power_down(depth)
                .and_then(|asleep| adapter.power_up(&asleep));
            match lost {
                Ok(lost) => ensure!(lost, "the device forgot nothing in {depth:?} D3"),
                Err(error) => self
                    .may_fail(Err(error))
                    .context("no way into D3 and back")?,
            }
            self.restart(adapter)?;
        }
        self.tell_unit(adapter, address, 1)
    }

    fn tell_unit(&self, adapter: &Adapter, address: Address, state: u32) -> Result<()> {
        // StorPowerActionSleep. MS: ne-storport-stor_power_action
        let function = Function::Power {
            state,
            action: 2,
            adapter: false,
        };
        let mut request = Request::new(address, function, Data::None);
        request.timeout = TIMEOUT;
        let outcome = adapter.request(request)?;
        ensure!(
            outcome.is_success() || self.harm > Harm::None,
            "a power request failed: {}",
            crate::judge::describe(&outcome)
        );
        Ok(())
    }
}
