//! What the driver tells the administrator: entries of the system event log, with the numbers that they show.
//!
//! `messages.toml` holds the texts, and the linker puts them into the driver's message table. The first insertion string is
//! the device's name, which Windows adds.
#![forbid(unsafe_code)]

pub mod code;

use crate::config::Refusal;
use crate::trace::Happened;
use core::sync::atomic::{AtomicU32, Ordering};
use storport::Adapter;
use storport::event::Code;

/// Most insertion strings of an entry.
pub const MAX_STRINGS: usize = 2;

/// Something worth an entry. The numbers are shown in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is no virtio 1.0 interface.
    DeviceNotVirtio {
        /// What is missing, as a number of this driver.
        code: u32,
    },
    /// The configuration structure has an impossible value.
    Refused(Refusal),
    /// The device configuration cannot be read.
    ConfigUnreadable {
        /// What went wrong, as a number of [`code`].
        code: u32,
    },
    /// FEATURES_OK did not stay set, or a feature that cannot be accepted is required.
    FeaturesRefused {
        /// Bits that the device offers.
        offered: u64,
        /// Bits that the driver asked for.
        accepted: u64,
    },
    /// StorPort has no memory for the rings.
    NoMemory {
        /// Bytes asked for.
        bytes: u32,
    },
    /// The device did not follow the initialization sequence.
    InitializationFailed {
        /// Step of Virtio 1.3 §3.1.1.
        step: u32,
        /// What went wrong, as a number of this driver.
        code: u32,
    },
    /// The device violated the ring protocol.
    QueueBroken {
        /// Queue index.
        queue: u16,
        /// What went wrong, as a number of this driver.
        code: u32,
    },
    /// The device set DEVICE_NEEDS_RESET.
    DeviceNeedsReset,
    /// The serial number has as many characters as fit.
    SerialMayBeCut,
    /// The device caused nothing but resets.
    GivenUp {
        /// How many.
        resets: u32,
    },
    /// The device does not stop.
    ResetFailed {
        /// What went wrong, as a number of this driver.
        code: u32,
    },
}

/// Severities, which Windows' message codes have in the two highest bits.
const ERROR: u32 = 3 << 30;
const INFORMATIONAL: u32 = 1 << 30;
/// The code is not Microsoft's.
const CUSTOMER: u32 = 1 << 29;

/// A value of an insertion string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Shown in decimal.
    Number(u64),
    /// Shown in hexadecimal.
    Bits(u64),
    /// Shown as it is.
    Name(&'static str),
}

impl Event {
    /// The low 16 bits of the code, as in messages.toml.
    pub const fn id(&self) -> u16 {
        match self {
            Self::DeviceNotVirtio { .. } => 1,
            Self::Refused(Refusal::PageDoesNotFit { .. }) => 3,
            Self::Refused(_) => 2,
            Self::FeaturesRefused { .. } => 4,
            Self::NoMemory { .. } => 5,
            Self::InitializationFailed { .. } => 6,
            Self::QueueBroken { .. } => 7,
            Self::DeviceNeedsReset => 8,
            Self::ResetFailed { .. } => 9,
            Self::ConfigUnreadable { .. } => 10,
            Self::SerialMayBeCut => 11,
            Self::GivenUp { .. } => 12,
        }
    }

    /// The code that the log entry carries and the message table explains.
    pub const fn code(&self) -> u32 {
        let severity = match self {
            Self::SerialMayBeCut => INFORMATIONAL,
            _ => ERROR,
        };
        severity | CUSTOMER | self.id() as u32
    }

    /// The insertion strings from the second on.
    pub fn values(&self) -> [Option<Value>; MAX_STRINGS] {
        use Value::{Bits, Name, Number};
        let number = |n: u32| Some(Number(u64::from(n)));
        match *self {
            Self::DeviceNotVirtio { code }
            | Self::ResetFailed { code }
            | Self::ConfigUnreadable { code } => [number(code), None],
            Self::Refused(Refusal::PageDoesNotFit { segments, size_max }) => {
                [number(segments), number(size_max)]
            }
            Self::Refused(Refusal::BlockSize(value)) => [Some(Name("blk_size")), number(value)],
            Self::Refused(Refusal::HostManagedZones) => [Some(Name("zoned.model")), number(1)],
            Self::Refused(Refusal::QueueCount) => [Some(Name("num_queues")), number(0)],
            Self::Refused(Refusal::QueueTooSmall(size)) => {
                [Some(Name("queue_size")), number(u32::from(size))]
            }
            Self::FeaturesRefused { offered, accepted } => {
                [Some(Bits(offered)), Some(Bits(accepted))]
            }
            Self::NoMemory { bytes } => [number(bytes), None],
            Self::GivenUp { resets } => [number(resets), None],
            Self::InitializationFailed { step, code } => [number(step), number(code)],
            Self::QueueBroken { queue, code } => [number(u32::from(queue)), number(code)],
            Self::DeviceNeedsReset | Self::SerialMayBeCut => [None, None],
        }
    }
}

