//! What the in-process device does wrong on purpose, and when: each lie is one property `lie=WHAT@WHEN[xTIMES]`.
//!
//! WHEN counts, from 1, what the kind of lie is about: the driver's register accesses, its reads of one register, or the requests
//! that the device finishes. TIMES is how often it lies from then on; 1 if it is not given, 0 for ever. Of `status=WRITTEN:VALUE` WHEN counts
//! the reads since WRITTEN was written, each time anew, so that it means the same step of a start however often a driver looks.

use std::fmt;

use anyhow::{Context, bail, ensure};

/// A lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lie {
    /// What the device does.
    pub what: What,
    /// The first time.
    pub at: u64,
    /// How often; 0: for ever.
    pub times: u64,
}

/// What a lying device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It vanishes at a register access: reads give all ones from then on.
    Vanish,
    /// It asks for a reset at a register access.
    NeedsReset,
    /// It raises this interrupt message at a register access, for no reason.
    Interrupt(u16),
    /// It has so many sectors from a register access on.
    Resize(u64),
    /// It has so many sectors from a finished request on.
    Grow(u64),
    /// Reads of this common configuration register give this.
    Common(u64, u64),
    /// Reads of the device status give the second, while the driver has written the first to it last.
    Status(u8, u8),
    /// Reads of the byte at this place of the device configuration give this.
    Field(u64, u8),
    /// The configuration generation is another one at each read.
    Generation,
    /// It finishes a request wrongly.
    Ring(RingLie),
}

/// How a request is finished wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingLie {
    /// The id is beyond the queue.
    IdOutOfRange,
    /// All bits of the id are set.
    IdAllOnes,
    /// The id is that of no request in flight.
    IdNotOutstanding,
    /// The id comes twice.
    IdTwice,
    /// The id is that of another request in flight.
    OtherId,
    /// More bytes written than there is room for.
    TooLong,
    /// All bits of the length are set.
    LengthAllOnes,
    /// No byte written, although the request is a read.
    TooShort,
    /// used.idx goes one further than the entries.
    IndexAhead,
    /// used.idx goes further than the queue is long.
    IndexFar,
    /// used.idx goes back.
    IndexBack,
    /// The request is never finished.
    Never,
    /// The status byte has a reserved value.
    StatusReserved,
    /// The status byte is not written.
    StatusUnwritten,
    /// The request is called done and nothing was done.
    NotDone,
    /// used.flags has every bit set.
    Flags,
    /// avail_event is far away.
    Event,
    /// The interrupt does not come.
    NoInterrupt,
    /// The interrupt comes on every message.
    EveryInterrupt,
    /// The used ring but its index is overwritten with ones.
    UsedOnes,
    /// The descriptor table is overwritten with ones.
    DescriptorOnes,
    /// The available ring but its index is overwritten with ones.
    AvailOnes,
    /// The request's indirect table and header are overwritten with ones.
    RequestOnes,
    /// The used entry is another one after it was shown.
    EntryChanges,
    /// The descriptor behind is marked as used as well, as it lies there.
    NextUsed,
    /// The used descriptor has the other lap's wrap counter.
    OtherLap,
    /// The used descriptor is written one buffer too far.
    TooFar,
    /// The used descriptor tells a length and leaves WRITE out, as QEMU's do.
    NoWrite,
    /// The used descriptor has NEXT, INDIRECT and flags that were never defined.
    StrayFlags,
    /// The descriptor ring is overwritten with zeros.
    DescriptorZeros,
    /// As many bytes written as the whole request has, with what may only be read.
    LengthWhole,
    /// As many bytes written as there is room for in another request.
    LengthOther,
    /// The id is the one that was given back last.
    IdAgain,
    /// Every request that the device has is given back under this one's id.
    AllAsOne,
    /// The device looks for requests that it was not told of.
    Unasked,
    /// The request is finished and told of, and at the next register access the device is gone.
    Gone,
    /// The last part in the request's table is longer than it was, and so many bytes are written.
    TableLonger,
    /// All of the ring is overwritten, and the device follows it no longer.
    Whole(Fill),
    /// The id has a bit above the lower 16.
    IdHigh,
    /// The id is that of another descriptor of the chain.
    IdInside,
    /// The id is the last descriptor of the table.
    IdLast,
    /// used.idx goes half around.
    IndexHalf,
    /// used.idx goes back to 0.
    IndexZero,
    /// The half of the used ring that comes next is overwritten with ones.
    BehindOnes,
    /// The driver's wish for interrupts is overwritten.
    Wish,
    /// Descriptors of no request are overwritten with ones.
    FreeOnes,
    /// The descriptor table and the available ring's entries are overwritten, and the device follows them no longer.
    TablePattern,
    /// The reserved bits of the device's event flags are set.
    ReservedFlags,
    /// The device asks for a notification at a place outside the ring.
    EventOutside,
    /// Only one of the two flags that mark the used descriptor changes.
    HalfFlags,
    /// The used descriptor has the longest length, and no WRITE.
    LengthUnwritten,
    /// The used descriptor has another address.
    OtherAddress,
    /// Every place but the next is marked as used.
    AllButNext,
    /// The device goes on one descriptor too near.
    SkipFewer,
    /// The device goes on one descriptor too far.
    SkipMore,
    /// All that the device has is given back, and then each place of the next lap is marked as used.
    NextLap,
}

