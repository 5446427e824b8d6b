//! The command descriptor blocks that the workload sends. // SBC-4 §5, SPC-4 §6

/// Which length of command block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// READ(6), WRITE(6): 21-bit address, up to 256 blocks.
    Six,
    /// READ(10), WRITE(10).
    Ten,
    /// READ(12), WRITE(12).
    Twelve,
    /// READ(16), WRITE(16).
    Sixteen,
}

impl Form {
    /// Whether `blocks` blocks at `lba` can be asked for in this form. In the six-byte form 256 blocks are written as 0.
    #[must_use]
    pub fn fits(self, lba: u64, blocks: u32) -> bool {
        match self {
            Self::Six => lba < 1 << 21 && (1..=256).contains(&blocks),
            Self::Ten => u32::try_from(lba).is_ok() && blocks <= 0xffff,
            Self::Twelve => u32::try_from(lba).is_ok(),
            Self::Sixteen => true,
        }
    }
}

/// Which transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// READ.
    Read,
    /// WRITE.
    Write,
    /// WRITE with the FUA bit, which the six-byte form lacks.
    WriteThrough,
}

/// A read or a write of `blocks` blocks at `lba`, in a form that [`Form::fits`].
#[must_use]
pub fn transfer(form: Form, what: Transfer, lba: u64, blocks: u32) -> Vec<u8> {
    const FUA: u8 = 1 << 3;
    let flags = if what == Transfer::WriteThrough {
        FUA
    } else {
        0
    };
    let [.., l5, l6, l7] = lba.to_be_bytes();
    let long = (lba as u32).to_be_bytes();
    let count = blocks.to_be_bytes();
    let op = |read: u8| {
        if what == Transfer::Read {
            read
        } else {
            read + 2
        }
    };
    match form {
        Form::Six => vec![op(0x08), l5 & 0x1f, l6, l7, blocks as u8, 0],
        Form::Ten => {
            let mut cdb = vec![op(0x28), flags];
            cdb.extend(long);
            cdb.extend([0, count[2], count[3], 0]);
            cdb
        }
        Form::Twelve => {
            let mut cdb = vec![op(0xa8), flags];
            cdb.extend(long);
            cdb.extend(count);
            cdb.extend([0, 0]);
            cdb
        }
        Form::Sixteen => {
            let mut cdb = vec![op(0x88), flags];
            cdb.extend(lba.to_be_bytes());
            cdb.extend(count);
            cdb.extend([0, 0]);
            cdb
        }
    }
}

/// SYNCHRONIZE CACHE(10) of the whole disk.
#[must_use]
pub fn synchronize_cache() -> Vec<u8> {
    let mut cdb = vec![0; 10];
    cdb[0] = 0x35;
    cdb
}

/// MODE SENSE(6) for all pages.
#[must_use]
pub fn mode_sense() -> Vec<u8> {
    vec![0x1a, 0, 0x3f, 0, 0xff, 0]
}

/// Whether the answer to [`mode_sense`] says that DPO and FUA are supported. // SBC-4 §6.5.1
#[must_use]
pub fn fua_supported(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|byte| byte & 0x10 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_where_the_standard_puts_them() {
        assert_eq!(
            transfer(Form::Six, Transfer::Read, 0x1f_0203, 256),
            [0x08, 0x1f, 2, 3, 0, 0]
        );
        assert_eq!(
            transfer(Form::Ten, Transfer::Write, 0x0102_0304, 0x0506),
            [0x2a, 0, 1, 2, 3, 4, 0, 5, 6, 0]
        );
        assert_eq!(
            transfer(Form::Twelve, Transfer::Read, 0x0102_0304, 0x0506),
            [0xa8, 0, 1, 2, 3, 4, 0, 0, 5, 6, 0, 0]
        );
        assert_eq!(
            transfer(
                Form::Sixteen,
                Transfer::WriteThrough,
                0x0102_0304_0506_0708,
                9
            ),
            [0x8a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0]
        );
    }

    #[test]
    fn forms_know_their_limits() {
        assert!(!Form::Six.fits(1 << 21, 1) && !Form::Six.fits(0, 257) && Form::Six.fits(0, 256));
        assert!(!Form::Ten.fits(1 << 32, 1) && !Form::Ten.fits(0, 1 << 16));
    }
}
