#![allow(dead_code, reason = "each test program uses its own part")]
//! A tiny polled virtio-blk driver, just enough to exercise a back end. It shares nothing with virtio-core.

use std::time::{Duration, Instant};

use host_machine::ram::Ram;
use test_device::memory::GuestMemory;
use test_device::pci::{self, VirtioRegions};
use test_device::{Device, InterruptMode, Observed};

pub const OK: u8 = 0;
pub const IOERR: u8 = 1;

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;

const NEXT: u16 = 1;
const WRITE: u16 = 2;

const DEADLINE: Duration = Duration::from_secs(20);

/// Where the client keeps its ring and buffers in guest memory.
const RING: u64 = 4 << 20;
const HEADER: u64 = RING + 0x4000;
const STATUS: u64 = HEADER + 16;
const DATA: u64 = 5 << 20;

pub struct Client<D> {
    pub device: Observed<D>,
    pub memory: GuestMemory,
    pub features: u64,
    regions: VirtioRegions,
    size: u16,
    avail: u16,
    used: u16,
    doorbell: u64,
    lines: bool,
    /// Messages and line levels seen.
    pub interrupts: Vec<test_device::Interrupts>,
}

impl<D: Device> Client<D> {
    /// Brings the device up with one queue of at most 8 entries.
    pub fn new(device: D, ram: &Ram, mode: InterruptMode) -> Self {
        let mut device = Observed::new(device, ram);
        device.enable_interrupts(mode).unwrap();
        let regions =
            pci::virtio_regions(&mut |offset, width| device.config_read(offset, width)).unwrap();
        let mut client = Self {
            device,
            memory: GuestMemory::new(ram),
            features: 0,
            regions,
            size: 0,
            avail: 0,
            used: 0,
            doorbell: 0,
            lines: mode == InterruptMode::Line,
            interrupts: Vec::new(),
        };
        client.initialise();
        client
    }

    fn common(&mut self, offset: u64, width: u8) -> u64 {
        let region = self.regions.common;
        self.device.read(region.bar, region.offset + offset, width)
    }

    fn set(&mut self, offset: u64, width: u8, value: u64) {
        let region = self.regions.common;
        self.device
            .write(region.bar, region.offset + offset, width, value);
    }

    pub fn config(&mut self, offset: u64, width: u8) -> u64 {
        let region = self.regions.device;
        self.device.read(region.bar, region.offset + offset, width)
    }

    pub fn status(&mut self) -> u8 {
        self.common(0x14, 1) as u8
    }

    fn initialise(&mut self) {
        self.set(0x14, 1, 0);
        let start = Instant::now();
        while self.status() != 0 {
            assert!(start.elapsed() < DEADLINE, "the device does not reset");
        }
        self.set(0x14, 1, 1);
        self.set(0x14, 1, 3);
        self.set(0, 4, 0);
        let low = self.common(4, 4);
        self.set(0, 4, 1);
        let offered = self.common(4, 4) << 32 | low;
        // VERSION_1, and ACCESS_PLATFORM and IN_ORDER where offered; no EVENT_IDX, no INDIRECT.
        self.features = offered & (1 << 35 | 3 << 32 | 1 << 9 | 1 << 2 | 1 << 1);
        self.set(8, 4, 0);
        self.set(12, 4, self.features & 0xffff_ffff);
        self.set(8, 4, 1);
        self.set(12, 4, self.features >> 32);
        self.set(0x14, 1, 0xb);
        assert_eq!(self.status(), 0xb);
        let messages = !self.lines;
        if messages {
            self.set(0x10, 2, 0);
        }
        self.set(0x16, 2, 0);
        self.size = (self.common(0x18, 2) as u16).min(8);
        self.set(0x18, 2, self.size.into());
        if messages {
            self.set(0x1a, 2, 1);
            assert_eq!(self.common(0x1a, 2), 1);
        }
        for (offset, address) in [(0x20, RING), (0x28, RING + 0x1000), (0x30, RING + 0x2000)] {
            self.set(offset, 4, address);
            self.set(offset + 4, 4, 0);
        }
        let zeroes = [0; 0x5000];
        assert!(self.memory.write(RING, &zeroes));
        self.set(0x1c, 2, 1);
        let off = self.common(0x1e, 2);
        self.doorbell =
            self.regions.notify.offset + off * u64::from(self.regions.notify_multiplier);
        self.set(0x14, 1, 0xf);
    }

