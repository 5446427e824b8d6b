//! Private I/O controls, of which a disk without firmware of its own has none: whatever their buffer says, it is not believed.
//!
//! MS: ns-ntddscsi-_srb_io_control: a signature that the miniport does not recognise is answered with SRB_STATUS_INVALID_REQUEST.

use anyhow::{Result, ensure};
use host_storport::{Adapter, Address, Data, Function, Request};

use crate::judge::describe;

/// SRB_STATUS_INVALID_REQUEST of srb.h.
const INVALID_REQUEST: u8 = 0x06;
/// IOCTL_SCSI_MINIPORT_FIRMWARE of ntddscsi.h.
const FIRMWARE: u32 = 0x001b_0780;
/// sizeof(SRB_IO_CONTROL).
const HEADER: u32 = 28;
/// sizeof(FIRMWARE_REQUEST_BLOCK), version 1.
const REQUEST: u32 = 24;

/// What a caller may say in SRB_IO_CONTROL and the FIRMWARE_REQUEST_BLOCK behind it.
#[derive(Clone, Copy)]
struct Said {
    /// HeaderLength.
    header: u32,
    signature: &'static [u8; 8],
    /// Length of what follows.
    length: u32,
    /// Function: get info 1, download 2, activate 3.
    function: u32,
    /// DataBufferOffset, from the start of SRB_IO_CONTROL.
    offset: u32,
    /// DataBufferLength.
    data: u32,
    /// Bytes that there are.
    room: usize,
}

/// A request for the firmware slots as it should be.
const GOOD: Said = Said {
    header: HEADER,
    signature: b"FIRMWARE",
    length: REQUEST + 4 + 64,
    function: 1,
    offset: HEADER + REQUEST + 4,
    data: 64,
    room: (HEADER + REQUEST + 4 + 64) as usize,
};

/// Every field with values that are wrong, alone and together.
fn table() -> Vec<Said> {
    let mut all = vec![GOOD];
    for room in [1, 4, 12, 27, 28, 29, 51, 52, 55] {
        all.push(Said { room, ..GOOD });
    }
    for wrong in [
        0,
        1,
        27,
        29,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX - 3,
        u32::MAX,
    ] {
        all.extend([
            Said {
                header: wrong,
                ..GOOD
            },
            Said {
                length: wrong,
                ..GOOD
            },
            Said {
                function: wrong,
                ..GOOD
            },
            Said {
                offset: wrong,
                ..GOOD
            },
            Said {
                data: wrong,
                ..GOOD
            },
            Said {
                offset: wrong,
                data: 0_u32.wrapping_sub(wrong),
                ..GOOD
            },
            Said {
                function: 2,
                offset: wrong,
                data: u32::MAX,
                ..GOOD
            },
            Said {
                function: 3,
                header: wrong,
                length: wrong,
                offset: wrong,
                data: wrong,
                ..GOOD
            },
        ]);
    }
    all.push(Said {
        signature: b"firmware",
        ..GOOD
    });
    all.push(Said {
        signature: &[0xff; 8],
        ..GOOD
    });
    all.push(Said {
        data: 1 << 20,
        length: 1 << 20,
        room: 64 << 10,
        ..GOOD
    });
    all
}

impl Said {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.header.to_le_bytes());
        bytes.extend(self.signature);
        // Timeout, ControlCode, ReturnCode.
        for word in [30, FIRMWARE, 0, self.length] {
            bytes.extend(word.to_le_bytes());
        }
        // Version, Size, Function, Flags, DataBufferOffset, DataBufferLength.
        for word in [1, REQUEST, self.function, 1, self.offset, self.data] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.resize(self.room, 0xa5);
        bytes
    }
}

/// Sends all of them: each is refused, and nothing of its buffer is changed.
///
/// # Errors
/// One was not.
pub fn run(adapter: &Adapter, address: Address) -> Result<()> {
    let most = adapter.limits()?.maximum_transfer_length as usize;
    let mut buffers: Vec<Vec<u8>> = table().into_iter().map(Said::bytes).collect();
    // The port driver lets no more through.
    buffers.retain(|bytes| bytes.len() <= most);
    buffers.push(Vec::new());
    for sent in buffers {
        let data = if sent.is_empty() {
            Data::None
        } else {
            Data::Both(sent.clone())
        };
        let outcome = adapter.request(Request::new(address, Function::IoControl, data))?;
        ensure!(
            outcome.srb_status() == INVALID_REQUEST,
            "{:02x?}: {}",
            sent.get(..64.min(sent.len())),
            describe(&outcome)
        );
        ensure!(outcome.data == sent, "{} bytes were changed", sent.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{GOOD, HEADER, table};

    #[test]
    fn the_good_one_is_laid_out_as_documented() {
        let bytes = GOOD.bytes();
        assert_eq!(bytes[..4], HEADER.to_le_bytes());
        assert_eq!(&bytes[4..12], b"FIRMWARE");
        assert_eq!(bytes[16..20], 0x001b_0780_u32.to_le_bytes());
        assert_eq!(bytes.len(), (GOOD.offset + GOOD.data) as usize);
        assert!(table().len() > 60);
    }
}
