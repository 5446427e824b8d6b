//! Where each feature strikes. A case strikes once unless the rule needs more.

use core::ffi::c_void;
use core::mem::zeroed;

use nt_sys::storport::{
    PORT_CONFIGURATION_INFORMATION, SCSI_REQUEST_BLOCK, STOR_SCATTER_GATHER_LIST,
    StorPortAllocateRegistryBuffer, StorPortGetScatterGatherList, StorPortGetUncachedExtension,
    StorPortStallExecution,
};

use crate::imports::{self, Handle, acquire, allocate, complete, extended, free, release};
use crate::virtio::{HEADER, Part};
use crate::{Ext, RESET_LOGICAL_UNIT, SRB_EXTENSION, UNCACHED};

const TRUE: u8 = 1;
/// STOR_SPINLOCK.
const DPC_LOCK: u32 = 1;
const INTERRUPT_LOCK: u32 = 3;

macro_rules! case {
    ($name:literal) => {
        cfg!(feature = $name)
    };
}

impl Ext {
    /// Whether this is the first time the case strikes.
    fn first(&mut self) -> bool {
        self.strikes += 1;
        self.strikes == 1
    }
}

fn handle() -> Handle {
    // SAFETY: a handle holds numbers and pointers; StorPort fills it.
    unsafe { zeroed() }
}

/// In HwFindAdapter, once the configuration is filled.
pub fn configure(config: &mut PORT_CONFIGURATION_INFORMATION) {
    if case!("configuration") {
        config.MaxIOsPerLun = config.MaxNumberOfIO + 1;
    }
}

/// At the end of HwFindAdapter.
pub fn found(extension: *mut c_void, ext: &mut Ext) {
    if case!("endless-loop") {
        loop {
            core::hint::spin_loop();
        }
    }
    if case!("leak-timer") {
        let handle: *mut *mut c_void = &mut ext.kept;
        extended(extension, imports::code::INITIALIZE_TIMER, handle.cast());
    }
    if case!("leak-worker") {
        let handle: *mut *mut c_void = &mut ext.kept;
        extended(extension, imports::code::INITIALIZE_WORKER, handle.cast());
    }
    if case!("leak-registry-buffer") {
        let mut length = 64;
        // SAFETY: a place for the length.
        unsafe { StorPortAllocateRegistryBuffer(extension, &mut length) };
    }
    if case!("leak-dma-memory") {
        let out: *mut *mut c_void = &mut ext.kept;
        let (bytes, none, all, cached, node) = (4096_usize, 0_u64, u64::MAX, 1_u32, 0_u32);
        // SAFETY: length, lowest and highest address, boundary, cache type, node, and a place for the result.
        unsafe {
            nt_sys::storport::StorPortExtendedFunction(
                imports::code::ALLOCATE_CONTIGUOUS,
                extension,
                bytes,
                none,
                all,
                none,
                cached,
                node,
                out,
            );
        }
    }
    if case!("parameter--unmap") {
        // SAFETY: an address that was never mapped is the point.
        unsafe { imports::StorPortFreeDeviceBase(extension, ext.uncached.cast()) };
    }
    if case!("overrun--uncached-extension") {
        // SAFETY: beyond what was asked for, which is the point; the page is there.
        unsafe { ext.uncached.add(UNCACHED as usize).write(0) };
    }
}

/// Bytes of the uncached extension.
pub fn uncached(dump: bool) -> u32 {
    if case!("dump-memory") && dump {
        // With the device extension more than the 32 KiB that there are.
        32 << 10
    } else {
        UNCACHED
    }
}

/// In HwFindAdapter of the dump stack: names the memory that has to be kept.
pub fn mark(extension: *mut c_void, ext: &mut Ext, bytes: u32) {
    imports::mark(extension, extension, size_of::<Ext>());
    if !case!("dump-unmarked-memory") {
        imports::mark(extension, ext.uncached.cast(), bytes as usize);
    }
}

/// In HwInitialize of the dump stack.
pub fn dumping(extension: *mut c_void) {
    if case!("dump-call") {
        let mut time = nt_sys::types::LARGE_INTEGER { QuadPart: 0 };
        // SAFETY: a place for the time; that there is no clock is the point.
        unsafe { imports::StorPortQuerySystemTime(&mut time) };
        let _ = extension;
    }
}

