//! System threads and work items.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::table::register as export;
use super::wait::{self, Kind};
use crate::abi::WORK_QUEUE_ITEM;
use crate::pool;
use crate::{callback, guest, rules, sched};

/// STATUS_INVALID_HANDLE.
const INVALID_HANDLE: u64 = 0xc000_0008;
const TAG: u32 = u32::from_le_bytes(*b"Thre");
/// A work item that IoAllocateWorkItem gives is opaque: routine, context, device object, whether it is queued.
const WORK_ITEM_SIZE: usize = 32;

thread_local! {
    /// Handle → the thread's dispatcher object, which keeps whether it has ended.
    static HANDLES: RefCell<BTreeMap<u64, usize>> = const { RefCell::new(BTreeMap::new()) };
}

pub(super) fn register() {
    HANDLES.take();
    let k = "ntoskrnl.exe";
    // (ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle, ClientId, StartRoutine, StartContext)
    export(k, "PsCreateSystemThread", |c| {
        let (start, context) = (c.ptr(5), c.arg(6));
        // The object outlives its thread; it belongs to the host, so it is no leak of the driver's.
        let object = Box::leak(vec![0_u64; 16].into_boxed_slice()).as_ptr() as usize;
        wait::initialize(object, Kind::Thread, 0);
        let run = move || {
            callback::call("KSTART_ROUTINE", start, &[context]);
            wait::signal(object);
        };
        let thread = sched::spawn(sched::cpu(), "system thread", Box::new(run));
        OBJECTS.with_borrow_mut(|objects| objects.insert(thread, object));
        let handle = HANDLES.with_borrow_mut(|handles| {
            let handle = handles.keys().next_back().map_or(4, |last| last + 4);
            handles.insert(handle, object);
            handle
        });
        guest::write_u64(c.ptr(0), handle);
        0
    });
    export(k, "PsTerminateSystemThread", |_| {
        let object = sched::current_thread()
            .and_then(|thread| OBJECTS.with_borrow_mut(|objects| objects.remove(&thread)));
        let Some(object) = object else {
            rules::fatal(
                rules::BAD_ARGUMENT,
                "no system thread of the driver runs".to_owned(),
            );
        };
        wait::signal(object);
        sched::end_thread()
    });
    export(k, "ObReferenceObjectByHandle", |c| {
        let object = HANDLES.with_borrow(|handles| handles.get(&c.arg(0)).copied());
        let Some(object) = object else {
            return INVALID_HANDLE;
        };
        guest::write_u64(c.ptr(4), object as u64);
        0
    });
    for name in ["ObfReferenceObject", "ObfDereferenceObject"] {
        export(k, name, |_| 1);
    }
    export(k, "ZwClose", |c| {
        let known = HANDLES.with_borrow_mut(|handles| handles.remove(&c.arg(0)).is_some());
        if known || super::registry::close(c.arg(0)) {
            0
        } else {
            INVALID_HANDLE
        }
    });
    export(k, "KeGetCurrentThread", |_| {
        sched::current_thread().map_or(0, |t| t.0)
    });
    export(k, "PsGetCurrentThreadId", |_| {
        sched::current_thread().map_or(0, |t| t.0)
    });
    export(k, "KeSetPriorityThread", |_| 8);
    export(k, "KeQueryPriorityThread", |_| 8);
    work_items(k);
}

thread_local! {
    static OBJECTS: RefCell<BTreeMap<sched::ThreadId, usize>> = const { RefCell::new(BTreeMap::new()) };
}

fn work_items(k: &'static str) {
    export(k, "IoSizeofWorkItem", |_| WORK_ITEM_SIZE as u64);
    export(k, "IoAllocateWorkItem", |c| {
        let item = pool::alloc(TAG, WORK_ITEM_SIZE, pool::Kind::NonPaged);
        if item != 0 {
            guest::fill(item, WORK_ITEM_SIZE, 0);
            guest::write_u64(item + 16, c.arg(0));
        }
        item as u64
    });
    export(k, "IoInitializeWorkItem", |c| {
        guest::fill(c.ptr(1), WORK_ITEM_SIZE, 0);
        guest::write_u64(c.ptr(1) + 16, c.arg(0));
        0
    });
    for name in ["IoFreeWorkItem", "IoUninitializeWorkItem"] {
        export(k, name, |c| {
            if guest::read_u64(c.ptr(0) + 24) != 0 {
                rules::violate(
                    rules::OBJECT_IN_USE,
                    "a queued work item is freed".to_owned(),
                );
            }
            if c.name() == "IoFreeWorkItem" {
                pool::free(c.ptr(0), Some(TAG));
            }
            0
        });
    }
    // (IoWorkItem, WorkerRoutine, QueueType, Context): the routine gets (DeviceObject, Context).
    export(k, "IoQueueWorkItem", |c| {
        queue(c.ptr(0), c.ptr(1), c.arg(3), false)
    });
    // The Ex routine gets (IoObject, Context, IoWorkItem).
    export(k, "IoQueueWorkItemEx", |c| {
        queue(c.ptr(0), c.ptr(1), c.arg(3), true)
    });
    export(k, "ExQueueWorkItem", |c| {
        let item = c.ptr(0);
        let routine = WORK_QUEUE_ITEM::WorkerRoutine.get(item) as usize;
        let parameter = WORK_QUEUE_ITEM::Parameter.get(item);
        let run = move || {
            callback::call("WORKER_THREAD_ROUTINE", routine, &[parameter]);
        };
        sched::spawn(sched::cpu(), "worker", Box::new(run));
        0
    });
}

fn queue(item: usize, routine: usize, context: u64, extended: bool) -> u64 {
    if guest::read_u64(item + 24) != 0 {
        rules::fatal(
            rules::OBJECT_IN_USE,
            "a work item is queued twice".to_owned(),
        );
    }
    guest::write_u64(item + 24, 1);
    let run = move || {
        let object = guest::read_u64(item + 16);
        // From here on the routine may queue or free the item.
        guest::write_u64(item + 24, 0);
        if extended {
            callback::call(
                "IO_WORKITEM_ROUTINE_EX",
                routine,
                &[object, context, item as u64],
            );
        } else {
            callback::call("IO_WORKITEM_ROUTINE", routine, &[object, context]);
        }
    };
    sched::spawn(sched::cpu(), "worker", Box::new(run));
    0
}
