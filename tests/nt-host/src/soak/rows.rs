//! The rows of the hostile table that a driver meets, at the driver: the device lies in the same way, and what has to come of it is
//! said of the adapter instead of the queue.
//!
//! Which rows no driver meets, or not this one, says [`EXCLUDED`].

use anyhow::{Context, Result};
use test_device::inproc::{Fill, Lie, RingLie, What};

use super::plan::{Judgement, Plan, Step, parse};

mod excluded;
mod judge;

pub use self::excluded::EXCLUDED;
pub use self::judge::Account;

/// What has to come of a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The adapter does not start, and the event log says why.
    Refused,
    /// Requests are cut off or fail, and then everything works again. The driver need not have seen why.
    CutOff,
    /// The driver finds the lie out and reports it before a request takes too long; requests are cut off, and then everything works again.
    Closed,
    /// No request suffers.
    Unharmed,
    /// Any of the three.
    Survived,
    /// From then on every request ends as if there were no device.
    Gone,
    /// No request suffers, and then the adapter does not start again.
    Lost,
}

/// A row.
#[derive(Debug)]
pub struct Row {
    /// Its id in tests/hostile/README.md; letters behind tell variants apart.
    pub id: &'static str,
    /// Properties of the device.
    pub device: &'static str,
    /// What has to come of it.
    pub verdict: Verdict,
}

const fn row(id: &'static str, device: &'static str, verdict: Verdict) -> Row {
    Row {
        id,
        device,
        verdict,
    }
}

use Verdict::{Closed, CutOff, Gone, Lost, Refused, Survived, Unharmed};

