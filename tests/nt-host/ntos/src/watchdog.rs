//! Ends a routine of the driver that neither returns nor calls the kernel.
//!
//! A second Linux thread looks now and then whether the driver has entered or left the kernel since. If not for the whole limit, it
//! signals the thread that runs the driver; the signal handler makes the driver fault at a known address, so that it
//! leaves by the same way as for any other fault. While all is well no signal is sent and no system call is interrupted.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where a driver that is stopped seems to jump to. Not mapped: it lies in the first page.
pub(crate) const STOP_ADDRESS: usize = 0xd09;

/// How often the watchdog looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the two threads share. Counting and reading are all there is: no other memory depends on them, so Relaxed is enough.
#[derive(Default)]
struct Shared {
    /// Grows whenever driver code is entered or left.
    crossings: AtomicU64,
    /// Whether driver code runs.
    in_driver: AtomicBool,
    ended: AtomicBool,
}

struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only sleeps and counts: it cannot panic.
            let _ = thread.join();
        }
    }
}

thread_local! {
    static WATCHDOG: RefCell<Option<Watchdog>> = const { RefCell::new(None) };
    static SHARED: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// Where the stopped driver was, for the fault handler of the same thread; the signal handler can touch nothing but an atomic.
static STOPPED_AT: AtomicUsize = AtomicUsize::new(0);

/// Starts watching the calling thread.
pub(crate) fn boot(limit: Duration) {
    shutdown();
    install_handler();
    let shared = Arc::new(Shared::default());
    let watched = Arc::clone(&shared);
    // SAFETY: pthread_self has no preconditions.
    let target = unsafe { libc::pthread_self() };
    let thread = thread::spawn(move || watch(&watched, target, limit));
    SHARED.set(Some(Arc::clone(&shared)));
    WATCHDOG.set(Some(Watchdog {
        shared,
        thread: Some(thread),
    }));
}

pub(crate) fn shutdown() {
    SHARED.take();
    WATCHDOG.take();
}

/// The address at which the driver was stopped.
pub(crate) fn stopped_at() -> usize {
    STOPPED_AT.load(Ordering::Relaxed)
}

/// Whether driver code ran before; put back on drop.
pub(crate) struct Crossing {
    before: bool,
}

impl Drop for Crossing {
    fn drop(&mut self) {
        cross(self.before);
    }
}

/// The driver is called.
pub(crate) fn enter_driver() -> Crossing {
    Crossing {
        before: cross(true),
    }
}

/// The driver calls the kernel.
pub(crate) fn leave_driver() -> Crossing {
    Crossing {
        before: cross(false),
    }
}

/// Notes what runs from now on; gives what ran before.
pub(crate) fn cross(in_driver: bool) -> bool {
    SHARED.with_borrow(|shared| {
        let Some(shared) = shared else { return false };
        shared.crossings.fetch_add(1, Ordering::Relaxed);
        shared.in_driver.swap(in_driver, Ordering::Relaxed)
    })
}

fn watch(shared: &Shared, target: libc::pthread_t, limit: Duration) {
    let mut seen = u64::MAX;
    let mut since = Instant::now();
    while !shared.ended.load(Ordering::Relaxed) {
        thread::park_timeout(INTERVAL);
        let crossings = shared.crossings.load(Ordering::Relaxed);
        if crossings != seen || !shared.in_driver.load(Ordering::Relaxed) {
            seen = crossings;
            since = Instant::now();
        } else if since.elapsed() > limit {
            // SAFETY: the watched thread joins this one before it ends, so its id is valid.
            unsafe { libc::pthread_kill(target, libc::SIGALRM) };
            since = Instant::now();
        }
    }
}

fn install_handler() {
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_alarm as *const () as usize;
    // The driver's stack may be used up: the handler runs on the thread's alternate stack, as the machine's own does.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the handler is async-signal-safe and lives for ever.
    let result = unsafe { libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) };
    debug_assert_eq!(result, 0, "SIGALRM can be handled");
}

extern "C" fn on_alarm(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the third argument is the interrupted context.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let pc = program_counter(context);
    STOPPED_AT.store(*pc as usize, Ordering::Relaxed);
    *pc = STOP_ADDRESS as _;
}

#[cfg(target_arch = "x86_64")]
fn program_counter(context: &mut libc::ucontext_t) -> &mut libc::greg_t {
    &mut context.uc_mcontext.gregs[libc::REG_RIP as usize]
}

#[cfg(target_arch = "aarch64")]
fn program_counter(context: &mut libc::ucontext_t) -> &mut libc::c_ulonglong {
    &mut context.uc_mcontext.pc
}
