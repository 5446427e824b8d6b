//! Follows a child from marker to marker, and instruction by instruction between a beginning and its end.

use libc::{SIGALRM, SIGTRAP, user_regs_struct};
use perf_marker::{Area, BEGIN, CALLS, END, ENTRY, FUNCTION, IMAGE, Kind, SIGNATURE, WATCH};

use crate::calls::{Calls, Left, Tools};
use crate::decode::Code;
use crate::ptrace::{Child, Event};
use crate::watched::Watched;
use crate::{CountError, Counts, Limits, Report};

/// Bytes of a marker behind its breakpoint: three of the no-operation, four of its displacement.
const TAIL: u64 = 7;
/// The no-operation's own bytes.
const TAIL_CODE: [u8; 3] = [0x0f, 0x1f, 0x80];

/// System call number of `rt_sigreturn`.
const RT_SIGRETURN: u64 = libc::SYS_rt_sigreturn as u64;

/// A marker of the program.
enum Marker {
    Begin(u8),
    End(u8),
    Watch(Area),
    Function(Kind),
    Image,
    Entry,
    Calls(bool),
}

/// A stretch under way.
struct Stretch {
    phase: u8,
    counts: Counts,
    /// Whether its instructions are written down.
    listed: bool,
    /// Address of a repeating instruction that has started.
    repeating: Option<u64>,
    handlers: Vec<Handler>,
}

/// A signal handler that is running.
struct Handler {
    /// Instruction at which the signal came.
    at: u64,
    /// What that instruction would have counted.
    undone: Counts,
}

/// Follows one child to its end.
pub struct Tracer {
    child: Child,
    limits: Limits,
    code: Code,
    watched: Watched,
    calls: Option<Calls>,
    report: Report,
    steps: u64,
    /// Address last seen, for messages.
    at: u64,
}

impl Tracer {
    pub fn new(child: Child, limits: Limits) -> Self {
        Self {
            child,
            limits,
            code: Code::default(),
            watched: Watched::default(),
            calls: None,
            report: Report::default(),
            steps: 0,
            at: 0,
        }
    }

    /// From the child's first stop to its exit.
    pub fn run(mut self) -> Result<Report, CountError> {
        let mut signal = 0;
        loop {
            self.child.go(signal)?;
            match self.child.wait()? {
                Event::Exited(0) => return Ok(self.report),
                Event::Stopped(SIGTRAP) => signal = self.trap()?,
                Event::Stopped(other) => signal = self.pass_on(other)?,
                event => return Err(self.ended(event)),
            }
        }
    }

    /// The child stands behind a breakpoint, or steps by itself. Returns the signal that it is to get.
    fn trap(&mut self) -> Result<i32, CountError> {
        let mut registers = self.child.registers()?;
        // Past the breakpoint itself.
        let at = registers.rip.wrapping_sub(1);
        if self.calls.as_ref().is_some_and(|calls| calls.stands(at)) {
            registers.rip = at;
            self.child.set_registers(&registers)?;
            return self.call();
        }
        if !self.is_breakpoint(at) {
            return Ok(SIGTRAP);
        }
        self.breakpoint(at, registers)?;
        Ok(0)
    }

    fn is_breakpoint(&self, at: u64) -> bool {
        const INT3: u8 = 0xcc;
        let mut byte = [0];
        self.child.read(at, &mut byte) == 1 && byte[0] == INT3
    }

    /// A call into the image begins or goes on.
    fn call(&mut self) -> Result<i32, CountError> {
        let Some(calls) = &mut self.calls else {
            return Ok(SIGTRAP);
        };
        let mut left = self.limits.steps.saturating_sub(self.steps);
        let mut tools = Tools {
            child: self.child,
            code: &mut self.code,
            watched: &mut self.watched,
            listing: &mut self.report.listing,
            steps: &mut left,
        };
        let (phases, listing) = (&self.report.phases, self.limits.listing);
        let listed = |phase| {
            let number = phases.get(&phase).map_or(0, |phase| phase.stretches);
            listing == Some((phase, number))
        };
        let result = calls.follow(&mut tools, listed);
        self.steps = self.limits.steps.saturating_sub(left);
        match result {
            Ok(Left::Returned { phase, counts }) => {
                self.report.add(phase, counts);
                Ok(0)
            }
            Ok(Left::Away(signal)) => self.pass_on(signal),
            Err(CountError::Steps { .. }) => Err(CountError::Steps {
                limit: self.limits.steps,
            }),
            Err(error) => Err(error),
        }
    }

    /// A marker outside of every stretch.
    fn breakpoint(&mut self, at: u64, mut registers: user_regs_struct) -> Result<(), CountError> {
        let marker = self.marker(at)?;
        registers.rip = registers.rip.wrapping_add(TAIL);
        self.child.set_registers(&registers)?;
        match marker {
            Marker::Watch(area) => self.watched.add(area, registers.rdi, registers.rsi),
            Marker::Function(kind) => self.watched.add_function(kind, registers.rdi),
            Marker::Image => {
                self.code.clear();
                self.calls = Some(Calls::new(self.child, registers.rdi, registers.rsi)?);
            }
            Marker::Entry => {
                let calls = self.calls.as_mut();
                let phase = u8::try_from(registers.rsi).unwrap_or(u8::MAX);
                if !calls.is_some_and(|calls| calls.add_entry(registers.rdi, phase)) {
                    return Err(wrong(at, "an entry outside of the image"));
                }
            }
            Marker::Calls(on) => {
                let Some(calls) = &mut self.calls else {
                    return Err(wrong(at, "no image was named"));
                };
                if !calls.turn(on)? {
                    return Err(wrong(at, "a call into the image is under way"));
                }
            }
            Marker::Begin(phase) => self.stretch(phase)?,
            Marker::End(_) => return Err(wrong(at, "end of a stretch that has not begun")),
        }
        Ok(())
    }

