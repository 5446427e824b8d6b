//! What the boot configuration says of the next start: whether every way into Windows lets test-signed drivers pass.
//!
//! The store is a registry hive, `Objects\{GUID}\Elements\XXXXXXXX` with the value `Element`; XXXXXXXX is the element's type in
//! hexadecimal digits, whose second digit is its format (MS: BcdElementType). The numbers are those of MS: BcdBootMgrElementTypes,
//! BcdLibraryElementTypes and BcdOSLoaderElementTypes.

use alloc::string::String;
use alloc::vec::Vec;

/// The boot manager's object (MS: "BCD WMI provider", well-known GUIDs).
const BOOT_MANAGER: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
/// BcdBootMgrObjectList_DisplayOrder: what the menu offers.
const DISPLAY_ORDER: &str = "24000001";
/// BcdBootMgrObjectList_BootSequence: what the next start uses, once.
const BOOT_SEQUENCE: &str = "24000002";
/// BcdBootMgrObject_DefaultObject: what starts when nobody chooses.
const DEFAULT_OBJECT: &str = "23000003";
/// BcdLibraryObjectList_InheritedObjects.
const INHERITED_OBJECTS: &str = "14000006";
/// BcdLibraryBoolean_AllowPrereleaseSignatures, which `bcdedit /set testsigning` sets.
const ALLOW_PRERELEASE_SIGNATURES: &str = "16000049";
/// BcdOSLoaderBoolean_WinPEMode: Windows PE, which starts no driver that was installed.
const WIN_PE_MODE: &str = "26000022";
/// An object for the Windows boot loader (MS: BcdObject, `Type`: 0x1 application, 0x02 boot application, 0x00003 Windows boot
/// loader).
const OS_LOADER: u32 = 0x1020_0003;

/// Reads a store. Each function returns `None` where nothing of that name and type is there.
pub trait Store {
    /// Why it cannot be read.
    type Error;
    /// The type of an object: the number `Type` of its key `Description`.
    fn kind(&mut self, object: &str) -> Result<Option<u32>, Self::Error>;
    /// An element that is a Boolean: binary, of one byte.
    fn boolean(&mut self, object: &str, element: &str) -> Result<Option<bool>, Self::Error>;
    /// An element that names an object: text.
    fn object(&mut self, object: &str, element: &str) -> Result<Option<String>, Self::Error>;
    /// An element that names objects: a list of texts; empty if it is not there.
    fn objects(&mut self, object: &str, element: &str) -> Result<Vec<String>, Self::Error>;
}

/// Whether the next start of Windows lets test-signed drivers pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStart {
    /// Every entry that can be started does.
    Allows,
    /// This entry does not.
    Refuses(String),
    /// The store could not be read, or holds no entry for Windows.
    Unknown,
}

/// Judges every entry for Windows that the boot manager starts by itself or offers.
///
/// All of them count: beside the entry that is running now, another may start the same Windows (a copy for tests is often made with
/// `bcdedit /copy`), and which one that will be is not known here.
pub fn next_start<S: Store>(store: &mut S) -> Result<NextStart, S::Error> {
    let mut entries = store.objects(BOOT_MANAGER, BOOT_SEQUENCE)?;
    entries.extend(store.object(BOOT_MANAGER, DEFAULT_OBJECT)?);
    entries.extend(store.objects(BOOT_MANAGER, DISPLAY_ORDER)?);
    let mut answer = NextStart::Unknown;
    for entry in entries {
        if store.kind(&entry)? != Some(OS_LOADER)
            || store.boolean(&entry, WIN_PE_MODE)? == Some(true)
        {
            continue;
        }
        if allowed(store, &entry, &mut Vec::new())? != Some(true) {
            return Ok(NextStart::Refuses(entry));
        }
        answer = NextStart::Allows;
    }
    Ok(answer)
}

/// What an object says, or the first of those it inherits from that says anything.
fn allowed<S: Store>(
    store: &mut S,
    object: &str,
    seen: &mut Vec<String>,
) -> Result<Option<bool>, S::Error> {
    // A store may be broken so that objects inherit from each other.
    let name = object.to_ascii_lowercase();
    if seen.contains(&name) {
        return Ok(None);
    }
    seen.push(name);
    if let Some(own) = store.boolean(object, ALLOW_PRERELEASE_SIGNATURES)? {
        return Ok(Some(own));
    }
    for parent in store.objects(object, INHERITED_OBJECTS)? {
        if let Some(inherited) = allowed(store, &parent, seen)? {
            return Ok(Some(inherited));
        }
    }
    Ok(None)
}
