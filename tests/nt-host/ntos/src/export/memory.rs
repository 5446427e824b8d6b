//! Addresses: physical, mapped, and of exports.

use std::cell::RefCell;

use super::rtl::read_unicode;
use super::table::{self, register as export};
use crate::{abi, guest, kernel, pool, rules};

use crate::abi::MDL;

/// Gives the address at which `len` bytes of device memory at a physical address can be reached.
pub type IoSpace = Box<dyn Fn(u64, usize) -> Option<usize>>;

thread_local! {
    static IO_SPACE: RefCell<Option<IoSpace>> = const { RefCell::new(None) };
}

/// MDL_* flags (wdm.h).
const MAPPED_TO_SYSTEM_VA: u64 = 0x1;
const PAGES_LOCKED: u64 = 0x2;
const SOURCE_IS_NONPAGED_POOL: u64 = 0x4;

const PAGE: usize = 4096;

pub(super) fn boot() {
    IO_SPACE.take();
}

/// Tells where device memory is, for MmMapIoSpace.
pub fn set_io_space(find: IoSpace) {
    IO_SPACE.set(Some(find));
}

/// The physical address of memory. It is the one by which a device reaches it only where DMA is not remapped.
fn physical(va: usize) -> Option<u64> {
    let (device, _) = kernel::ram().device_address(va as *const u8)?;
    Some(device.wrapping_add(kernel::config().physical_offset))
}

fn map(physical: u64, len: usize) -> u64 {
    let found = IO_SPACE.with_borrow(|space| space.as_ref().and_then(|find| find(physical, len)));
    if found.is_none() {
        rules::violate(
            rules::BAD_ARGUMENT,
            format!("{len:#x} bytes at physical address {physical:#x} are no device memory"),
        );
    }
    found.unwrap_or(0) as u64
}

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    // nf-ntddk-mmgetphysicaladdress: the address must be valid; stacks and images are, but no device may be given them.
    export(k, "MmGetPhysicalAddress", |c| {
        physical(c.ptr(0)).unwrap_or_else(|| (c.arg(0) & 0xff_ffff_ffff) | 1 << 44)
    });
    export(k, "MmIsAddressValid", |c| {
        u64::from(physical(c.ptr(0)).is_some() || rules::in_image(c.ptr(0)))
    });
    export(k, "MmMapIoSpace", |c| map(c.arg(0), c.ptr(1)));
    export(k, "MmMapIoSpaceEx", |c| map(c.arg(0), c.ptr(1)));
    // The window belongs to the device and lives on.
    export(k, "MmUnmapIoSpace", |_| 0);
    export(k, "MmGetSystemRoutineAddress", |c| {
        let name = String::from_utf16_lossy(&read_unicode(c.ptr(0)));
        let found = ["ntoskrnl.exe", "hal.dll"]
            .iter()
            .find_map(|dll| table::address_of(dll, &name));
        found.unwrap_or(0) as u64
    });
    mdl(k);
}

fn mdl(k: &'static str) {
    export(k, "IoAllocateMdl", |c| {
        let (va, len) = (c.ptr(0), c.u32(1));
        let pages = (va % PAGE + len as usize).div_ceil(PAGE);
        let mdl = pool::alloc(
            u32::from_le_bytes(*b"Mdl "),
            abi::MDL::SIZE + 8 * pages,
            pool::Kind::NonPaged,
        );
        if mdl != 0 {
            guest::fill(mdl, MDL::SIZE, 0);
            MDL::Size.set(mdl, (MDL::SIZE + 8 * pages) as u64);
            MDL::StartVa.set(mdl, (va & !(PAGE - 1)) as u64);
            MDL::ByteOffset.set(mdl, (va % PAGE) as u64);
            MDL::ByteCount.set(mdl, len.into());
        }
        mdl as u64
    });
    export(k, "IoFreeMdl", |c| {
        pool::free(c.ptr(0), None);
        0
    });
    export(k, "MmBuildMdlForNonPagedPool", |c| {
        fill_pages(c.ptr(0));
        let va = MDL::StartVa.get(c.ptr(0)) + MDL::ByteOffset.get(c.ptr(0));
        MDL::MappedSystemVa.set(c.ptr(0), va);
        add_flags(c.ptr(0), MAPPED_TO_SYSTEM_VA | SOURCE_IS_NONPAGED_POOL);
        0
    });
    export(k, "MmProbeAndLockPages", |c| {
        fill_pages(c.ptr(0));
        add_flags(c.ptr(0), PAGES_LOCKED);
        0
    });
    export(k, "MmUnlockPages", |c| {
        MDL::MdlFlags.set(
            c.ptr(0),
            MDL::MdlFlags.get(c.ptr(0)) & !(PAGES_LOCKED | MAPPED_TO_SYSTEM_VA),
        );
        0
    });
    // All memory is in one address space: mapping gives the address that it has.
    export(k, "MmMapLockedPagesSpecifyCache", |c| {
        let va = MDL::StartVa.get(c.ptr(0)) + MDL::ByteOffset.get(c.ptr(0));
        MDL::MappedSystemVa.set(c.ptr(0), va);
        add_flags(c.ptr(0), MAPPED_TO_SYSTEM_VA);
        va
    });
    export(k, "MmUnmapLockedPages", |c| {
        MDL::MdlFlags.set(c.ptr(1), MDL::MdlFlags.get(c.ptr(1)) & !MAPPED_TO_SYSTEM_VA);
        0
    });
    export(k, "KeFlushIoBuffers", |_| 0);
}

fn add_flags(mdl: usize, flags: u64) {
    MDL::MdlFlags.set(mdl, MDL::MdlFlags.get(mdl) | flags);
}

/// Writes the page frame numbers, which follow the MDL (wdm.h: MmGetMdlPfnArray).
fn fill_pages(mdl: usize) {
    let start = MDL::StartVa.get(mdl) as usize;
    let pages = (MDL::ByteOffset.get(mdl) + MDL::ByteCount.get(mdl)).div_ceil(PAGE as u64) as usize;
    for page in 0..pages {
        let Some(address) = physical(start + page * PAGE) else {
            rules::fatal(
                rules::BAD_POINTER,
                format!("page {page} of an MDL is not memory"),
            );
        };
        guest::write_u64(mdl + MDL::SIZE + 8 * page, address >> 12);
    }
}