    /// Steps through a stretch to its end.
    fn stretch(&mut self, phase: u8) -> Result<(), CountError> {
        self.code.clear();
        self.watched.begin();
        let number = self.report.phase(phase).map_or(0, |phase| phase.stretches);
        let mut stretch = Stretch {
            phase,
            counts: Counts::default(),
            listed: self.limits.listing == Some((phase, number)),
            repeating: None,
            handlers: Vec::new(),
        };
        loop {
            let mut registers = self.child.registers()?;
            self.at = registers.rip;
            if self.code.at(self.child, self.at)?.breakpoint {
                return match self.marker(self.at)? {
                    Marker::End(ended) if ended == phase && stretch.handlers.is_empty() => {
                        registers.rip = self.at.wrapping_add(1 + TAIL);
                        self.child.set_registers(&registers)?;
                        self.report.add(stretch.phase, stretch.counts);
                        Ok(())
                    }
                    _ => Err(wrong(self.at, "does not end the stretch that it stands in")),
                };
            }
            self.steps += 1;
            if self.steps > self.limits.steps {
                return Err(CountError::Steps {
                    limit: self.limits.steps,
                });
            }
            self.step(&mut stretch, &registers)?;
        }
    }

    /// One instruction, or one element of a repeating one.
    fn step(
        &mut self,
        stretch: &mut Stretch,
        registers: &user_regs_struct,
    ) -> Result<(), CountError> {
        let again = stretch.repeating == Some(registers.rip);
        let decoded = self.code.at(self.child, registers.rip)?;
        let (repeats, returns) = (
            decoded.repeats,
            decoded.system_call && registers.rax == RT_SIGRETURN,
        );
        let mut counts = Counts::default();
        if stretch.handlers.is_empty() {
            if stretch.listed && !again {
                let line = format!("{:#x}  {}", registers.rip, decoded.text());
                self.report.listing.push(line);
            }
            counts.instructions = u64::from(!again);
            counts.full_fences = u64::from(decoded.full_fence && !again);
            counts.system_calls = u64::from(decoded.system_call);
            self.watched.enter(registers.rip, &mut counts);
            for access in decoded.accesses(registers)? {
                self.watched.count(access, &mut counts);
            }
        }
        self.child.step(0)?;
        loop {
            match self.child.wait()? {
                Event::Stopped(SIGTRAP) => break,
                Event::Stopped(signal) => {
                    let signal = self.pass_on(signal)?;
                    // The instruction has not retired: it counts if the handler does its work, or when it is tried again.
                    stretch.handlers.push(Handler {
                        at: registers.rip,
                        undone: std::mem::take(&mut counts),
                    });
                    self.child.step(signal)?;
                }
                event => return Err(self.ended(event)),
            }
        }
        stretch.counts = stretch.counts.combine(counts, |sum, new| sum + new);
        stretch.repeating = repeats.then_some(registers.rip);
        if returns {
            self.handled(stretch)?;
        }
        Ok(())
    }

    /// A signal handler has returned.
    fn handled(&mut self, stretch: &mut Stretch) -> Result<(), CountError> {
        let Some(handler) = stretch.handlers.pop() else {
            return Ok(());
        };
        if self.child.registers()?.rip != handler.at {
            stretch.counts = stretch.counts.combine(handler.undone, |sum, new| sum + new);
        }
        Ok(())
    }

    /// The marker whose breakpoint is at `at`.
    fn marker(&mut self, at: u64) -> Result<Marker, CountError> {
        self.at = at;
        let mut tail = [0; TAIL as usize];
        let read = self.child.read(at.wrapping_add(1), &mut tail);
        let [a, b, c, payload @ ..] = tail;
        let payload = u32::from_le_bytes(payload);
        if read != tail.len() || [a, b, c] != TAIL_CODE || payload & 0xffff_0000 != SIGNATURE {
            return Err(wrong(at, "a breakpoint that is no marker"));
        }
        let operand = payload as u8;
        match payload & 0xff00 {
            BEGIN => Ok(Marker::Begin(operand)),
            END => Ok(Marker::End(operand)),
            WATCH => Area::from_number(operand)
                .map(Marker::Watch)
                .ok_or_else(|| wrong(at, "unknown area")),
            FUNCTION => Kind::from_number(operand)
                .map(Marker::Function)
                .ok_or_else(|| wrong(at, "unknown kind of function")),
            IMAGE => Ok(Marker::Image),
            ENTRY => Ok(Marker::Entry),
            CALLS => Ok(Marker::Calls(operand != 0)),
            _ => Err(wrong(at, "unknown operation")),
        }
    }

    /// A signal that the child shall get, unless it is the alarm that ends it.
    fn pass_on(&self, signal: i32) -> Result<i32, CountError> {
        if signal == SIGALRM {
            return Err(CountError::Deadline {
                seconds: crate::child::seconds(&self.limits),
            });
        }
        Ok(signal)
    }

    fn ended(&self, event: Event) -> CountError {
        match event {
            Event::Exited(code) => CountError::Exit { code },
            Event::Killed(signal) | Event::Stopped(signal) => CountError::Signal {
                signal,
                at: self.at,
            },
        }
    }
}

fn wrong(at: u64, problem: &'static str) -> CountError {
    CountError::Marker { at, problem }
}
