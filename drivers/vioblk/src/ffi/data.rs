//! The data buffer of requests that StorPort maps: of commands all but READ and WRITE, and of questions of plug and play.

use crate::scsi::Parameters;
use storport::Srb;

/// Copies as much of `reply` as the buffer has room for; the bytes copied. The command is none that moves disk data, so
/// StorPort has mapped its buffer.
pub fn write(srb: &mut Srb, reply: &[u8]) -> u32 {
    write_at(srb, 0, reply)
}

/// The same, from a place in the buffer on.
pub fn write_at(srb: &mut Srb, offset: usize, reply: &[u8]) -> u32 {
    // SAFETY: MapBuffers is STOR_MAP_NON_READ_WRITE_BUFFERS or more, and the command is neither READ nor WRITE; that of a question of plug
    // and play is memory for the answer (MS: ns-storport-_stor_device_capabilities, "in the DataBuffer member of the SRB").
    let buffer = unsafe { srb.mapped_data() };
    let buffer = buffer.get_mut(offset..).unwrap_or_default();
    for (to, from) in buffer.iter_mut().zip(reply) {
        *to = *from;
    }
    u32::try_from(buffer.len().min(reply.len())).unwrap_or(0)
}

/// The data of a command that is neither READ nor WRITE.
pub struct SrbData<'a>(pub &'a Srb);

impl Parameters for SrbData<'_> {
    fn size(&self) -> usize {
        match self.0.data() {
            (data, _) if data.is_null() => 0,
            (_, len) => len as usize,
        }
    }

    fn copy(&self, offset: usize, to: &mut [u8]) -> bool {
        let (data, _) = self.0.data();
        let inside = offset
            .checked_add(to.len())
            .is_some_and(|end| end <= self.size());
        if !inside {
            return false;
        }
        for (index, to) in to.iter_mut().enumerate() {
            let at = data.wrapping_add(offset).wrapping_add(index);
            // SAFETY: StorPort maps the buffer (as above) until the request completes, and the byte lies inside. Volatile, because
            // the buffer may be a program's, which can write to it at any time.
            *to = unsafe { at.read_volatile() };
        }
        true
    }
}
