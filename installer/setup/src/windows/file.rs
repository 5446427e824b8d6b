//! Files that are read as a whole.

use alloc::vec;
use alloc::vec::Vec;
use core::ptr::{null, null_mut};

use super::import::{
    CloseHandle, CreateFileW, FILE_NOT_FOUND, Handle, INVALID_HANDLE, PATH_NOT_FOUND, ReadFile,
    last,
};
use super::text::wide;
use crate::system::WinError;

/// A file that is open for reading.
struct File(Handle);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is closed once.
        unsafe { CloseHandle(self.0) };
    }
}

/// A file's bytes; `None` if there is no such file.
pub fn read(path: &str) -> Result<Option<Vec<u8>>, WinError> {
    const CHUNK: u32 = 1 << 16;
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut content = Vec::new();
    let mut chunk = vec![0; CHUNK as usize];
    loop {
        let mut length = 0;
        // SAFETY: the file is open; `chunk` has the bytes that are said.
        let done = unsafe {
            ReadFile(
                file.0,
                chunk.as_mut_ptr(),
                CHUNK,
                &raw mut length,
                null_mut(),
            )
        };
        if done == 0 {
            return Err(last("ReadFile"));
        }
        // MS: nf-fileapi-readfile: success with no bytes is the end of the file.
        let Some(read @ [_, ..]) = chunk.get(..length as usize) else {
            return Ok(Some(content));
        };
        content.extend_from_slice(read);
    }
}

fn open(path: &str) -> Result<Option<File>, WinError> {
    const GENERIC_READ: u32 = 0x8000_0000;
    // Whoever has the file open may go on with it.
    const FILE_SHARE_ALL: u32 = 7;
    const OPEN_EXISTING: u32 = 3;
    const FILE_ATTRIBUTE_NORMAL: u32 = 0x80;
    let path = wide(path);
    // SAFETY: the path ends in zero; security and template are optional.
    let file = unsafe {
        CreateFileW(
            path.as_ptr(),
            GENERIC_READ,
            FILE_SHARE_ALL,
            null(),
            OPEN_EXISTING,
            FILE_ATTRIBUTE_NORMAL,
            null_mut(),
        )
    };
    if file != INVALID_HANDLE {
        return Ok(Some(File(file)));
    }
    match last("CreateFileW") {
        WinError {
            code: FILE_NOT_FOUND | PATH_NOT_FOUND,
            ..
        } => Ok(None),
        error => Err(error),
    }
}
