//! vioblk's statistics, read as docs/statistics.md has them, and every request for them that it says is refused.

use anyhow::{Context, Result, ensure};
use host_storport::{Adapter, Address, Data, Function, Outcome, Request};

use crate::judge::describe;

// docs/statistics.md
const SIGNATURE: &[u8; 8] = b"WINPVBLK";
const READ: u32 = 1;
const SUCCESS: u32 = 0;
const UNKNOWN_CONTROL_CODE: u32 = 1;
const BAD_LENGTH: u32 = 2;
const TOO_SMALL: u32 = 3;
const ADAPTER: usize = 128;
const QUEUE: usize = 64;
const MOST_QUEUES: usize = 64;

/// The device is gone or was given up.
pub const GONE: u32 = 1;
/// A command has stopped the disk.
pub const STOPPED: u32 = 2;
/// The disk is read-only.
pub const READ_ONLY: u32 = 4;
/// Writes may stay in a volatile cache.
pub const WRITE_CACHE: u32 = 8;

/// sizeof(SRB_IO_CONTROL), and what its members begin at. // ntddscsi.h
const HEAD: usize = 28;
const RETURN_CODE: usize = 20;
/// SRB_STATUS_INVALID_REQUEST. // storport.h
const INVALID_REQUEST: u8 = 0x06;
/// What a buffer is filled with.
const FILL: u8 = 0xee;

/// What a driver says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Flags, like [`READ_ONLY`].
    pub flags: u32,
    /// Logical blocks and their size.
    pub blocks: (u64, u32),
    /// Descriptors of a queue.
    pub queue_size: u32,
    /// Feature bits that were agreed on.
    pub features: u64,
    /// Resets of the device.
    pub resets: u64,
    /// Commands that ended with sense data.
    pub refusals: u64,
    /// Entries for the event log, by event number.
    pub events: Vec<u32>,
    /// The queues.
    pub queues: Vec<Queue>,
}

/// One queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Requests given to the device.
    pub sent: u64,
    /// Requests that it has finished.
    pub finished: u64,
    /// Requests that it has.
    pub in_flight: u32,
    /// Requests that wait.
    pub waiting: u32,
    /// Times that there was no room.
    pub full: u64,
    /// Requests that had to wait.
    pub waited: u64,
    /// Requests that the device failed.
    pub failed: u64,
    /// Requests described elsewhere.
    pub moved: u64,
    /// Requests whose data was copied.
    pub copied: u64,
}

impl Statistics {
    /// The sum over the queues.
    pub fn sum(&self, of: impl Fn(&Queue) -> u64) -> u64 {
        self.queues.iter().map(of).sum()
    }
}

/// An SRB_IO_CONTROL with room for an answer. // MS: ns-ntddscsi-_srb_io_control
fn control(header: u32, signature: &[u8; 8], code: u32, length: u32, room: usize) -> Vec<u8> {
    let mut buffer = Vec::new();
    buffer.extend(header.to_le_bytes());
    buffer.extend(signature);
    // Timeout, ControlCode, ReturnCode, Length.
    for word in [10, code, u32::MAX, length] {
        buffer.extend(word.to_le_bytes());
    }
    buffer.resize(HEAD + room, FILL);
    buffer
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).context("the answer is too short")?;
    Ok(u32::from_le_bytes(word.try_into()?))
}

fn long(bytes: &[u8], at: usize) -> Result<u64> {
    let long = bytes.get(at..at + 8).context("the answer is too short")?;
    Ok(u64::from_le_bytes(long.try_into()?))
}

fn send(adapter: &Adapter, address: Address, buffer: &[u8]) -> Result<Outcome> {
    let data = match buffer {
        [] => Data::None,
        _ => Data::Both(buffer.to_vec()),
    };
    Ok(adapter.request(Request::new(address, Function::IoControl, data))?)
}

fn queue(part: &[u8]) -> Result<Queue> {
    Ok(Queue {
        sent: long(part, 0)?,
        finished: long(part, 8)?,
        in_flight: word(part, 16)?,
        waiting: word(part, 20)?,
        full: long(part, 24)?,
        waited: long(part, 32)?,
        failed: long(part, 40)?,
        moved: long(part, 48)?,
        copied: long(part, 56)?,
    })
}

