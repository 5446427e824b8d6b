//! Where Windows starts the program.

use alloc::string::String;

use super::Machine;
use super::import::{ExitProcess, GetCommandLineW};
use super::log::{self, Log};
use super::text::narrow;
use crate::args::{self, Request};
use crate::engine::Failure;
use crate::plan::Plan;

/// Exit codes; `args::USAGE` tells users of them.
const DONE: u32 = 0;
const WRONG: u32 = 1;
const REFUSED: u32 = 2;
const FAILED: u32 = 3;

/// The entry point of winpv-setup.exe.
#[unsafe(no_mangle)]
extern "system" fn start() -> ! {
    let code = run(&command_line());
    // SAFETY: nothing is left to do.
    unsafe { ExitProcess(code) }
}

fn run(line: &str) -> u32 {
    let words = args::split(line);
    let open = |dry_run| {
        if dry_run { Log::console() } else { Log::open() }
    };
    let (command, dry_run) = match args::parse(&words) {
        Ok(Request::Help) => {
            log::print(args::USAGE);
            log::print("\r\n");
            return DONE;
        }
        Ok(Request::Run { command, dry_run }) => (command, dry_run),
        Err(wrong) => {
            let mut log = open(words.iter().any(|word| word == "--dry-run"));
            log.line(format_args!("FAILED: {wrong} in: {line}"));
            return WRONG;
        }
    };
    let mut machine = Machine { log: open(dry_run) };
    let result = if dry_run {
        command.run(&mut Plan(&mut machine))
    } else {
        let result = command.run(&mut machine);
        machine.tidy();
        result
    };
    match result {
        Ok(()) => DONE,
        Err(Failure::Refused(_)) => REFUSED,
        Err(Failure::Windows(_) | Failure::Unnamed(_, _) | Failure::Damaged(_)) => FAILED,
    }
}

fn command_line() -> String {
    // SAFETY: the returned text lives as long as the process.
    let text = unsafe { GetCommandLineW() };
    let mut length = 0_usize;
    // The longest command line that Windows passes on.
    while length < 32_768 {
        // SAFETY: every character before this one was not the final zero, so this one belongs to the text.
        let at = unsafe { text.add(length) };
        // SAFETY: as above.
        if unsafe { at.read() } == 0 {
            break;
        }
        length = length.saturating_add(1);
    }
    // SAFETY: `length` characters were read just now.
    narrow(unsafe { core::slice::from_raw_parts(text, length) })
}