/// All of them but those of packed rings, by id: on split rings.
pub const ROWS: &[Row] = &[
    row("F001", "", Unharmed),
    row("F002", "reset-reads=none", Refused),
    row("F003", "reset-reads=5", Unharmed),
    row("F004", "lie=common=14:ff@1x0", Refused),
    row("F005", "lie=vanish@2", Refused),
    row("F006", "refuse-features=on", Refused),
    row("F006b", "lie=status=b:3@1", Refused),
    row("F007", "lie=status=b:3@2x0", Refused),
    row("F007b", "lie=status=b:3@2", Unharmed),
    row("F008", "lie=status=0:40@2", Refused),
    row("F009", "lie=status=b:4b@1", Refused),
    row("F010", "lie=status=f:4f@1x0", Refused),
    row("F010b", "lie=status=f:4f@1", Unharmed),
    row("F011", "needs-reset-every=70", CutOff),
    row("F012", "lie=status=1:0@1", Refused),
    row("F013", "lie=status=f:b@1x0", Refused),
    row("F013b", "lie=status=f:b@1", Unharmed),
    row("F014", "lie=status=3:83@1", Refused),
    row("F015", "lie=status=b:3b@1x0", Unharmed),
    row("F030", "more-features=0xfffffffdff000000", Unharmed),
    row("F033", "version-1=off", Refused),
    row("F034", "lie=common=4:0@3", Refused),
    row("F040", "lie=vanish@6", Refused),
    row("F044", "access-platform=on", Unharmed),
    row("F045", "", Unharmed),
    row("R001", "lie=id-out-of-range@20", Closed),
    row("R002", "lie=id-all-ones@20", Closed),
    row("R003", "lie=id-not-outstanding@20", Closed),
    row("R004", "lie=id-again@20", Survived),
    row("R005", "lie=id-twice@20x3", Survived),
    row("R006", "queue-size=8 lie=id-again@20x9", Survived),
    row("R008", "lie=unasked@1x0", Unharmed),
    row("R009", "lie=too-long@20", Closed),
    row("R010", "lie=length-all-ones@20", Closed),
    row("R012", "lie=length-whole@20", Closed),
    row("R013", "lie=length-other@20", Closed),
    row("R014", "lie=too-short@20x6", CutOff),
    row("R015", "used=whole", Unharmed),
    row("R016", "lie=not-done@20x6", Unharmed),
    row("R017", "lie=id-out-of-range@20x2", Closed),
    row("R018", "pace=16 lie=id-out-of-range@23", Closed),
    row("R019", "queue-size=8 lie=all-as-one@20x5", Survived),
    row(
        "R020",
        "queues=1 vectors=2 queue-size=16 lie=id-twice@16",
        Survived,
    ),
    row("R030", "lie=ring-zeros@20", Survived),
    row("R031", "lie=ring-ones@20", Survived),
    row("R031a", "lie=used-ones@20", Survived),
    row("R031b", "lie=descriptor-ones@20", Survived),
    row("R032", "lie=ring-pattern@20", Survived),
    row("R033", "lie=ring-noise@20x3", Survived),
    row("R034a", "lie=ring-bit@10x9", Survived),
    row("R034b", "queue-size=8 lie=ring-bit@10x9", Survived),
    row("R035", "lie=request-ones@10x9", Unharmed),
    row("R036", "lie=table-longer@20", Closed),
    row("R037", "lie=avail-ones@20", Survived),
    row("R038", "lie=table-pattern@20", Survived),
    row("R039", "queues=1 vectors=2 lie=free-ones@20x9", Survived),
    row("R040", "early-area=1", Survived),
    row("R050", "lie=every-interrupt@1x0", Unharmed),
    row("R051", "lie=interrupt=2@100x50", Unharmed),
    row("R052", "lie=no-interrupt@20x2", Survived),
    row("R053", "lie=event@10x50", Survived),
    row("R060", "lie=no-interrupt@20x3 needs-reset-every=70", CutOff),
    row("R061", "", Unharmed),
    row("R062", "late-ring=4", Unharmed),
    row("R065", "lie=id-out-of-range@20x4", Closed),
    row("R066", "pace=16 lie=too-long@20", Closed),
    row("S001", "event-idx=off lie=flags@20x3", Survived),
    row("S002", "lie=flags@1x0", Unharmed),
    row("S003", "event-idx=off lie=event@1x0", Unharmed),
    row("S004", "lie=event@20x3", Survived),
    row("S005a", "lie=wish@20x3", Survived),
    row("S005b", "event-idx=off lie=wish@20x3", Survived),
    row("S010", "early-used=2 lie=id-all-ones@10", Closed),
    row("S020", "lie=index-ahead@20", Closed),
    row("S021", "lie=index-half@20", Closed),
    row("S022", "lie=index-far@20", Closed),
    row("S023", "lie=index-back@20", Closed),
    row("S024", "lie=index-zero@20", Closed),
    row("S025", "early-used=1", Survived),
    row("S028", "lie=index-ahead@20x2", Closed),
    row("S029", "lie=id-high@20", Closed),
    row("S030", "lie=id-all-ones@20", Closed),
    row("S031", "indirect=off lie=id-inside@20", Closed),
    row("S032", "lie=entry-changes@20x5", Unharmed),
    row("S033", "lie=behind-ones@20x9", Unharmed),
    row("S040", "lie=id-last@20", Closed),
    row(
        "T001",
        "pci=0:ffffffffffffffffffffffffffffffff pci=34:ff",
        Refused,
    ),
    row("T002", "pci=7d:40", Refused),
    row("T003", "pci=4d:4c", Refused),
    row("T004", "pci=34:10", Refused),
    row("T005", "pci=34:fc", Refused),
    row("T006", "pci=6:0", Refused),
    row("T007", "pci=34:43", Unharmed),
    row(
        "T008",
        "pci=34:40 pci=40:\
            0544000005480000054c0000055000000554000005580000055c0000056000000564000005680000056c000005700000\
            0574000005780000057c0000058000000584000005880000058c0000059000000594000005980000059c000005a00000\
            05a4000005a8000005ac000005b0000005b4000005b8000005bc000005c0000005c4000005c8000005cc000005d00000\
            05d4000005d8000005dc000005e0000005e4000005e8000005ec000005f0000005f4000005f8000005fc000005000000",
        Refused,
    ),
    row(
        "T009",
        "pci=34:90 pci=90:09a0100004000000ffffffffffffffff\
            09b0100604000000ffffffffffffffff\
            0940100704000000ffffffffffffffff",
        Unharmed,
    ),
    row(
        "T010",
        "pci=34:90 pci=90:09a01001060000000000000040000000\
            09b41402070000000000000040000000\
            00000000\
            09401003ff0000000000000040000000",
        Unharmed,
    ),
    row(
        "T011",
        "pci=34:90 pci=90:09a01001000000000000000040000000\
            09b41402020000000000000040000000\
            00000000\
            09401003050000000000000040000000",
        Unharmed,
    ),
    row(
        "T012",
        "pci=7d:90 pci=90:09a41402010000000000000000010000\
            08000000\
            09b41004010000000001000000010000\
            09c41003010000000002000000010000\
            09001001010000000003000000010000",
        Unharmed,
    ),
    row("T013", "pci=4e:14 pci=5e:14 pci=6e:14 pci=7e:18", Unharmed),
    row("T014", "pci=4e:8", Refused),
    row("T015", "pci=4e:0", Refused),
    row("T016", "pci=7e:10", Refused),
    row("T017", "pci=7e:ff", Refused),
    row("T018", "pci=89:51", Refused),
    row("T019", "pci=57:ff", Refused),
    row("T020", "pci=58:10", Refused),
    row("T021", "pci=54:2", Refused),
    row("T022", "pci=84:1", Refused),
    row("T023", "pci=88:1 pci=89:0", Refused),
    row("T024", "pci=68:0", Refused),
    row("T025", "pci=74:2", Refused),
    row("T027", "pci=8c:1", Refused),
    row("T028", "pci=8c:3", Refused),
    row(
        "T029",
        "pci=34:90 pci=90:09a81808040000000010000000100000\
            ffffffffffffffff\
            09401808040100000010000000100000\
            ffffffffffffffff",
        Unharmed,
    ),
    row("T030", "pci=7d:fc pci=fc:09000409", Unharmed),
    row(
        "T031",
        "pci=34:90 pci=90:0940140500000000ffffffffffffffff\
            ffffffff",
        Unharmed,
    ),
    row("T032", "pci=7f:9", Refused),
    row("T033", "pci=5f:9", Refused),
    row("T034", "pci=4f:9", Refused),
    row("T035", "pci=34:4c pci=7d:f8 pci=f8:11000780", Refused),
    row("T050", "pci=2:0110 pci=8:0", Unharmed),
    row("T052", "pci=2:0110 pci=41:0", Refused),
    row("T053", "pci=41:0", Refused),
    row("T054", "pci=0:8680 pci=41:0", Refused),
    row(
        "T055",
        "pci=2:0110 pci=8:0 pci=41:0 pci=10:000000e0",
        Refused,
    ),
    row("T056", "pci=2:0110 pci=8:0 pci=41:0", Refused),
    row("T058", "pci=2:0110 pci=8:0 pci=7d:40", Refused),
    row("T059", "pci=2:0110 pci=8:0 pci=57:ff", Refused),
    row("T070", "lie=generation@1x0", Refused),
    row("T071", "lie=generation@1x2", Unharmed),
    row("T072", "lie=common=15:ff@1x0", Unharmed),
    row("T075", "config-len=8", Refused),
    row("T076", "pci=6f:9", Refused),
    row("T077", "config-len=512", Unharmed),
    row("T078", "lie=vanish@40", Refused),
    row("T100", "queue-size=0", Refused),
    row("T101", "queue-size=100", Refused),
    row("T102", "queue-size=65535", Refused),
    row("T105", "lie=common=18:4@4x0", Refused),
    row(
        "T106",
        "queue-size=8 lie=common=18:10@7 lie=common=18:10@9",
        Unharmed,
    ),
    row("T109", "queue-size=1024 lie=common=18:400@1x0", Refused),
    row("T110", "lie=common=12:ffff@1x0", Unharmed),
    row("T113", "lie=common=1c:1@1x0", Refused),
    row("T114", "lie=common=10:ffff@1x0", Refused),
    row("T115", "lie=common=1a:ffff@1x0", Refused),
    row("T116", "lie=common=1a:2@1x0", Refused),
    row("T124", "gone-after-write=0x20", Refused),
    row("T125", "gone-after-write=0x1a", Refused),
    row("T160", "lie=common=1e:ffff@1x0", Refused),
    row(
        "T161",
        "notify-multiplier=0x80000000 lie=common=1e:ffff@1x0",
        Refused,
    ),
    row("T164", "notify-multiplier=0", Unharmed),
    row("T168", "vectors=0 isr-ones=0xff", Unharmed),
    row("T169", "vectors=0 isr-ones=0xfc", Unharmed),
    row("T171", "vectors=0 lie=gone@70", Gone),
    row("T172", "needs-reset-every=70 lie=gone@69", Gone),
    row("T173", "lie=vanish@1", Refused),
    row(
        "T177",
        "pci=34:90 pci=90:09a0100104000000c47f000040000000\
            09b01002040000000030000000100000\
            09c41402040000000030000000100000\
            03000000\
            09d41003040000000000000000000000\
            09401004040000000120000000100000",
        Unharmed,
    ),
];

