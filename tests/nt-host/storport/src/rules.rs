//! The checks that the port driver makes, besides those of the kernel it runs on.
//!
//! Each constant is one rule; the bad drivers break each exactly once.

use host_ntos::rules::Rule;

/// MS: nf-storport-storportnotification (RequestComplete): afterwards the port driver owns the request.
pub const DOUBLE_COMPLETION: Rule = Rule::new("double-completion", "a request is completed once");
/// MS: nf-storport-storportnotification (RequestComplete).
pub const FOREIGN_COMPLETION: Rule = Rule::new(
    "foreign-completion",
    "only a request that StorPort sent is completed",
);
/// The requester's buffer is unlocked on completion, so DMA to it must be over.
pub const EARLY_COMPLETION: Rule = Rule::new(
    "early-completion",
    "a request is completed only when the device no longer holds memory of it",
);
/// MS: nf-storport-storportnotification: the miniport must not attempt to access the request after completing it.
pub const USE_AFTER_COMPLETION: Rule = Rule::new(
    "use-after-completion",
    "memory of a request is not touched after the request is completed",
);
/// storport.h, SRB_STATUS_*: what a completed request may say.
pub const COMPLETION_STATUS: Rule = Rule::new(
    "completion-status",
    "a completed request has a final status and possible lengths",
);
/// MS: nc-storport-hw_reset_bus, ScsiStopAdapter: every request is completed in the end.
pub const LOST_REQUEST: Rule = Rule::new(
    "lost-request",
    "every request is completed, at the latest when the bus is reset",
);
/// MS: nc-storport-hw_reset_bus: "responsible for completing SRBs received by HwStorStartIo for PathId during this routine". A
/// routine that returns FALSE has not reset the bus, and a device may use its buffers still. MS: ns-storport-_scsi_request_block: of
/// SRB_FUNCTION_RESET_DEVICE and SRB_FUNCTION_RESET_LOGICAL_UNIT, that any active requests of the target or unit should be completed.
pub const RESET_COMPLETES: Rule = Rule::new(
    "reset-completes",
    "HwResetBus, and a request for a reset, complete the requests of what was reset",
);
/// A device address differs from a physical one wherever DMA is remapped.
pub const DMA_PHYSICAL: Rule = Rule::new(
    "dma-physical-address",
    "the device is given addresses from StorPort, not physical addresses",
);
/// The device reaches what StorPort mapped for it and nothing else.
pub const DMA_OUTSIDE: Rule = Rule::new(
    "dma-out-of-bounds",
    "the device is given only memory that StorPort mapped for it",
);
/// DMA is mapped for the direction that SrbFlags state.
pub const DMA_DIRECTION: Rule = Rule::new(
    "dma-direction",
    "the device does not write to a buffer that it is to read",
);
/// ScsiStopAdapter: halts all processing; the memory goes away after it.
pub const DMA_AFTER_STOP: Rule = Rule::new("dma-after-stop", "a stopped adapter holds no memory");
/// Calls that are documented for certain callbacks only.
pub const CALL_CONTEXT: Rule = Rule::new(
    "call-context",
    "a routine is called only from the callbacks it is documented for",
);
/// Arguments that no driver can mean.
pub const PARAMETER: Rule = Rule::new(
    "parameter",
    "arguments name things of this adapter that exist",
);
/// MS: nf-storport-storportacquirespinlock, the table of locks each routine can acquire.
pub const LOCK_CONTEXT: Rule = Rule::new(
    "lock-context",
    "a callback acquires only the locks that are documented for it",
);
/// MS: nf-storport-storportreleasespinlock.
pub const LOCK_HANDLE: Rule = Rule::new(
    "lock-handle",
    "a lock is released with the handle of its acquisition",
);
/// MS: nf-storport-storportstallexecution: the delay "must be less than a full millisecond".
pub const STALL: Rule = Rule::new("stall", "one stall takes less than a millisecond");
/// MS: "StorPortStartIo rule (storport)": "The driver fails the rule if it calls StorPortStallExecution".
pub const STARTIO_WAIT: Rule = Rule::new("startio-wait", "HwStartIo does not stall");
/// MS: ns-storport-_port_configuration_information.
pub const CONFIGURATION: Rule = Rule::new(
    "configuration",
    "HwFindAdapter leaves a configuration that its documentation allows",
);
/// MS: ns-storport-_hw_initialization_data.
pub const INITIALIZATION_DATA: Rule = Rule::new(
    "initialization-data",
    "HW_INITIALIZATION_DATA is filled as its documentation demands",
);
/// Memory promised by size in the initialization data.
pub const OVERRUN: Rule = Rule::new(
    "overrun",
    "memory beyond the size that was asked for is not written",
);
/// MS: nf-storport-storportfreeregistrybuffer.
pub const LEAK_REGISTRY_BUFFER: Rule = Rule::new(
    "leak-registry-buffer",
    "the registry buffer is freed before the adapter is removed",
);
/// MS: nf-storport-storportfreetimer: freed when the adapter is removed.
pub const LEAK_TIMER: Rule = Rule::new(
    "leak-timer",
    "every timer is freed before the adapter is removed",
);
/// MS: nf-storport-storportfreeworker: freed when the adapter is removed.
pub const LEAK_WORKER: Rule = Rule::new(
    "leak-worker",
    "every work item is freed before the adapter is removed",
);
/// MS: nf-storport-storportallocatecontiguousmemoryspecifycachenode, nf-storport-storportallocatedmamemory.
pub const LEAK_DMA_MEMORY: Rule = Rule::new(
    "leak-dma-memory",
    "contiguous and DMA memory is freed before the adapter is removed",
);
/// ScsiStopAdapter: halts all processing. A DPC object lies in the device extension, which goes away with the adapter.
pub const LEAK_DPC: Rule = Rule::new("leak-dpc", "no DPC runs after the adapter was stopped");
/// MS: nc-storport-hw_buildio, nc-storport-hw_startio: who owns a request after each result.
pub const CALLBACK_RESULT: Rule = Rule::new(
    "callback-result",
    "a callback's result agrees with what it did to the request",
);
/// What a virtio device is told about the driver that the specification forbids.
pub const DEVICE: Rule = Rule::new("device", "the driver keeps the specification of its device");
/// Interrupts that nobody claims keep a level-triggered line asserted for ever.
pub const UNCLAIMED_INTERRUPT: Rule = Rule::new(
    "unclaimed-interrupt",
    "an asserted interrupt line is claimed and deasserted",
);

