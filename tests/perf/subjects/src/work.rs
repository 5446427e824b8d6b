//! The work, the same for every implementation, and where it is marked.
//!
//! A request is 16 bytes that the device reads and 4096 that it writes (and, with three parts, one more byte that it
//! writes), as a read from a disk. Its buffers are there before and stay: what is counted begins with the request in the
//! driver's hand and ends with it there again.

use std::hint::black_box;

use perf_marker::{Area, Kind, begin, end, forget, watch, watch_function};
use ring_device::{Buffer, Queue, Setup};

use crate::memory::{Arena, ProcessMemory};
use crate::phase::{ARM, COMPLETE, DISARM, KICK, PUBLISH};
use crate::{Case, REQUESTS, RING_SIZE};

/// Bytes of the part that the device reads.
pub const HEADER: usize = 16;
/// Bytes of the large part that the device writes.
pub const DATA: usize = 4096;
/// Bytes of a third part.
pub const STATUS: usize = 1;

/// A request of the driver's caller.
#[derive(Debug)]
pub struct Request {
    /// Its number.
    pub index: u32,
    /// [`HEADER`] bytes.
    pub header: *mut u8,
    /// [`DATA`] bytes.
    pub data: *mut u8,
    /// [`STATUS`] bytes.
    pub status: *mut u8,
}

/// How a driver holds a request.
pub type Token = &'static Request;

/// A request that came back, with the bytes that the device says it wrote; 0 where an implementation does not tell.
pub struct Taken {
    /// The request.
    pub token: Token,
    /// Bytes.
    pub written: u32,
}

/// A virtqueue of any implementation, driver side.
///
/// Every method is inlined into the loop that is counted, as a driver's own code would have it.
pub trait Subject {
    /// The decision whether to notify the device.
    type Kick;

    /// Whether it brings a transport, so that notifying can be counted.
    const DOORBELL: bool = false;

    /// What the device is told of the queue.
    fn setup(&self) -> Setup;
    /// Adds a request, of three parts or two.
    fn add(&mut self, token: Token, three: bool);
    /// Shows the device what was added.
    fn publish(&mut self) -> Self::Kick;
    /// The decision, readable.
    fn needed(kick: &Self::Kick) -> bool;
    /// Notifies the device if it has to be.
    fn notify(&mut self, kick: Self::Kick);
    /// Switches interrupts off.
    fn disarm(&mut self);
    /// Takes what the device has finished next, of three parts or two.
    fn take(&mut self, three: bool) -> Option<Taken>;
    /// Switches interrupts on; whether something came in meanwhile.
    fn arm(&mut self) -> bool;
}

/// Ends the program: what is measured went wrong.
#[cold]
#[inline(never)]
pub fn fail(what: &str) -> ! {
    eprintln!("ring-subjects: {what}");
    std::process::abort();
}

/// The requests of one batch.
fn requests(arena: &mut Arena, count: u32) -> &'static [Request] {
    let requests = (0..count).map(|index| Request {
        index,
        header: arena.take(HEADER, 64),
        data: arena.take(DATA, 4096),
        status: arena.take(STATUS, 64),
    });
    requests.collect::<Vec<_>>().leak()
}

/// Names the ring's memory to the counter, and the heap's entries.
fn watch_ring(setup: &Setup) {
    let size = usize::from(setup.size);
    let at = |address: u64| std::ptr::without_provenance(address as usize);
    if setup.packed {
        // Used descriptors are written by the device.
        watch(Area::Device, at(setup.descriptor), 16 * size);
        watch(Area::Driver, at(setup.driver), 4);
        watch(Area::Device, at(setup.device), 4);
    } else {
        watch(Area::Driver, at(setup.descriptor), 16 * size);
        watch(Area::Driver, at(setup.driver), 6 + 2 * size);
        watch(Area::Device, at(setup.device), 6 + 8 * size);
    }
    watch_function(Kind::Heap, libc::malloc as *const u8);
    watch_function(Kind::Heap, libc::calloc as *const u8);
    watch_function(Kind::Heap, libc::realloc as *const u8);
    watch_function(Kind::Heap, libc::posix_memalign as *const u8);
}

/// The case that the program's argument names.
#[must_use]
pub fn case() -> Case {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.parse() {
        Ok(case) => case,
        Err(error) => fail(&error),
    }
}

/// Runs a case: first as many requests as are counted, so that everything has its usual state, then those.
pub fn run<S: Subject>(case: &Case, arena: &mut Arena, mut subject: S) {
    let setup = subject.setup();
    assert_eq!(
        (setup.size, setup.packed, setup.event_idx),
        (RING_SIZE, case.mode.packed, case.mode.event_idx)
    );
    watch_ring(&setup);
    let requests = requests(arena, case.depth);
    let mut device = Queue::new(setup, &ProcessMemory).expect("ring as a device expects it");
    if case.parts == 3 {
        rounds::<S, true, false>(case, &mut subject, &mut device, requests);
        rounds::<S, true, true>(case, &mut subject, &mut device, requests);
    } else {
        rounds::<S, false, false>(case, &mut subject, &mut device, requests);
        rounds::<S, false, true>(case, &mut subject, &mut device, requests);
    }
}

