//! Copies between a request's mapped data buffer and a bounce page.

use crate::ffi::dma::region;
use crate::limits::PAGE;
use crate::request::Request;
use storport::Dma;

/// The request's data buffer, mapped, and the bytes to copy.
fn buffer(request: &Request) -> Option<(*mut u8, usize)> {
    let (data, len) = request.srb.as_ref()?.data();
    let bytes = request.bytes.min(len).min(PAGE) as usize;
    (!data.is_null()).then_some((data, bytes))
}

/// Copies what the device has to write to the disk into the page.
pub fn copy_out(request: &Request, page: Dma) {
    let Some((data, bytes)) = buffer(request) else {
        return;
    };
    let Some(mut page) = region(page) else {
        return;
    };
    for offset in 0..bytes {
        // SAFETY: the adapter has its data buffers mapped (STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE) when there are bounce
        // pages, and `offset` lies inside the buffer.
        let byte = unsafe { data.wrapping_add(offset).read() };
        let _ = page.write(offset, byte);
    }
}

/// Copies what the device has read from the disk out of the page.
pub fn copy_in(request: &mut Request, page: Dma) {
    let Some((data, bytes)) = buffer(request) else {
        return;
    };
    let Some(page) = region(page) else {
        return;
    };
    for offset in 0..bytes {
        let byte = page.read::<u8>(offset).unwrap_or(0);
        // SAFETY: as above.
        unsafe { data.wrapping_add(offset).write(byte) };
    }
}
