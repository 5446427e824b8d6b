//! Command descriptor blocks: from bytes to a command, or to the sense data that refuses it.
#![forbid(unsafe_code)]

use storport::Sense;

/// Blocks that a command is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// First logical block.
    pub lba: u64,
    /// Logical blocks.
    pub blocks: u32,
}

/// Which values MODE SENSE asks for. SPC-5 §6.14.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageControl {
    /// Values in force.
    Current,
    /// A mask of what could be changed.
    Changeable,
    /// Values after a reset.
    Default,
    /// Values kept by the device.
    Saved,
}

/// A MODE SENSE command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSense {
    /// The ten-byte form, with the longer header.
    pub ten: bool,
    /// No block descriptor wanted.
    pub disable_block_descriptors: bool,
    /// Which values.
    pub control: PageControl,
    /// Page code.
    pub page: u8,
    /// Subpage code.
    pub subpage: u8,
    /// Bytes that the initiator has room for.
    pub allocation: usize,
}

/// A WRITE SAME command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSame {
    /// Where.
    pub extent: Extent,
    /// The blocks may be given up if they then read as what was to be written.
    pub unmap: bool,
    /// There is no data: zeroes are to be written.
    pub no_data: bool,
}

/// The one command that REPORT SUPPORTED OPERATION CODES asks about. SPC-5 §6.35
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneOpcode {
    /// Operation code.
    pub operation: u8,
    /// Service action.
    pub action: u16,
    /// What the service action is to do with it.
    pub with: ServiceAction,
}

/// Whether REPORT SUPPORTED OPERATION CODES looks at the service action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceAction {
    /// The command must have none.
    No,
    /// The command must have one.
    Yes,
    /// If the command has one.
    IfAny,
}

/// A command that this driver executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// TEST UNIT READY
    TestUnitReady,
    /// REQUEST SENSE
    RequestSense {
        /// Descriptor format wanted.
        descriptor: bool,
        /// Bytes that the initiator has room for.
        allocation: usize,
    },
    /// INQUIRY
    Inquiry {
        /// Vital product data page; `None`: the standard data.
        page: Option<u8>,
        /// Bytes that the initiator has room for.
        allocation: usize,
    },
    /// MODE SENSE(6) and (10)
    ModeSense(ModeSense),
    /// START STOP UNIT
    StartStopUnit {
        /// Start rather than stop.
        start: bool,
        /// Stop without emptying the cache.
        no_flush: bool,
    },
    /// READ CAPACITY(10)
    ReadCapacity10,
    /// READ CAPACITY(16)
    ReadCapacity16 {
        /// Bytes that the initiator has room for.
        allocation: usize,
    },
    /// READ(6), (10), (12), (16)
    Read(Extent),
    /// WRITE(6), (10), (12), (16)
    Write {
        /// Where.
        extent: Extent,
        /// The data must be on the medium before the command completes.
        force_unit_access: bool,
    },
    /// SYNCHRONIZE CACHE(10) and (16)
    SynchronizeCache(Extent),
    /// UNMAP
    Unmap {
        /// Bytes of the parameter list.
        list: usize,
    },
    /// WRITE SAME(10) and (16)
    WriteSame(WriteSame),
    /// VERIFY(10), (12), (16): the medium is to be read
    Verify(Extent),
    /// MODE SELECT(6) and (10)
    ModeSelect {
        /// The ten-byte form, with the longer header.
        ten: bool,
        /// Bytes of the parameter list.
        list: usize,
    },
    /// LOG SENSE
    LogSense {
        /// Page code.
        page: u8,
        /// Subpage code.
        subpage: u8,
        /// Bytes that the initiator has room for.
        allocation: usize,
    },
    /// REPORT SUPPORTED OPERATION CODES
    SupportedOpcodes {
        /// Which; `None`: all.
        one: Option<OneOpcode>,
        /// Bytes that the initiator has room for.
        allocation: usize,
    },
    /// REPORT LUNS
    ReportLuns {
        /// Which units.
        select: u8,
        /// Bytes that the initiator has room for.
        allocation: usize,
    },
}

/// Largest command that is decoded, in bytes.
const MAX_CDB: usize = 16;

/// The bytes of a command whose length its operation code gives. Missing bytes are zero.
struct Fields {
    bytes: [u8; MAX_CDB],
    well_formed: bool,
}

impl Fields {
    fn new(cdb: &[u8], len: usize) -> Self {
        let mut bytes = [0; MAX_CDB];
        for (to, from) in bytes.iter_mut().zip(cdb.iter().take(len)) {
            *to = *from;
        }
        // Last byte, control: NACA is not supported. SAM-6 §5.2
        let control = cdb.get(..len).and_then(<[u8]>::last);
        Self {
            bytes,
            well_formed: control.is_some_and(|control| control & 0x04 == 0),
        }
    }

