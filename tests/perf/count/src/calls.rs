//! Follows calls into one image: instruction by instruction inside of it, at full speed outside.
//!
//! ```text
//!  breakpoint at an entry ─► step ─► step ─► leaves the image: breakpoint where it will come back ─► full speed
//!                              ▲                                                                        │
//!                              └──────────────────────────── at that breakpoint, with that stack ◄──────┘
//! ```
//!
//! While a call is inside, the image is as it was loaded; breakpoints stand in it only while it does not run. So several
//! calls may be under way, on one stack or on many, as long as one thread runs them all. Entries are called from outside and
//! return there.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use libc::{SIGILL, SIGSEGV, SIGTRAP, user_regs_struct};

use crate::decode::{Code, Decoded};
use crate::ptrace::{Child, Event};
use crate::watched::{Access, Watched};
use crate::{CountError, Counts, ZERO_RUN};

/// `int3`.
const BREAKPOINT: u8 = 0xcc;
/// Most bytes below the stack pointer that a function uses without moving it.
const RED_ZONE: u64 = 128;
/// Bytes above the stack pointer at an entry that belong to the call: return address, home of four arguments, eight more.
const ARGUMENTS: u64 = 8 + 4 * 8 + 8 * 8;

/// One call, from its entry to its return.
struct Call {
    phase: u8,
    counts: Counts,
    /// Stack pointer at the entry.
    entry: u64,
    listed: bool,
    /// Address of a repeating instruction that has started.
    repeating: Option<u64>,
    /// Where zeros were stored last, without a gap.
    zeros: Range<u64>,
    /// Where it goes on, and with which stack pointer.
    resume: (u64, u64),
}

/// Why stepping ended.
pub enum Left {
    /// The call is over.
    Returned {
        /// Its phase.
        phase: u8,
        /// What it did.
        counts: Counts,
    },
    /// It goes on later; the child gets this signal, or none (0).
    Away(i32),
}

/// What stepping needs of the tracer.
pub struct Tools<'a> {
    pub child: Child,
    pub code: &'a mut Code,
    pub watched: &'a mut Watched,
    pub listing: &'a mut Vec<String>,
    /// Steps that are left.
    pub steps: &'a mut u64,
}

/// The image and the calls that are under way.
pub struct Calls {
    memory: File,
    image: Range<u64>,
    entries: HashMap<u64, u8>,
    on: bool,
    /// Breakpoints that stand now, with the bytes that they stand on.
    standing: HashMap<u64, u8>,
    waiting: Vec<Call>,
}

impl Calls {
    /// For an image of `len` bytes at `start`.
    pub fn new(child: Child, start: u64, len: u64) -> Result<Self, CountError> {
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{}/mem", child.0))
            .map_err(refused)?;
        Ok(Self {
            memory,
            image: start..start.saturating_add(len),
            entries: HashMap::new(),
            on: false,
            standing: HashMap::new(),
            waiting: Vec::new(),
        })
    }

    /// Calls of the function at `address` are stretches of `phase`. Returns whether it lies in the image.
    pub fn add_entry(&mut self, address: u64, phase: u8) -> bool {
        self.entries.insert(address, phase);
        self.image.contains(&address)
    }

    /// Counts from now on, or no longer. False: a call is under way.
    pub fn turn(&mut self, on: bool) -> Result<bool, CountError> {
        self.on = on;
        self.clear()?;
        self.place()?;
        Ok(self.waiting.is_empty())
    }

    /// Whether a breakpoint stands at `at`.
    pub fn stands(&self, at: u64) -> bool {
        self.standing.contains_key(&at)
    }

    /// The child stands at a breakpoint of the image: counts until the call leaves it. `numbers` says which call of its phase
    /// it is, and whether to list it.
    pub fn follow(
        &mut self,
        tools: &mut Tools<'_>,
        listed: impl FnOnce(u8) -> bool,
    ) -> Result<Left, CountError> {
        self.clear()?;
        let registers = tools.child.registers()?;
        let here = (registers.rip, registers.rsp);
        let mut call = match self.waiting.iter().position(|call| call.resume == here) {
            Some(at) => self.waiting.swap_remove(at),
            None => match self.entries.get(&registers.rip) {
                Some(&phase) if self.on => Call {
                    phase,
                    counts: Counts::default(),
                    entry: registers.rsp,
                    listed: listed(phase),
                    repeating: None,
                    zeros: 0..0,
                    resume: here,
                },
                // Another stack came by where a call will go on.
                _ => return Err(wrong(registers.rip, "nobody's way back")),
            },
        };
        let left = self.step_through(tools, &mut call)?;
        if let Left::Away(_) = left {
            self.waiting.push(call);
        }
        self.place()?;
        Ok(left)
    }

