//! The two kinds of SRB, written before a request is sent and read after it was completed.
//!
//! Layouts come from the measured facts; what each field holds from MS: ns-srb-_scsi_request_block and
//! ns-storport-_storage_request_block.

use host_ntos::abi::enums::SRBEXDATATYPE as data_type;
use host_ntos::abi::{
    SCSI_PNP_REQUEST_BLOCK, SCSI_POWER_REQUEST_BLOCK, SCSI_REQUEST_BLOCK, SRBEX_DATA_PNP,
    SRBEX_DATA_POWER, SRBEX_DATA_SCSI_CDB_VAR, SRBEX_DATA_SCSI_CDB16, SRBEX_DATA_SCSI_CDB32,
    STOR_ADDR_BTL8, STORAGE_REQUEST_BLOCK,
};
use host_ntos::guest;

use crate::codes::{
    ADDRESS_BTL8, ADDRESS_BTL8_LENGTH, SIMPLE_TAG, SRB_SIGNATURE, SRB_VERSION, flags, function,
    status,
};
use crate::request::{Address, Data, Function};

/// Which structure the miniport is sent (`SrbTypeFlags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `SCSI_REQUEST_BLOCK`.
    Scsi,
    /// `STORAGE_REQUEST_BLOCK`.
    Storage,
}

/// What to write into an SRB.
pub struct Contents<'a> {
    pub kind: Kind,
    pub function: &'a Function,
    pub data: &'a Data,
    pub address: Address,
    /// `Port` of the address: the adapter's number.
    pub port: u16,
    /// Flags of the requester.
    pub flags: u32,
    pub timeout_seconds: u32,
    pub tag: u32,
    /// Where the buffer is mapped, 0 if it is not.
    pub buffer: usize,
    pub extension: usize,
    pub sense: usize,
    pub sense_length: u8,
}

/// Where the address and the extended data of an extended SRB start.
const ADDRESS_AT: usize = STORAGE_REQUEST_BLOCK::SIZE;
const DATA_AT: usize = ADDRESS_AT + STOR_ADDR_BTL8::SIZE;

impl Function {
    /// `SRB_FUNCTION_*`.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::ExecuteScsi(_) => function::EXECUTE_SCSI,
            Self::IoControl => function::IO_CONTROL,
            Self::Flush => function::FLUSH,
            Self::Shutdown => function::SHUTDOWN,
            Self::ResetLogicalUnit => function::RESET_LOGICAL_UNIT,
            Self::ResetDevice => function::RESET_DEVICE,
            Self::Pnp { .. } => function::PNP,
            Self::Power { .. } => function::POWER,
            Self::Other(code) => *code,
        }
    }
}

/// Type, length and bytes of the extended data of a function.
fn extended_data(function: &Function) -> Option<(u32, usize)> {
    match function {
        Function::ExecuteScsi(cdb) if cdb.len() <= 16 => Some((
            data_type::SrbExDataTypeScsiCdb16,
            SRBEX_DATA_SCSI_CDB16::SIZE,
        )),
        Function::ExecuteScsi(cdb) if cdb.len() <= 32 => Some((
            data_type::SrbExDataTypeScsiCdb32,
            SRBEX_DATA_SCSI_CDB32::SIZE,
        )),
        Function::ExecuteScsi(cdb) => {
            let size = SRBEX_DATA_SCSI_CDB_VAR::Cdb.offset + cdb.len();
            Some((data_type::SrbExDataTypeScsiCdbVar, size.next_multiple_of(8)))
        }
        Function::Pnp { .. } => Some((data_type::SrbExDataTypePnP, SRBEX_DATA_PNP::SIZE)),
        Function::Power { .. } => Some((data_type::SrbExDataTypePower, SRBEX_DATA_POWER::SIZE)),
        _ => None,
    }
}

/// Bytes of the SRB for a function.
pub fn size(kind: Kind, function: &Function) -> usize {
    match kind {
        Kind::Scsi => SCSI_REQUEST_BLOCK::SIZE,
        Kind::Storage => DATA_AT + extended_data(function).map_or(0, |(_, size)| size),
    }
}