/// Those that a packed ring has a form of, on packed rings of sixteen: the 24th request of a queue lies in the second lap.
pub const PACKED: &[Row] = &[
    row("F011", "needs-reset-every=70", CutOff),
    row("P001", "lie=flags@20x3", Survived),
    row("P002", "lie=reserved-flags@20x9", Survived),
    row("P003", "event-idx=off lie=event@1x0", Unharmed),
    row("P004", "lie=event-outside@20x3", Survived),
    row("P005", "lie=event@20x3", Survived),
    // The next buffer goes over the descriptor, and the device, which is past it, never comes to that buffer.
    row("P010", "early-used=2 lie=id-all-ones@10", CutOff),
    row("P020", "lie=other-lap@20", CutOff),
    row("P021", "lie=half-flags@20", CutOff),
    row("P022", "lie=length-unwritten@20", Unharmed),
    row("P023", "lie=stray-flags@20x6", Unharmed),
    row("P024", "lie=other-address@20x9", Unharmed),
    row("P025", "lie=too-far@20", CutOff),
    row("P026", "lie=all-but-next@20", Closed),
    row("P027", "indirect=off lie=skip-fewer@20x9", CutOff),
    row("P028", "indirect=off lie=skip-more@20x9", CutOff),
    row("P029", "indirect=off lie=other-id@20", Survived),
    row("P030", "early-used=1", Survived),
    row("P031", "lie=id-twice@20", Survived),
    row("P033", "queues=1 lie=used-ones@5", Closed),
    row("P034", "queues=1 lie=used-ones@24", CutOff),
    row("P035", "queues=1 lie=descriptor-zeros@24", Closed),
    row("P036", "queues=1 lie=descriptor-zeros@5", CutOff),
    row("P037", "lie=entry-changes@20x5", Unharmed),
    row("P038", "lie=next-lap@20", Closed),
    row("P044", "lie=no-write@1x0", Unharmed),
    row("R001", "lie=id-out-of-range@20", Closed),
    row("R002", "lie=id-all-ones@20", Closed),
    row("R003", "lie=id-not-outstanding@20", Closed),
    row("R004", "lie=id-again@20", Survived),
    row("R005", "lie=id-twice@20x5", Survived),
    row("R006", "lie=id-again@20x9", Survived),
    row("R007", "lie=next-used@20x3", Survived),
    row("R008", "lie=unasked@1x0", Unharmed),
    row("R009", "lie=too-long@20", Closed),
    row("R010", "lie=length-all-ones@20", Closed),
    row("R012", "lie=length-whole@20", Closed),
    row("R013", "lie=length-other@20", Closed),
    row("R014", "lie=too-short@20x6", CutOff),
    row("R015", "used=whole", Unharmed),
    row("R016", "lie=not-done@20x6", Unharmed),
    row("R017", "lie=id-out-of-range@20x2", Closed),
    row("R018", "pace=16 lie=id-out-of-range@23", Closed),
    row("R019", "lie=all-as-one@20x5", Survived),
    row("R020", "queues=1 vectors=2 lie=id-twice@16", Survived),
    row("R030", "lie=ring-zeros@20", Survived),
    row("R031", "lie=ring-ones@20", Survived),
    row("R032", "lie=ring-pattern@20", Survived),
    row("R033", "lie=ring-noise@20x3", Survived),
    row("R034", "lie=ring-bit@10x9", Survived),
    row("R035", "lie=request-ones@10x9", Unharmed),
    row("R036", "lie=table-longer@20", Closed),
    row("R037", "lie=avail-ones@20", Survived),
    row("R040", "early-area=1", Survived),
    row("R050", "lie=every-interrupt@1x0", Unharmed),
    row("R051", "lie=interrupt=2@100x50", Unharmed),
    row("R052", "lie=no-interrupt@20x2", Survived),
    row("R053", "lie=event@10x50", Survived),
    row("R060", "lie=no-interrupt@20x3 needs-reset-every=70", CutOff),
    row("R061", "", Unharmed),
    row("R062", "late-ring=4", Unharmed),
    row("R064", "lie=common=4:1@10", Lost),
    row("R065", "lie=id-out-of-range@20x4", Closed),
    row("R066", "pace=16 lie=too-long@20", Closed),
    row("T103", "queue-size=24", Unharmed),
    row("T104", "lie=common=18:8001@1x0", Refused),
    row("T106", "lie=common=18:40@7 lie=common=18:40@9", Unharmed),
];

