//! Loading a driver: its image, its driver object, DriverEntry and StorPortInitialize.

use std::rc::Rc;
use std::time::Duration;

use host_machine::image::{self, LoadError};
use host_machine::ram::{Placement, Ram};
use host_ntos::abi::{
    DRIVER_EXTENSION, DRIVER_OBJECT, HW_INITIALIZATION_DATA, UNICODE_STRING, enums,
};
use host_ntos::{callback, export, guest, pool, rules, sched};
use test_device::Device;

use crate::adapter::{Adapter, Failure, run_thread};
use crate::codes::nt;
use crate::control;
use crate::memory::Region;
use crate::options::{AdapterOptions, DriverOptions};
use crate::rules::INITIALIZATION_DATA;
use crate::state::{self, AdapterState, DriverState, Init, Phase};

/// How long DriverEntry and DriverUnload may take on the kernel's clock.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a driver was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    /// The file is no driver for this machine.
    #[error("{0}")]
    Image(LoadError),
    /// The host was not set up: `install` comes first.
    #[error("the StorPort port driver is not installed in this run, or memory is short")]
    NotInstalled,
    /// DriverEntry said no.
    #[error("DriverEntry returned {0:#010x}")]
    Entry(u32),
    /// DriverEntry succeeded without registering a miniport.
    #[error(
        "DriverEntry succeeded but never called StorPortInitialize: this is no StorPort miniport"
    )]
    NoMiniport,
    /// The run could not go on.
    #[error(transparent)]
    Stuck(#[from] sched::Stuck),
}

/// A loaded driver.
pub struct Driver {
    state: Rc<DriverState>,
}

/// Where the parts of a driver object lie in one region.
const EXTENSION_AT: usize = DRIVER_OBJECT::SIZE.next_multiple_of(16);
const PATH_AT: usize = EXTENSION_AT + DRIVER_EXTENSION::SIZE.next_multiple_of(16);
const TEXT_AT: usize = PATH_AT + UNICODE_STRING::SIZE;
const TEXT_ROOM: usize = 1024;

/// Maps a driver and runs its DriverEntry.
///
/// # Errors
/// It is no driver, its DriverEntry fails, or the run cannot go on.
pub fn load(image: &[u8], name: &str, options: DriverOptions) -> Result<Driver, LoadFailure> {
    let ram = state::with(|port| port.ram.clone()).ok_or(LoadFailure::NotInstalled)?;
    let image = image::load(image, name, &mut |dll, name| export::resolve(dll, name))
        .map_err(LoadFailure::Image)?;
    rules::add_image(&image.name, image.base, image.size);
    let service = if options.service.is_empty() {
        name.strip_suffix(".sys").unwrap_or(name).to_owned()
    } else {
        options.service.clone()
    };
    let object = self::object(&ram, &image, &service).ok_or(LoadFailure::NotInstalled)?;
    let entry = image.entry;
    let state = Rc::new(DriverState {
        name: name.to_owned(),
        options,
        image: Some(image).into(),
        object,
        init: None.into(),
    });
    state::with(|port| port.drivers.push(Rc::clone(&state)));
    let driver = Driver { state };
    let args = arguments(&driver.state.object);
    let status = run_thread("DriverEntry", PATIENCE, move || {
        callback::call("DRIVER_INITIALIZE", entry, &args) as u32
    })?
    .unwrap_or(nt::NOT_SUPPORTED);
    // NT_SUCCESS
    if status.cast_signed() < 0 {
        driver.forget();
        return Err(LoadFailure::Entry(status));
    }
    if driver.state.init.get().is_none() {
        driver.forget();
        return Err(LoadFailure::NoMiniport);
    }
    if let Some(image) = driver.state.image.borrow().as_ref() {
        image.discard_init();
    }
    Ok(driver)
}

