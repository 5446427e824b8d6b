//! Guest memory of which every byte that was not lent must stay as it was.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ring_device::{Memory, Unreachable};
use virtio_core::mem::{DeviceAddress, Dma, DmaRegion, TableMemory};

/// What lies in memory at first; a driver that takes it for zeros is noticed.
const FILL: u8 = 0xa5;
const PAGE: usize = 4096;

/// The memory of one machine. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct GuestMemory(Arc<Bytes>);

#[derive(Debug)]
struct Bytes {
    base: NonNull<u8>,
    len: usize,
    /// Device addresses that were lent to the driver.
    lent: Mutex<Vec<Range<u64>>>,
}

// SAFETY: the bytes are plain memory bound to no thread; what two sides do to them at once is the rings' business.
unsafe impl Send for Bytes {}
// SAFETY: as above; every access goes through raw pointers, never through a reference.
unsafe impl Sync for Bytes {}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Ok(layout) = Layout::from_size_align(self.len, PAGE) {
            // SAFETY: allocated with the same layout in `GuestMemory::new`; regions lent from it are not used any more (its
            // contract).
            unsafe { dealloc(self.base.as_ptr(), layout) };
        }
    }
}

// SAFETY: the device finds memory in one piece from `START` on, and it never moves.
unsafe impl Dma for GuestMemory {
    fn translates(&self) -> bool {
        false
    }

    fn locate(&self, base: NonNull<u8>, len: usize) -> Option<DeviceAddress> {
        let offset = base.addr().get().checked_sub(self.base().addr().get())?;
        let inside = offset.checked_add(len)? <= self.size();
        inside.then(|| Self::address(Self::START + offset as u64))
    }
}

impl GuestMemory {
    /// Any address, of this memory or of none: what no device of a test looks at need not exist.
    #[must_use]
    pub fn address(at: u64) -> DeviceAddress {
        // SAFETY: a test's device reaches no memory but this, and everything else is refused to it.
        unsafe { Self::given(at) }
    }

    /// Device address of the first byte: neither 0 nor what the processor uses, so that no pointer passes for one.
    pub const START: u64 = 0x4000_0000;

    /// `len` bytes, rounded up to pages. It has to outlive the regions lent from it.
    ///
    /// # Panics
    ///
    /// If there is no such memory.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let len = len.next_multiple_of(PAGE).max(PAGE);
        let layout = Layout::from_size_align(len, PAGE).expect("a few megabytes");
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc(layout) };
        let Some(base) = NonNull::new(base) else {
            handle_alloc_error(layout)
        };
        // SAFETY: `len` bytes were just allocated.
        unsafe { base.as_ptr().write_bytes(FILL, len) };
        Self(Arc::new(Bytes {
            base,
            len,
            lent: Mutex::new(Vec::new()),
        }))
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len
    }

    /// Where the processor finds the first byte.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.0.base
    }

    /// Lends memory to the driver: from now on the driver may change it.
    ///
    /// # Panics
    ///
    /// If it is not all memory.
    #[must_use]
    pub fn lend(&self, address: u64, len: usize) -> DmaRegion {
        let base = self.at(address, len).expect("memory to lend");
        let mut lent = self.lent();
        let inside =
            |range: &Range<u64>| range.start <= address && address + len as u64 <= range.end;
        if !lent.iter().any(inside) {
            lent.push(address..address + len as u64);
        }
        // SAFETY: `at` vouches for `len` bytes, which live as long as the rig; the other code that accesses them is the
        // device, through raw pointers.
        unsafe { Dma::lend(self, base, len) }.expect("memory to lend")
    }

    /// Lends the room for a table at this address, if it is one for a table.
    ///
    /// # Panics
    ///
    /// If it is not all memory.
    #[must_use]
    pub fn lend_table<const N: usize>(&self, address: u64) -> Option<TableMemory<N>> {
        let lent = self.lend(address, N * size_of::<u128>());
        let base = self.at(address, lent.len()).expect("memory to lend");
        // SAFETY: as in `lend`; the memory is aligned for the processor where it is for the device.
        unsafe { TableMemory::new(base, lent.address()) }
    }

    /// Ends all loans, after the driver has given everything back: what it wrote stays, and must not change any more.
    ///
    /// # Panics
    ///
    /// If a byte changed that was never lent.
    pub fn check_guards(&self) {
        let lent = self.lent();
        let mut address = Self::START;
        let end = Self::START + self.size() as u64;
        while address < end {
            if let Some(range) = lent.iter().find(|range| range.contains(&address)) {
                address = range.end;
                continue;
            }
            let stop = lent
                .iter()
                .map(|range| range.start)
                .filter(|start| *start > address)
                .min()
                .unwrap_or(end);
            let mut bytes = vec![0; (stop - address) as usize];
            self.read(address, &mut bytes).expect("guest memory");
            if let Some(at) = bytes.iter().position(|byte| *byte != FILL) {
                panic!(
                    "byte at {:#x} was changed and not lent",
                    address + at as u64
                );
            }
            address = stop;
        }
    }

    fn lent(&self) -> std::sync::MutexGuard<'_, Vec<Range<u64>>> {
        self.0.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, address: u64, len: usize) -> Result<NonNull<u8>, Unreachable> {
        let offset = address
            .checked_sub(Self::START)
            .and_then(|offset| usize::try_from(offset).ok())
            .filter(|offset| offset.checked_add(len).is_some_and(|end| end <= self.0.len))
            .ok_or(Unreachable { address })?;
        // SAFETY: `offset + len` is inside the allocation.
        Ok(unsafe { self.0.base.add(offset) })
    }

    fn word(&self, address: u64) -> Result<&AtomicU16, Unreachable> {
        let at = self.at(address, 2)?.cast::<AtomicU16>();
        if !at.is_aligned() {
            return Err(Unreachable { address });
        }
        // SAFETY: two bytes inside the allocation, aligned, alive as long as `self`; atomics allow others to change them.
        Ok(unsafe { at.as_ref() })
    }
}

impl Memory for GuestMemory {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Unreachable> {
        let from = self.at(address, to.len())?;
        // SAFETY: `at` vouches for the source; the target is this process's own.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Unreachable> {
        let to = self.at(address, from.len())?;
        // SAFETY: as in `read`, the other way round.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), from.len()) };
        Ok(())
    }

    fn load_u16(&self, address: u64) -> Result<u16, Unreachable> {
        // Acquire: what the word shows is read after it; pairs with the driver's release. The trait asks for it.
        Ok(u16::from_le(self.word(address)?.load(Ordering::Acquire)))
    }

    fn store_u16(&self, address: u64, value: u16) -> Result<(), Unreachable> {
        // Release: what was written before is there when the word is seen; pairs with the driver's acquire. The trait asks
        // for it.
        self.word(address)?.store(value.to_le(), Ordering::Release);
        Ok(())
    }
}