/// The plan of a row on split rings.
///
/// # Errors
/// There is no such row, or a lie in it is none.
pub fn plan(id: &str) -> Result<Plan> {
    find(ROWS, id, "")
}

/// The plan of a row on packed rings.
///
/// # Errors
/// As [`plan`].
pub fn packed(id: &str) -> Result<Plan> {
    Ok(find(PACKED, id, " queue-size=16")?.packed())
}

/// Whether a lie that only rows tell leads to this violation of a rule, whatever the driver does. `restarted`: the device has been stopped
/// since it told the lie, and follows the rings as they are.
#[must_use]
pub fn explains(plan: &Plan, rule: &str, what: &str, restarted: bool) -> bool {
    let of_lie = |lie: &Lie| {
        let says = |words: &&str| what.contains(*words);
        match rule {
            _ if restarted => false,
            "device" => led_to(lie.what).iter().any(says),
            // An entry of zeros is one of descriptor 0, in which there are zeros.
            "dma-out-of-bounds" => {
                lie.what == What::Ring(RingLie::Whole(Fill::Zeros))
                    && what.contains("descriptor chain 0: 0 bytes at 0x0 ")
            }
            _ => false,
        }
    };
    // At each start anew.
    let early = |(key, _): &(String, String)| key == "early-used";
    let returned = rule == "device" && what.contains("the device gave back");
    plan.lies.iter().any(of_lie) || returned && plan.device.iter().any(early)
}

