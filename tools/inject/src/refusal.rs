//! Why an image is left alone, and what to do about it. A refusal always comes before anything is changed.

use crate::trust::Trust;
use crate::windows::Machine;

/// Why an image is left alone. Each has a line in docs/inject.md and a test.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an ordinary file.
    #[error(
        "{0} is not a file: give the image itself; a disk that is a device is first copied with `qemu-img convert`"
    )]
    NotAFile(String),
    /// Another name of the file would keep the old content.
    #[error(
        "{0} has {1} names (hard links), and only one of them would get the new image: copy it first"
    )]
    HardLinks(String, u64),
    /// Image or folder may not be written.
    #[error("{0} is read-only: run `chmod u+w` on it, or work on a copy")]
    ReadOnly(String),
    /// Somebody else's file.
    #[error(
        "{0} belongs to user {1}, and only root could give the new image to them: run as that user, or as root"
    )]
    NotYours(String, u32),
    /// The copy does not fit.
    #[error(
        "the copy to work on needs {needed} MiB beside the image, but only {free} MiB are free in {folder}"
    )]
    NoSpace {
        /// MiB that are needed.
        needed: u64,
        /// MiB that are free.
        free: u64,
        /// Where.
        folder: String,
    },
    /// A file system without locks, such as NFS for a file that is only read.
    #[error("{0} cannot be locked ({1}): copy it to a local disk, and back when that is done")]
    NoLock(String, String),
    /// A second run at the same time.
    #[error("another `winpv inject` is working on {0}")]
    Busy(String),
    /// A virtual machine has it open.
    #[error("{0} is in use: shut the virtual machine down first ({1})")]
    InUse(String, String),
    /// A format of which a copy of the file is not a copy of the disk, or which cannot be written in place.
    #[error("{0} is {1}: convert it first with `qemu-img convert -O qcow2`")]
    Format(String, String),
    /// A medium, as Windows comes on.
    #[error(
        "{0} is an ISO: take boot.wim and install.wim out of its folder `sources` (`7z x`, or mount it), inject into those, and make a \
         medium of them again"
    )]
    Iso(String),
    /// A WIM that can only be read from its start to its end.
    #[error(
        "{0} is a pipable WIM: make a usual one of it with `wimlib-imagex export {0} all NEW.wim`"
    )]
    Pipable(String),
    /// Neither a WIM nor a disk.
    #[error("{0} is neither a WIM file nor a disk that QEMU can read: {1}")]
    NoImage(String, String),

    /// One part of several.
    #[error(
        "the WIM is part {part} of {parts}: join the parts first with `wimlib-imagex join NEW.wim {name}`"
    )]
    SplitWim {
        /// This part.
        part: u16,
        /// All parts.
        parts: u16,
        /// What to join.
        name: String,
    },
    /// Solid compression, as in an ESD.
    #[error(
        "this is an ESD (solid compression), which Windows Setup does not service: make a WIM of it with \
         `wimlib-imagex export FILE all NEW.wim --compress=LZX`"
    )]
    Esd,
    /// Marked read-only.
    #[error(
        "the WIM is marked read-only: export it to a new one with `wimlib-imagex export FILE all NEW.wim`"
    )]
    WimReadOnly,
    /// Somebody is writing it, or stopped in the middle.
    #[error("the WIM is marked as being written: another program is at work, or was stopped")]
    WimInProgress,
    /// Checksums do not match.
    #[error("the WIM is damaged, get an undamaged copy:\n{0}")]
    WimDamaged(String),
    /// No such image in the WIM.
    #[error("the WIM has no image {index}: it has {images}; see `wimlib-imagex info FILE`")]
    NoSuchIndex {
        /// What was asked for.
        index: u32,
        /// How many it has.
        images: u32,
    },
    /// Nobody can know where this will boot.
    #[error(
        "the drivers are test-signed, and a WIM holds no boot configuration: each machine that boots this image must have \
         testsigning on and Secure Boot off, or it stops with 0xC0000428. For boot.wim, set it in the BCD of the boot medium \
         (`bcdedit /store BCD /set {{default}} testsigning on`). If you will see to that, repeat with --accept-test-signed"
    )]
    WimTestSigned,

    /// Encrypted.
    #[error(
        "{0} is encrypted with BitLocker: in Windows, turn it off (`manage-bde -off C:`) and wait until it is decrypted"
    )]
    BitLocker(String),
    /// Encrypted by other means or empty.
    #[error("no Windows in the image{0}")]
    NoWindows(String),
    /// More than one.
    #[error("several installations of Windows ({0}): say which with --root")]
    SeveralWindows(String),
    /// hiberfil.sys holds a session.
    #[error(
        "Windows is hibernated (Fast Startup does that at every shutdown) and would overwrite the changes when it resumes: \
         start it, run `powercfg /h off`, and shut it down with `shutdown /s /t 0`"
    )]
    Hibernated,
    /// The volume needs chkdsk or was not unmounted.
    #[error(
        "the NTFS volume {volume} is not clean ({why}): start Windows, let it check the disk, and shut it down with `shutdown /s /t 0`"
    )]
    DirtyVolume {
        /// Which.
        volume: String,
        /// How that shows.
        why: String,
    },
    /// A hive waits for its log files.
    #[error(
        "the registry hive {0} is not complete, part of it is in its log files: start Windows and shut it down with `shutdown /s /t 0`"
    )]
    HiveDirty(String),
    /// Not a hive.
    #[error("{0} is not a registry hive, or a damaged one")]
    HiveDamaged(String),
    /// A value or key that every Windows has is missing.
    #[error("the registry has no {0}: this is not a Windows that can be served")]
    Registry(String),
    /// 32-bit or unknown.
    #[error("this Windows is for {0}: only 64-bit x64 and ARM64 are served")]
    Architecture(Machine),
    /// Too old.
    #[error(
        "this is Windows build {0}: Windows 10 1607 or Server 2016 (build 14393) is the oldest that the drivers run on"
    )]
    TooOld(u32),

    /// The pack has nothing for this machine.
    #[error("the pack has no drivers for {0}, only for {1}")]
    WrongArchitecture(Machine, String),
    /// Windows would refuse it.
    #[error(
        "{package}: {file} is {trust}, and Windows does not load a boot-start driver like that"
    )]
    Signature {
        /// The package.
        package: String,
        /// The driver file.
        file: String,
        /// What was found.
        trust: Trust,
    },
    /// Signed, but Windows would find the signature wrong.
    #[error(
        "{package}: the signature of {file} is not good, and Windows does not load a boot-start driver like that: {problem}; \
         `winpv verify` says more"
    )]
    BadSignature {
        /// The package.
        package: String,
        /// The driver file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// Windows Server may refuse it.
    #[error(
        "{package}: {file} has Microsoft's attestation signature alone, and Microsoft says that Windows Server 2016 and later \
         load only drivers that passed the tests of the Hardware Lab Kit. Where they do load, repeat with \
         --accept-attestation-on-server"
    )]
    AttestedOnServer {
        /// The package.
        package: String,
        /// The driver file.
        file: String,
    },
    /// The image's own driver file is newer.
    #[error(
        "{path} in the image is a newer driver than the pack's ({found}, not {own}): take a pack that is at least as new, or repeat \
         with --allow-older"
    )]
    NewerDriver {
        /// The driver file in the image.
        path: String,
        /// Its version.
        found: String,
        /// The pack's.
        own: String,
    },
    /// The BCD says no.
    #[error(
        "the drivers are test-signed, but testsigning is off in {store} for {entries}: Windows would stop with 0xC0000428. \
         Repeat with --enable-testsigning (Secure Boot must be off), or take a pack that Microsoft signed"
    )]
    TestSigningOff {
        /// The store.
        store: String,
        /// The entries that can start this Windows and do not have it on.
        entries: String,
    },
    /// Nothing in the pack asks for what would make this Windows take anybody's drivers.
    #[error(
        "no driver of the pack for this Windows is test-signed: testsigning is not needed, and with it Windows would load drivers \
         that nobody vouches for. Repeat without --enable-testsigning"
    )]
    TestSigningNotNeeded,
    /// No BCD where the machine looks for it.
    #[error(
        "the drivers are test-signed, and this disk has no boot configuration that could allow them (no {0}); it may lie on \
         another disk of the machine: run `bcdedit /set testsigning on` in Windows"
    )]
    NoBcd(String),
    /// A BCD without this Windows.
    #[error(
        "the drivers are test-signed, and no entry of {0} starts this Windows: it is started from another disk, or its boot \
         configuration is damaged"
    )]
    NoBcdEntry(String),
}
