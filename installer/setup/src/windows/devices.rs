//! The devices that are there, and what each runs on.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr::{null, null_mut};

use super::import::{
    DeviceInfo, Handle, INVALID_HANDLE, NO_MORE_ITEMS, SetupDiDestroyDeviceInfoList,
    SetupDiEnumDeviceInfo, SetupDiGetClassDevsW, SetupDiGetDeviceInstanceIdW,
    SetupDiGetDeviceRegistryPropertyW, last,
};
use super::registry::{Key, units};
use super::text::narrow;
use crate::system::{Device, WinError};

/// Bytes of the longest property that is read: more than a device's list of hardware ids has.
const PROPERTY_LEN: usize = 4096;
// setupapi.h
const SPDRP_HARDWAREID: u32 = 1;
const SPDRP_SERVICE: u32 = 4;
const SPDRP_DRIVER: u32 = 9;

/// Counts the present devices whose function driver is this service.
pub fn on_service(service: &str) -> Result<usize, WinError> {
    let mut count = 0_usize;
    Devices::present()?.each(|devices, info| {
        if devices
            .text(info, SPDRP_SERVICE)
            .eq_ignore_ascii_case(service)
        {
            count = count.saturating_add(1);
        }
    })?;
    Ok(count)
}

/// The present devices with one of these hardware ids.
pub fn with_ids(ids: &[String]) -> Result<Vec<Device>, WinError> {
    let mut found = Vec::new();
    Devices::present()?.each(|devices, info| {
        let own = devices.texts(info, SPDRP_HARDWAREID);
        let matches = |id: &String| own.iter().any(|other| other.eq_ignore_ascii_case(id));
        if ids.iter().any(matches) {
            found.push(devices.describe(info));
        }
    })?;
    Ok(found)
}

/// A list of devices.
struct Devices(Handle);

impl Devices {
    /// All that are there.
    fn present() -> Result<Devices, WinError> {
        const DIGCF_PRESENT: u32 = 2;
        const DIGCF_ALLCLASSES: u32 = 4;
        // SAFETY: with DIGCF_ALLCLASSES class and enumerator are optional.
        let handle = unsafe {
            SetupDiGetClassDevsW(null(), null(), null_mut(), DIGCF_PRESENT | DIGCF_ALLCLASSES)
        };
        if handle == INVALID_HANDLE {
            return Err(last("SetupDiGetClassDevsW"));
        }
        Ok(Devices(handle))
    }

    fn each(&self, mut visit: impl FnMut(&Devices, &mut DeviceInfo)) -> Result<(), WinError> {
        for index in 0.. {
            let mut info = DeviceInfo {
                size: size_of::<DeviceInfo>() as u32,
                class: [0; 16],
                instance: 0,
                reserved: 0,
            };
            // SAFETY: the list is open, and `info` has the size that it says.
            if unsafe { SetupDiEnumDeviceInfo(self.0, index, &raw mut info) } == 0 {
                let error = last("SetupDiEnumDeviceInfo");
                if error.code == NO_MORE_ITEMS {
                    break;
                }
                return Err(error);
            }
            visit(self, &mut info);
        }
        Ok(())
    }

    /// What is known of a device. Its driver is described in its software key, by the values InfPath, ProviderName and DriverVersion
    /// (MS: DEVPKEY_Device_DriverInfPath, DEVPKEY_Device_DriverProvider, DEVPKEY_Device_DriverVersion).
    fn describe(&self, info: &mut DeviceInfo) -> Device {
        let driver = self.text(info, SPDRP_DRIVER);
        let path = format!(r"SYSTEM\CurrentControlSet\Control\Class\{driver}");
        let key = if driver.is_empty() {
            None
        } else {
            Key::open_to_read(&path).ok().flatten()
        };
        let value = |name| {
            let text = key.as_ref().and_then(|key| key.text(name).ok().flatten());
            text.unwrap_or_default()
        };
        Device {
            id: self.id(info),
            service: self.text(info, SPDRP_SERVICE),
            inf: value("InfPath").to_ascii_lowercase(),
            provider: value("ProviderName"),
            version: value("DriverVersion"),
        }
    }

    /// The device's instance id.
    fn id(&self, info: &mut DeviceInfo) -> String {
        // MAX_DEVICE_ID_LEN (cfgmgr32.h).
        let mut name = [0_u16; 200];
        // SAFETY: list and element belong together; `name` has the characters that are said.
        let done = unsafe {
            SetupDiGetDeviceInstanceIdW(self.0, info, name.as_mut_ptr(), 200, null_mut())
        };
        if done == 0 {
            return String::new();
        }
        narrow(&name)
    }

    /// A property that is one text; empty if the device has none.
    fn text(&self, info: &mut DeviceInfo, property: u32) -> String {
        narrow(&self.property(info, property))
    }

    /// A property that is a list of texts.
    fn texts(&self, info: &mut DeviceInfo, property: u32) -> Vec<String> {
        self.property(info, property)
            .split(|&unit| unit == 0)
            .filter(|text| !text.is_empty())
            .map(narrow)
            .collect()
    }

    fn property(&self, info: &mut DeviceInfo, property: u32) -> Vec<u16> {
        let mut data = vec![0_u8; PROPERTY_LEN];
        let mut length = 0;
        // SAFETY: list and element belong together; `data` has the bytes that are said.
        let done = unsafe {
            SetupDiGetDeviceRegistryPropertyW(
                self.0,
                info,
                property,
                null_mut(),
                data.as_mut_ptr(),
                PROPERTY_LEN as u32,
                &raw mut length,
            )
        };
        if done == 0 {
            return Vec::new();
        }
        units(data.get(..length as usize).unwrap_or_default())
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        // SAFETY: the list is ours and is destroyed once.
        unsafe { SetupDiDestroyDeviceInfoList(self.0) };
    }
}
