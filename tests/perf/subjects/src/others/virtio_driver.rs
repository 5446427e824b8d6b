//! virtio-driver: its `Virtqueue`, with an address translation that does nothing.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use ring_device::Setup;
use ring_subjects::memory::Arena;
use ring_subjects::work::{DATA, HEADER, Held, STATUS, Subject, Taken, Token, fail};
use ring_subjects::{Mode, RING_SIZE};
use virtio_driver::virtqueue::{Virtqueue, VirtqueueLayout};
use virtio_driver::{IovaTranslator, Le32, VhostUser, VirtioFeatureFlags, VirtioTransport, iovec};

/// The address translation of its vhost-user transport, which does nothing. No other can be made from outside: the method
/// to implement returns a type that the crate keeps to itself. So there has to be a back end for a moment.
fn identity() -> io::Result<Box<dyn IovaTranslator>> {
    let path = std::env::temp_dir().join(format!("ring-others-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    std::thread::spawn(move || listener.accept().and_then(|(peer, _)| answer(peer)));
    let name = path.to_string_lossy();
    let transport = VhostUser::<Le32, ()>::new(&name, VirtioFeatureFlags::VERSION_1.bits());
    std::fs::remove_file(&path)?;
    Ok(transport?.iova_translator())
}

/// A vhost-user back end that agrees to everything, until its peer goes.
fn answer(mut peer: UnixStream) -> io::Result<()> {
    loop {
        let mut header = [[0; 4]; 3];
        peer.read_exact(header.as_flattened_mut())?;
        let [request, flags, len] = header.map(u32::from_le_bytes);
        io::copy(&mut (&peer).take(u64::from(len)), &mut io::sink())?;
        // vhost-user: the requests that ask for a value are answered with it, others with 0 if they say so (bit 3).
        let value: u64 = match request {
            // GET_FEATURES, GET_PROTOCOL_FEATURES
            1 | 15 => !0,
            // GET_QUEUE_NUM, GET_MAX_MEM_SLOTS
            17 | 36 => 1,
            _ if flags & 8 != 0 => 0,
            _ => continue,
        };
        // Version 1, reply (bit 2), eight bytes.
        for word in [request, 1 | 4, 8] {
            peer.write_all(&word.to_le_bytes())?;
        }
        peer.write_all(&value.to_le_bytes())?;
    }
}

/// The queue, and the requests by the numbers that the queue gave them. Its request data in ring memory is left empty: the
/// header lies with the driver's caller, as for every other implementation.
pub struct Theirs {
    queue: Virtqueue<'static, ()>,
    held: Held,
    setup: Setup,
}

impl Theirs {
    pub fn new(arena: &mut Arena, mode: Mode) -> Self {
        let mut features = VirtioFeatureFlags::VERSION_1;
        features.set(VirtioFeatureFlags::RING_PACKED, mode.packed);
        features.set(VirtioFeatureFlags::RING_EVENT_IDX, mode.event_idx);
        let layout = VirtqueueLayout::new::<()>(1, usize::from(RING_SIZE), features)
            .unwrap_or_else(|error| fail(&error.to_string()));
        let translator = identity().unwrap_or_else(|error| fail(&error.to_string()));
        let memory = arena.take(layout.end_offset, 4096);
        // SAFETY: the arena hands out each byte once and never takes it back.
        let memory = unsafe { std::slice::from_raw_parts_mut(memory, layout.end_offset) };
        let queue = Virtqueue::new(translator, memory, RING_SIZE, features)
            .unwrap_or_else(|error| fail(&error.to_string()));
        let address = |at: *const u8| at.expose_provenance() as u64;
        Self {
            setup: Setup {
                packed: mode.packed,
                size: RING_SIZE,
                descriptor: address(queue.desc_table_ptr()),
                driver: address(queue.driver_area_ptr()),
                device: address(queue.device_area_ptr()),
                indirect: false,
                event_idx: mode.event_idx,
                in_order: false,
            },
            queue,
            held: Held::new(),
        }
    }
}

/// A part of a request.
#[inline(always)]
fn part(at: *mut u8, len: usize) -> iovec {
    iovec {
        iov_base: at.cast(),
        iov_len: len,
    }
}

impl Subject for Theirs {
    type Kick = bool;

    fn setup(&self) -> Setup {
        self.setup
    }

    #[inline(always)]
    fn add(&mut self, token: Token, three: bool) {
        let added = self.queue.add_request(|(), add| {
            add(part(token.header, HEADER), false)?;
            add(part(token.data, DATA), true)?;
            if three {
                add(part(token.status, STATUS), true)?;
            }
            Ok(())
        });
        match added {
            Ok(id) => self.held.put(id, token),
            Err(_) => fail("request refused"),
        }
    }

    #[inline(always)]
    fn publish(&mut self) -> bool {
        self.queue.avail_notif_needed()
    }

    fn needed(kick: &bool) -> bool {
        *kick
    }

    fn notify(&mut self, _: bool) {}

    #[inline(always)]
    fn disarm(&mut self) {
        self.queue.set_used_notif_enabled(false);
    }

    #[inline(always)]
    fn take(&mut self, _three: bool) -> Option<Taken> {
        let id = self.queue.completions().next()?.id;
        let token = self.held.take(id);
        Some(Taken { token, written: 0 })
    }

    #[inline(always)]
    fn arm(&mut self) -> bool {
        self.queue.set_used_notif_enabled(true);
        self.queue.completions().has_next()
    }
}