/// One more than the highest id.
const KINDS: usize = 13;

/// Keeps one device from filling the event log: of each kind the 1st, 2nd, 4th, 8th … are written.
#[derive(Debug, Default)]
pub struct Journal {
    counts: [AtomicU32; KINDS],
}

impl Journal {
    /// How often each kind was seen, two in a number: kind 0, which there is not, and kind 1 in the first. // docs/statistics.md
    pub fn counts(&self) -> [u64; 8] {
        let mut counts = [[0; 2]; 8];
        for (to, from) in counts.as_flattened_mut().iter_mut().zip(&self.counts) {
            *to = from.load(Ordering::Relaxed);
        }
        counts.map(|[even, odd]| u64::from(even) | u64::from(odd) << 32)
    }

    /// Counts the event; whether it is one to be written.
    fn worth_writing(&self, event: &Event) -> bool {
        match self.counts.get(usize::from(event.id())) {
            Some(count) => count
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_add(1)
                .is_power_of_two(),
            None => true,
        }
    }

    /// Writes the event, if it is not one of many. IRQL <= DISPATCH_LEVEL.
    pub fn report(&self, adapter: Adapter, event: Event) {
        if self.worth_writing(&event) {
            write(adapter, event);
        } else {
            trace(adapter, &event);
        }
    }
}

/// Event tracing has all of them.
fn trace(adapter: Adapter, event: &Event) {
    crate::trace::record(adapter, Happened::Reported, [event.id().into(), 0]);
}

/// Writes an entry. IRQL <= DISPATCH_LEVEL. If Windows has no memory for it, it is not written.
pub fn write(adapter: Adapter, event: Event) {
    trace(adapter, &event);
    let values = event.values();
    let mut texts = [[0; TEXT_LEN]; MAX_STRINGS];
    for (text, value) in texts.iter_mut().zip(values.iter().flatten()) {
        value.write(text);
    }
    let used = values.iter().flatten().count();
    let [first, second] = &texts;
    let strings = [until_nul(first), until_nul(second)];
    let strings = strings.get(..used).unwrap_or_default();
    let _ = adapter.log(
        Code::Message(event.code()),
        u32::from(event.id()),
        &[],
        strings,
    );
}

/// The text with its final NUL and nothing after that: an entry has room for 150 bytes in all.
#[inline(never)] // used twice
fn until_nul(text: &[u16]) -> &[u16] {
    let end = text.iter().position(|c| *c == 0).unwrap_or(0);
    text.get(..=end).unwrap_or_default()
}

/// Characters of the longest value: 0x and sixteen digits, or twenty decimal ones; and the final NUL.
pub const TEXT_LEN: usize = 21;

impl Value {
    /// Writes the value as UTF-16 over the start of zeroes, which end it.
    pub fn write(&self, text: &mut [u16; TEXT_LEN]) {
        match *self {
            Self::Number(n) => digits(text, n, 10),
            Self::Bits(n) => {
                let (prefix, rest) = text.split_at_mut(2);
                for (to, from) in prefix.iter_mut().zip("0x".encode_utf16()) {
                    *to = from;
                }
                digits(rest, n, 16);
            }
            Self::Name(name) => {
                for (to, from) in text.iter_mut().take(TEXT_LEN - 1).zip(name.encode_utf16()) {
                    *to = from;
                }
            }
        }
    }
}

/// Writes the digits of `n`, most significant first. `base` is 10 or 16.
#[inline(never)] // used twice
fn digits(to: &mut [u16], n: u64, base: u32) {
    let wide = u64::from(base);
    let mut divisor: u64 = 1;
    while n.checked_div(divisor).is_some_and(|rest| rest >= wide) {
        divisor = divisor.saturating_mul(wide);
    }
    let mut rest = n;
    for to in to {
        let Some(digit) = rest.checked_div(divisor) else {
            break;
        };
        rest = rest.checked_rem(divisor).unwrap_or(0);
        let digit = u32::try_from(digit).unwrap_or(0);
        *to = char::from_digit(digit, base).map_or(0, |digit| digit as u16);
        divisor = divisor.checked_div(wide).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests;
