//! hyperlight-common: the producer of its packed ring, over plain memory.

use std::convert::Infallible;
use std::num::NonZeroU16;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use hyperlight_common::virtq::{
    BufferChainBuilder, Layout, MemOps, RingCursor, RingError, RingProducer,
};
use ring_device::Setup;
use ring_subjects::{Mode, RING_SIZE};

use ring_subjects::memory::Arena;
use ring_subjects::work::{DATA, HEADER, Held, STATUS, Subject, Taken, Token, fail};

/// The process's memory by its own addresses.
struct Identity;

fn at<T>(address: u64) -> *mut T {
    ptr::with_exposed_provenance_mut(address as usize)
}

// SAFETY: the ring's layout names memory of the arena only, which is valid for ever and aligned.
unsafe impl MemOps for Identity {
    type Error = Infallible;

    #[inline(always)]
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Infallible> {
        // SAFETY: the ring reads its own memory only.
        unsafe { ptr::copy_nonoverlapping(at(address), to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    #[inline(always)]
    fn write(&self, address: u64, from: &[u8]) -> Result<(), Infallible> {
        // SAFETY: the ring writes its own memory only.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), at(address), from.len()) };
        Ok(())
    }

    #[inline(always)]
    fn load_acquire(&self, address: u64) -> Result<u16, Infallible> {
        // SAFETY: a word of the ring, which is aligned.
        Ok(unsafe { AtomicU16::from_ptr(at(address)) }.load(Ordering::Acquire))
    }

    #[inline(always)]
    fn store_release(&self, address: u64, value: u16) -> Result<(), Infallible> {
        // SAFETY: a word of the ring, which is aligned.
        unsafe { AtomicU16::from_ptr(at(address)) }.store(value, Ordering::Release);
        Ok(())
    }

    unsafe fn as_slice(&self, _: u64, _: usize) -> Result<&[u8], Infallible> {
        fail("the ring asks for a slice")
    }

    unsafe fn as_mut_slice(&self, _: u64, _: usize) -> Result<&mut [u8], Infallible> {
        fail("the ring asks for a slice")
    }
}

/// The queue, where its last publication ended, and the requests by the numbers that the queue gave them.
pub struct Theirs {
    queue: RingProducer<Identity>,
    published: RingCursor,
    held: Held,
    setup: Setup,
}

impl Theirs {
    pub fn new(arena: &mut Arena, mode: Mode) -> Self {
        let size = NonZeroU16::new(RING_SIZE).unwrap_or(NonZeroU16::MIN);
        let base = arena.take(Layout::query_size(usize::from(RING_SIZE)), 4096);
        // SAFETY: the memory is as long and as aligned as it has to be, and lives for ever.
        let layout = unsafe { Layout::from_base(base.expose_provenance() as u64, size) };
        let layout = layout.unwrap_or_else(|_| fail("layout refused"));
        let queue = RingProducer::new(layout, Identity);
        Self {
            published: queue.avail_cursor(),
            queue,
            held: Held::new(),
            setup: Setup {
                packed: true,
                size: RING_SIZE,
                descriptor: layout.desc_table_addr(),
                driver: layout.drv_evt_addr(),
                device: layout.dev_evt_addr(),
                indirect: false,
                event_idx: mode.event_idx,
                in_order: false,
            },
        }
    }
}

impl Subject for Theirs {
    type Kick = bool;

    fn setup(&self) -> Setup {
        self.setup
    }

    #[inline(always)]
    fn add(&mut self, token: Token, three: bool) {
        let address = |at: *mut u8| at.addr() as u64;
        let mut chain = BufferChainBuilder::new()
            .readable(address(token.header), HEADER as u32)
            .writable(address(token.data), DATA as u32);
        if three {
            chain = chain.writable(address(token.status), STATUS as u32);
        }
        let added = match chain.build() {
            Ok(chain) => self.queue.submit_available(&chain),
            Err(_) => fail("chain refused"),
        };
        match added {
            Ok(id) => self.held.put(id, token),
            Err(_) => fail("request refused"),
        }
    }

    #[inline(always)]
    fn publish(&mut self) -> bool {
        match self.queue.should_notify_since(self.published) {
            Ok(needed) => {
                self.published = self.queue.avail_cursor();
                needed
            }
            Err(_) => fail("no decision"),
        }
    }

    fn needed(kick: &bool) -> bool {
        *kick
    }

    fn notify(&mut self, _: bool) {}

    #[inline(always)]
    fn disarm(&mut self) {
        if self.queue.disable_used_notifications().is_err() {
            fail("cannot disarm");
        }
    }

    #[inline(always)]
    fn take(&mut self, _three: bool) -> Option<Taken> {
        match self.queue.poll_used() {
            Ok(used) => Some(Taken {
                token: self.held.take(used.id),
                written: used.len,
            }),
            Err(RingError::WouldBlock) => None,
            Err(_) => fail("queue broken"),
        }
    }

    #[inline(always)]
    fn arm(&mut self) -> bool {
        let armed = if self.setup.event_idx {
            self.queue.enable_used_notifications_for_next()
        } else {
            self.queue.enable_used_notifications()
        };
        if armed.is_err() {
            fail("cannot arm");
        }
        // The ring has no other look that takes nothing.
        !matches!(self.queue.poll_used(), Err(RingError::WouldBlock))
    }
}
