//! The log: one line a step, in \Windows\Logs\WinPV\setup.log and on the console; a dry run writes to the console alone.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use core::fmt;
use core::ptr::{null, null_mut};

use super::import::{
    CloseHandle, CreateDirectoryW, CreateFileW, GetLocalTime, GetStdHandle,
    GetSystemWindowsDirectoryW, Handle, INVALID_HANDLE, Time, WriteFile,
};
use super::text::{narrow, wide};

/// STD_OUTPUT_HANDLE (winbase.h).
const STANDARD_OUTPUT: u32 = 0xFFFF_FFF5;

/// Where the lines go. A log that cannot be opened stops nothing: the work is noted in the registry.
pub struct Log {
    file: Option<Handle>,
}

impl Log {
    /// No file: for what must leave no trace.
    pub const fn console() -> Log {
        Log { file: None }
    }

    /// Opens the log at its end. The folder belongs to administrators, so that no one else can point it elsewhere.
    pub fn open() -> Log {
        const FILE_APPEND_DATA: u32 = 4;
        const FILE_SHARE_READ_WRITE: u32 = 3;
        const OPEN_ALWAYS: u32 = 4;
        const FILE_ATTRIBUTE_NORMAL: u32 = 0x80;
        let windows = windows_folder();
        for folder in [r"Logs", r"Logs\WinPV"] {
            let path = wide(&format!(r"{windows}\{folder}"));
            // SAFETY: the path ends in zero. That the folder is there already is no failure.
            unsafe { CreateDirectoryW(path.as_ptr(), null()) };
        }
        let path = wide(&format!(r"{windows}\Logs\WinPV\setup.log"));
        // SAFETY: the path ends in zero; security and template are optional.
        let file = unsafe {
            CreateFileW(
                path.as_ptr(),
                FILE_APPEND_DATA,
                FILE_SHARE_READ_WRITE,
                null(),
                OPEN_ALWAYS,
                FILE_ATTRIBUTE_NORMAL,
                null_mut(),
            )
        };
        Log {
            file: (file != INVALID_HANDLE).then_some(file),
        }
    }

    /// Writes one line with the local time in front of it.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        let mut now = Time::default();
        // SAFETY: `now` receives the time.
        unsafe { GetLocalTime(&raw mut now) };
        let stamped = format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02} {line}\r\n",
            now.year, now.month, now.day, now.hour, now.minute, now.second
        );
        if let Some(file) = self.file {
            write(file, &stamped);
        }
        print(&format!("{line}\r\n"));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // SAFETY: the handle is ours and is closed once.
            unsafe { CloseHandle(file) };
        }
    }
}

/// Writes to standard output, if there is one: the installer starts the program without.
pub fn print(text: &str) {
    // SAFETY: returns a handle, null or an invalid handle.
    let output = unsafe { GetStdHandle(STANDARD_OUTPUT) };
    if !output.is_null() && output != INVALID_HANDLE {
        write(output, text);
    }
}

fn write(file: Handle, text: &str) {
    let mut written = 0;
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    // SAFETY: `text` has the bytes that `length` says.
    unsafe { WriteFile(file, text.as_ptr(), length, &raw mut written, null_mut()) };
}

/// `C:\Windows`.
pub fn windows_folder() -> String {
    let mut buffer = vec![0_u16; 260];
    // SAFETY: `buffer` has the characters that are said.
    unsafe { GetSystemWindowsDirectoryW(buffer.as_mut_ptr(), 260) };
    narrow(&buffer)
}
