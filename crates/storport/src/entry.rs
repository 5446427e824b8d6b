//! How a miniport introduces itself to StorPort, from DriverEntry.

use core::mem::MaybeUninit;
use core::ptr::null_mut;
use nt::status::Status;
use nt_sys::storport::*;
use nt_sys::types::{NTSTATUS, PVOID, TRUE};

/// A physical miniport's routines and sizes; the rest of HW_INITIALIZATION_DATA is the same for all of ours.
#[derive(Clone, Copy)]
pub struct Miniport {
    /// Looks at an adapter and fills in its configuration.
    pub find_adapter: HW_FIND_ADAPTER,
    /// Starts the adapter.
    pub initialize: HW_INITIALIZE,
    /// Prepares a request, without any lock, if the miniport wants that. MS: ns-storport-_hw_initialization_data-r1
    pub build_io: Option<HW_BUILDIO>,
    /// Takes a request.
    pub start_io: HW_STARTIO,
    /// Handles a line interrupt.
    pub interrupt: HW_INTERRUPT,
    /// Gives up everything on a bus.
    pub reset_bus: HW_RESET_BUS,
    /// Stops, restarts, removes the adapter.
    pub adapter_control: HW_ADAPTER_CONTROL,
    /// Handles events of a logical unit, if it wants them. Windows 8 and later.
    pub unit_control: Option<HW_UNIT_CONTROL>,
    /// Bytes of the device extension; StorPort zeroes them.
    pub device_extension: u32,
    /// Bytes of private memory for each logical unit.
    pub unit_extension: u32,
    /// Bytes of private memory for each request.
    pub request_extension: u32,
    /// Address ranges that the adapter may have: 6 for PCI.
    pub access_ranges: u32,
    /// STOR_FEATURE_* of the miniport. Windows 8 and later.
    pub features: u32,
}

impl Miniport {
    /// Registers with StorPort: with the newest HW_INITIALIZATION_DATA, or, where that is not known, with the one from
    /// before Windows 8 (requests then come as SCSI_REQUEST_BLOCK only). PASSIVE_LEVEL.
    ///
    /// # Safety
    /// Called from DriverEntry, once, with its arguments; the routines keep their contracts.
    #[must_use]
    #[inline(always)] // part of DriverEntry, so that it goes away with the INIT section
    pub unsafe fn register(&self, driver: PVOID, registry_path: PVOID) -> NTSTATUS {
        let mut data = self.initialization_data();
        let mut status = Status::Unsuccessful;
        // MS: nf-storport-storportinitialize: STATUS_REVISION_MISMATCH = the version (size) is not valid for this Windows.
        for size in [HW_INIT_DATA_SIZE, HW_INIT_DATA_SIZE_PHYSICAL] {
            data.HwInitializationDataSize = size;
            // SAFETY: the arguments are DriverEntry's, and `data` has at least `size` bytes.
            let raw =
                unsafe { StorPortInitialize(driver, registry_path, &raw mut data, null_mut()) };
            status = Status::from(raw);
            if status != Status::RevisionMismatch {
                break;
            }
        }
        status.to_raw()
    }

    #[inline(always)] // as above
    fn initialization_data(&self) -> HW_INITIALIZATION_DATA {
        // SAFETY: integers, nullable pointers and optional functions: zero is a value of each.
        let mut data: HW_INITIALIZATION_DATA = unsafe { MaybeUninit::zeroed().assume_init() };
        data.AdapterInterfaceType = PCIBus;
        data.HwInitialize = Some(self.initialize);
        data.HwStartIo = Some(self.start_io);
        data.HwInterrupt = Some(self.interrupt);
        data.HwFindAdapter = Some(self.find_adapter);
        data.HwResetBus = Some(self.reset_bus);
        data.HwBuildIo = self.build_io;
        data.HwAdapterControl = Some(self.adapter_control);
        data.HwUnitControl = self.unit_control;
        data.DeviceExtensionSize = self.device_extension;
        data.SpecificLuExtensionSize = self.unit_extension;
        data.SrbExtensionSize = self.request_extension;
        data.NumberOfAccessRanges = self.access_ranges;
        data.MapBuffers = STOR_MAP_NON_READ_WRITE_BUFFERS;
        // StorPort refuses a miniport without these (MS: ns-storport-_hw_initialization_data-r1).
        data.NeedPhysicalAddresses = TRUE;
        data.TaggedQueuing = TRUE;
        data.AutoRequestSense = TRUE;
        data.MultipleRequestPerLu = TRUE;
        data.FeatureSupport = self.features;
        data.SrbTypeFlags = SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK;
        data.AddressTypeFlags = ADDRESS_TYPE_FLAG_BTL8;
        data
    }
}

/// Defines DriverEntry for a miniport, in the section that Windows discards after it ran. The function may compute its
/// sizes: it is called there, at PASSIVE_LEVEL, with false; or with true, at HIGH_LEVEL, in the dump stack
/// ([`crate::dump`]).
#[macro_export]
macro_rules! driver_entry {
    ($miniport:expr) => {
        /// The entry point: registers the miniport with StorPort.
        ///
        /// # Safety
        /// Called by Windows, once.
        #[unsafe(no_mangle)]
        #[cfg_attr(windows, unsafe(link_section = "INIT"))]
        pub unsafe extern "system" fn DriverEntry(
            driver: $crate::nt_sys::types::PVOID,
            registry_path: $crate::nt_sys::types::PVOID,
        ) -> $crate::nt_sys::types::NTSTATUS {
            let miniport: fn(bool) -> $crate::Miniport = $miniport;
            // MS: "Restrictions on Miniport Drivers that Manage the Boot Drive": in dump mode the arguments are NULL.
            let miniport = miniport(registry_path.is_null());
            // SAFETY: this is DriverEntry.
            unsafe { miniport.register(driver, registry_path) }
        }
    };
}

#[cfg(test)]
mod tests;
