//! From a signal to a call: driver code that trapped goes on in host code on the host stack.

use std::cell::Cell;
use std::sync::Once;
use std::time::Duration;

use crate::arch::{self, Emulated, Frame};
use crate::context::{self, Context};
use crate::fault::{Fault, FaultKind};
use crate::stack::Stack;
use crate::{cpu, image, mmio};

/// The signal of a timer that counts time in user code only, so that it interrupts no system call.
const TIMER: i32 = libc::SIGVTALRM;

/// Faults, and the timer that finds endless loops.
const SIGNALS: [i32; 6] = [
    TIMER,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// Stack of the signal handler itself, which only copies registers. ARM64 kernels put up to 8 KiB of them there.
const SIGNAL_STACK: usize = 64 << 10;

/// Stack of the fault receiver when host code faulted, perhaps because its own stack is used up.
const FAULT_STACK: usize = 256 << 10;

struct Stacks {
    signal: Stack,
    fault: Stack,
}

impl Drop for Stacks {
    fn drop(&mut self) {
        let off = libc::stack_t {
            ss_sp: std::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: self.signal.high() - self.signal.low(),
        };
        // SAFETY: no signal handler runs on this thread now.
        unsafe { libc::sigaltstack(&raw const off, std::ptr::null_mut()) };
    }
}

thread_local! {
    static STACKS: Stacks = Stacks { signal: Stack::plain(SIGNAL_STACK), fault: Stack::plain(FAULT_STACK) };
    static FAULT_TOP: Cell<usize> = const { Cell::new(0) };
    /// How many crossings there had been when the timer last expired.
    static SEEN: Cell<u64> = const { Cell::new(0) };
    /// In the signal handler: a second signal there is the end.
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    /// In the fault receiver: a fault of its own is the end.
    static IN_FAULT: Cell<bool> = const { Cell::new(false) };
}

/// Makes this thread ready to take traps.
pub fn install() {
    static HANDLERS: Once = Once::new();
    arch::init();
    STACKS.with(|stacks| {
        let stack = libc::stack_t {
            ss_sp: stacks.signal.low() as *mut _,
            ss_flags: 0,
            ss_size: stacks.signal.high() - stacks.signal.low(),
        };
        // SAFETY: the stack lives as long as the thread runs code of ours.
        let failed = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) } != 0;
        assert!(!failed, "sigaltstack: {}", std::io::Error::last_os_error());
        FAULT_TOP.set(stacks.fault.high());
    });
    HANDLERS.call_once(|| {
        for signal in SIGNALS {
            // SAFETY: all zeroes is a valid sigaction.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = on_signal as *const () as usize;
            // Not deferred: execution continues outside the handler, where the next trap must be taken.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            // SAFETY: the set is the action's own.
            unsafe { libc::sigaddset(&raw mut action.sa_mask, TIMER) };
            // SAFETY: the handler has the signature that SA_SIGINFO asks for.
            let failed =
                unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0;
            assert!(!failed, "sigaction: {}", std::io::Error::last_os_error());
        }
    });
}

/// Has the timer expire every so often, or not at all.
pub fn set_timer(period: Duration) {
    let period = libc::timeval {
        tv_sec: period.as_secs() as _,
        tv_usec: period.subsec_micros() as _,
    };
    let timer = libc::itimerval {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: its handler was installed.
    let failed =
        unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &raw const timer, std::ptr::null_mut()) }
            != 0;
    assert!(!failed, "setitimer: {}", std::io::Error::last_os_error());
}

/// Whether driver code has run since the timer last expired, and nothing else.
fn hangs(context: &Context) -> bool {
    let crossings = cpu::crossings();
    SEEN.replace(crossings) == crossings && context.in_driver.get()
}

/// The fault receiver left by abandoning its fiber.
pub fn left_fault() {
    IN_FAULT.set(false);
}

