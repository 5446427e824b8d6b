//! An adapter from outside: what whoever drives a test does with it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use host_ntos::sched;

use crate::control;
use crate::counters::Counters;
use crate::events::{Event, Trace};
use crate::interrupt;
use crate::io;
use crate::power::{self, Asleep, Sleep};
use crate::request::{Address, Data, Limits, Outcome, Request};
use crate::scan::Unit;
use crate::start;
use crate::state::{AdapterState, Dev, Phase};
use crate::timeout;

/// An adapter of a loaded driver. Clones are handles of the same.
#[derive(Clone)]
pub struct Adapter {
    pub(crate) state: Rc<AdapterState>,
}

/// Why an adapter did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The miniport said no: an orderly refusal.
    #[error("{stage} refused the adapter with {code:#x}")]
    Refused {
        /// The callback that refused.
        stage: &'static str,
        /// What it returned.
        code: u32,
    },
    /// The adapter cannot be started in the state it is in, or its device does not answer.
    #[error("{0}")]
    Impossible(String),
    /// The run could not go on.
    #[error(transparent)]
    Stuck(#[from] sched::Stuck),
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The run could not go on, or not within the adapter's patience.
    #[error(transparent)]
    Stuck(#[from] sched::Stuck),
    /// The adapter is not in a state for this.
    #[error("the adapter is {0}")]
    State(String),
    /// The miniport reported failure.
    #[error("{stage} failed with {code:#x}")]
    Failed {
        /// The callback.
        stage: &'static str,
        /// What it returned.
        code: u32,
    },
}

/// Addresses of a miniport's routines; 0 where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routines {
    /// The image: its address and its bytes.
    pub image: (usize, usize),
    /// HwBuildIo.
    pub build_io: usize,
    /// HwStartIo.
    pub start_io: usize,
    /// HwMSInterruptRoutine.
    pub message: usize,
    /// The routine of each DPC.
    pub dpcs: Vec<usize>,
}

impl Adapter {
    /// Starts it in Windows' order: HwFindAdapter, interrupts, HwInitialize, passive initialisation, the control types, the scan.
    ///
    /// # Errors
    /// A refusal by the miniport, or a run that cannot go on.
    pub fn start(&self) -> Result<(), StartError> {
        start::start(&self.state)
    }

    /// The units that the last scan found.
    #[must_use]
    pub fn units(&self) -> Vec<Unit> {
        self.state.units.borrow().clone()
    }

    /// What the miniport promised.
    ///
    /// # Errors
    /// HwFindAdapter has not returned yet.
    pub fn limits(&self) -> Result<Limits, Failure> {
        let config = self.state.config().ok_or_else(|| self.wrong_state())?;
        Ok(Limits {
            channels: self.state.perf.get().channels,
            ..config.limits
        })
    }

    /// Queues a request. It never blocks; what becomes of the request is told to its `on_complete`.
    pub fn submit(&self, request: Request) {
        io::submit(&self.state, request, false);
    }

    /// Submits a SCSI command and runs the CPUs until it is over.
    ///
    /// # Errors
    /// The run could not go on.
    pub fn execute(&self, address: Address, cdb: &[u8], data: Data) -> Result<Outcome, Failure> {
        self.request(Request::scsi(address, cdb, data))
    }

    /// Submits any request and runs the CPUs until it is over. Its `on_complete` is not called.
    ///
    /// # Errors
    /// The run could not go on.
    pub fn request(&self, request: Request) -> Result<Outcome, Failure> {
        let answer: Rc<RefCell<Option<Outcome>>> = Rc::default();
        let put = Rc::clone(&answer);
        // Three tiers of reset may follow a timeout.
        let patience =
            self.state.options.patience + request.timeout + 4 * self.state.options.reset_timeout;
        self.submit(request.on_complete(move |outcome| *put.borrow_mut() = Some(outcome)));
        sched::run_until(&mut || answer.borrow().is_some(), patience)?;
        answer.take().ok_or_else(|| self.wrong_state())
    }

    /// Runs the CPUs until no request is queued, outstanding or untold.
    ///
    /// # Errors
    /// That does not happen within `limit`.
    pub fn drain(&self, limit: Duration) -> Result<(), Failure> {
        let state = &self.state;
        Ok(sched::run_until(&mut || control::idle(state), limit)?)
    }

