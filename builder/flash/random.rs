//! GUIDs that no other disk has.

use anyhow::{Context as _, Result, bail};
use rustix::rand::{GetRandomFlags, getrandom};

/// A random GUID in text order (RFC 9562, version 4).
///
/// # Errors
/// If the kernel has no random numbers.
pub fn guid() -> Result<[u8; 16]> {
    let mut guid = [0; 16];
    if getrandom(&mut guid, GetRandomFlags::empty()).context("asking the kernel for random numbers")? != 16 {
        bail!("the kernel gave too few random numbers");
    }
    guid[6] = (guid[6] & 0x0f) | 0x40;
    guid[8] = (guid[8] & 0x3f) | 0x80;
    Ok(guid)
}
