//! Security descriptors, as Windows stores them with its files (MS: SECURITY_DESCRIPTOR, ACL, ACCESS_ALLOWED_ACE, SID).

use anyhow::{Context, Result};

/// TrustedInstaller, who owns the files of Windows.
pub const TRUSTED_INSTALLER: &str =
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
/// The system itself.
pub const SYSTEM: &str = "S-1-5-18";
/// The group of administrators.
pub const ADMINISTRATORS: &str = "S-1-5-32-544";
/// The group of users.
pub const USERS: &str = "S-1-5-32-545";
/// Stands for whoever makes a file.
pub const CREATOR_OWNER: &str = "S-1-3-0";

/// All rights; all rights in generic form; to read and run; the same in generic form.
pub const ALL: u32 = 0x001f_01ff;
const GENERIC_ALL: u32 = 0x1000_0000;
/// To read and run.
pub const READ_AND_RUN: u32 = 0x0012_00a9;
const GENERIC_READ_AND_RUN: u32 = 0xa000_0000;
/// To change, but not whose it is.
const CHANGE: u32 = 0x0013_01bf;
/// OBJECT_INHERIT_ACE, CONTAINER_INHERIT_ACE, INHERIT_ONLY_ACE: for what is made in a folder, and not for the folder.
const HANDED_DOWN: u8 = 1 | 2 | 8;
/// INHERITED_ACE.
pub const INHERITED: u8 = 0x10;

/// Who may do what: flags, rights, identity. All entries allow.
pub type Entry<'a> = (u8, u32, &'a str);

/// What a folder of Windows has, without the entries for applications.
pub const OF_FOLDER: [Entry<'static>; 8] = [
    (0, ALL, TRUSTED_INSTALLER),
    (0, CHANGE, SYSTEM),
    (HANDED_DOWN, GENERIC_ALL, SYSTEM),
    (0, CHANGE, ADMINISTRATORS),
    (HANDED_DOWN, GENERIC_ALL, ADMINISTRATORS),
    (0, READ_AND_RUN, USERS),
    (HANDED_DOWN, GENERIC_READ_AND_RUN, USERS),
    (HANDED_DOWN, GENERIC_ALL, CREATOR_OWNER),
];

/// A descriptor of TrustedInstaller's with these entries.
#[must_use]
pub fn descriptor(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut list = Vec::new();
    for (flags, rights, who) in entries {
        let sid = sid(who);
        list.extend([0, *flags]);
        list.extend((8 + sid.len() as u16).to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(sid);
    }
    let owner = sid(TRUSTED_INSTALLER);
    let (header, list_header) = (20u32, 8u32);
    let list_length = list_header + list.len() as u32;
    let owner_at = header + list_length;
    // SE_SELF_RELATIVE, SE_DACL_PROTECTED, SE_DACL_AUTO_INHERITED, SE_DACL_PRESENT.
    let mut bytes = vec![1, 0];
    bytes.extend(0x9404u16.to_le_bytes());
    for number in [owner_at, owner_at + owner.len() as u32, 0, header] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([2, 0]);
    bytes.extend((list_length as u16).to_le_bytes());
    bytes.extend((entries.len() as u32).to_le_bytes());
    bytes.extend(list);
    bytes.extend(owner.repeat(2));
    bytes
}

fn sid(text: &str) -> Vec<u8> {
    let mut numbers = text.split('-').skip(2).map(|part| part.parse::<u32>());
    let authority = numbers.next().and_then(Result::ok).unwrap_or_default();
    let below: Vec<u32> = numbers.filter_map(Result::ok).collect();
    let mut bytes = vec![1, below.len() as u8, 0, 0];
    bytes.extend(authority.to_be_bytes());
    bytes.extend(below.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

/// The entries of a descriptor: flags, rights, identity.
///
/// # Errors
///
/// It is cut off.
pub fn entries(descriptor: &[u8]) -> Result<Vec<(u8, u32, String)>> {
    let word = |at: usize| {
        let bytes = descriptor.get(at..at + 4).context("cut off")?;
        Ok::<_, anyhow::Error>(u32::from_le_bytes(bytes.try_into()?))
    };
    let list = word(16)? as usize;
    let mut at = list + 8;
    let mut found = Vec::new();
    for _ in 0..word(list + 4)? {
        let head = word(at)?;
        let below = usize::from(*descriptor.get(at + 9).context("cut off")?);
        let mut who = format!("S-1-{}", descriptor.get(at + 15).context("cut off")?);
        for number in 0..below {
            who.push_str(&format!("-{}", word(at + 16 + number * 4)?));
        }
        found.push(((head >> 8) as u8, word(at + 4)?, who));
        at += (head >> 16) as usize;
    }
    Ok(found)
}
