//! Mapping of the device's registers.

use core::ptr::NonNull;
use storport::FindAdapter;
use storport::find::Mapped;
use storport::sys::ACCESS_RANGE;
use virtio_core::mmio::MmioWindow;
use virtio_core::transport::Location;

/// Memory BARs that are mapped already: each is mapped once, whole.
pub struct Bars([Option<Mapped>; 6]);

impl Bars {
    /// None yet.
    pub const fn new() -> Self {
        Self([None; 6])
    }

    /// The window that a location names, in the BAR with this range.
    pub fn window(
        &mut self,
        find: &FindAdapter<'_>,
        range: &ACCESS_RANGE,
        location: Location,
    ) -> Option<MmioWindow> {
        let bar = self.0.get_mut(usize::from(location.bar))?;
        let mapped = match bar {
            Some(mapped) => *mapped,
            None => *bar.insert(find.map(range)?),
        };
        let (offset, len) = (location.offset as usize, location.len as usize);
        if mapped.io_space || offset.checked_add(len)? > mapped.len {
            return None;
        }
        let base = NonNull::new(mapped.va.as_ptr().wrapping_add(offset))?;
        // SAFETY: StorPort mapped `mapped.len` bytes of device memory, uncached, until it frees the adapter, after which no
        // routine of the driver runs; the window lies inside, and nobody makes references to it.
        Some(unsafe { MmioWindow::new(base, len) })
    }
}