/// Writes an SRB of [`size`] bytes at `at`, which holds zeros.
pub fn write(at: usize, c: &Contents<'_>) {
    match c.kind {
        Kind::Scsi => write_scsi(at, c),
        Kind::Storage => write_storage(at, c),
    }
}

fn all_flags(c: &Contents<'_>) -> u32 {
    let direction = match c.data {
        Data::None => 0,
        Data::In(_) => flags::DATA_IN,
        Data::Out(_) => flags::DATA_OUT,
        Data::Both(_) => flags::DATA_IN | flags::DATA_OUT,
    };
    let tagged = matches!(c.function, Function::ExecuteScsi(_));
    let tag = if tagged {
        flags::QUEUE_ACTION_ENABLE
    } else {
        0
    };
    c.flags | direction | tag | flags::NO_QUEUE_FREEZE
}

fn write_scsi(at: usize, c: &Contents<'_>) {
    use SCSI_REQUEST_BLOCK as S;
    S::Length.set(at, S::SIZE as u64);
    S::Function.set(at, c.function.code().into());
    S::SrbStatus.set(at, status::PENDING.into());
    S::PathId.set(at, c.address.path.into());
    S::TargetId.set(at, c.address.target.into());
    S::Lun.set(at, c.address.lun.into());
    S::SrbFlags.set(at, all_flags(c).into());
    S::DataTransferLength.set(at, c.data.len() as u64);
    S::TimeOutValue.set(at, c.timeout_seconds.into());
    S::DataBuffer.set(at, c.buffer as u64);
    S::SrbExtension.set(at, c.extension as u64);
    match c.function {
        Function::ExecuteScsi(cdb) => {
            S::QueueTag.set(at, u64::from(c.tag as u8));
            S::QueueAction.set(at, SIMPLE_TAG.into());
            S::CdbLength.set(at, cdb.len() as u64);
            S::SenseInfoBuffer.set(at, c.sense as u64);
            S::SenseInfoBufferLength.set(at, c.sense_length.into());
            guest::write(
                S::Cdb.at(at),
                cdb.get(..cdb.len().min(16)).unwrap_or_default(),
            );
        }
        Function::Pnp { action, adapter } => {
            SCSI_PNP_REQUEST_BLOCK::PnPAction.set(at, (*action).into());
            SCSI_PNP_REQUEST_BLOCK::SrbPnPFlags.set(at, u64::from(*adapter));
        }
        Function::Power {
            state,
            action,
            adapter,
        } => {
            SCSI_POWER_REQUEST_BLOCK::DevicePowerState.set(at, (*state).into());
            SCSI_POWER_REQUEST_BLOCK::PowerAction.set(at, (*action).into());
            SCSI_POWER_REQUEST_BLOCK::SrbPowerFlags.set(at, u64::from(*adapter));
        }
        _ => {}
    }
}

fn write_storage(at: usize, c: &Contents<'_>) {
    use STORAGE_REQUEST_BLOCK as S;
    // "The size of the SRB header for compatibility": up to the signature.
    S::Length.set(at, S::Signature.offset as u64);
    S::Function.set(at, function::STORAGE_REQUEST_BLOCK.into());
    S::SrbStatus.set(at, status::PENDING.into());
    S::Signature.set(at, SRB_SIGNATURE.into());
    S::Version.set(at, SRB_VERSION.into());
    S::SrbLength.set(at, size(Kind::Storage, c.function) as u64);
    S::SrbFunction.set(at, c.function.code().into());
    S::SrbFlags.set(at, all_flags(c).into());
    S::RequestTag.set(at, c.tag.into());
    // StorIoPriorityNormal.
    S::RequestPriority.set(at, 2);
    S::RequestAttribute.set(at, SIMPLE_TAG.into());
    S::TimeOutValue.set(at, c.timeout_seconds.into());
    S::AddressOffset.set(at, ADDRESS_AT as u64);
    S::DataTransferLength.set(at, c.data.len() as u64);
    S::DataBuffer.set(at, c.buffer as u64);
    S::MiniportContext.set(at, c.extension as u64);
    let address = at + ADDRESS_AT;
    STOR_ADDR_BTL8::Type.set(address, ADDRESS_BTL8.into());
    STOR_ADDR_BTL8::Port.set(address, c.port.into());
    STOR_ADDR_BTL8::AddressLength.set(address, ADDRESS_BTL8_LENGTH.into());
    STOR_ADDR_BTL8::Path.set(address, c.address.path.into());
    STOR_ADDR_BTL8::Target.set(address, c.address.target.into());
    STOR_ADDR_BTL8::Lun.set(address, c.address.lun.into());
    if let Some((kind, length)) = extended_data(c.function) {
        S::NumSrbExData.set(at, 1);
        guest::write_u32(S::SrbExDataOffset.at(at), DATA_AT as u32);
        write_extended_data(at + DATA_AT, kind, length, c);
    }
}

