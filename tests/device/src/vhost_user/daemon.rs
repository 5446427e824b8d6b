//! A running qemu-storage-daemon that exports one disk over vhost-user.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

use crate::qemu::builder::escape;
use crate::qemu::process::{self, Process};

/// Tells the sockets of one process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What lies behind the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Nothing: QEMU's null-co driver of this many bytes answers at once, and reads give what was in the buffer.
    Null(u64),
    /// This raw file, through the page cache.
    Raw(PathBuf),
}

/// The daemon, killed when dropped. It serves one connection after the other.
pub struct Daemon {
    process: Process,
    address: SocketAddr,
}

/// The program, overridden by `WINPV_QEMU_STORAGE_DAEMON`.
fn program() -> OsString {
    std::env::var_os("WINPV_QEMU_STORAGE_DAEMON").unwrap_or_else(|| "qemu-storage-daemon".into())
}

impl Daemon {
    /// Starts it with a disk of so many queues.
    ///
    /// # Errors
    /// It cannot be started, or QEMU is too old.
    pub fn start(medium: &Medium, queues: u16) -> anyhow::Result<Self> {
        process::version()?;
        // Relaxed: a number of its own is all that is wanted.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("winpv-vhost-user-{}-{number}", std::process::id());
        // An abstract name leaves no file behind, and who connects before the daemon is up waits in its queue.
        let address = SocketAddr::from_abstract_name(name)?;
        let listener = UnixListener::bind_addr(&address).context("cannot bind a socket")?;
        let listener = OwnedFd::from(listener);
        let mut arguments: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: OsString| {
            arguments.push(name.into());
            arguments.push(value);
        };
        option("--blockdev", blockdev(medium));
        option("--object", "iothread,id=io".into());
        option(
            "--export",
            format!(
                "vhost-user-blk,id=export,node-name=disk,iothread=io,writable=on,num-queues={queues},addr.type=fd,addr.str={}",
                listener.as_raw_fd()
            )
            .into(),
        );
        let program = program();
        let process = Process::start(&program, &arguments, vec![listener])
            .context("install it with `apt-get install qemu-utils`")?;
        Ok(Self { process, address })
    }

    /// Connects a front end.
    ///
    /// # Errors
    /// The daemon is gone; with what it said.
    pub fn connect(&mut self) -> anyhow::Result<UnixStream> {
        UnixStream::connect_addr(&self.address).with_context(|| self.last_words())
    }

    /// Whether it ended, and what it said.
    pub fn last_words(&mut self) -> String {
        self.process.last_words()
    }
}

fn blockdev(medium: &Medium) -> OsString {
    match medium {
        Medium::Null(bytes) => {
            format!("null-co,node-name=disk,size={bytes},read-zeroes=off").into()
        }
        Medium::Raw(path) => {
            let mut value = OsString::from("driver=file,node-name=disk,discard=unmap,filename=");
            value.push(escape(path));
            value
        }
    }
}