    fn descriptor(&self, index: u64, address: u64, len: u32, flags: u16, next: u16) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&address.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&flags.to_le_bytes());
        bytes[14..].copy_from_slice(&next.to_le_bytes());
        assert!(self.memory.write(RING + index * 16, &bytes));
    }

    /// Makes a request available and notifies.
    pub fn submit(&mut self, kind: u32, sector: u64, len: u32, device_writes: bool) {
        let mut header = [0; 17];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..16].copy_from_slice(&sector.to_le_bytes());
        header[16] = 0xff;
        assert!(self.memory.write(HEADER, &header));
        self.descriptor(0, HEADER, 16, NEXT, 1);
        let direction = if device_writes { WRITE } else { 0 };
        if len > 0 {
            self.descriptor(1, DATA, len, NEXT | direction, 2);
        } else {
            self.descriptor(0, HEADER, 16, NEXT, 2);
        }
        self.descriptor(2, STATUS, 1, WRITE, 0);
        let slot = RING + 0x1000 + 4 + 2 * u64::from(self.avail % self.size);
        assert!(self.memory.write(slot, &0u16.to_le_bytes()));
        self.avail = self.avail.wrapping_add(1);
        assert!(self.memory.store_u16(RING + 0x1002, self.avail));
        let published = self.device.refresh();
        assert_eq!(published.len(), 1);
        assert_eq!(self.device.outstanding().len(), 1);
        let bar = self.regions.notify.bar;
        self.device.write(bar, self.doorbell, 2, 0);
    }

    /// Waits for the interrupt and returns the status byte.
    pub fn finish(&mut self) -> u8 {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < DEADLINE, "no interrupt");
            let interrupts = self.device.poll(Duration::from_millis(100)).unwrap();
            if interrupts.is_empty() {
                continue;
            }
            if self.lines {
                assert!(interrupts.line && interrupts.messages.is_empty());
                let isr = self.regions.isr;
                assert_eq!(self.device.read(isr.bar, isr.offset, 1), 1);
            } else {
                assert_eq!(interrupts.messages, [1]);
            }
            self.interrupts.push(interrupts);
            break;
        }
        if self.lines {
            let again = self.device.poll(Duration::ZERO).unwrap();
            assert!(
                !again.line,
                "the line stays up after the ISR status was read"
            );
        }
        self.used = self.used.wrapping_add(1);
        assert_eq!(self.memory.load_u16(RING + 0x2002), Some(self.used));
        self.device.refresh();
        assert!(self.device.outstanding().is_empty());
        let mut status = [0];
        assert!(self.memory.read(STATUS, &mut status));
        status[0]
    }

    /// Makes a request available whose data comes after the status byte.
    pub fn submit_backwards(&mut self) {
        self.descriptor(0, HEADER, 16, NEXT, 1);
        self.descriptor(1, STATUS, 1, WRITE | NEXT, 2);
        self.descriptor(2, DATA, 512, 0, 0);
        self.avail = self.avail.wrapping_add(1);
        assert!(self.memory.store_u16(RING + 0x1002, self.avail));
        assert!(self.device.refresh().is_empty());
        let bar = self.regions.notify.bar;
        self.device.write(bar, self.doorbell, 2, 0);
    }

    /// Makes two requests available at once, and returns in which order they come back, by their first descriptors.
    pub fn order_of_two(&mut self) -> [u32; 2] {
        for request in 0..2 {
            let (header, data) = (HEADER + 0x100 * request, DATA + 0x100 * request);
            assert!(self.memory.write(header, &[GET_ID as u8, 0, 0, 0]));
            assert!(self.memory.write(header + 4, &[0; 12]));
            let first = 3 * request;
            self.descriptor(first, header, 16, NEXT, first as u16 + 1);
            self.descriptor(first + 1, data, 20, NEXT | WRITE, first as u16 + 2);
            self.descriptor(first + 2, header + 16, 1, WRITE, 0);
            let slot = RING + 0x1000 + 4 + 2 * u64::from(self.avail % self.size);
            assert!(self.memory.store_u16(slot, first as u16));
            self.avail = self.avail.wrapping_add(1);
        }
        assert!(self.memory.store_u16(RING + 0x1002, self.avail));
        let bar = self.regions.notify.bar;
        self.device.write(bar, self.doorbell, 2, 0);
        let start = Instant::now();
        while self.memory.load_u16(RING + 0x2002) != Some(self.avail) {
            assert!(start.elapsed() < DEADLINE, "not both come back");
            self.device.poll(Duration::ZERO).unwrap();
        }
        [0, 1].map(|_| {
            let entry = RING + 0x2000 + 4 + 8 * u64::from(self.used % self.size);
            self.used = self.used.wrapping_add(1);
            self.memory.read_u32(entry).unwrap()
        })
    }

    /// Takes note of one completion without looking at it.
    pub fn forget_completion(&mut self) {
        self.used = self.used.wrapping_add(1);
        self.device.refresh();
    }

    pub fn write(&mut self, sector: u64, bytes: &[u8]) -> u8 {
        assert!(self.memory.write(DATA, bytes));
        self.submit(OUT, sector, bytes.len() as u32, false);
        self.finish()
    }

    pub fn read(&mut self, sector: u64, bytes: &mut [u8]) -> u8 {
        self.submit(IN, sector, bytes.len() as u32, true);
        let status = self.finish();
        assert!(self.memory.read(DATA, bytes));
        status
    }

    pub fn flush(&mut self) -> u8 {
        self.submit(FLUSH, 0, 0, false);
        self.finish()
    }

    pub fn identify(&mut self) -> (u8, Vec<u8>) {
        self.submit(GET_ID, 0, 20, true);
        let status = self.finish();
        let mut id = vec![0; 20];
        assert!(self.memory.read(DATA, &mut id));
        id.truncate(id.iter().position(|&byte| byte == 0).unwrap_or(20));
        (status, id)
    }

    /// What every healthy disk must pass; `path` is the image behind it.
    pub fn exercise(&mut self, path: &std::path::Path) {
        let capacity = self.config(0, 4);
        assert_eq!(capacity, std::fs::metadata(path).unwrap().len() / 512);
        for round in 0..20u8 {
            let sector = u64::from(round) * 13;
            let wrote: Vec<u8> = (0..4096u32)
                .map(|at| (at as u8).wrapping_mul(7) ^ round)
                .collect();
            assert_eq!(self.write(sector, &wrote), OK);
            assert_eq!(self.flush(), OK);
            let image = std::fs::read(path).unwrap();
            let at = sector as usize * 512;
            assert!(image[at..at + 4096] == wrote[..], "the image differs");
            let mut found = vec![0; 4096];
            assert_eq!(self.read(sector, &mut found), OK);
            assert!(found == wrote, "read something else than was written");
        }
        assert_eq!(self.interrupts.len(), 60);
        assert_eq!(self.device.take_violations(), []);
    }
}