/// MS: "Restrictions on Miniport Drivers that Manage the Boot Drive".
pub const DUMP_CALL: Rule = Rule::new(
    "dump-call",
    "in the dump stack a miniport calls only what can be carried out at HIGH_LEVEL, on one processor",
);
/// MS: the same page, "Memory usage".
pub const DUMP_MEMORY: Rule = Rule::new(
    "dump-memory",
    "in the dump stack the device extension and the uncached extension together take no more than 32 KiB",
);
/// MS: nf-storport-storportmarkdumpmemory.
pub const DUMP_UNMARKED: Rule = Rule::new(
    "dump-unmarked-memory",
    "memory that hibernation has to keep is marked in HwFindAdapter",
);

/// All of them, for listings.
pub const ALL: &[Rule] = &[
    DOUBLE_COMPLETION,
    FOREIGN_COMPLETION,
    EARLY_COMPLETION,
    USE_AFTER_COMPLETION,
    COMPLETION_STATUS,
    LOST_REQUEST,
    RESET_COMPLETES,
    DMA_PHYSICAL,
    DMA_OUTSIDE,
    DMA_DIRECTION,
    DMA_AFTER_STOP,
    CALL_CONTEXT,
    PARAMETER,
    LOCK_CONTEXT,
    LOCK_HANDLE,
    STALL,
    STARTIO_WAIT,
    CONFIGURATION,
    INITIALIZATION_DATA,
    OVERRUN,
    LEAK_REGISTRY_BUFFER,
    LEAK_TIMER,
    LEAK_WORKER,
    LEAK_DMA_MEMORY,
    LEAK_DPC,
    CALLBACK_RESULT,
    DEVICE,
    UNCLAIMED_INTERRUPT,
    DUMP_CALL,
    DUMP_MEMORY,
    DUMP_UNMARKED,
];
