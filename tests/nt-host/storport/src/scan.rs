//! Finding the units: what the port driver's bus scan and the disk class driver's start-up ask of a miniport.
//!
//! REPORT LUNS to unit 0 of each target; without an answer INQUIRY unit by unit; then for each unit that is there INQUIRY, the
//! identification pages it lists, READ CAPACITY and the mode parameter header.

use std::rc::Rc;
use std::time::Duration;

use host_ntos::abi::enums::SCSI_UNIT_CONTROL_TYPE as unit_control;
use host_ntos::{guest, sched};

use crate::codes::{scsi, status};
use crate::memory::Region;
use crate::request::{Address, Data, Outcome, Request};
use crate::state::{AdapterState, Callback, Phase};
use crate::timeout;

/// How large a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Blocks.
    pub blocks: u64,
    /// Bytes per block.
    pub block_size: u32,
}

/// A unit that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Where it is.
    pub address: Address,
    /// Standard INQUIRY data.
    pub inquiry: Vec<u8>,
    /// Vital product data pages, as (page code, page).
    pub pages: Vec<(u8, Vec<u8>)>,
    /// READ CAPACITY, if the unit is a disk that answered it.
    pub capacity: Option<Capacity>,
    /// Write protect bit of the mode parameter header.
    pub read_only: bool,
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// Tries of a command that a unit answers with a unit attention or that comes back busy.
const TRIES: usize = 4;

/// Scans all buses. Runs in a thread at PASSIVE_LEVEL.
pub fn scan(adapter: &Rc<AdapterState>) {
    adapter.rescan.set(false);
    let Some(config) = adapter.config() else {
        return;
    };
    let mut units = Vec::new();
    for path in 0..config.buses {
        for target in 0..config.targets {
            let first = Address {
                path,
                target,
                lun: 0,
            };
            for lun in logical_units(adapter, first, config.logical_units) {
                units.extend(identify(adapter, Address { lun, ..first }));
            }
        }
    }
    *adapter.units.borrow_mut() = units;
}

/// Scans again in a thread of its own, then runs `after`: what a miniport's notification of a change leads to.
pub fn scan_later(adapter: &Rc<AdapterState>, after: impl FnOnce() + 'static) {
    let again = adapter.rescan.replace(true);
    let this = Rc::clone(adapter);
    let running = adapter.phase.get() == Phase::Running;
    let run = move || {
        if running && !again {
            scan(&this);
        }
        after();
    };
    sched::spawn(sched::cpu(), "bus scan", Box::new(run));
}

fn ask(adapter: &Rc<AdapterState>, address: Address, cdb: &[u8], len: usize) -> Option<Outcome> {
    for _ in 0..TRIES {
        // A scan that finds its adapter stopped has nobody to ask.
        if adapter.phase.get() != Phase::Running {
            return None;
        }
        let data = if len == 0 { Data::None } else { Data::In(len) };
        let request = Request {
            timeout: TIMEOUT,
            ..Request::scsi(address, cdb, data)
        };
        let outcome = timeout::run(adapter, request, adapter.options.patience, false)?;
        // UNIT ATTENTION tells of something that happened before; the command is sent again.
        if outcome.sense_code().is_none_or(|(key, ..)| key != 6) {
            return Some(outcome);
        }
    }
    None
}

/// Data of a command that succeeded, or that transferred less than was asked for.
fn answer(outcome: Option<Outcome>) -> Option<Vec<u8>> {
    let outcome = outcome?;
    // SRB_STATUS_DATA_OVERRUN stands for a short transfer too.
    if !outcome.is_success() && outcome.srb_status() != 0x12 {
        return None;
    }
    let mut data = outcome.data;
    data.truncate(outcome.transferred as usize);
    Some(data)
}

fn is_absent(outcome: Option<&Outcome>) -> bool {
    outcome.is_none_or(|o| {
        matches!(
            o.srb_status(),
            status::NO_DEVICE
                | status::SELECTION_TIMEOUT
                | status::INVALID_PATH_ID
                | status::INVALID_TARGET_ID
                | status::INVALID_LUN
        )
    })
}

fn logical_units(adapter: &Rc<AdapterState>, first: Address, max: u8) -> Vec<u8> {
    let len: usize = 8 + 8 * 255;
    let [_, _, high, low] = (len as u32).to_be_bytes();
    let cdb = [scsi::REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, high, low, 0, 0];
    let outcome = ask(adapter, first, &cdb, len);
    if is_absent(outcome.as_ref()) {
        return Vec::new();
    }
    let Some(list) = answer(outcome) else {
        // Without REPORT LUNS every number is tried.
        return (0..max).collect();
    };
    let bytes = list.get(..4).map_or(0, |b| {
        b.iter().fold(0_usize, |n, &b| n << 8 | usize::from(b))
    });
    list.get(8..)
        .unwrap_or_default()
        .chunks_exact(8)
        .take(bytes / 8)
        // Peripheral and flat addressing of numbers that fit 8 bits (SAM-5 §4.7.7).
        .filter_map(|entry| match entry {
            [0x00 | 0x40, lun, 0, 0, 0, 0, 0, 0] if *lun < max => Some(*lun),
            _ => None,
        })
        .collect()
}