    /// Requests that are with the miniport.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.state.io.borrow().outstanding.len()
    }

    /// Requests that wait to be sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.state.io.borrow().queued()
    }

    /// Stops it for power management: drains, flushes, tells the units and the adapter, ScsiStopAdapter.
    ///
    /// # Errors
    /// It is not running, the miniport fails, or the run cannot go on.
    pub fn stop(&self) -> Result<(), Failure> {
        self.in_thread("stop", control::stop)
    }

    /// Powers it up again after [`Adapter::stop`].
    ///
    /// # Errors
    /// It is not stopped, the miniport fails, or the run cannot go on.
    pub fn restart(&self) -> Result<(), Failure> {
        self.in_thread("restart", control::restart)
    }

    /// Puts the function of a stopped adapter into D3, as the bus driver does after [`Adapter::stop`].
    ///
    /// # Errors
    /// It is not stopped, its function has no power management, or it does not obey.
    pub fn power_down(&self, sleep: Sleep) -> Result<Asleep, Failure> {
        power::down(&self.state, sleep)
    }

    /// Puts it back into D0 with its configuration, as the bus driver does before [`Adapter::restart`]. Whether the configuration
    /// had been lost.
    ///
    /// # Errors
    /// The function does not obey.
    pub fn power_up(&self, asleep: &Asleep) -> Result<bool, Failure> {
        power::up(&self.state, asleep)
    }

    /// Stops the adapter, gives its device other addresses, and starts it.
    ///
    /// # Errors
    /// It does not run, the miniport fails, or the run cannot go on.
    pub fn rebalance(&self) -> Result<(), Failure> {
        self.in_thread("rebalance", control::rebalance)
    }

    /// Where the device's registers are.
    #[must_use]
    pub fn bars(&self) -> Vec<test_device::Bar> {
        self.state.bars.borrow().clone()
    }

    /// Resets a bus through HwResetBus.
    ///
    /// # Errors
    /// The miniport fails, or the run cannot go on.
    pub fn reset_bus(&self, path: u8) -> Result<(), Failure> {
        self.in_thread("bus reset", move |state| {
            if timeout::reset_bus(state, path) {
                Ok(())
            } else {
                Err(Failure::Failed {
                    stage: "HwResetBus",
                    code: 0,
                })
            }
        })
    }

    /// Calls HwResetBus from within a completion, where a requester is told at once ([`AdapterOptions::told_at_once`]). Microsoft
    /// says nowhere that StorPort does not.
    ///
    /// [`AdapterOptions::told_at_once`]: crate::AdapterOptions::told_at_once
    #[must_use]
    pub fn reset_bus_here(&self, path: u8) -> bool {
        timeout::reset_bus(&self.state, path)
    }

    /// Scans the buses again.
    ///
    /// # Errors
    /// It is not running, or the run cannot go on.
    pub fn rescan(&self) -> Result<(), Failure> {
        self.in_thread("scan", |state| {
            crate::scan::scan(state);
            Ok(())
        })
    }

    /// Removes it in order, as when its device is disabled: nothing may be left behind.
    ///
    /// # Errors
    /// The miniport fails, or the run cannot go on.
    pub fn remove(&self) -> Result<(), Failure> {
        self.in_thread("removal", control::remove)
    }

    /// Takes the device away without warning, then removes the adapter.
    ///
    /// # Errors
    /// The run cannot go on.
    pub fn surprise_remove(&self) -> Result<(), Failure> {
        self.in_thread("surprise removal", control::surprise_remove)
    }

    /// Delivers an interrupt that the device did not raise: this message, or the line if there are none. A stopped adapter gets it
    /// too, as its interrupt stays connected until it is removed and a line has other devices on it.
    ///
    /// # Errors
    /// The run could not go on.
    pub fn interrupt(&self, message: u16) -> Result<(), Failure> {
        Ok(interrupt::deliver(&self.state, message)?)
    }

    /// The event log so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.state.events.borrow().clone()
    }

    /// What the miniport told event tracing.
    #[must_use]
    pub fn traces(&self) -> Vec<Trace> {
        self.state.traces.borrow().clone()
    }

    /// The counters so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.counters.borrow().clone()
    }

    /// The value that the miniport wrote to the registry, if it did.
    #[must_use]
    pub fn written_registry(&self, key: &str, name: &str) -> Option<crate::options::Value> {
        self.state.written_registry.borrow().get(key, name).cloned()
    }

    /// The device, while no driver code runs.
    pub fn device<R>(&self, f: impl FnOnce(&mut Dev) -> R) -> R {
        f(&mut self.state.device.borrow_mut())
    }

    /// Where the miniport's code lies that the port driver calls for requests. Whoever counts what it does needs to know.
    #[must_use]
    pub fn routines(&self) -> Routines {
        let init = self.state.init();
        let image = self.state.driver.image.borrow();
        Routines {
            image: image
                .as_ref()
                .map_or((0, 0), |image| (image.base, image.size)),
            build_io: init.hw_build_io,
            start_io: init.hw_start_io,
            message: self.state.config().map_or(0, |config| config.ms_routine),
            dpcs: self
                .state
                .dpcs
                .borrow()
                .values()
                .map(|dpc| dpc.routine)
                .collect(),
        }
    }

    /// Where the miniport sees the part of its uncached extension that the device sees at `device`.
    #[must_use]
    pub fn uncached_address(&self, device: u64) -> Option<usize> {
        crate::complete::uncached_address(&self.state, device)
    }

    fn wrong_state(&self) -> Failure {
        Failure::State(format!("{:?}", self.state.phase.get()).to_lowercase())
    }

    /// Runs `f` in a thread at PASSIVE_LEVEL and the CPUs until it has ended.
    fn in_thread(
        &self,
        name: &str,
        f: impl FnOnce(&Rc<AdapterState>) -> Result<(), Failure> + 'static,
    ) -> Result<(), Failure> {
        let state = Rc::clone(&self.state);
        let result = run_thread(name, self.state.options.patience, move || f(&state))?;
        result.unwrap_or_else(|| Err(self.wrong_state()))
    }

    /// Whether it takes requests.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.phase.get() == Phase::Running
    }
}

/// Runs `f` in a thread on the boot processor and the CPUs until it has ended; `None` if it ended without a result.
pub fn run_thread<R: 'static>(
    name: &str,
    patience: Duration,
    f: impl FnOnce() -> R + 'static,
) -> Result<Option<R>, sched::Stuck> {
    let answer: Rc<RefCell<Option<R>>> = Rc::default();
    let put = Rc::clone(&answer);
    let thread = sched::spawn(
        0,
        name,
        Box::new(move || {
            let result = f();
            *put.borrow_mut() = Some(result);
        }),
    );
    sched::run_until(&mut || sched::ended(thread), patience)?;
    Ok(answer.take())
}