/// A DRIVER_OBJECT with its extension, and the registry path as a UNICODE_STRING (MS: nc-wdm-driver_initialize).
pub fn object(ram: &Ram, image: &image::Image, service: &str) -> Option<Region> {
    let region = Region::new(ram, TEXT_AT + TEXT_ROOM, Placement::Scattered, 0)?;
    let at = region.at();
    // IO_TYPE_DRIVER
    DRIVER_OBJECT::Type.set(at, 4);
    DRIVER_OBJECT::Size.set(at, DRIVER_OBJECT::SIZE as u64);
    DRIVER_OBJECT::DriverStart.set(at, image.base as u64);
    DRIVER_OBJECT::DriverSize.set(at, image.size as u64);
    DRIVER_OBJECT::DriverInit.set(at, image.entry as u64);
    DRIVER_OBJECT::DriverExtension.set(at, (at + EXTENSION_AT) as u64);
    DRIVER_EXTENSION::DriverObject.set(at + EXTENSION_AT, at as u64);
    let path = format!("\\Registry\\Machine\\System\\CurrentControlSet\\Services\\{service}");
    let text: Vec<u8> = path
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .take(TEXT_ROOM - 2)
        .collect();
    guest::write(at + TEXT_AT, &text);
    UNICODE_STRING::Length.set(at + PATH_AT, text.len() as u64);
    UNICODE_STRING::MaximumLength.set(at + PATH_AT, text.len() as u64 + 2);
    UNICODE_STRING::Buffer.set(at + PATH_AT, (at + TEXT_AT) as u64);
    Some(region)
}

/// DriverEntry's arguments.
pub fn arguments(object: &Region) -> [u64; 2] {
    [object.at() as u64, (object.at() + PATH_AT) as u64]
}

impl Driver {
    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// `FeatureSupport`, `SrbTypeFlags` and the size of the initialization data, as registered.
    #[must_use]
    pub fn initialization_size(&self) -> u32 {
        self.state.init.get().map_or(0, |init| init.size)
    }

    /// Whether it asked for SRB_FUNCTION_DUMP_POINTERS (`STOR_FEATURE_DUMP_POINTERS`, storport.h).
    #[must_use]
    pub fn takes_dump_pointers(&self) -> bool {
        self.state
            .init
            .get()
            .is_some_and(|init| init.feature_support & 8 != 0)
    }

    /// Adds an adapter for a device. It is started separately.
    ///
    /// # Errors
    /// The port driver is not installed.
    pub fn add_adapter(
        &self,
        device: Box<dyn Device>,
        options: AdapterOptions,
    ) -> anyhow::Result<Adapter> {
        let driver = Rc::clone(&self.state);
        let (ram, number) = state::with(|port| (port.ram.clone(), port.adapters.len() as u32))
            .ok_or_else(|| {
                anyhow::anyhow!("the StorPort port driver is not installed in this run")
            })?;
        let state = Rc::new(AdapterState::new(number, driver, device, options, &ram));
        state::with(|port| port.adapters.push(Rc::clone(&state)));
        Ok(Adapter { state })
    }

    /// Removes its adapters, calls DriverUnload, unmaps it and reports what it left behind.
    ///
    /// # Errors
    /// The run cannot go on.
    pub fn unload(self) -> Result<(), Failure> {
        let adapters: Vec<_> = state::adapters()
            .into_iter()
            .filter(|a| Rc::ptr_eq(&a.driver, &self.state))
            .collect();
        for adapter in adapters {
            if !matches!(adapter.phase.get(), Phase::Dead | Phase::New) {
                Adapter {
                    state: Rc::clone(&adapter),
                }
                .remove()?;
            }
            control::release(&adapter);
            state::with(|port| port.adapters.retain(|a| !Rc::ptr_eq(a, &adapter)));
        }
        let object = self.state.object.at();
        // StorPort sets DriverUnload; a miniport may put its own in front, which then is the one that is called.
        let unload = DRIVER_OBJECT::DriverUnload.get(object) as usize;
        if rules::in_image(unload) {
            let args = [object as u64];
            run_thread("DriverUnload", PATIENCE, move || {
                callback::call("DRIVER_UNLOAD", unload, &args)
            })?;
        }
        pool::check_leaks();
        self.forget();
        Ok(())
    }

    /// Leaves it as it is, because the machine has stopped: nothing of it is called or freed any more.
    pub fn abandon(self) {
        self.forget();
    }

    fn forget(&self) {
        state::with(|port| port.drivers.retain(|d| !Rc::ptr_eq(d, &self.state)));
        if let Some(image) = self.state.image.take() {
            rules::remove_image(image.base);
        }
    }
}

/// `HW_INIT_DATA_SIZE_PHYSICAL` in storport.h: the structure before Windows 8.
const SIZE_BEFORE_WINDOWS_8: usize = HW_INITIALIZATION_DATA::HwFreeAdapterResources.offset;
/// Windows 8: all but HwUnitControl.
const SIZE_WINDOWS_8: usize = HW_INITIALIZATION_DATA::HwUnitControl.offset;