    /// `N` bytes; zeroes past the end of the longest command.
    fn at<const N: usize>(&self, offset: usize) -> [u8; N] {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        rest.first_chunk().copied().unwrap_or([0; N])
    }

    fn u8(&self, offset: usize) -> u8 {
        let [byte] = self.at(offset);
        byte
    }

    fn u16(&self, offset: usize) -> usize {
        usize::from(u16::from_be_bytes(self.at(offset)))
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_be_bytes(self.at(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_be_bytes(self.at(offset))
    }

    fn allocation32(&self, offset: usize) -> usize {
        usize::try_from(self.u32(offset)).unwrap_or(usize::MAX)
    }
}

/// Length of a command by its operation code. SPC-5 §4.2.5.1
fn length(operation: u8) -> usize {
    match operation >> 5 {
        0 => 6,
        1 | 2 => 10,
        4 => 16,
        5 => 12,
        _ => MAX_CDB,
    }
}

/// Extent of the six-byte READ and WRITE: 21 bits of address, and zero means 256 blocks. SBC-4 §5.14
fn extent6(f: &Fields) -> Extent {
    let blocks = match f.u8(4) {
        0 => 256,
        n => u32::from(n),
    };
    Extent {
        lba: u64::from(f.u32(0)) & 0x1f_ffff,
        blocks,
    }
}

fn extent10(f: &Fields) -> Extent {
    Extent {
        lba: u64::from(f.u32(2)),
        blocks: u32::try_from(f.u16(7)).unwrap_or(u32::MAX),
    }
}

fn extent12(f: &Fields) -> Extent {
    Extent {
        lba: u64::from(f.u32(2)),
        blocks: f.u32(6),
    }
}

fn extent16(f: &Fields) -> Extent {
    Extent {
        lba: f.u64(2),
        blocks: f.u32(10),
    }
}

/// The disk has no protection information. SBC-4 §5.15
fn unprotected(f: &Fields) -> Result<(), Sense> {
    if f.u8(1) & 0xe0 == 0 {
        Ok(())
    } else {
        Err(Sense::INVALID_FIELD)
    }
}

fn read(f: &Fields, extent: Extent) -> Result<Command, Sense> {
    unprotected(f)?;
    Ok(Command::Read(extent))
}

fn write(f: &Fields, extent: Extent) -> Result<Command, Sense> {
    unprotected(f)?;
    Ok(Command::Write {
        extent,
        force_unit_access: f.u8(1) & 0x08 != 0,
    })
}

/// Protection information and BYTCHK are refused: there is nothing to compare with. SBC-4 §5.38
fn verify(f: &Fields, extent: Extent) -> Result<Command, Sense> {
    if f.u8(1) & 0xe6 != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    Ok(Command::Verify(extent))
}

/// SBC-4 §5.52: no protection information, no anchoring, none of the obsolete bits.
fn write_same(f: &Fields, extent: Extent, no_data: u8) -> Result<Command, Sense> {
    const UNMAP: u8 = 0x08;
    if f.u8(1) & !(UNMAP | no_data) != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    Ok(Command::WriteSame(WriteSame {
        extent,
        unmap: f.u8(1) & UNMAP != 0,
        no_data: f.u8(1) & no_data != 0,
    }))
}

/// SBC-4 §5.35: nothing can be anchored.
fn unmap(f: &Fields) -> Result<Command, Sense> {
    if f.u8(1) & 0x01 != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    Ok(Command::Unmap { list: f.u16(7) })
}

/// SPC-5 §6.12: the pages are the standard's, and nothing can be saved.
fn mode_select(f: &Fields, ten: bool) -> Result<Command, Sense> {
    if f.u8(1) & 0x11 != 0x10 {
        return Err(Sense::INVALID_FIELD);
    }
    let list = if ten { f.u16(7) } else { usize::from(f.u8(4)) };
    Ok(Command::ModeSelect { ten, list })
}

/// SPC-5 §6.8: cumulative values, from the first parameter on; nothing can be saved.
fn log_sense(f: &Fields) -> Result<Command, Sense> {
    const CUMULATIVE: u8 = 1;
    if f.u8(1) & 0x01 != 0 || f.u8(2) >> 6 != CUMULATIVE || f.u16(5) != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    Ok(Command::LogSense {
        page: f.u8(2) & 0x3f,
        subpage: f.u8(3),
        allocation: f.u16(7),
    })
}

/// SPC-5 §6.35: no command has a timeout to tell of.
fn supported_opcodes(f: &Fields) -> Result<Command, Sense> {
    let with = match f.u8(2) & 0x87 {
        0 => None,
        1 => Some(ServiceAction::No),
        2 => Some(ServiceAction::Yes),
        3 => Some(ServiceAction::IfAny),
        _ => return Err(Sense::INVALID_FIELD),
    };
    Ok(Command::SupportedOpcodes {
        one: with.map(|with| OneOpcode {
            operation: f.u8(3),
            action: u16::try_from(f.u16(4)).unwrap_or(u16::MAX),
            with,
        }),
        allocation: f.allocation32(6),
    })
}

/// Turns the bytes of a command into a [`Command`].
pub fn decode(cdb: &[u8]) -> Result<Command, Sense> {
    let operation = cdb.first().copied().ok_or(Sense::INVALID_OPCODE)?;
    let f = &Fields::new(cdb, length(operation));
    let command = match operation {
        0x00 => Ok(Command::TestUnitReady),
        0x03 => Ok(Command::RequestSense {
            descriptor: f.u8(1) & 0x01 != 0,
            allocation: usize::from(f.u8(4)),
        }),
        0x08 => Ok(Command::Read(extent6(f))),
        0x0a => Ok(Command::Write {
            extent: extent6(f),
            force_unit_access: false,
        }),
        0x12 => inquiry(f),
        0x15 => mode_select(f, false),
        0x1a => Ok(Command::ModeSense(mode_sense(f, false))),
        0x1b => start_stop(f),
        0x25 => read_capacity10(f),
        0x28 => read(f, extent10(f)),
        0x2a => write(f, extent10(f)),
        0x2f => verify(f, extent10(f)),
        0x35 => Ok(Command::SynchronizeCache(extent10(f))),
        0x41 => write_same(f, extent10(f), 0),
        0x42 => unmap(f),
        0x4d => log_sense(f),
        0x55 => mode_select(f, true),
        0x5a => Ok(Command::ModeSense(mode_sense(f, true))),
        0x88 => read(f, extent16(f)),
        0x8a => write(f, extent16(f)),
        0x8f => verify(f, extent16(f)),
        0x91 => Ok(Command::SynchronizeCache(extent16(f))),
        0x93 => write_same(f, extent16(f), 0x01),
        // SERVICE ACTION IN(16): of its actions only READ CAPACITY(16).
        0x9e if f.u8(1) & 0x1f == 0x10 => Ok(Command::ReadCapacity16 {
            allocation: f.allocation32(10),
        }),
        0x9e => Err(Sense::INVALID_FIELD),
        0xa0 => Ok(Command::ReportLuns {
            select: f.u8(2),
            allocation: f.allocation32(6),
        }),
        // MAINTENANCE IN: of its actions only REPORT SUPPORTED OPERATION CODES.
        0xa3 if f.u8(1) & 0x1f == 0x0c => supported_opcodes(f),
        0xa3 => Err(Sense::INVALID_FIELD),
        0xa8 => read(f, extent12(f)),
        0xaa => write(f, extent12(f)),
        0xaf => verify(f, extent12(f)),
        _ => Err(Sense::INVALID_OPCODE),
    }?;
    if f.well_formed {
        Ok(command)
    } else {
        Err(Sense::INVALID_FIELD)
    }
}

/// SPC-5 §6.7.1: a page code without EVPD, and the obsolete CMDDT, are errors.
fn inquiry(f: &Fields) -> Result<Command, Sense> {
    let allocation = f.u16(3);
    match (f.u8(1) & 0x03, f.u8(2)) {
        (0, 0) => Ok(Command::Inquiry {
            page: None,
            allocation,
        }),
        (1, page) => Ok(Command::Inquiry {
            page: Some(page),
            allocation,
        }),
        _ => Err(Sense::INVALID_FIELD),
    }
}

fn mode_sense(f: &Fields, ten: bool) -> ModeSense {
    ModeSense {
        ten,
        disable_block_descriptors: f.u8(1) & 0x08 != 0,
        control: match f.u8(2) >> 6 {
            0 => PageControl::Current,
            1 => PageControl::Changeable,
            2 => PageControl::Default,
            _ => PageControl::Saved,
        },
        page: f.u8(2) & 0x3f,
        subpage: f.u8(3),
        allocation: if ten { f.u16(7) } else { usize::from(f.u8(4)) },
    }
}

/// SBC-4 §5.31: there is no medium to load or eject, and no power condition besides active and stopped.
fn start_stop(f: &Fields) -> Result<Command, Sense> {
    let load_eject = f.u8(4) & 0x02 != 0;
    let power_condition = f.u8(4) >> 4;
    if load_eject || power_condition != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    Ok(Command::StartStopUnit {
        start: f.u8(4) & 0x01 != 0,
        no_flush: f.u8(4) & 0x04 != 0,
    })
}

/// SBC-4 §5.19: without the obsolete PMI bit the address must be zero, and with it nothing else is known.
fn read_capacity10(f: &Fields) -> Result<Command, Sense> {
    if f.u8(8) & 0x01 != 0 || f.u32(2) != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    Ok(Command::ReadCapacity10)
}