/// What the device and its observer find when they read what such a lie left, and not what the driver wrote.
fn led_to(lie: What) -> &'static [&'static str] {
    use RingLie::{
        AllAsOne, AllButNext, EventOutside, IdAgain, IdHigh, IdInside, IdLast, IndexHalf,
        IndexZero, NextLap, TableLonger, Whole,
    };
    match lie {
        What::Ring(Whole(_)) => &[
            "the device gave back",
            // The available ring: heads, and how many there are.
            ": index ",
            "avail.idx went from",
            // The descriptors of a packed ring.
            "have bits that are not allowed here",
            "was made available with wrap counter",
        ],
        What::Ring(EventOutside) => &["was not notified of what it asked"],
        What::Ring(TableLonger) => &["was changed while the device had"],
        What::Ring(
            AllAsOne | AllButNext | IdAgain | IdHigh | IdInside | IdLast | IndexHalf | IndexZero
            | NextLap,
        ) => &["the device gave back"],
        _ => &[],
    }
}

fn find(rows: &[Row], id: &str, more: &str) -> Result<Plan> {
    let row = rows
        .iter()
        .find(|row| row.id == id)
        .with_context(|| format!("the hostile table has no row {id} for drivers"))?;
    let (lies, device): (Vec<_>, Vec<_>) = parse(row.device)
        .into_iter()
        .partition(|(key, _)| key == "lie");
    let lies: Result<Vec<_>> = lies.iter().map(|(_, lie)| Lie::parse(lie)).collect();
    let mut steps = vec![Step::Work(60, vec![]), Step::Work(40, vec![])];
    if row.verdict == Verdict::Gone {
        // One in which no request is under way when it happens.
        steps.push(Step::Work(10, vec![]));
    }
    steps.extend([Step::Restart(None), Step::Work(10, vec![])]);
    let mut plan = Plan {
        lies: lies?,
        steps,
        judgement: Judgement::Row(row.verdict),
        ..Plan::whole_life()
    };
    plan.device = parse(&format!("queues=2 vectors=3{more}"));
    plan.device.extend(device);
    Ok(plan)
}

#[cfg(test)]
mod tests;