/// In HwResetBus.
pub fn reset_bus(extension: *mut c_void, ext: &mut Ext) {
    if case!("lock-context--reset-bus") && ext.first() {
        let mut lock = handle();
        let dpc: *mut c_void = (&raw mut ext.dpc).cast();
        acquire(extension, DPC_LOCK, dpc, &mut lock);
        release(extension, &mut lock);
    }
    if case!("reset-completes") && !ext.kept.is_null() {
        // The read that was kept ends afterwards.
        imports::issue_dpc(extension, &mut ext.dpc);
    }
    if case!("reset-completes--dpc") && !ext.kept.is_null() {
        // The DPC routine of another CPU is under way when this one ends.
        for _ in 0..100 {
            // SAFETY: a field of the extension; another CPU may write it meanwhile.
            if unsafe { (&raw const ext.in_dpc).read_volatile() } {
                break;
            }
            pause();
        }
        ext.reset = true;
    }
}

/// Lets other CPUs run.
fn pause() {
    // SAFETY: any IRQL; 50 µs is what one stall may take.
    unsafe { StorPortStallExecution(50) };
}

/// In HwInitialize, at DIRQL.
pub fn initialized(extension: *mut c_void, ext: &mut Ext) {
    if case!("call-context--initialize-dpc-early") {
        imports::initialize_dpc(extension, &mut ext.dpc, crate::dpc);
    }
    if case!("irql-of-call--pool") {
        let at = allocate(extension, 64);
        free(extension, at);
    }
    if case!("irql-of-call--log") {
        extended(
            extension,
            imports::code::LOG_SYSTEM_EVENT,
            core::ptr::null_mut(),
        );
    }
}

/// In the passive initialisation, at PASSIVE_LEVEL. It runs again after a restart.
pub fn passive(extension: *mut c_void, ext: &mut Ext) {
    if case!("call-context--uncached") && ext.first() {
        // SAFETY: the configuration is not looked at once there is an extension.
        unsafe { StorPortGetUncachedExtension(extension, core::ptr::null_mut(), UNCACHED) };
    }
    if case!("lock-context") && ext.first() {
        let mut lock = handle();
        let dpc: *mut c_void = (&raw mut ext.dpc).cast();
        acquire(extension, DPC_LOCK, dpc, &mut lock);
        release(extension, &mut lock);
    }
    if case!("pool-leak") && ext.first() {
        allocate(extension, 100);
    }
    if case!("pool-double-free") && ext.first() {
        let at = allocate(extension, 100);
        free(extension, at);
        free(extension, at);
    }
    if case!("pool-bad-free") && ext.first() {
        let at = allocate(extension, 100);
        free(extension, at.wrapping_add(16));
        free(extension, at);
    }
    if case!("pool-use-after-free") && ext.first() {
        let at = allocate(extension, 100);
        free(extension, at);
        // SAFETY: none: this is the case.
        unsafe { at.write_volatile(1) };
    }
    if case!("access-violation") && ext.first() {
        // SAFETY: none: this is the case.
        unsafe { core::ptr::without_provenance_mut::<u8>(0x10).write_volatile(1) };
    }
    if case!("illegal-instruction") && ext.first() {
        // SAFETY: none: this is the case.
        unsafe { core::arch::asm!("ud2") };
    }
    if case!("bugcheck") && ext.first() {
        // SAFETY: a bug check takes any numbers.
        unsafe { nt_sys::ntoskrnl::KeBugCheckEx(0xdead, 0, 0, 0, 0) };
    }
    if case!("bad-pointer") && ext.first() {
        let nowhere = core::ptr::without_provenance_mut::<c_void>(0x10);
        extended(extension, imports::code::INITIALIZE_TIMER, nowhere);
    }
    #[cfg(feature = "unknown-export-called")]
    imports::WinPvNoSuchFunction();
}

/// In HwBuildIo. Its result is HwBuildIo's.
pub fn build_io(extension: *mut c_void, ext: &mut Ext, srb: *mut SCSI_REQUEST_BLOCK) -> u8 {
    if case!("callback-result") && ext.first() {
        // SAFETY: the request is ours until it is completed.
        unsafe { (*srb).SrbStatus = 1 };
        complete(extension, srb);
    }
    if case!("irql-of-call--registry") && ext.first() {
        let mut length = 64;
        // SAFETY: a place for the length; the IRQL is the point.
        let buffer = unsafe { StorPortAllocateRegistryBuffer(extension, &mut length) };
        // SAFETY: the buffer just allocated.
        unsafe { nt_sys::storport::StorPortFreeRegistryBuffer(extension, buffer) };
    }
    if case!("call-context--initialize-dpc") && ext.first() {
        imports::initialize_dpc(extension, &mut ext.dpc, crate::dpc);
    }
    if case!("parameter--scatter-list") && ext.first() {
        let nobody = ext.uncached.cast::<SCSI_REQUEST_BLOCK>();
        // SAFETY: not a request, which is the point.
        unsafe { StorPortGetScatterGatherList(extension, nobody) };
    }
    if case!("parameter--dpc") && ext.first() {
        imports::issue_dpc(extension, ext.uncached.cast());
    }
    locks(extension, ext);
    TRUE
}

