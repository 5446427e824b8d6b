//! Builds the test driver, once a run.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A first build compiles the core library too.
const DEADLINE: Duration = Duration::from_secs(300);

const TARGET: &str = if cfg!(target_arch = "x86_64") {
    "x86_64-pc-windows-msvc"
} else {
    "aarch64-pc-windows-msvc"
};

/// The driver for this host's architecture.
pub fn driver() -> &'static [u8] {
    static IMAGE: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    IMAGE
        .get_or_init(build)
        .as_deref()
        .expect("the test driver builds")
}

fn build() -> Option<Vec<u8>> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdrv");
    let output = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("testdrv");
    let flags = [
        "-Clinker=rust-lld",
        "-Ccontrol-flow-guard",
        "-Ctarget-feature=+crt-static",
        "-Clink-arg=/DRIVER",
        "-Clink-arg=/SUBSYSTEM:NATIVE",
        "-Clink-arg=/ENTRY:DriverEntry",
        "-Clink-arg=/NODEFAULTLIB",
        "-Clink-arg=/GUARD:CF",
        "-Clink-arg=/SECTION:INIT,ERD",
    ];
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(&source)
        .args(["build", "--release", "--target", TARGET])
        .args([
            "-Zbuild-std=core,compiler_builtins",
            "-Zbuild-std-features=compiler-builtins-mem",
        ])
        // The one switch that lets a stable compiler build its own core library.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &output)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    let die_with_parent = || {
        // SAFETY: changes only this process.
        let failed = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0;
        if failed {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: one system call, nothing allocated.
    unsafe { command.pre_exec(die_with_parent) };
    let mut child = command.spawn().expect("cargo starts");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("cargo can be waited for") {
            break status;
        }
        if start.elapsed() > DEADLINE {
            child.kill().expect("cargo can be killed");
            panic!("building the test driver took more than {DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let image = || std::fs::read(output.join(TARGET).join("release/testdrv.dll"));
    status
        .success()
        .then(|| image().expect("what was built is there"))
}