fn inquiry(page: Option<u8>, len: u8) -> [u8; 6] {
    [
        scsi::INQUIRY,
        u8::from(page.is_some()),
        page.unwrap_or(0),
        0,
        len,
        0,
    ]
}

fn identify(adapter: &Rc<AdapterState>, address: Address) -> Option<Unit> {
    lu_extension(adapter, address);
    let standard =
        answer(ask(adapter, address, &inquiry(None, 36), 36)).filter(|data| data.len() >= 5);
    // Peripheral qualifier 3: no device can be here; 1: none is.
    let Some(standard) = standard.filter(|data| data.first().is_some_and(|&first| first >> 5 == 0))
    else {
        adapter.lu_extensions.borrow_mut().remove(&address);
        return None;
    };
    unit_start(adapter, address);
    let mut pages = Vec::new();
    if let Some(list) = page(adapter, address, 0x00) {
        let supported: Vec<u8> = list.get(4..).unwrap_or_default().to_vec();
        pages.push((0x00, list));
        for code in supported.into_iter().filter(|&code| code != 0) {
            pages.extend(page(adapter, address, code).map(|data| (code, data)));
        }
    }
    let disk = standard.first().is_some_and(|&first| first & 0x1f == 0);
    let capacity = disk.then(|| capacity(adapter, address)).flatten();
    let read_only = disk && write_protected(adapter, address);
    Some(Unit {
        address,
        inquiry: standard,
        pages,
        capacity,
        read_only,
    })
}

fn page(adapter: &Rc<AdapterState>, address: Address, code: u8) -> Option<Vec<u8>> {
    let data = answer(ask(adapter, address, &inquiry(Some(code), 255), 255))?;
    let length = 4 + usize::from(*data.get(3)?);
    data.get(..length.min(data.len())).map(<[u8]>::to_vec)
}

fn capacity(adapter: &Rc<AdapterState>, address: Address) -> Option<Capacity> {
    let number = |data: &[u8]| data.iter().fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
    // READ CAPACITY (16): service action 10h, allocation length 32.
    let mut cdb = [0; 16];
    cdb[0] = scsi::SERVICE_ACTION_IN_16;
    cdb[1] = 0x10;
    cdb[13] = 32;
    if let Some(data) = answer(ask(adapter, address, &cdb, 32)) {
        let last = number(data.get(..8)?);
        // All ones is what an empty disk says: there is no last block.
        return Some(Capacity {
            blocks: last.wrapping_add(1),
            block_size: number(data.get(8..12)?) as u32,
        });
    }
    let data = answer(ask(
        adapter,
        address,
        &[scsi::READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        8,
    ))?;
    let blocks = (number(data.get(..4)?) as u32).wrapping_add(1);
    Some(Capacity {
        blocks: blocks.into(),
        block_size: number(data.get(4..8)?) as u32,
    })
}

fn write_protected(adapter: &Rc<AdapterState>, address: Address) -> bool {
    // Page 3Fh, all pages; the device-specific parameter is byte 2 of the header.
    let cdb = [scsi::MODE_SENSE_6, 0, 0x3f, 0, 192, 0];
    answer(ask(adapter, address, &cdb, 192))
        .is_some_and(|data| data.get(2).is_some_and(|b| b & 0x80 != 0))
}

/// The zeroed extension of a unit, as StorPortGetLogicalUnit hands it out.
fn lu_extension(adapter: &AdapterState, address: Address) {
    let size = adapter.config().map_or(0, |c| c.lu_extension as usize);
    if size == 0 || adapter.lu_extensions.borrow().contains_key(&address) {
        return;
    }
    if let Some(region) = Region::new(&adapter.ram, size, host_machine::ram::Placement::Random, 0) {
        adapter.lu_extensions.borrow_mut().insert(address, region);
    }
}

fn unit_start(adapter: &AdapterState, address: Address) {
    unit_notify(adapter, address, unit_control::ScsiUnitStart);
}

/// Calls HwUnitControl with a unit's address at PASSIVE_LEVEL, if the miniport supports the type.
pub fn unit_notify(adapter: &AdapterState, address: Address, code: u32) {
    use host_ntos::abi::STOR_ADDR_BTL8 as A;
    if !adapter
        .unit_supported
        .borrow()
        .get(code as usize)
        .copied()
        .unwrap_or(false)
    {
        return;
    }
    let Some(at) = Region::new(
        &adapter.ram,
        A::SIZE,
        host_machine::ram::Placement::Contiguous,
        0,
    ) else {
        return;
    };
    let address = [
        (A::Type, u64::from(crate::codes::ADDRESS_BTL8)),
        (A::Port, adapter.number.into()),
        (A::AddressLength, crate::codes::ADDRESS_BTL8_LENGTH.into()),
        (A::Path, address.path.into()),
        (A::Target, address.target.into()),
        (A::Lun, address.lun.into()),
    ];
    address
        .iter()
        .for_each(|(field, value)| field.set(at.at(), *value));
    let args = [adapter.extension_at() as u64, code.into(), at.at() as u64];
    adapter.call(
        Callback::UnitControl,
        "HW_UNIT_CONTROL",
        adapter.init().hw_unit_control,
        &args,
    );
    guest::fill(at.at(), A::SIZE, 0);
}
