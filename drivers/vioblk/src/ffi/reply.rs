//! Answers of emulated commands, into the request's buffer.

use storport::Srb;

/// Copies as much of `reply` as the buffer has room for; the bytes copied. The command is none that moves disk data, so
/// StorPort has mapped its buffer.
pub fn write(srb: &mut Srb, reply: &[u8]) -> u32 {
    // SAFETY: MapBuffers is STOR_MAP_NON_READ_WRITE_BUFFERS or more, and the command is neither READ nor WRITE.
    let buffer = unsafe { srb.mapped_data() };
    for (to, from) in buffer.iter_mut().zip(reply) {
        *to = *from;
    }
    u32::try_from(buffer.len().min(reply.len())).unwrap_or(0)
}