/// `THREE` parts or two: settled once, so that what is counted does not look for each request.
fn rounds<S: Subject, const THREE: bool, const COUNTED: bool>(
    case: &Case,
    subject: &mut S,
    device: &mut Queue,
    requests: &'static [Request],
) {
    for _ in 0..REQUESTS / case.depth {
        let kick = publish::<S, THREE, COUNTED>(subject, requests);
        let due = device.notification_due(&ProcessMemory);
        assert_eq!(due, Ok(S::needed(&kick)), "decision to notify");
        if S::DOORBELL {
            notify::<S, COUNTED>(subject, kick);
        }
        serve(case, device, requests);
        disarm::<S, COUNTED>(subject);
        let (count, written) = complete::<S, THREE, COUNTED>(subject);
        assert_eq!(count, case.depth, "requests taken back");
        let bytes = DATA + if THREE { STATUS } else { 0 };
        assert!([0, bytes as u64 * u64::from(count)].contains(&written));
        assert!(!arm::<S, COUNTED>(subject), "nothing came in meanwhile");
        let pending = device.request_notification(&ProcessMemory);
        assert_eq!(pending, Ok(false), "nothing is available");
    }
}

#[inline(never)]
fn publish<S: Subject, const THREE: bool, const COUNTED: bool>(
    subject: &mut S,
    requests: &'static [Request],
) -> S::Kick {
    if COUNTED {
        begin::<PUBLISH>();
    }
    for request in requests {
        // A driver adds a request in a call of its own: nothing is known of the queue from the one before.
        forget(subject);
        subject.add(request, THREE);
    }
    forget(subject);
    let kick = subject.publish();
    if COUNTED {
        end::<PUBLISH>();
    }
    kick
}

#[inline(never)]
fn notify<S: Subject, const COUNTED: bool>(subject: &mut S, kick: S::Kick) {
    if COUNTED {
        begin::<KICK>();
    }
    subject.notify(kick);
    if COUNTED {
        end::<KICK>();
    }
}

#[inline(never)]
fn disarm<S: Subject, const COUNTED: bool>(subject: &mut S) {
    if COUNTED {
        begin::<DISARM>();
    }
    subject.disarm();
    if COUNTED {
        end::<DISARM>();
    }
}

#[inline(never)]
fn complete<S: Subject, const THREE: bool, const COUNTED: bool>(subject: &mut S) -> (u32, u64) {
    let (mut count, mut written) = (0, 0);
    if COUNTED {
        begin::<COMPLETE>();
    }
    while let Some(taken) = subject.take(THREE) {
        black_box(taken.token);
        forget(subject);
        written += u64::from(taken.written);
        count += 1;
    }
    if COUNTED {
        end::<COMPLETE>();
    }
    (count, written)
}

#[inline(never)]
fn arm<S: Subject, const COUNTED: bool>(subject: &mut S) -> bool {
    if COUNTED {
        begin::<ARM>();
    }
    let pending = subject.arm();
    if COUNTED {
        end::<ARM>();
    }
    pending
}

/// The device's part of a round: takes every request, checks that it is the work that was ordered, and uses it.
fn serve(case: &Case, device: &mut Queue, requests: &[Request]) {
    let mut last = None;
    for request in requests {
        let buffer = device.pop(&ProcessMemory).expect("a legal ring");
        let buffer = buffer.expect("as many buffers as requests");
        check(case, request, &buffer);
        let written = buffer.writable_bytes() as u32;
        if !case.mode.in_order {
            device
                .push(&ProcessMemory, buffer.id, written)
                .expect("the driver leaves it alone");
        }
        last = Some((buffer.id, written));
    }
    if let (true, Some((id, written))) = (case.mode.in_order, last) {
        device
            .push_batch(&ProcessMemory, id, written)
            .expect("the driver leaves it alone");
    }
    let due = device.interrupt_due(&ProcessMemory);
    assert!(due.is_ok(), "{due:?}");
}

/// Fails unless the device sees what the driver's caller ordered.
fn check(case: &Case, request: &Request, buffer: &Buffer) {
    let ordered = [
        (request.header, HEADER, false),
        (request.data, DATA, true),
        (request.status, STATUS, true),
    ];
    let seen: Vec<_> = buffer
        .parts
        .iter()
        .map(|part| (part.address, part.len as usize, part.writable))
        .collect();
    let ordered: Vec<_> = ordered[..case.parts as usize]
        .iter()
        .map(|&(at, len, writable)| (at.addr() as u64, len, writable))
        .collect();
    assert_eq!(seen, ordered, "parts of request {}", request.index);
    assert_eq!(buffer.table.is_some(), case.mode.indirect, "indirect table");
}

/// Requests by the number that an implementation gave them when they were added.
pub struct Held([Option<Token>; RING_SIZE as usize]);

impl Default for Held {
    fn default() -> Self {
        Self::new()
    }
}

impl Held {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self([None; RING_SIZE as usize])
    }

    /// Remembers a request.
    #[inline(always)]
    pub fn put(&mut self, id: u16, token: Token) {
        self.0[usize::from(id % RING_SIZE)] = Some(token);
    }

    /// The request again.
    #[inline(always)]
    pub fn take(&mut self, id: u16) -> Token {
        match self.0[usize::from(id % RING_SIZE)].take() {
            Some(token) => token,
            None => fail("an id that nobody holds"),
        }
    }
}
