//! The workload through Linux's own driver: the same operations in the same order, by as many threads as may be in flight.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, bail};
use host_disk::Disk;
use nt_host::plan::{Kind, Operation};
use rustix::fs::OFlags;

/// Bytes of an operation.
pub const BLOCK: usize = 4096;

/// What an operation reads into and writes from: O_DIRECT wants it aligned.
#[repr(C, align(4096))]
struct Buffer([u8; BLOCK]);

struct State {
    disk: Disk,
    left: VecDeque<Operation>,
    done: u64,
    wrong: Option<String>,
}

/// Does these operations past the page cache, `depth` at a time; gives back the disk with what was written, and how many ended.
pub fn work(
    path: &Path,
    disk: Disk,
    operations: VecDeque<Operation>,
    depth: usize,
) -> anyhow::Result<(Disk, u64)> {
    let direct = i32::try_from(OFlags::DIRECT.bits())?;
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(direct)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let state = Mutex::new(State {
        disk,
        left: operations,
        done: 0,
        wrong: None,
    });
    thread::scope(|scope| {
        for _ in 0..depth {
            scope.spawn(|| worker(&file, &state));
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.wrong {
        Some(wrong) => bail!("{wrong}"),
        None => Ok((state.disk, state.done)),
    }
}

/// Takes operations until there are no more or something went wrong.
fn worker(file: &File, state: &Mutex<State>) {
    let mut buffer = Box::new(Buffer([0; BLOCK]));
    loop {
        let mut now = lock(state);
        if now.wrong.is_some() {
            return;
        }
        let Some(operation) = now.left.pop_front() else {
            return;
        };
        let generation = now.disk.next_generation();
        if operation.kind == Kind::Write {
            now.disk.fill(operation.lba, generation, &mut buffer.0);
        }
        drop(now);
        let at = operation.lba * BLOCK as u64;
        let result = match operation.kind {
            Kind::Read => file.read_exact_at(&mut buffer.0, at),
            Kind::Write => file.write_all_at(&buffer.0, at),
            Kind::Flush => file.sync_data(),
        };
        let mut now = lock(state);
        let result = match (result, operation.kind) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), Kind::Read) => now.disk.check(operation.lba, &buffer.0),
            (Ok(()), Kind::Write) => {
                now.disk.wrote(operation.lba, 1, generation);
                Ok(())
            }
            (Ok(()), Kind::Flush) => Ok(()),
        };
        match result {
            Ok(()) => now.done += 1,
            Err(wrong) => now.wrong = Some(format!("{operation:?}: {wrong}")),
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