    fn step_through(&self, tools: &mut Tools<'_>, call: &mut Call) -> Result<Left, CountError> {
        loop {
            let registers = tools.child.registers()?;
            if !self.image.contains(&registers.rip) {
                return self.outside(&registers, tools.watched, call);
            }
            *tools.steps = tools
                .steps
                .checked_sub(1)
                .ok_or(CountError::Steps { limit: 0 })?;
            let again = call.repeating == Some(registers.rip);
            let decoded = tools.code.at(tools.child, registers.rip)?;
            if call.listed && !again {
                let line = format!(
                    "{:#x}  {}",
                    registers.rip - self.image.start,
                    decoded.text()
                );
                tools.listing.push(line);
            }
            let (next, repeats) = (registers.rip + decoded.len(), decoded.repeats);
            let accesses = decoded.accesses(&registers)?;
            let mut counts = Counts {
                instructions: u64::from(!again),
                ..Counts::default()
            };
            let stack = (registers.rsp.min(call.entry) - RED_ZONE)..call.entry + ARGUMENTS;
            fences(decoded, &accesses, &stack, &mut counts);
            tools.child.step(0)?;
            match tools.child.wait()? {
                Event::Stopped(SIGTRAP) => {
                    for access in accesses {
                        store(access, &stack, tools, &mut call.zeros, &mut counts);
                    }
                    call.counts = call.counts.combine(counts, |sum, new| sum + new);
                    call.repeating = repeats.then_some(registers.rip);
                }
                // A device register, an instruction that only a kernel may execute, or a hint that the driver waits: the host does it
                // and goes on behind it.
                Event::Stopped(signal @ (SIGSEGV | SIGILL)) => {
                    for access in accesses {
                        counts.register_reads += u64::from(access.reads);
                        counts.register_writes += u64::from(access.writes);
                    }
                    call.counts = call.counts.combine(counts, |sum, new| sum + new);
                    call.resume = (next, registers.rsp);
                    return Ok(Left::Away(signal));
                }
                // Whatever it is, the instruction has not been executed.
                Event::Stopped(signal) => {
                    call.resume = (registers.rip, registers.rsp);
                    return Ok(Left::Away(signal));
                }
                Event::Exited(code) => return Err(CountError::Exit { code }),
                Event::Killed(signal) => {
                    return Err(CountError::Signal {
                        signal,
                        at: registers.rip,
                    });
                }
            }
        }
    }

    /// The call has left the image: it returned, or calls something.
    fn outside(
        &self,
        registers: &user_regs_struct,
        watched: &Watched,
        call: &mut Call,
    ) -> Result<Left, CountError> {
        let returned = |call: &Call| Left::Returned {
            phase: call.phase,
            counts: call.counts,
        };
        if registers.rsp > call.entry {
            return Ok(returned(call));
        }
        let mut bytes = [0; 8];
        self.memory
            .read_exact_at(&mut bytes, registers.rsp)
            .map_err(refused)?;
        let back = u64::from_le_bytes(bytes);
        call.counts.calls_out += 1;
        watched.enter(registers.rip, &mut call.counts);
        if !self.image.contains(&back) {
            // A jump instead of a call: what was called returns to the caller.
            return Ok(returned(call));
        }
        call.resume = (back, registers.rsp + 8);
        Ok(Left::Away(0))
    }

    /// Takes all breakpoints out.
    fn clear(&mut self) -> Result<(), CountError> {
        for (at, byte) in self.standing.drain() {
            self.memory.write_all_at(&[byte], at).map_err(refused)?;
        }
        Ok(())
    }

    /// Puts a breakpoint wherever the image can be entered.
    fn place(&mut self) -> Result<(), CountError> {
        let entries = self.entries.keys().filter(|_| self.on).copied();
        let ways_back = self.waiting.iter().map(|call| call.resume.0);
        let places: HashSet<u64> = entries.chain(ways_back).collect();
        for at in places {
            let mut byte = [0];
            self.memory.read_exact_at(&mut byte, at).map_err(refused)?;
            self.memory
                .write_all_at(&[BREAKPOINT], at)
                .map_err(refused)?;
            self.standing.insert(at, byte[0]);
        }
        Ok(())
    }
}

/// Counts what an instruction orders.
fn fences(decoded: &Decoded, accesses: &[Access], stack: &Range<u64>, counts: &mut Counts) {
    counts.full_fences = u64::from(decoded.full_fence);
    let elsewhere = accesses.iter().any(|access| !stack.contains(&access.at));
    counts.locked = u64::from(decoded.full_fence && elsewhere);
    counts.fences = counts.full_fences - counts.locked;
}

/// Counts a memory access that took place.
fn store(
    access: Access,
    stack: &Range<u64>,
    tools: &mut Tools<'_>,
    zeros: &mut Range<u64>,
    counts: &mut Counts,
) {
    if stack.contains(&access.at) {
        return;
    }
    let before = counts.device_stores + counts.driver_stores;
    tools.watched.count(access, counts);
    if access.writes && counts.device_stores + counts.driver_stores == before {
        counts.bytes_written += access.len;
        if is_zero(tools.child, access) {
            counts.bytes_zeroed += access.len;
            counts.bytes_cleared += cleared(zeros, access);
        }
    }
}

/// Adds a store of zeros to the run before it, upwards or downwards, or begins another. Returns the bytes that are now known to be
/// part of a long one.
fn cleared(zeros: &mut Range<u64>, access: Access) -> u64 {
    let known = |run: &Range<u64>| match run.end - run.start {
        short if short < ZERO_RUN => 0,
        long => long,
    };
    let (start, end) = (access.at, access.at + access.len);
    if start == zeros.end || end == zeros.start {
        let before = known(zeros);
        *zeros = start.min(zeros.start)..end.max(zeros.end);
        known(zeros) - before
    } else {
        *zeros = start..end;
        known(zeros)
    }
}

/// Whether there is nothing but zeros where a store has just been.
fn is_zero(child: Child, access: Access) -> bool {
    let mut bytes = [0; 64];
    let end = access.at + access.len;
    (access.at..end).step_by(bytes.len()).all(|at| {
        let len = bytes.len().min((end - at) as usize);
        let stored = &mut bytes[..len];
        child.read(at, stored) == len && stored.iter().all(|byte| *byte == 0)
    })
}

fn refused(error: std::io::Error) -> CountError {
    CountError::Trace {
        call: "/proc/PID/mem",
        error,
    }
}

fn wrong(at: u64, problem: &'static str) -> CountError {
    CountError::Marker { at, problem }
}

#[cfg(test)]
mod tests;
