//! A PE file with headers and nothing else (MS: "PE Format").

/// IMAGE_FILE_MACHINE_I386.
pub const X86: u16 = 0x014c;
/// IMAGE_FILE_MACHINE_AMD64.
pub const AMD64: u16 = 0x8664;
/// IMAGE_FILE_MACHINE_ARM64.
pub const ARM64: u16 = 0xaa64;

/// A console program for `machine`.
#[must_use]
pub fn program(machine: u16) -> Vec<u8> {
    let is_64 = machine != X86;
    let optional: u16 = if is_64 { 240 } else { 224 };
    let mut file = vec![0; 0x40];
    file[..2].copy_from_slice(b"MZ");
    // e_lfanew
    file[0x3c] = 0x80;
    file.resize(0x80, 0);
    file.extend(b"PE\0\0");
    // Machine, no sections, no time stamp, no symbols, SizeOfOptionalHeader, EXECUTABLE_IMAGE.
    file.extend(machine.to_le_bytes());
    file.extend([0; 14]);
    file.extend(optional.to_le_bytes());
    file.extend(0x0002u16.to_le_bytes());
    let start = file.len();
    let magic: u16 = if is_64 { 0x20b } else { 0x10b };
    file.extend(magic.to_le_bytes());
    file.resize(start + usize::from(optional), 0);
    // NumberOfRvaAndSizes: the data directories, all empty, are its last 16 times 8 bytes.
    let directories = start + usize::from(optional) - 16 * 8;
    file[directories - 4] = 16;
    // Subsystem: console.
    file[start + 68] = 3;
    file.resize(1024, 0);
    file
}
