//! What changes while the disk is used: its capacity, its cache mode, and who has to know.
#![forbid(unsafe_code)]

use crate::disk::{Disk, cache, notice};
use crate::ring::Through;
use crate::state;
use core::sync::atomic::Ordering;
use virtio_core::spec::blk;

impl Disk {
    /// Takes over a capacity that may have changed.
    pub fn look_at_capacity(&self) {
        let offset = core::mem::offset_of!(blk::Config, capacity);
        let Ok(sectors) = self.transport.read_config(|config| config.u64(offset)) else {
            return;
        };
        let mut config = self.rules.config;
        config.set_capacity(sectors);
        if self.blocks.swap(config.blocks, Ordering::Relaxed) != config.blocks {
            self.changed(state::CAPACITY_CHANGED);
        }
    }

    /// Sets the cache mode that a command asked for, which a reset undoes, and finds out which one is in force; the class driver is
    /// told if that is not what the command was answered with. Which writes the queues have to flush from then on.
    #[inline(never)] // used twice or more
    pub fn settle_cache(&self) -> Through {
        let offset = core::mem::offset_of!(blk::Config, writeback);
        if !self.rules.config.cache_mode {
            return Through::None;
        }
        let wanted = match self.cache.load(Ordering::Relaxed) {
            cache::OFF => Some(0),
            cache::ON => Some(1),
            _ => None,
        };
        if let Some(wanted) = wanted {
            let _ = self.transport.write_config_u8(offset, wanted);
        }
        // A mode that cannot be read may be the volatile one.
        let on = !matches!(
            self.transport.read_config(|config| config.u8(offset)),
            Ok(0)
        );
        let before = self.state.set(state::WRITE_CACHE, on);
        match (wanted, on) {
            (Some(0), true) => {
                if !before {
                    self.changed(state::MODE_CHANGED);
                }
                Through::All
            }
            (Some(0), false) => Through::UntilIdle,
            _ => Through::None,
        }
    }

    /// Has the next command answered with what changed, and StorPort look at the unit again. Any IRQL.
    #[inline(never)] // used twice or more
    pub fn changed(&self, bit: u32) {
        if self.rules.polled {
            return; // a command that is answered so would be missing from the dump
        }
        self.state.tell(bit);
        let step = |state| match state {
            notice::NONE => Some(notice::TOLD),
            _ => Some(notice::AGAIN),
        };
        let before = self
            .notice
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        if before == Ok(notice::NONE) {
            self.tell_storport();
        }
    }

    /// Before Windows 8, or if StorPort is busy with another change, the answer to the next command has to do.
    fn tell_storport(&self) {
        if crate::ffi::entry::unit_changed(self.adapter).is_err() {
            self.notice.store(notice::NONE, Ordering::Relaxed);
        }
    }

    /// StorPort has looked at the unit.
    ///
    /// Relaxed here and in `changed`: `notice` publishes nothing, it only decides who tells StorPort. The modifications of one atomic
    /// have one order, and this swap and that update each read the one before theirs (C++20 \[intro.races\], \[atomics.order\],
    /// which Rust's atomics follow): of a change and a look at the same time, one finds the other's.
    pub fn looked(&self) {
        if self.notice.swap(notice::NONE, Ordering::Relaxed) == notice::AGAIN {
            self.notice.store(notice::TOLD, Ordering::Relaxed);
            self.tell_storport();
        }
    }
}
