//! A driver that loops without calling the kernel is stopped. A program of its own: the machine's time limit is for the main thread.

use std::time::{Duration, Instant};

use host_machine::ram::Ram;
use host_ntos::{Config, boot, callback, guest, rules, sched, shutdown};

const PAGE: usize = 4096;

/// A jump to itself.
#[cfg(target_arch = "x86_64")]
const LOOP: [u8; 2] = [0xeb, 0xfe];
/// A jump to itself.
#[cfg(target_arch = "aarch64")]
const LOOP: [u8; 4] = 0x1400_0000_u32.to_le_bytes();

fn main() {
    // SAFETY: a new private mapping, at an address of the system's choice.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(base, libc::MAP_FAILED);
    guest::write(base as usize, &LOOP);
    // SAFETY: the mapping was made above and nothing else uses it.
    let result = unsafe { libc::mprotect(base, PAGE, libc::PROT_READ | libc::PROT_EXEC) };
    assert_eq!(result, 0);

    let config = Config {
        watchdog: Duration::from_millis(300),
        ..Config::default()
    };
    boot(config, Ram::new(1 << 20, 1).expect("/dev/shm has room"));
    rules::add_image("bad.sys", base as usize, PAGE);
    let begin = Instant::now();
    let address = base as usize;
    let run = move || callback::call("CALLBACK", address, &[]);
    let stuck = sched::run_thread(0, "test", Duration::from_secs(5), run).expect_err("it loops");
    assert!(stuck.why.starts_with(rules::LOOP.id), "{stuck}");
    let report = shutdown();
    assert_eq!(report.violations.len(), 1, "{report}");
    assert_eq!(report.violations[0].who, "bad.sys+0x0");
    assert!(begin.elapsed() < Duration::from_secs(30));
    println!("{report}");
}