/// What a ring is overwritten with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// Every other bit.
    Pattern,
    /// Random bytes.
    Noise,
    /// One bit is inverted, another one each time.
    Bit,
}

/// Every way to finish a request wrongly, with its name.
pub const RING_LIES: &[(&str, RingLie)] = &[
    ("id-out-of-range", RingLie::IdOutOfRange),
    ("id-all-ones", RingLie::IdAllOnes),
    ("id-not-outstanding", RingLie::IdNotOutstanding),
    ("id-twice", RingLie::IdTwice),
    ("other-id", RingLie::OtherId),
    ("too-long", RingLie::TooLong),
    ("length-all-ones", RingLie::LengthAllOnes),
    ("too-short", RingLie::TooShort),
    ("index-ahead", RingLie::IndexAhead),
    ("index-far", RingLie::IndexFar),
    ("index-back", RingLie::IndexBack),
    ("never", RingLie::Never),
    ("status-reserved", RingLie::StatusReserved),
    ("status-unwritten", RingLie::StatusUnwritten),
    ("not-done", RingLie::NotDone),
    ("flags", RingLie::Flags),
    ("event", RingLie::Event),
    ("no-interrupt", RingLie::NoInterrupt),
    ("every-interrupt", RingLie::EveryInterrupt),
    ("used-ones", RingLie::UsedOnes),
    ("descriptor-ones", RingLie::DescriptorOnes),
    ("avail-ones", RingLie::AvailOnes),
    ("request-ones", RingLie::RequestOnes),
    ("entry-changes", RingLie::EntryChanges),
];

/// The ways that there are in packed rings only, with their names.
pub const PACKED_LIES: &[(&str, RingLie)] = &[
    ("next-used", RingLie::NextUsed),
    ("other-lap", RingLie::OtherLap),
    ("too-far", RingLie::TooFar),
    ("no-write", RingLie::NoWrite),
    ("stray-flags", RingLie::StrayFlags),
    ("descriptor-zeros", RingLie::DescriptorZeros),
];

/// Ways that random plans do not draw, so that their seeds mean what they meant before: the first of either kind of ring, then those of
/// split ones, then those of packed ones.
pub const MORE_LIES: &[(&str, RingLie)] = &[
    ("length-whole", RingLie::LengthWhole),
    ("length-other", RingLie::LengthOther),
    ("id-again", RingLie::IdAgain),
    ("all-as-one", RingLie::AllAsOne),
    ("unasked", RingLie::Unasked),
    ("gone", RingLie::Gone),
    ("table-longer", RingLie::TableLonger),
    ("ring-zeros", RingLie::Whole(Fill::Zeros)),
    ("ring-ones", RingLie::Whole(Fill::Ones)),
    ("ring-pattern", RingLie::Whole(Fill::Pattern)),
    ("ring-noise", RingLie::Whole(Fill::Noise)),
    ("ring-bit", RingLie::Whole(Fill::Bit)),
    ("id-high", RingLie::IdHigh),
    ("id-inside", RingLie::IdInside),
    ("id-last", RingLie::IdLast),
    ("index-half", RingLie::IndexHalf),
    ("index-zero", RingLie::IndexZero),
    ("behind-ones", RingLie::BehindOnes),
    ("wish", RingLie::Wish),
    ("free-ones", RingLie::FreeOnes),
    ("table-pattern", RingLie::TablePattern),
    ("reserved-flags", RingLie::ReservedFlags),
    ("event-outside", RingLie::EventOutside),
    ("half-flags", RingLie::HalfFlags),
    ("length-unwritten", RingLie::LengthUnwritten),
    ("other-address", RingLie::OtherAddress),
    ("all-but-next", RingLie::AllButNext),
    ("skip-fewer", RingLie::SkipFewer),
    ("skip-more", RingLie::SkipMore),
    ("next-lap", RingLie::NextLap),
];

fn ring_lies() -> impl Iterator<Item = &'static (&'static str, RingLie)> {
    RING_LIES.iter().chain(PACKED_LIES).chain(MORE_LIES)
}

impl RingLie {
    /// The same lie in a packed ring: an index too far or too near is there a mark where it does not belong.
    #[must_use]
    pub fn packed(self) -> Self {
        match self {
            Self::IndexAhead => Self::NextUsed,
            Self::IndexFar => Self::OtherLap,
            Self::IndexBack => Self::TooFar,
            // The driver area holds no entries, and used entries lie among the descriptors.
            Self::DescriptorOnes => Self::DescriptorZeros,
            other => other,
        }
    }
}

