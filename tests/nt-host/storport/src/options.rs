//! How a driver and its adapters are set up: what the INF, the registry and the machine would say.

use std::collections::BTreeMap;
use std::time::Duration;

/// A registry value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `REG_DWORD`.
    Dword(u32),
    /// `REG_SZ`.
    Text(String),
    /// `REG_BINARY`.
    Binary(Vec<u8>),
}

/// Values below the service's key. Names compare without regard to case, as in the registry.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    values: BTreeMap<(String, String), Value>,
}

impl Registry {
    /// Sets `name` below `key`, a path like `Parameters\Device`.
    pub fn set(&mut self, key: &str, name: &str, value: Value) {
        self.values
            .insert((key.to_lowercase(), name.to_lowercase()), value);
    }
    /// The value `name` below `key`.
    #[must_use]
    pub fn get(&self, key: &str, name: &str) -> Option<&Value> {
        self.values.get(&(key.to_lowercase(), name.to_lowercase()))
    }
}

/// How a driver is installed.
#[derive(Debug, Clone, Default)]
pub struct DriverOptions {
    /// Name of the service; empty: the file's name without its ending.
    pub service: String,
    /// Values below the service's key.
    pub registry: Registry,
}

/// How one adapter is installed, and in what machine.
#[derive(Debug, Clone)]
pub struct AdapterOptions {
    /// `MessageNumberLimit` of the INF's MessageSignaledInterruptProperties; 0 stands for `MSISupported` 0, that is for the line.
    pub msi_limit: u16,
    /// Whether DMA of the adapter is remapped (`DmaRemappingCompatible` 1 on a machine with an IOMMU): then only memory that
    /// StorPort mapped has a device address. Otherwise any resident memory has one.
    pub dma_remapping: bool,
    /// Function and device number as in `PCI_SLOT_NUMBER`.
    pub slot: u32,
    /// How long a reset request may take before the next stronger one is tried.
    pub reset_timeout: Duration,
    /// How long callbacks, scans and drains of this adapter may take on the kernel's clock before the run is given up.
    pub patience: Duration,
    /// Whether each SRB extension lies in one run of device addresses. Microsoft promises that nowhere, so it is off unless asked
    /// for: a miniport that ignores the length from StorPortGetPhysicalAddress goes no further otherwise.
    pub contiguous_extensions: bool,
    /// Whether a request's memory stays accessible when the request ends, and is not looked over for writes beyond it, and its scatter
    /// list can be written. Only for timing: what is hidden by it are a miniport's late touches, overruns and writes to lists.
    pub unguarded_requests: bool,
    /// Whether the requester is told from within RequestComplete, where a DPC routine calls it without a lock, and what it sends then
    /// goes to the miniport at once. Microsoft says neither that StorPort does that nor that it does not.
    pub told_at_once: bool,
    /// Whether the port driver has control types that tell of a removal (ScsiAdapterSurpriseRemoval, ScsiUnitRemove and
    /// ScsiUnitSurpriseRemoval). Microsoft says of none since when; one without them sends requests only (SRB_FUNCTION_PNP).
    pub removal_controls: bool,
    /// What HwFindAdapter gets as its argument string (the registry value DriverParameter).
    pub driver_parameter: String,
}

impl Default for AdapterOptions {
    fn default() -> Self {
        Self {
            // The highest that an INF may ask for (MSI-X: 2048 vectors).
            msi_limit: 2048,
            dma_remapping: false,
            slot: 4,
            reset_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(120),
            contiguous_extensions: false,
            unguarded_requests: false,
            told_at_once: false,
            removal_controls: true,
            driver_parameter: String::new(),
        }
    }
}
