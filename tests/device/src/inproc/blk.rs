//! The block device behind the in-process transport: configuration fields and requests. // Virtio 1.3 §5.2

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::config::{Config, STATUS_IOERR, STATUS_OK, STATUS_UNSUPP, Used, When};
use crate::Violation;
use crate::memory::GuestMemory;
use crate::ring::{Part, Walk};

// Feature bits. // Virtio 1.3 §5.2.3
const SIZE_MAX: u64 = 1 << 1;
const SEG_MAX: u64 = 1 << 2;
const RO: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const TOPOLOGY: u64 = 1 << 10;
const CONFIG_WCE: u64 = 1 << 11;
const MQ: u64 = 1 << 12;
const DISCARD: u64 = 1 << 13;
const WRITE_ZEROES: u64 = 1 << 14;
const LIFETIME: u64 = 1 << 15;
pub(super) const ZONED: u64 = 1 << 17;

/// The zone model that a driver has to know to use the disk at all. // Virtio 1.3 §5.2.4
pub(super) const HOST_MANAGED: u8 = 1;

/// Bytes of struct virtio_blk_config.
pub(super) const CONFIG_LEN: u16 = 96;
/// Offset of `writeback` in it.
pub(super) const WRITEBACK: usize = 32;

const SECTOR: u64 = 512;
const HEADER: usize = 16;

const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;
const TYPE_GET_LIFETIME: u32 = 10;
const TYPE_DISCARD: u32 = 11;
const TYPE_WRITE_ZEROES: u32 = 13;
/// Bytes of struct virtio_blk_discard_write_zeroes.
const RANGE: usize = 16;

/// The disk.
pub(super) struct Disk {
    config: Config,
    file: File,
    sectors: u64,
    taken: u64,
}