impl What {
    /// Whether the driver has no way to know that data is not what the status says.
    #[must_use]
    pub fn spoils_data(self) -> bool {
        use RingLie::{
            AllAsOne, IdAgain, IdNotOutstanding, IdTwice, IndexAhead, NextUsed, NotDone, OtherId,
            Whole,
        };
        // A second completion can hit the next request that has the same name, and one too many, or of an id that is used only before the
        // driver comes to it, names a request that the device has yet to look at: it writes later, where something else lies by then.
        matches!(
            self,
            Self::Ring(
                NotDone
                    | OtherId
                    | IdTwice
                    | IdAgain
                    | AllAsOne
                    | Whole(_)
                    | IdNotOutstanding
                    | IndexAhead
                    | NextUsed
            )
        )
    }
}

impl Lie {
    /// Reads `WHAT@WHEN[xTIMES]`.
    ///
    /// # Errors
    /// It is none; the error says what was expected.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (what, when) = text.split_once('@').context("a lie is WHAT@WHEN[xTIMES]")?;
        let (at, times) = when.split_once('x').unwrap_or((when, "1"));
        let (name, arguments) = what.split_once('=').unwrap_or((what, ""));
        let what = match name {
            "vanish" => What::Vanish,
            "needs-reset" => What::NeedsReset,
            "generation" => What::Generation,
            "interrupt" => What::Interrupt(arguments.parse()?),
            "grow" => What::Grow(arguments.parse()?),
            "resize" => What::Resize(arguments.parse()?),
            "common" | "field" | "status" => {
                let (place, value) = arguments
                    .split_once(':')
                    .with_context(|| format!("{name}=PLACE:VALUE, both hexadecimal"))?;
                let [place, value] = [place, value].map(|number| u64::from_str_radix(number, 16));
                match name {
                    "common" => What::Common(place?, value?),
                    "status" => What::Status(place? as u8, value? as u8),
                    _ => What::Field(place?, value? as u8),
                }
            }
            other => match ring_lies().find(|(name, _)| *name == other) {
                Some((_, lie)) => What::Ring(*lie),
                None => bail!("no lie is called {other:?}"),
            },
        };
        let (at, times) = (at.parse()?, times.parse()?);
        ensure!(at > 0, "what a lie counts begins at 1");
        Ok(Self { what, at, times })
    }

    pub(super) fn due(&self, count: u64) -> bool {
        count >= self.at && (self.times == 0 || count - self.at < self.times)
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Vanish => write!(f, "vanish"),
            What::NeedsReset => write!(f, "needs-reset"),
            What::Generation => write!(f, "generation"),
            What::Interrupt(message) => write!(f, "interrupt={message}"),
            What::Resize(sectors) => write!(f, "resize={sectors}"),
            What::Grow(sectors) => write!(f, "grow={sectors}"),
            What::Common(place, value) => write!(f, "common={place:x}:{value:x}"),
            What::Status(written, value) => write!(f, "status={written:x}:{value:x}"),
            What::Field(place, value) => write!(f, "field={place:x}:{value:x}"),
            What::Ring(lie) => {
                let name = ring_lies().find(|(_, known)| *known == lie);
                write!(f, "{}", name.map_or("", |(name, _)| name))
            }
        }?;
        write!(f, "@{}", self.at)?;
        if self.times != 1 {
            write!(f, "x{}", self.times)?;
        }
        Ok(())
    }
}

impl RingLie {
    /// Whether it is one of split rings only, or of packed ones only: in the other kind the device then does as the specification says.
    #[must_use]
    pub fn only_packed(self) -> Option<bool> {
        let named = |lies: &[(&str, Self)]| lies.iter().any(|(_, lie)| *lie == self);
        match self {
            Self::IdHigh
            | Self::IdInside
            | Self::IdLast
            | Self::IndexHalf
            | Self::IndexZero
            | Self::BehindOnes
            | Self::Wish
            | Self::FreeOnes
            | Self::TablePattern => Some(false),
            Self::ReservedFlags
            | Self::EventOutside
            | Self::HalfFlags
            | Self::LengthUnwritten
            | Self::OtherAddress
            | Self::AllButNext
            | Self::SkipFewer
            | Self::SkipMore
            | Self::NextLap => Some(true),
            _ => named(PACKED_LIES).then_some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lie_is_read_as_it_is_written() {
        let mut texts: Vec<String> = ring_lies().map(|(name, _)| format!("{name}@3")).collect();
        texts.extend(
            [
                "vanish@7",
                "needs-reset@1x2",
                "interrupt=3@9x0",
                "resize=4096@5",
                "grow=64@9",
                "common=14:40@2",
                "status=b:3@2x0",
                "field=0:ff@1x0",
                "generation@1x300",
            ]
            .map(str::to_owned),
        );
        for text in texts {
            assert_eq!(Lie::parse(&text).unwrap().to_string(), text);
        }
        for wrong in ["vanish", "vanish@0", "nonsense@1", "common=14@1"] {
            assert!(Lie::parse(wrong).is_err(), "{wrong}");
        }
    }
}