/// StorPortInitialize (MS: nf-storport-storportinitialize). An unknown size is refused with STATUS_REVISION_MISMATCH.
pub fn storport_initialize(object: usize, registry_path: usize, data: usize) -> u32 {
    // In the dump stack DriverEntry may have no arguments to pass on.
    let dumping = state::with(|port| port.dumping.clone()).flatten();
    let dumping = dumping.filter(|driver| [0, driver.object.at()].contains(&object));
    if data == 0 || dumping.is_none() && (object == 0 || registry_path == 0) {
        return nt::INVALID_PARAMETER;
    }
    let driver = dumping.or_else(|| {
        state::with(|port| {
            port.drivers
                .iter()
                .find(|d| d.object.at() == object)
                .cloned()
        })
        .flatten()
    });
    let Some(driver) = driver else {
        rules::violate(
            crate::rules::PARAMETER,
            format!(
                "StorPortInitialize: {object:#x} is not the driver object that DriverEntry was given"
            ),
        );
        return nt::INVALID_PARAMETER;
    };
    use HW_INITIALIZATION_DATA as H;
    let size = H::HwInitializationDataSize.get(data) as usize;
    if ![SIZE_BEFORE_WINDOWS_8, SIZE_WINDOWS_8, H::SIZE].contains(&size) {
        return nt::REVISION_MISMATCH;
    }
    // Fields beyond the size that was named are not there.
    let get = |field: host_ntos::abi::Field| {
        if field.offset + field.size <= size {
            field.get(data)
        } else {
            0
        }
    };
    let init = Init {
        size: size as u32,
        interface: get(H::AdapterInterfaceType) as u32,
        hw_initialize: get(H::HwInitialize) as usize,
        hw_start_io: get(H::HwStartIo) as usize,
        hw_interrupt: get(H::HwInterrupt) as usize,
        hw_find_adapter: get(H::HwFindAdapter) as usize,
        hw_reset_bus: get(H::HwResetBus) as usize,
        hw_adapter_control: get(H::HwAdapterControl) as usize,
        hw_build_io: get(H::HwBuildIo) as usize,
        hw_unit_control: get(H::HwUnitControl) as usize,
        access_ranges: get(H::NumberOfAccessRanges) as u32,
        device_extension: get(H::DeviceExtensionSize) as u32,
        lu_extension: get(H::SpecificLuExtensionSize) as u32,
        srb_extension: get(H::SrbExtensionSize) as u32,
        map_buffers: get(H::MapBuffers) as u8,
        feature_support: get(H::FeatureSupport) as u32,
        srb_type_flags: get(H::SrbTypeFlags) as u32,
    };
    // STOR_FEATURE_VIRTUAL_MINIPORT: this port driver has no virtual miniports.
    if init.feature_support & 1 != 0 {
        return nt::NOT_SUPPORTED;
    }
    check_initialization_data(data, &init);
    driver.init.set(Some(init));
    nt::SUCCESS
}

/// What ns-storport-_hw_initialization_data demands of a physical miniport.
fn check_initialization_data(data: usize, init: &Init) {
    use HW_INITIALIZATION_DATA as H;
    let required = [
        ("HwInitialize", init.hw_initialize),
        ("HwStartIo", init.hw_start_io),
        ("HwFindAdapter", init.hw_find_adapter),
        ("HwResetBus", init.hw_reset_bus),
        ("HwAdapterControl", init.hw_adapter_control),
    ];
    for (name, address) in required {
        if address == 0 {
            rules::violate(INITIALIZATION_DATA, format!("{name} is required"));
        }
    }
    let truths = [
        ("NeedPhysicalAddresses", H::NeedPhysicalAddresses),
        ("TaggedQueuing", H::TaggedQueuing),
        ("AutoRequestSense", H::AutoRequestSense),
        ("MultipleRequestPerLu", H::MultipleRequestPerLu),
    ];
    for (name, field) in truths {
        if field.get(data) == 0 {
            rules::violate(INITIALIZATION_DATA, format!("{name} must be TRUE"));
        }
    }
    for (name, field) in [
        ("HwDmaStarted", H::HwDmaStarted),
        ("HwAdapterState", H::HwAdapterState),
    ] {
        if field.get(data) != 0 {
            rules::violate(INITIALIZATION_DATA, format!("{name} must be NULL"));
        }
    }
    if init.interface == enums::INTERFACE_TYPE::Isa || init.interface == enums::INTERFACE_TYPE::Eisa
    {
        rules::violate(
            INITIALIZATION_DATA,
            format!("AdapterInterfaceType {} is not supported", init.interface),
        );
    }
}
