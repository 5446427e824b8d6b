//! The commands that the disk knows, as REPORT SUPPORTED OPERATION CODES lists them: those that its device can carry out. SPC-5
//! §6.35
//!
//! A test compares the list with what is decoded.
#![forbid(unsafe_code)]

use super::cdb::{OneOpcode, ServiceAction};
use super::reply::Reply;
use super::unit::Unit;
use storport::Sense;

/// A command: operation code, service action, and which bits of its other bytes mean something.
struct Known {
    operation: u8,
    action: Option<u8>,
    /// Bytes 1 on, without control. A service action stands for itself.
    usage: &'static [u8],
}

const fn known(operation: u8, action: Option<u8>, usage: &'static [u8]) -> Known {
    Known {
        operation,
        action,
        usage,
    }
}

const FF: u8 = 0xff;
/// READ, WRITE, SYNCHRONIZE CACHE and VERIFY without the byte of flags.
const TEN: [u8; 8] = [0, FF, FF, FF, FF, 0, FF, FF];
const SIXTEEN: [u8; 14] = [0, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0];
const TWELVE: [u8; 10] = [0, FF, FF, FF, FF, FF, FF, FF, FF, 0];

const fn flags<const N: usize>(mut usage: [u8; N], flags: u8) -> [u8; N] {
    usage[0] = flags;
    usage
}

/// DPO, which is accepted and changes nothing, and FUA.
const DPO_FUA: u8 = 0x18;
const DPO: u8 = 0x10;

const UNMAP: u8 = 0x42;
const WRITE_SAME_10: u8 = 0x41;
const WRITE_SAME_16: u8 = 0x93;
/// UNMAP and NDOB of WRITE SAME.
const WS_UNMAP: u8 = 0x08;
const WS_NO_DATA: u8 = 0x01;

const KNOWN: [Known; 29] = [
    known(0x00, None, &[0, 0, 0, 0]),
    known(0x03, None, &[0x01, 0, 0, FF]),
    known(0x08, None, &[0x1f, FF, FF, FF]),
    known(0x0a, None, &[0x1f, FF, FF, FF]),
    known(0x12, None, &[0x01, FF, FF, FF]),
    known(0x15, None, &[0x11, 0, 0, FF]),
    known(0x1a, None, &[0x08, FF, FF, FF]),
    known(0x1b, None, &[0x01, 0, 0, 0x05]),
    known(0x25, None, &[0; 8]),
    known(0x28, None, &flags(TEN, DPO_FUA)),
    known(0x2a, None, &flags(TEN, DPO_FUA)),
    known(0x2f, None, &flags(TEN, DPO)),
    known(0x35, None, &flags(TEN, 0x02)),
    known(WRITE_SAME_10, None, &flags(TEN, WS_UNMAP)),
    known(UNMAP, None, &[0x01, 0, 0, 0, 0, 0, FF, FF]),
    known(0x4d, None, &[0x01, FF, FF, 0, FF, FF, FF, FF]),
    known(0x55, None, &[0x11, 0, 0, 0, 0, 0, FF, FF]),
    known(0x5a, None, &[0x08, FF, FF, 0, 0, 0, FF, FF]),
    known(0x88, None, &flags(SIXTEEN, DPO_FUA)),
    known(0x8a, None, &flags(SIXTEEN, DPO_FUA)),
    known(0x8f, None, &flags(SIXTEEN, DPO)),
    known(0x91, None, &flags(SIXTEEN, 0x02)),
    known(WRITE_SAME_16, None, &flags(SIXTEEN, WS_UNMAP | WS_NO_DATA)),
    known(
        0x9e,
        Some(0x10),
        &[0x10, 0, 0, 0, 0, 0, 0, 0, 0, FF, FF, FF, FF, 0],
    ),
    known(0xa0, None, &[0, FF, 0, 0, 0, FF, FF, FF, FF, 0]),
    known(
        0xa3,
        Some(0x0c),
        &[0x0c, 0x07, FF, FF, FF, FF, FF, FF, FF, 0],
    ),
    known(0xa8, None, &flags(TWELVE, DPO_FUA)),
    known(0xaa, None, &flags(TWELVE, DPO_FUA)),
    known(0xaf, None, &flags(TWELVE, DPO)),
];

impl Known {
    /// Whether the device can carry it out.
    fn on(&self, unit: &Unit<'_>) -> bool {
        self.operation != UNMAP || unit.config.discard.is_some()
    }

    /// Those of its flags, in byte 1, that mean something.
    fn flags(&self, unit: &Unit<'_>) -> u8 {
        let flags = self.usage.first().copied().unwrap_or(0);
        let config = unit.config;
        match self.operation {
            WRITE_SAME_10 | WRITE_SAME_16 => {
                let unmap = if config.zeroes_unmap { WS_UNMAP } else { 0 };
                let no_data = if config.write_zeroes.is_some() {
                    WS_NO_DATA
                } else {
                    0
                };
                flags & (unmap | no_data)
            }
            _ => flags,
        }
    }

    /// Bytes of the command: its operation code, what is listed, control.
    fn len(&self) -> u8 {
        u8::try_from(self.usage.len().saturating_add(2)).unwrap_or(0)
    }
}

fn known_on(unit: &Unit<'_>) -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(|known| known.on(unit))
}

/// The list of all commands.
pub fn all(unit: &Unit<'_>, reply: &mut Reply) {
    const HEADER: usize = 4;
    const DESCRIPTOR: usize = 8;
    let bytes = known_on(unit).count().saturating_mul(DESCRIPTOR);
    reply
        .of(HEADER.saturating_add(bytes))
        .put(0, &u32::try_from(bytes).unwrap_or(0).to_be_bytes());
    for (index, known) in known_on(unit).enumerate() {
        let at = HEADER.saturating_add(index.saturating_mul(DESCRIPTOR));
        let has_action = u8::from(known.action.is_some());
        let action = known.action.unwrap_or(0);
        let descriptor = [known.operation, 0, 0, action, 0, has_action, 0, known.len()];
        reply.put(at, &descriptor);
    }
}

/// What there is to say of one command.
pub fn one(asked: &OneOpcode, unit: &Unit<'_>, reply: &mut Reply) -> Result<(), Sense> {
    const NOT_SUPPORTED: u8 = 1;
    const SUPPORTED: u8 = 3;
    // No command has more than one service action here.
    let found = known_on(unit).find(|known| known.operation == asked.operation);
    let found = match (asked.with, found.map(|known| known.action)) {
        (ServiceAction::No, Some(Some(_))) | (ServiceAction::Yes, Some(None)) => {
            return Err(Sense::INVALID_FIELD);
        }
        (_, Some(Some(action))) if u16::from(action) != asked.action => None,
        _ => found,
    };
    let Some(found) = found else {
        reply.of(4).put(1, &[NOT_SUPPORTED]);
        return Ok(());
    };
    let len = found.len();
    reply
        .of(usize::from(len).saturating_add(4))
        .put(1, &[SUPPORTED, 0, len, found.operation])
        .put(5, found.usage)
        .put(5, &[found.flags(unit)]);
    Ok(())
}
