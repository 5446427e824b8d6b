//! The rows of the hostile table that a driver meets, at the driver: the device lies in the same way, and what has to come of it is
//! said of the adapter instead of the queue.
//!
//! Not here are rows of IN_ORDER, which vioblk does not take, and of legacy devices, which the device in this process is none of, and
//! rows that bind or try virtio-core's caller, of which there is only this one.

use anyhow::{Context, Result};
use test_device::inproc::Lie;

use super::plan::{Judgement, Plan, Step, parse};

/// What has to come of a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The adapter does not start, and the event log says why.
    Refused,
    /// Requests are cut off or fail, and then everything works again.
    CutOff,
    /// No request suffers.
    Unharmed,
    /// Either of the two.
    Survived,
    /// From then on every request ends as if there were no device.
    Gone,
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

use Verdict::{CutOff, Gone, Refused, Survived, Unharmed};

/// All of them but those of packed rings, by id: on split rings.
pub const ROWS: &[Row] = &[
    row("F001", "", Unharmed),
    row("F002", "reset-reads=none", Refused),
    row("F003", "reset-reads=5", Unharmed),
    row("F004", "lie=common=14:ff@1x0", Refused),
    row("F005", "lie=vanish@2", Refused),
    row("F006", "refuse-features=on", Refused),
    row("F006b", "lie=common=14:3@8", Refused),
    row("F008", "lie=common=14:41@2", Refused),
    row("F009", "lie=common=14:4b@4", Refused),
    row("F010", "lie=common=14:4f@8", Refused),
    row("F011", "lie=needs-reset@106", CutOff),
    row("F012", "lie=common=14:0@3", Refused),
    row("F013", "lie=common=14:b@8x0", Refused),
    row("F014", "lie=common=14:83@3", Refused),
    row("F033", "version-1=off", Refused),
    row("F037", "access-platform=on", Refused),
    row("F040", "lie=vanish@6", Refused),
    row("R001", "lie=id-out-of-range@20", CutOff),
    row("R002", "lie=id-all-ones@20", CutOff),
    row("R003", "lie=id-not-outstanding@20", CutOff),
    row("R004", "lie=id-twice@20", Survived),
    row("R009", "lie=too-long@20", CutOff),
    row("R010", "lie=length-all-ones@20", CutOff),
    row("R014", "lie=too-short@20x6", CutOff),
    row("R016", "lie=not-done@20x6", Unharmed),
    row("R017", "lie=id-out-of-range@20x2", CutOff),
    row("R031a", "lie=used-ones@20", Survived),
    row("R031b", "lie=descriptor-ones@20", Survived),
    row("R035", "lie=request-ones@10x9", Unharmed),
    row("R037", "lie=avail-ones@20", Survived),
    row("R050", "lie=every-interrupt@1x0", Unharmed),
    row("R051", "lie=interrupt=2@100x50", Unharmed),
    row("R052", "lie=no-interrupt@20x2", Survived),
    row("R053", "lie=event@10x0", Survived),
    row("R065", "lie=id-out-of-range@20x4", CutOff),
    row("S001", "event-idx=off lie=flags@20x3", Survived),
    row("S002", "lie=flags@1x0", Unharmed),
    row("S003", "event-idx=off lie=event@1x0", Unharmed),
    row("S004", "lie=event@20x3", Survived),
    row("S020", "lie=index-ahead@20", CutOff),
    row("S022", "lie=index-far@20", CutOff),
    row("S023", "lie=index-back@20", CutOff),
    row("S032", "lie=entry-changes@20x5", Survived),
    row("T001", "lie=vanish@1", Refused),
    row("T002", "pci=7d:40", Refused),
    row("T003", "pci=4d:4c", Refused),
    row("T004", "pci=34:10", Refused),
    row("T005", "pci=34:fc", Refused),
    row("T006", "pci=6:0", Refused),
    row("T007", "pci=34:43", Unharmed),
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
    row("T032", "pci=7f:9", Refused),
    row("T033", "pci=5f:9", Refused),
    row("T034", "pci=4f:9", Refused),
    row("T070", "lie=generation@1x0", Refused),
    row("T071", "lie=generation@1x2", Unharmed),
    row("T072", "lie=common=15:ff@1x0", Unharmed),
    row("T075", "config-len=8", Refused),
    row("T076", "pci=6f:9", Refused),
    row("T100", "queue-size=0", Refused),
    row("T101", "queue-size=100", Refused),
    row("T102", "queue-size=65535", Refused),
    row("T105", "lie=common=18:4@4x0", Refused),
    row("T110", "lie=common=12:ffff@1x0", Unharmed),
    row("T113", "lie=common=1c:1@1x0", Refused),
    row("T114", "lie=common=10:ffff@1x0", Refused),
    row("T115", "lie=common=1a:ffff@1x0", Refused),
    row("T116", "lie=common=1a:2@1x0", Refused),
    row("T124", "lie=vanish@80", Refused),
    row("T160", "lie=common=1e:ffff@1x0", Refused),
    row("T171", "lie=vanish@106", Gone),
];

