//! Copies between a request's mapped data buffer and a bounce page.

use crate::ffi::dma::region;
use crate::limits::PAGE;
use crate::request::Request;
use storport::Dma;

/// The request's data buffer, mapped, if it has `bytes` bytes and they fit into a page.
fn buffer(request: &Request, bytes: u32) -> Option<(*mut u8, usize)> {
    let (data, len) = request.srb.as_ref()?.data();
    let whole = !data.is_null() && bytes <= len.min(PAGE);
    whole.then_some((data, bytes as usize))
}

/// Copies the `bytes` bytes that the device has to write to the disk into the page. False: not all of it, so that the page must not be sent.
#[must_use]
pub fn copy_out(request: &Request, bytes: u32, page: Dma) -> bool {
    let (Some((data, bytes)), Some(mut page)) = (buffer(request, bytes), region(page)) else {
        return false;
    };
    (0..bytes).all(|offset| {
        // SAFETY: the adapter has its data buffers mapped (STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE) when there are bounce
        // pages, and `offset` lies inside the buffer.
        let byte = unsafe { data.wrapping_add(offset).read() };
        page.write(offset, byte).is_ok()
    })
}

/// Copies what the device has read from the disk out of the page. False: not all of it, so that the request has failed.
#[must_use]
pub fn copy_in(request: &mut Request, page: Dma) -> bool {
    let (Some((data, bytes)), Some(page)) = (buffer(request, request.bytes), region(page)) else {
        return false;
    };
    (0..bytes).all(|offset| {
        let Ok(byte) = page.read::<u8>(offset) else {
            return false;
        };
        // SAFETY: as above.
        unsafe { data.wrapping_add(offset).write(byte) };
        true
    })
}