impl Disk {
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let file = crate::image::open(&config.image, config.read_only)?;
        let sectors = match config.capacity {
            Some(sectors) => sectors,
            None => file.metadata()?.len() / SECTOR,
        };
        Ok(Self {
            config: config.clone(),
            file,
            sectors,
            taken: 0,
        })
    }

    pub(super) fn requests(&self) -> u64 {
        self.taken
    }

    /// Counts a request that is not carried out.
    pub(super) fn skip(&mut self) {
        self.taken += 1;
    }

    /// Takes no writes from now on.
    pub(super) fn protect(&mut self) {
        self.config.read_only = true;
    }

    /// Changes the capacity.
    pub(super) fn resize(&mut self, sectors: u64) {
        self.sectors = sectors;
    }

    /// The feature bits of a block device that are offered.
    pub(super) fn features(&self) -> u64 {
        let config = &self.config;
        let offered = [
            (SIZE_MAX, config.size_max.is_some()),
            (SEG_MAX, config.seg_max.is_some()),
            (RO, config.read_only),
            (BLK_SIZE, config.blk_size.is_some()),
            (FLUSH, config.flush),
            (TOPOLOGY, config.physical_block_exp.is_some()),
            (CONFIG_WCE, config.config_wce),
            (MQ, config.queues > 1 || config.num_queues_field.is_some()),
            (DISCARD, config.discard.is_some()),
            (WRITE_ZEROES, config.write_zeroes.is_some()),
            (LIFETIME, config.lifetime.is_some()),
            (ZONED, config.zoned.is_some()),
        ];
        offered
            .iter()
            .filter(|(_, offered)| *offered)
            .fold(0, |all, (bit, _)| all | bit)
    }

    /// The configuration space. Fields whose feature is not offered are 0.
    pub(super) fn fields(&self) -> [u8; CONFIG_LEN as usize] {
        let config = &self.config;
        let mut fields = [0; CONFIG_LEN as usize];
        let mut put = |at: usize, bytes: &[u8]| fields[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.sectors.to_le_bytes());
        put(8, &config.size_max.unwrap_or(0).to_le_bytes());
        put(12, &config.seg_max.unwrap_or(0).to_le_bytes());
        put(20, &config.blk_size.unwrap_or(0).to_le_bytes());
        if let Some(exponent) = config.physical_block_exp {
            put(24, &[exponent, config.alignment_offset]);
            put(26, &config.min_io_size.to_le_bytes());
            put(28, &config.opt_io_size.to_le_bytes());
        }
        put(WRITEBACK, &[config.writeback.into()]);
        let queues = config.num_queues_field.unwrap_or(config.queues);
        put(34, &queues.to_le_bytes());
        if let Some(ranges) = config.discard {
            put(36, &ranges.sectors.to_le_bytes());
            put(40, &ranges.segments.to_le_bytes());
            put(44, &ranges.extra.to_le_bytes());
        }
        if let Some(ranges) = config.write_zeroes {
            put(48, &ranges.sectors.to_le_bytes());
            put(52, &ranges.segments.to_le_bytes());
            put(56, &[ranges.extra as u8]);
        }
        put(92, &[config.zoned.unwrap_or(0)]);
        fields
    }

    /// Whether a driver that took `features` may write `writeback`.
    pub(super) fn writeback_writable(features: u64) -> bool {
        features & CONFIG_WCE != 0
    }

    /// Carries a request out and returns how many bytes of its buffer were written.
    pub(super) fn execute(
        &mut self,
        memory: &GuestMemory,
        walk: &Walk,
        features: u64,
        violations: &mut Vec<Violation>,
    ) -> u32 {
        self.taken += 1;
        let mut complain = |section, what: String| violations.push(Violation { section, what });
        let Some(mut request) = Request::parse(memory, walk) else {
            complain(
                "Virtio 1.3 §5.2.6",
                format!(
                    "a request without a 16-byte header or without a status byte: {:x?}",
                    walk.parts
                ),
            );
            return 0;
        };
        self.check_segments(&request, features, &mut complain);
        let status = self.status(memory, &mut request, &mut complain);
        let _ = memory.store_u8(request.status, status);
        match (self.config.used, request.kind) {
            (Used::Data, TYPE_IN) => request.written,
            (Used::Data, _) => 0,
            _ => request.written + 1,
        }
    }

    /// What the driver was told about segments. // Virtio 1.3 §5.2.3
    fn check_segments(
        &self,
        request: &Request,
        features: u64,
        complain: &mut impl FnMut(&'static str, String),
    ) {
        let segments = request.readable.iter().chain(&request.writable);
        let count = segments.clone().count();
        if let Some(most) = self.config.seg_max.filter(|_| features & SEG_MAX != 0)
            // Drivers take 0 for 1, as no request could carry data otherwise.
            && count > most.max(1) as usize
        {
            complain(
                "Virtio 1.3 §5.2.3",
                format!("{count} segments, seg_max is {most}"),
            );
        }
        // Devices that have no limit say 0, qemu-storage-daemon among them.
        let limit = self.config.size_max.filter(|most| *most != 0);
        if let Some(most) = limit.filter(|_| features & SIZE_MAX != 0)
            && let Some(part) = segments.clone().find(|part| part.len > most)
        {
            complain(
                "Virtio 1.3 §5.2.3",
                format!("a segment of {} bytes, size_max is {most}", part.len),
            );
        }
    }

    fn status(
        &mut self,
        memory: &GuestMemory,
        request: &mut Request,
        complain: &mut impl FnMut(&'static str, String),
    ) -> u8 {
        let out = request
            .readable
            .iter()
            .map(|part| u64::from(part.len))
            .sum::<u64>();
        let into = request
            .writable
            .iter()
            .map(|part| u64::from(part.len))
            .sum::<u64>();
        let len = match request.kind {
            TYPE_IN => into,
            TYPE_OUT => out,
            _ => 0,
        };
        if let Some(status) = self.injected(request, len) {
            return status;
        }
        match request.kind {
            TYPE_IN | TYPE_OUT => {
                if !len.is_multiple_of(SECTOR) || len == 0 {
                    complain("Virtio 1.3 §5.2.6.1", format!("a transfer of {len} bytes"));
                    return STATUS_IOERR;
                }
                let end = request.sector.checked_add(len / SECTOR);
                if end.is_none_or(|end| end > self.sectors) {
                    complain(
                        "Virtio 1.3 §5.2.6.1",
                        format!(
                            "sectors {}+{} of {}",
                            request.sector,
                            len / SECTOR,
                            self.sectors
                        ),
                    );
                    return STATUS_IOERR;
                }
                // As QEMU: what is not a whole number of blocks fails.
                let block = u64::from(self.config.blk_size.unwrap_or(512)).max(1);
                if !len.is_multiple_of(block) || !(request.sector * SECTOR).is_multiple_of(block) {
                    return STATUS_IOERR;
                }
                let done = if request.kind == TYPE_IN {
                    request.written = len as u32;
                    self.read(memory, request)
                } else if self.config.read_only {
                    // Virtio 1.3 §5.2.6.2
                    None
                } else {
                    self.write(memory, request)
                };
                done.map_or(STATUS_IOERR, |()| STATUS_OK)
            }
            TYPE_FLUSH if self.config.flush => {
                if request.sector != 0 {
                    complain(
                        "Virtio 1.3 §5.2.6.1",
                        format!("a flush of sector {}", request.sector),
                    );
                }
                match self.file.sync_data() {
                    Ok(()) => self.config.flush_status,
                    Err(_) => STATUS_IOERR,
                }
            }
            TYPE_DISCARD | TYPE_WRITE_ZEROES => self.ranges(memory, request, out, complain),
            TYPE_GET_LIFETIME if self.config.lifetime.is_some() => {
                if into != 6 {
                    complain(
                        "Virtio 1.3 §5.2.6",
                        format!("GET_LIFETIME into {into} bytes"),
                    );
                }
                let [low, high] = self.config.lifetime.unwrap_or(0).to_le_bytes();
                self.answer(memory, request, &[1, 0, low, high, low, high])
            }
            TYPE_GET_ID => {
                if into != 20 {
                    complain("Virtio 1.3 §5.2.6.1", format!("GET_ID into {into} bytes"));
                }
                let mut id = [0; 20];
                for (to, from) in id.iter_mut().zip(self.config.serial.bytes()) {
                    *to = from;
                }
                let len = match self.config.used {
                    Used::Whole => id.len(),
                    Used::Data | Used::Serial => self.config.serial.len().min(id.len()),
                };
                self.answer(memory, request, &id[..len])
            }
            _ => STATUS_UNSUPP,
        }
    }

    /// Puts an answer into the data of a request.
    fn answer(&self, memory: &GuestMemory, request: &mut Request, mut rest: &[u8]) -> u8 {
        for part in &request.writable {
            let (now, later) = rest.split_at(rest.len().min(part.len as usize));
            let _ = memory.write(part.address, now);
            request.written += now.len() as u32;
            rest = later;
        }
        STATUS_OK
    }

    /// Discards or zeroes. What is discarded reads as 0xdd from then on, so that nobody counts on zeroes.
    fn ranges(
        &self,
        memory: &GuestMemory,
        request: &Request,
        out: u64,
        complain: &mut impl FnMut(&'static str, String),
    ) -> u8 {
        const SECTION: &str = "Virtio 1.3 §5.2.6.1";
        let zero = request.kind == TYPE_WRITE_ZEROES;
        let limits = if zero {
            self.config.write_zeroes
        } else {
            self.config.discard
        };
        let Some(limits) = limits else {
            return STATUS_UNSUPP;
        };
        let mut bytes = Vec::new();
        for part in &request.readable {
            let mut piece = vec![0; part.len as usize];
            if !memory.read(part.address, &mut piece) {
                return STATUS_IOERR;
            }
            bytes.extend(piece);
        }
        let (segments, rest) = bytes.as_chunks::<RANGE>();
        if segments.is_empty() || !rest.is_empty() || segments.len() > limits.segments as usize {
            complain(
                SECTION,
                format!("{out} bytes of segments, at most {}", limits.segments),
            );
            return STATUS_IOERR;
        }
        if request.sector != 0 {
            complain(SECTION, format!("sector {} in the header", request.sector));
        }
        for segment in segments {
            let [
                s0,
                s1,
                s2,
                s3,
                s4,
                s5,
                s6,
                s7,
                n0,
                n1,
                n2,
                n3,
                f0,
                f1,
                f2,
                f3,
            ] = *segment;
            let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
            let count = u32::from_le_bytes([n0, n1, n2, n3]);
            let flags = u32::from_le_bytes([f0, f1, f2, f3]);
            if flags > u32::from(zero) {
                complain(SECTION, format!("flags {flags:#x}"));
                return STATUS_UNSUPP;
            }
            let end = sector.checked_add(u64::from(count));
            if count == 0 || count > limits.sectors || end.is_none_or(|end| end > self.sectors) {
                complain(
                    SECTION,
                    format!(
                        "sectors {sector}+{count} of {}, at most {}",
                        self.sectors, limits.sectors
                    ),
                );
                return STATUS_IOERR;
            }
            if self.config.read_only {
                return STATUS_IOERR;
            }
            let fill = if zero { 0 } else { 0xdd };
            let bytes = vec![fill; count as usize * SECTOR as usize];
            if self.file.write_all_at(&bytes, sector * SECTOR).is_err() {
                return STATUS_IOERR;
            }
        }
        STATUS_OK
    }

    /// The status that a fault gives this request.
    fn injected(&self, request: &Request, len: u64) -> Option<u8> {
        let sectors = request.sector..request.sector.saturating_add(len.div_ceil(SECTOR));
        let hit = |when: &When| match *when {
            When::Nth(n) => self.taken == n,
            When::Every(n) => n != 0 && self.taken.is_multiple_of(n),
            When::Sector(sector) => sectors.contains(&sector),
        };
        self.config
            .faults
            .iter()
            .find(|fault| hit(&fault.when))
            .map(|fault| fault.status)
    }

    fn read(&self, memory: &GuestMemory, request: &Request) -> Option<()> {
        let mut at = request.sector * SECTOR;
        for part in &request.writable {
            let mut bytes = vec![0; part.len as usize];
            let mut done = 0;
            // A hole behind the end of the image reads as zeroes.
            while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
                match self.file.read_at(rest, at + done as u64).ok()? {
                    0 => break,
                    len => done += len,
                }
            }
            memory.write(part.address, &bytes).then_some(())?;
            at += u64::from(part.len);
        }
        Some(())
    }

    fn write(&self, memory: &GuestMemory, request: &Request) -> Option<()> {
        let mut at = request.sector * SECTOR;
        for part in &request.readable {
            let mut bytes = vec![0; part.len as usize];
            memory.read(part.address, &mut bytes).then_some(())?;
            self.file.write_all_at(&bytes, at).ok()?;
            at += u64::from(part.len);
        }
        Some(())
    }
}

/// A request, its framing undone: header and status byte may share descriptors with data. // Virtio 1.3 §2.7.4
struct Request {
    kind: u32,
    sector: u64,
    readable: Vec<Part>,
    writable: Vec<Part>,
    status: u64,
    written: u32,
}

impl Request {
    fn parse(memory: &GuestMemory, walk: &Walk) -> Option<Self> {
        let (mut writable, readable): (Vec<Part>, Vec<Part>) =
            walk.parts.iter().partition(|part| part.device_writes);
        let mut header = [0; HEADER];
        let mut filled = 0;
        let mut data = Vec::new();
        for mut part in readable {
            let take = (HEADER - filled).min(part.len as usize);
            memory
                .read(part.address, header.get_mut(filled..filled + take)?)
                .then_some(())?;
            filled += take;
            part.address += take as u64;
            part.len -= take as u32;
            data.push(part);
        }
        data.retain(|part| part.len > 0);
        let last = writable.iter_mut().rev().find(|part| part.len > 0)?;
        last.len -= 1;
        let status = last.address + u64::from(last.len);
        writable.retain(|part| part.len > 0);
        if filled < HEADER {
            return None;
        }
        let [k0, k1, k2, k3, _, _, _, _, s0, s1, s2, s3, s4, s5, s6, s7] = header;
        Some(Self {
            kind: u32::from_le_bytes([k0, k1, k2, k3]),
            sector: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            readable: data,
            writable,
            status,
            written: 0,
        })
    }
}
