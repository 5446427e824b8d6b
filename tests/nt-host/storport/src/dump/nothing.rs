//! A device that is not there.

use std::time::Duration;

use test_device::{Bar, Device, InterruptMode, Interrupts};

/// No device: what an instance finds that must not look.
pub(super) struct Nothing;

impl Device for Nothing {
    fn config_read(&mut self, _: u16, width: u8) -> u32 {
        u32::MAX >> (32 - 8 * u32::from(width.clamp(1, 4)))
    }
    fn config_write(&mut self, _: u16, _: u8, _: u32) {}
    fn bars(&self) -> Vec<Bar> {
        Vec::new()
    }
    fn read(&mut self, _: u8, _: u64, width: u8) -> u64 {
        u64::MAX >> (64 - 8 * u32::from(width.clamp(1, 8)))
    }
    fn write(&mut self, _: u8, _: u64, _: u8, _: u64) {}
    fn msix_vectors(&self) -> u16 {
        0
    }
    fn enable_interrupts(&mut self, _: InterruptMode) -> anyhow::Result<()> {
        Ok(())
    }
    fn disable_interrupts(&mut self) {}
    fn poll(&mut self, _: Duration) -> anyhow::Result<Interrupts> {
        Ok(Interrupts::default())
    }
    fn remove(&mut self) {}
}