/// Reads all of them.
///
/// # Errors
/// The answer is not as docs/statistics.md has it.
pub fn read(adapter: &Adapter, address: Address) -> Result<Statistics> {
    const ROOM: usize = ADAPTER + MOST_QUEUES * QUEUE;
    // The port driver lets no more through.
    let most = adapter.limits()?.maximum_transfer_length as usize;
    let room = ROOM.min(most.saturating_sub(HEAD));
    let sent = control(HEAD as u32, SIGNATURE, READ, room as u32, room);
    let outcome = send(adapter, address, &sent)?;
    ensure!(outcome.is_success(), "{}", describe(&outcome));
    let code = word(&outcome.data, RETURN_CODE)?;
    ensure!(code == SUCCESS, "ReturnCode {code}");
    // Of the head nothing else is changed, and nothing is written behind the last part.
    let (head, answer) = outcome.data.split_at(HEAD);
    ensure!(
        head[..RETURN_CODE] == sent[..RETURN_CODE] && head[24..] == sent[24..HEAD],
        "the head was changed: {head:02x?}"
    );
    let lengths = [word(answer, 0)?, word(answer, 4)?, word(answer, 8)?];
    ensure!(
        lengths == [1, ADAPTER as u32, QUEUE as u32],
        "version and lengths {lengths:?}"
    );
    let (queues, parts) = (word(answer, 12)? as usize, word(answer, 16)? as usize);
    let end = ADAPTER + parts * QUEUE;
    ensure!(
        queues == parts && outcome.transferred as usize == HEAD + end,
        "{queues} queues, {parts} parts, {} bytes",
        outcome.transferred
    );
    ensure!(
        answer[end..].iter().all(|byte| *byte == FILL),
        "bytes behind the answer were written"
    );
    let events: Result<_> = (0..16).map(|id| word(answer, 64 + 4 * id)).collect();
    let queues: Result<_> = answer[ADAPTER..end].chunks(QUEUE).map(queue).collect();
    Ok(Statistics {
        flags: word(answer, 20)?,
        blocks: (long(answer, 24)?, word(answer, 32)?),
        queue_size: word(answer, 36)?,
        features: long(answer, 40)?,
        resets: long(answer, 48)?,
        refusals: long(answer, 56)?,
        events: events?,
        queues: queues?,
    })
}

/// What is not as it has to be is refused, and nothing else in the buffer is changed.
///
/// # Errors
/// Something was not.
pub fn malformed(adapter: &Adapter, address: Address) -> Result<()> {
    let (good, room) = (HEAD as u32, ADAPTER as u32);
    let mut refused = vec![
        Vec::new(),
        control(good, b"WINPVBLX", READ, room, ADAPTER),
        control(good, b"winpvblk", READ, room, ADAPTER),
        control(good, &[0; 8], READ, room, ADAPTER),
    ];
    for header in [0, 1, good - 1, good + 1, 0x8000_0000, u32::MAX] {
        refused.push(control(header, SIGNATURE, READ, room, ADAPTER));
    }
    for len in [1, 4, 12, 20, 24, HEAD - 1] {
        let mut short = control(good, SIGNATURE, READ, room, 0);
        short.truncate(len);
        refused.push(short);
    }
    for sent in refused {
        let outcome = send(adapter, address, &sent)?;
        ensure!(
            outcome.srb_status() == INVALID_REQUEST && outcome.data == sent,
            "{sent:02x?}: {}",
            describe(&outcome)
        );
    }
    for (code, length, room, expected) in [
        (READ, room + 1, ADAPTER, BAD_LENGTH),
        (READ, u32::MAX, ADAPTER, BAD_LENGTH),
        (READ, 0_u32.wrapping_sub(good), ADAPTER, BAD_LENGTH),
        (READ, 0x8000_0000, ADAPTER, BAD_LENGTH),
        (READ, 1, 0, BAD_LENGTH),
        (READ, 0, ADAPTER, TOO_SMALL),
        (READ, room - 1, ADAPTER, TOO_SMALL),
        (READ, 0, 0, TOO_SMALL),
        (0, room, ADAPTER, UNKNOWN_CONTROL_CODE),
        (READ + 1, room, ADAPTER, UNKNOWN_CONTROL_CODE),
        (u32::MAX, u32::MAX, ADAPTER, UNKNOWN_CONTROL_CODE),
    ] {
        let sent = control(good, SIGNATURE, code, length, room);
        let outcome = send(adapter, address, &sent)?;
        let mut wanted = sent;
        wanted[RETURN_CODE..][..4].copy_from_slice(&expected.to_le_bytes());
        ensure!(
            outcome.is_success() && outcome.transferred as usize == HEAD && outcome.data == wanted,
            "control code {code}, Length {length}, room {room}: {}",
            describe(&outcome)
        );
    }
    // Room for the adapter's part and all but a byte of a queue's: it says how many queues there are.
    let len = ADAPTER + QUEUE - 1;
    let sent = control(good, SIGNATURE, READ, len as u32, len);
    let outcome = send(adapter, address, &sent)?;
    let (queues, parts) = (
        word(&outcome.data, HEAD + 12)?,
        word(&outcome.data, HEAD + 16)?,
    );
    ensure!(
        queues > 0
            && parts == 0
            && outcome.transferred as usize == HEAD + ADAPTER
            && outcome.data[HEAD + ADAPTER..] == sent[HEAD + ADAPTER..],
        "{queues} queues, {parts} parts, {}",
        describe(&outcome)
    );
    Ok(())
}
