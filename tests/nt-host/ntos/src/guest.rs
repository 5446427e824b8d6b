//! Reads and writes memory at addresses that the driver named.
//!
//! Such an address may be anything. A bad one faults here exactly as it would inside ntoskrnl; the machine's fault handler
//! then ends the run and names the import that was called with it. So no kernel state may be borrowed around these calls.

/// The little-endian unsigned integer of 1, 2, 4 or 8 bytes (any size up to 8 works) at `address`.
#[must_use]
pub fn read_uint(address: usize, size: usize) -> u64 {
    let mut bytes = [0_u8; 8];
    if let Some(part) = bytes.get_mut(..size) {
        read(address, part);
    }
    u64::from_le_bytes(bytes)
}

/// Stores the low `size` bytes (at most 8) of `value` at `address`.
pub fn write_uint(address: usize, size: usize, value: u64) {
    if let Some(part) = value.to_le_bytes().get(..size) {
        write(address, part);
    }
}

/// Fills `into` from `address`.
pub fn read(address: usize, into: &mut [u8]) {
    // SAFETY: `into` is ours and exclusive; a bad `address` faults and the run ends (module documentation).
    unsafe { std::ptr::copy(address as *const u8, into.as_mut_ptr(), into.len()) }
}

/// Copies `bytes` to `address`.
pub fn write(address: usize, bytes: &[u8]) {
    // SAFETY: `bytes` is ours; a bad `address` faults and the run ends (module documentation).
    unsafe { std::ptr::copy(bytes.as_ptr(), address as *mut u8, bytes.len()) }
}

/// `len` bytes at `address`.
#[must_use]
pub fn bytes(address: usize, len: usize) -> Vec<u8> {
    let mut all = vec![0; len];
    read(address, &mut all);
    all
}

/// How many of the `len` bytes at `address` are not `value`.
#[must_use]
pub fn others(address: usize, len: usize, value: u8) -> usize {
    // SAFETY: nothing else runs on this thread meanwhile, and a device's write changes a count at most; a bad `address` faults
    // and the run ends (module documentation).
    let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, len) };
    // Summed up in pieces that a byte can count: many bytes at a time.
    let count = |piece: &[u8]| {
        let others = piece.iter().map(|byte| u8::from(*byte != value));
        usize::from(others.fold(0_u8, u8::wrapping_add))
    };
    bytes.chunks(255).map(count).sum()
}

/// Copies `len` bytes between driver addresses; they may overlap.
pub fn copy(to: usize, from: usize, len: usize) {
    // SAFETY: bad addresses fault and the run ends (module documentation).
    unsafe { std::ptr::copy(from as *const u8, to as *mut u8, len) }
}

/// Sets `len` bytes at `address` to `value`.
pub fn fill(address: usize, len: usize, value: u8) {
    // SAFETY: a bad `address` faults and the run ends (module documentation).
    unsafe { std::ptr::write_bytes(address as *mut u8, value, len) }
}

/// The byte at `address`.
#[must_use]
pub fn read_u8(address: usize) -> u8 {
    read_uint(address, 1) as u8
}
/// The `u16` at `address`.
#[must_use]
pub fn read_u16(address: usize) -> u16 {
    read_uint(address, 2) as u16
}
/// The `u32` at `address`.
#[must_use]
pub fn read_u32(address: usize) -> u32 {
    read_uint(address, 4) as u32
}
/// The `u64` at `address`.
#[must_use]
pub fn read_u64(address: usize) -> u64 {
    read_uint(address, 8)
}
/// Stores a byte.
pub fn write_u8(address: usize, value: u8) {
    write_uint(address, 1, value.into());
}
/// Stores a `u16`.
pub fn write_u16(address: usize, value: u16) {
    write_uint(address, 2, value.into());
}
/// Stores a `u32`.
pub fn write_u32(address: usize, value: u32) {
    write_uint(address, 4, value.into());
}
/// Stores a `u64`.
pub fn write_u64(address: usize, value: u64) {
    write_uint(address, 8, value);
}

/// The bytes of the NUL-terminated string at `address`, without the NUL; at most `limit` bytes are read.
#[must_use]
pub fn c_string(address: usize, limit: usize) -> Vec<u8> {
    (0..limit)
        .map(|i| read_u8(address.wrapping_add(i)))
        .take_while(|&byte| byte != 0)
        .collect()
}

/// The UTF-16 units of the NUL-terminated string at `address`, without the NUL; at most `limit` units are read.
#[must_use]
pub fn wide_string(address: usize, limit: usize) -> Vec<u16> {
    (0..limit)
        .map(|i| read_u16(address.wrapping_add(2 * i)))
        .take_while(|&unit| unit != 0)
        .collect()
}