/// Those that a packed ring has a form of, on packed rings of sixteen: the 24th request of a queue lies in the second lap.
pub const PACKED: &[Row] = &[
    row("F011", "lie=needs-reset@106", CutOff),
    row("P001", "lie=flags@20x3", Survived),
    row("P003", "event-idx=off lie=event@1x0", Unharmed),
    row("P005", "lie=event@20x3", Survived),
    row("P020", "lie=other-lap@20", CutOff),
    row("P023", "lie=stray-flags@20x6", Unharmed),
    row("P025", "lie=too-far@20", CutOff),
    row("P031", "lie=id-twice@20", Survived),
    row("P033", "queues=1 lie=used-ones@5", CutOff),
    row("P034", "queues=1 lie=used-ones@24", CutOff),
    row("P035", "queues=1 lie=descriptor-zeros@24", CutOff),
    row("P036", "queues=1 lie=descriptor-zeros@5", CutOff),
    row("P037", "lie=entry-changes@20x5", Survived),
    row("P044", "lie=no-write@1x0", Unharmed),
    row("R001", "lie=id-out-of-range@20", CutOff),
    row("R002", "lie=id-all-ones@20", CutOff),
    row("R003", "lie=id-not-outstanding@20", CutOff),
    row("R004", "lie=id-twice@20x3", Survived),
    row("R007", "lie=next-used@20x3", Survived),
    row("R009", "lie=too-long@20", CutOff),
    row("R010", "lie=length-all-ones@20", CutOff),
    row("R014", "lie=too-short@20x6", CutOff),
    row("R016", "lie=not-done@20x6", Unharmed),
    row("R017", "lie=id-out-of-range@20x2", CutOff),
    row("R035", "lie=request-ones@10x9", Unharmed),
    row("R037", "lie=avail-ones@20", Survived),
    row("R050", "lie=every-interrupt@1x0", Unharmed),
    row("R051", "lie=interrupt=2@100x50", Unharmed),
    row("R052", "lie=no-interrupt@20x2", Survived),
    row("R053", "lie=event@10x0", Survived),
    row("R065", "lie=id-out-of-range@20x4", CutOff),
];

/// The plan of a row on split rings.
///
/// # Errors
/// There is no such row, or a lie in it is none.
pub fn plan(id: &str) -> Result<Plan> {
    find(ROWS, id)
}

/// The plan of a row on packed rings.
///
/// # Errors
/// As [`plan`].
pub fn packed(id: &str) -> Result<Plan> {
    let mut plan = find(PACKED, id)?.packed();
    plan.device.extend(parse("queue-size=16"));
    Ok(plan)
}

fn find(rows: &[Row], id: &str) -> Result<Plan> {
    let row = rows
        .iter()
        .find(|row| row.id == id)
        .with_context(|| format!("the hostile table has no row {id} for drivers"))?;
    let (lies, device): (Vec<_>, Vec<_>) = parse(row.device)
        .into_iter()
        .partition(|(key, _)| key == "lie");
    let lies: Result<Vec<_>> = lies.iter().map(|(_, lie)| Lie::parse(lie)).collect();
    let mut plan = Plan {
        lies: lies?,
        steps: vec![
            Step::Work(60, vec![]),
            Step::Work(40, vec![]),
            Step::Restart(None),
            Step::Work(10, vec![]),
        ],
        judgement: Judgement::Row(row.verdict),
        ..Plan::whole_life()
    };
    plan.device = parse("queues=2 vectors=3");
    plan.device.extend(device);
    Ok(plan)
}