fn die(message: &str) -> ! {
    // SAFETY: writes a string to standard error.
    unsafe { libc::write(2, message.as_ptr().cast(), message.len()) };
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(134) }
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, ucontext: *mut libc::c_void) {
    let context = context::current_or_null();
    if context.is_null() {
        if signal == TIMER {
            return;
        }
        // A thread that never used the machine: let the signal do what it does by default.
        // SAFETY: the default action is always allowed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the kernel passes a valid siginfo and ucontext.
        let trap = unsafe { arch::Signal::new(signal, info, ucontext) };
        if let Some(pc) = trap.breakpoint()
            && crate::coverage::executed(pc)
        {
            trap.resume_at(pc);
            return;
        }
    }
    if IN_HANDLER.replace(true) {
        die("fault while handling a fault: the host's stack or memory is damaged\n");
    }
    // SAFETY: the running context lives while its code runs, and a signal is part of that.
    let context = unsafe { &*context };
    if signal == TIMER && !hangs(context) {
        IN_HANDLER.set(false);
        return;
    }
    // SAFETY: the kernel passes a valid siginfo and ucontext.
    let trap = unsafe { arch::Signal::new(signal, info, ucontext) };
    let in_device = signal == libc::SIGTRAP || mmio::contains(trap.address(), 1);
    let top = if context.in_driver.get() {
        context.host_sp.get()
    } else if in_device {
        trap.sp() - arch::HOST_RED_ZONE
    } else if IN_FAULT.get() {
        die("fault in the receiver of faults\n");
    } else {
        FAULT_TOP.get()
    };
    // SAFETY: the stack below `top` is free: the host's below its last frame, or one used for nothing else.
    unsafe { trap.continue_on(top) };
    IN_HANDLER.set(false);
}

/// Goes on after the signal handler, on a host stack. Returning goes back to the interrupted instruction stream.
pub extern "C" fn on_trap(frame: &mut Frame) {
    let context = context::current();
    cpu::cross();
    let in_driver = context.in_driver.replace(false);
    let driver_sp = context.driver_sp.get();
    if in_driver {
        context
            .driver_sp
            .set((frame.sp() - arch::DRIVER_RED_ZONE) & !15);
    }
    let resumed = cpu::guarded(|| handle(context, frame, in_driver));
    match resumed {
        Resumed::Access if in_driver => cpu::guarded(cpu::after_mmio),
        Resumed::Hint => cpu::guarded(cpu::after_hint),
        _ => {}
    }
    context.driver_sp.set(driver_sp);
    context.in_driver.set(in_driver);
}

#[derive(PartialEq, Eq)]
enum Resumed {
    /// A device access is complete.
    Access,
    /// Driver code waits for another processor.
    Hint,
    /// Another trap is to follow before anything else happens, or nothing needs to.
    Silently,
}

fn handle(context: &Context, frame: &mut Frame, in_driver: bool) -> Resumed {
    if arch::finish_step(frame) {
        return Resumed::Access;
    }
    if frame.is_access() && mmio::contains(frame.address(), 1) {
        mmio::count_trap();
        match arch::emulate(frame) {
            Emulated::Done => return Resumed::Access,
            #[cfg(target_arch = "x86_64")]
            Emulated::Stepping => return Resumed::Silently,
            Emulated::Refused => {}
        }
    } else if arch::emulate_privileged(frame) {
        return Resumed::Silently;
    }
    let mut kind = frame.kind();
    if kind == FaultKind::IllegalInstruction && in_driver && image::is_hint(frame.pc()) {
        frame.skip_hint();
        return Resumed::Hint;
    }
    let memory = matches!(
        kind,
        FaultKind::Read | FaultKind::Write | FaultKind::Execute
    );
    let guards = |stack: &Stack| stack.guards(frame.address());
    if memory && (guards(&context.driver) || context.host.as_ref().is_some_and(guards)) {
        kind = FaultKind::StackOverflow;
    }
    let fault = Fault {
        kind,
        address: frame.fault_address(),
        pc: frame.fault_pc(),
        sp: frame.sp(),
        in_driver,
    };
    IN_FAULT.set(true);
    cpu::fault()(&fault)
}