fn locks(extension: *mut c_void, ext: &mut Ext) {
    let dpc: *mut c_void = (&raw mut ext.dpc).cast();
    let none = core::ptr::null_mut();
    let (mut first, mut second) = (handle(), handle());
    if case!("lock-order") && ext.first() {
        acquire(extension, INTERRUPT_LOCK, none, &mut first);
        acquire(extension, DPC_LOCK, dpc, &mut second);
        release(extension, &mut second);
        release(extension, &mut first);
    }
    if case!("lock-recursion") && ext.first() {
        acquire(extension, DPC_LOCK, dpc, &mut first);
        acquire(extension, DPC_LOCK, dpc, &mut second);
    }
    if case!("lock-leaked") && ext.first() {
        acquire(extension, DPC_LOCK, dpc, &mut first);
    }
    if case!("lock-handle") && ext.first() {
        acquire(extension, DPC_LOCK, dpc, &mut first);
        release(extension, &mut first);
        release(extension, &mut first);
    }
    if case!("irql-changed-by-callback") && ext.first() {
        imports::KfRaiseIrql(5);
    }
    if case!("stall") && ext.first() {
        // SAFETY: any IRQL; a whole millisecond is the point.
        unsafe { StorPortStallExecution(1000) };
    }
    if case!("dispatch-time") && ext.first() {
        (0..30_000).for_each(|_| pause());
    }
}

/// In HwStartIo, with the answer filled in: it completes the request.
pub fn start_io(extension: *mut c_void, ext: &mut Ext, srb: *mut SCSI_REQUEST_BLOCK) {
    // SAFETY: the request is ours until it is completed.
    let (operation, memory, mapped) = unsafe {
        (
            (*srb).Cdb[0],
            (*srb).SrbExtension.cast::<u8>(),
            (*srb).DataBuffer.cast::<u8>(),
        )
    };
    // SAFETY: as above.
    let scsi = unsafe { (*srb).Function } == 0;
    let (reads, writes) = (scsi && operation == 0x28, scsi && operation == 0x2a);
    if case!("lost-request") && reads && ext.first() {
        return;
    }
    if case!("startio-wait") && reads && ext.first() {
        pause();
    }
    // The bus is reset under load after the restart.
    if case!("reset-completes") && reads && ext.restarted && ext.first() {
        ext.kept = srb.cast();
        return;
    }
    if case!("reset-completes--dpc") && reads && ext.restarted && ext.first() {
        ext.kept = srb.cast();
        imports::issue_dpc(extension, &mut ext.dpc);
        return;
    }
    if case!("reset-completes--unit") {
        if reads && ext.restarted && ext.first() {
            ext.kept = srb.cast();
            return;
        }
        // SAFETY: as above.
        let resets = unsafe { (*srb).Function } == RESET_LOGICAL_UNIT;
        if resets && !ext.kept.is_null() {
            // The read that was kept ends afterwards, and the reset succeeds.
            imports::issue_dpc(extension, &mut ext.dpc);
            // SAFETY: as above. SRB_STATUS_SUCCESS
            unsafe { (*srb).SrbStatus = 1 };
        }
    }
    if case!("completion-status--internal-error") && ext.first() {
        // SAFETY: as above.
        unsafe { (*srb).SrbStatus = 0x30 };
    }
    if case!("completion-status") && ext.first() {
        // SAFETY: as above.
        unsafe { (*srb).SrbStatus = 0 };
    }
    if case!("overrun--srb-extension") && ext.first() {
        // SAFETY: beyond the size that was asked for, which is the point; the page is there.
        unsafe { memory.add(SRB_EXTENSION as usize).write(0) };
    }
    dma(extension, ext, srb, reads, writes);
    if case!("foreign-completion") && ext.first() {
        complete(extension, ext.uncached.cast());
    }
    complete(extension, srb);
    if case!("double-completion") && ext.first() {
        complete(extension, srb);
    }
    if case!("double-completion--interrupt-later") && ext.first() {
        ext.kept = srb.cast();
        imports::issue_dpc(extension, &mut ext.dpc);
    }
    if case!("use-after-completion--srb") && ext.first() {
        // SAFETY: none: this is the case.
        unsafe { (&raw mut (*srb).SrbStatus).write_volatile(1) };
    }
    if case!("use-after-completion--extension") && ext.first() {
        // SAFETY: none: this is the case.
        unsafe { memory.write_volatile(1) };
    }
    if case!("use-after-completion--data") && !mapped.is_null() && ext.first() {
        // SAFETY: none: this is the case.
        unsafe { mapped.read_volatile() };
    }
}

