//! Whose an encrypted partition is, as its header says it: firmware/initrd/boxwright/encryption.sh writes the box's name there.
//!
//! The format is LUKS2's binary header: <https://gitlab.com/cryptsetup/LUKS2-docs>.

use super::ext4::Read;

/// The magic and the version 2, as big-endian.
const MAGIC: [u8; 8] = *b"LUKS\xba\xbe\x00\x02";
/// Where the subsystem is, and its length: text that ends with a zero.
const SUBSYSTEM: (usize, usize) = (208, 48);
/// What the subsystem is until the partition holds a filesystem.
const UNFINISHED: &str = "new";

/// The name of the box that the encrypted partition behind `read` belongs to, or its first 47 characters.
pub fn owner(read: Read<'_>) -> Option<String> {
    let mut header = [0; SUBSYSTEM.0 + SUBSYSTEM.1];
    read(0, &mut header).ok()?;
    let text = header.starts_with(&MAGIC).then(|| &header[SUBSYSTEM.0..])?;
    let text = text.split(|&byte| byte == 0).next().and_then(|text| std::str::from_utf8(text).ok())?;
    (!text.is_empty() && text != UNFINISHED).then(|| text.to_owned())
}

/// Whether `name` is the name that [`owner`] gave.
pub fn is_owner(owner: &str, name: &str) -> bool {
    name.get(..SUBSYSTEM.1 - 1).unwrap_or(name) == owner
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;
    use std::path::Path;

    use super::*;
    use crate::tool::Tool;

    /// The owner of a partition that the real cryptsetup has given this subsystem; `None` where there is none.
    fn of_a_partition(subsystem: &str) -> Option<Option<String>> {
        let program =
            ["/usr/sbin/cryptsetup", "/sbin/cryptsetup"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            eprintln!("skipped: no cryptsetup on this machine");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (key, disk) = (folder.path().join("key"), folder.path().join("disk"));
        std::fs::write(&key, "no secret").unwrap();
        let file = File::create_new(&disk).unwrap();
        file.set_len(32 << 20).unwrap();
        let call =
            Tool::new(program).args(["luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2"]);
        let call =
            call.args(["--pbkdf-force-iterations", "1000", "--label", "boxwright-system", "--subsystem"]);
        call.arg(subsystem).arg("--key-file").args([&key, &disk]).run().unwrap();
        let file = File::open(disk).unwrap();
        Some(owner(&|at, bytes| file.read_exact_at(bytes, at)))
    }

    #[test]
    fn a_header_of_cryptsetup_says_whose_it_is() {
        let longest = "a".repeat(47);
        for (subsystem, owner) in [("vault", Some("vault")), ("new", None), (&*longest, Some(&*longest))] {
            let Some(found) = of_a_partition(subsystem) else { return };
            assert_eq!(found.as_deref(), owner);
        }
        assert!(
            is_owner(&longest, &"a".repeat(60)) && is_owner("vault", "vault") && !is_owner("vault", "vaults")
        );
    }

    #[test]
    fn what_is_no_header_belongs_to_nobody() {
        for disk in [vec![0; 512], MAGIC.to_vec(), [&MAGIC[..], &[0xff; 500]].concat()] {
            let read = |at: u64, bytes: &mut [u8]| {
                let at = usize::try_from(at).unwrap();
                bytes.copy_from_slice(disk.get(at..at + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            };
            assert_eq!(owner(&read), None);
        }
    }
}
