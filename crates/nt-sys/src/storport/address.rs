//! Where a device is: bus, target, logical unit; and where memory is, for DMA.
//!
//! source: storport.h; since: Windows 8

use crate::types::PHYSICAL_ADDRESS;

/// since: Windows Server 2003
pub type STOR_PHYSICAL_ADDRESS = PHYSICAL_ADDRESS;

pub const STOR_ADDRESS_TYPE_UNKNOWN: u16 = 0;
pub const STOR_ADDRESS_TYPE_BTL8: u16 = 1;
pub const STOR_ADDR_BTL8_ADDRESS_LENGTH: u32 = 4;

/// The head of every address; `Type` says what `AddressData` is.
#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct STOR_ADDRESS {
    pub Type: u16,
    pub Port: u16,
    pub AddressLength: u32,
    pub AddressData: [u8; 1],
}

/// Bus, target and logical unit of eight bits each.
#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct STOR_ADDR_BTL8 {
    pub Type: u16,
    pub Port: u16,
    pub AddressLength: u32,
    pub Path: u8,
    pub Target: u8,
    pub Lun: u8,
    pub Reserved: u8,
}

/// One run of a buffer in device addresses. since: Windows Server 2003
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct STOR_SCATTER_GATHER_ELEMENT {
    pub PhysicalAddress: STOR_PHYSICAL_ADDRESS,
    pub Length: u32,
    pub Reserved: usize,
}

/// The runs of one request's buffer. StorPort owns it until the request completes. since: Windows Server 2003
#[repr(C)]
pub struct STOR_SCATTER_GATHER_LIST {
    pub NumberOfElements: u32,
    pub Reserved: usize,
    pub List: [STOR_SCATTER_GATHER_ELEMENT; 0],
}
