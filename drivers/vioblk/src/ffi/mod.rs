//! The unsafe parts of the driver, each as small as can be.
#![expect(unsafe_code, reason = "the boundary to StorPort")]

pub mod bounce;
pub mod data;
pub mod device_extension;
pub mod dma;
pub mod dpc;
pub mod entry;
pub mod extension;
pub mod list;
pub mod lock;
pub mod registers;
pub mod unit;