/// What the device is given wrongly. The device is never told of it, so it does no harm.
fn dma(
    extension: *mut c_void,
    ext: &mut Ext,
    srb: *mut SCSI_REQUEST_BLOCK,
    reads: bool,
    writes: bool,
) {
    let header = ext.queue.device + HEADER as u64 + 0x100;
    if case!("dma-physical-address") && ext.first() {
        let address = imports::MmGetPhysicalAddress(ext.uncached.cast());
        ext.queue.publish(Part {
            address,
            len: 512,
            writes: true,
        });
    }
    if case!("dma-after-stop") && ext.first() {
        ext.queue.publish(Part {
            address: header,
            len: 512,
            writes: true,
        });
    }
    if case!("device") && ext.first() {
        // A head beyond the queue's 8 descriptors.
        ext.queue.make_available(500);
    }
    if !reads && !writes {
        return;
    }
    // SAFETY: the request is ours until it is completed.
    let list = unsafe { StorPortGetScatterGatherList(extension, srb) };
    let Some((address, len)) = first_element(list) else {
        return;
    };
    if case!("early-completion") && reads && ext.first() {
        ext.queue.publish(Part {
            address,
            len,
            writes: true,
        });
    }
    if case!("dma-out-of-bounds") && reads && ext.first() {
        ext.queue.publish(Part {
            address,
            len: len + 1,
            writes: true,
        });
    }
    if case!("dma-out-of-bounds--stale") && reads {
        // The buffer of the first read, given to the device during the second.
        if ext.first() {
            ext.kept = core::ptr::without_provenance_mut(address as usize);
        } else if ext.strikes == 2 {
            ext.queue.publish(Part {
                address: ext.kept.addr() as u64,
                len: 1,
                writes: true,
            });
        }
    }
    if case!("dma-direction") && writes && ext.first() {
        ext.queue.publish(Part {
            address,
            len,
            writes: true,
        });
    }
}

fn first_element(list: *mut STOR_SCATTER_GATHER_LIST) -> Option<(u64, u32)> {
    if list.is_null() {
        return None;
    }
    // SAFETY: StorPort's list has at least one element, right behind its head.
    let element = unsafe {
        list.add(1)
            .cast::<nt_sys::storport::STOR_SCATTER_GATHER_ELEMENT>()
            .read()
    };
    Some((element.PhysicalAddress.QuadPart as u64, element.Length))
}

/// In the interrupt routine.
pub fn interrupt(_extension: *mut c_void, _ext: &mut Ext) {}

/// In the DPC.
pub fn dpc(extension: *mut c_void, ext: &mut Ext) {
    if case!("double-completion--interrupt-later") {
        complete(extension, ext.kept.cast());
    }
    if case!("reset-completes--dpc") && !ext.kept.is_null() && !ext.reset {
        let in_dpc = &raw mut ext.in_dpc;
        // SAFETY: a field of the extension; another CPU reads it meanwhile.
        unsafe { in_dpc.write_volatile(true) };
        (0..20).for_each(|_| pause());
        // SAFETY: as above.
        unsafe { in_dpc.write_volatile(false) };
        imports::issue_dpc(extension, &mut ext.dpc);
        return;
    }
    let keeps = case!("reset-completes")
        || case!("reset-completes--dpc")
        || case!("reset-completes--unit");
    if keeps && !ext.kept.is_null() {
        // SAFETY: the request is ours until it is completed. SRB_STATUS_BUS_RESET
        unsafe { (*ext.kept.cast::<SCSI_REQUEST_BLOCK>()).SrbStatus = 0x0e };
        complete(extension, ext.kept.cast());
        ext.kept = core::ptr::null_mut();
    }
}

/// In ScsiStopAdapter, at DIRQL.
pub fn stopped(extension: *mut c_void, ext: &mut Ext) {
    if case!("leak-dpc") && ext.first() {
        imports::issue_dpc(extension, &mut ext.dpc);
    }
}