fn write_extended_data(at: usize, kind: u32, length: usize, c: &Contents<'_>) {
    use {
        SRBEX_DATA_PNP as Pnp, SRBEX_DATA_POWER as Power, SRBEX_DATA_SCSI_CDB_VAR as Var,
        SRBEX_DATA_SCSI_CDB16 as Cdb,
    };
    Cdb::Type.set(at, kind.into());
    // The length counts what follows the type and the length themselves.
    Cdb::Length.set(at, (length - Cdb::ScsiStatus.offset) as u64);
    match c.function {
        Function::ExecuteScsi(cdb) if cdb.len() <= 32 => {
            // The 16- and 32-byte forms differ only in the room for the CDB.
            Cdb::SenseInfoBufferLength.set(at, c.sense_length.into());
            Cdb::CdbLength.set(at, cdb.len() as u64);
            Cdb::SenseInfoBuffer.set(at, c.sense as u64);
            guest::write(Cdb::Cdb.at(at), cdb);
        }
        Function::ExecuteScsi(cdb) => {
            Var::SenseInfoBufferLength.set(at, c.sense_length.into());
            Var::CdbLength.set(at, cdb.len() as u64);
            Var::SenseInfoBuffer.set(at, c.sense as u64);
            guest::write(Var::Cdb.at(at), cdb);
        }
        Function::Pnp { action, adapter } => {
            Pnp::PnPAction.set(at, (*action).into());
            Pnp::SrbPnPFlags.set(at, u64::from(*adapter));
        }
        Function::Power {
            state,
            action,
            adapter,
        } => {
            Power::DevicePowerState.set(at, (*state).into());
            Power::PowerAction.set(at, (*action).into());
            Power::SrbPowerFlags.set(at, u64::from(*adapter));
        }
        _ => {}
    }
}

/// What a miniport left in an SRB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Result {
    pub raw_status: u8,
    pub scsi_status: u8,
    pub transferred: u32,
    pub sense_length: u8,
}

/// Reads an SRB back that [`write`] wrote for this function.
pub fn read(at: usize, kind: Kind, function: &Function) -> Result {
    let scsi = matches!(function, Function::ExecuteScsi(_));
    match kind {
        Kind::Scsi => {
            use SCSI_REQUEST_BLOCK as S;
            Result {
                raw_status: S::SrbStatus.get(at) as u8,
                scsi_status: if scsi { S::ScsiStatus.get(at) as u8 } else { 0 },
                transferred: S::DataTransferLength.get(at) as u32,
                sense_length: if scsi {
                    S::SenseInfoBufferLength.get(at) as u8
                } else {
                    0
                },
            }
        }
        Kind::Storage => {
            use {SRBEX_DATA_SCSI_CDB16 as Cdb, STORAGE_REQUEST_BLOCK as S};
            let data = at + DATA_AT;
            Result {
                raw_status: S::SrbStatus.get(at) as u8,
                scsi_status: if scsi {
                    Cdb::ScsiStatus.get(data) as u8
                } else {
                    0
                },
                transferred: S::DataTransferLength.get(at) as u32,
                sense_length: if scsi {
                    Cdb::SenseInfoBufferLength.get(data) as u8
                } else {
                    0
                },
            }
        }
    }
}

/// Sets the status of an SRB, as StorPortCompleteRequest does.
pub fn set_status(at: usize, kind: Kind, value: u8) {
    match kind {
        Kind::Scsi => SCSI_REQUEST_BLOCK::SrbStatus.set(at, value.into()),
        Kind::Storage => STORAGE_REQUEST_BLOCK::SrbStatus.set(at, value.into()),
    }
}
