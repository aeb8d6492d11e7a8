//! As much of ext4 as tells whose a system partition is: the content of one small file in its root folder.
//!
//! Nothing is mounted: a disk that is only looked at must not change, and mounting replays the journal. What a journal still
//! holds is not seen, which is good enough for a file that says the same since the first start.

use std::io;

/// Reads bytes at an offset of the partition.
pub type Read<'a> = &'a dyn Fn(u64, &mut [u8]) -> io::Result<()>;

const EXTENTS: u32 = 0x8_0000;
const INCOMPAT_64BIT: u32 = 0x80;
/// The most that is read of a folder.
const LONGEST: u64 = 1 << 20;

struct Filesystem<'a> {
    read: Read<'a>,
    block: u64,
    inode_size: u64,
    inodes_per_group: u32,
    descriptor: u64,
    first_block: u64,
    wide: bool,
}

struct Inode {
    length: u64,
    bytes: Vec<u8>,
}

/// The content of the file `name` in the root folder, if there is such a filesystem with such a file of at most a block.
pub fn root_file(read: Read<'_>, name: &str) -> Option<Vec<u8>> {
    let filesystem = Filesystem::open(read)?;
    let root = filesystem.inode(2)?;
    let number = filesystem
        .content(&root, LONGEST)?
        .chunks(usize::try_from(filesystem.block).ok()?)
        .find_map(|block| find(block, name.as_bytes()))?;
    let file = filesystem.inode(number)?;
    filesystem.content(&file, filesystem.block)
}

/// The inode that `block` of a folder has under `name`.
fn find(block: &[u8], name: &[u8]) -> Option<u32> {
    let mut at = 0;
    while at + 8 <= block.len() {
        let length = usize::from(u16_at(block, at + 4)?);
        if length < 8 {
            return None;
        }
        let inode = u32_at(block, at)?;
        let named = block.get(at + 8..at + 8 + usize::from(block[at + 6]))?;
        if inode != 0 && named == name {
            return Some(inode);
        }
        at += length;
    }
    None
}

impl<'a> Filesystem<'a> {
    fn open(read: Read<'a>) -> Option<Self> {
        let mut head = [0; 1024];
        read(1024, &mut head).ok()?;
        if u16_at(&head, 56)? != 0xef53 {
            return None;
        }
        let block =
            1024_u64.checked_shl(u32_at(&head, 24)?).filter(|block| (1024..=65_536).contains(block))?;
        let wide = u32_at(&head, 96)? & INCOMPAT_64BIT != 0;
        let descriptor = if wide { u64::from(u16_at(&head, 254)?) } else { 32 };
        let inodes_per_group = u32_at(&head, 40)?;
        if inodes_per_group == 0 || descriptor < 32 {
            return None;
        }
        let (inode_size, first_block) = (u64::from(u16_at(&head, 88)?), u64::from(u32_at(&head, 20)?));
        Some(Self { read, block, inode_size, inodes_per_group, descriptor, first_block, wide })
    }

    fn inode(&self, number: u32) -> Option<Inode> {
        let index = number.checked_sub(1)?;
        let mut descriptor = vec![0; usize::try_from(self.descriptor).ok()?];
        let group = u64::from(index / self.inodes_per_group);
        (self.read)((self.first_block + 1) * self.block + group * self.descriptor, &mut descriptor).ok()?;
        let high = if self.wide && descriptor.len() >= 64 { u32_at(&descriptor, 40)? } else { 0 };
        let table = u64::from(high) << 32 | u64::from(u32_at(&descriptor, 8)?);
        let mut bytes = vec![0; 128];
        let within = u64::from(index % self.inodes_per_group) * self.inode_size;
        let at = table.checked_mul(self.block)?.checked_add(within)?;
        (self.read)(at, &mut bytes).ok()?;
        let length = u64::from(u32_at(&bytes, 108)?) << 32 | u64::from(u32_at(&bytes, 4)?);
        (u32_at(&bytes, 32)? & EXTENTS != 0).then_some(Inode { length, bytes })
    }

    /// What `inode` holds, if that is at most `most` bytes and listed in the inode itself.
    fn content(&self, inode: &Inode, most: u64) -> Option<Vec<u8>> {
        let tree = &inode.bytes[40..100];
        if inode.length > most || u16_at(tree, 0)? != 0xf30a || u16_at(tree, 6)? != 0 {
            return None;
        }
        let mut content = vec![0; usize::try_from(inode.length.div_ceil(self.block) * self.block).ok()?];
        for index in 0..usize::from(u16_at(tree, 2)?).min(4) {
            let extent = &tree[12 + index * 12..24 + index * 12];
            let start = u64::from(u16_at(extent, 6)?) << 32 | u64::from(u32_at(extent, 8)?);
            let first = usize::try_from(u64::from(u32_at(extent, 0)?).checked_mul(self.block)?).ok()?;
            let length = usize::try_from(u64::from(u16_at(extent, 4)?) * self.block).ok()?;
            let room = content.get_mut(first..)?;
            let length = length.min(room.len());
            (self.read)(start.checked_mul(self.block)?, &mut room[..length]).ok()?;
        }
        content.truncate(usize::try_from(inode.length).ok()?);
        Some(content)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::tool::Tool;

    /// A system partition with the file `box`, made by the real mke2fs where there is one.
    fn made(folder: &Path) -> Option<Vec<u8>> {
        let (disk, files) = (folder.join("disk"), folder.join("files"));
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("box"), "attic\n").unwrap();
        File::create(&disk).unwrap().set_len(16 << 20).unwrap();
        let program =
            ["/usr/sbin/mke2fs", "/sbin/mke2fs"].into_iter().find(|path| Path::new(path).exists())?;
        let call = Tool::new(program).args(["-q", "-F", "-t", "ext4", "-L", "boxwright-sys", "-d"]);
        call.arg(&files).arg(&disk).run().unwrap();
        Some(std::fs::read(disk).unwrap())
    }

    fn reader(disk: &[u8]) -> impl Fn(u64, &mut [u8]) -> io::Result<()> {
        |at, bytes| {
            let at = usize::try_from(at).unwrap();
            let end = at.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(disk.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    #[test]
    fn a_file_of_a_real_filesystem_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = made(folder.path()) else { return };
        assert_eq!(root_file(&reader(&disk), "box").unwrap(), b"attic\n");
        assert!(root_file(&reader(&disk), "bo").is_none());
        assert!(root_file(&reader(&[0; 1 << 20]), "box").is_none());
        let file = File::open(folder.path().join("disk")).unwrap();
        assert!(root_file(&|at, bytes| file.read_exact_at(bytes, at), "box").is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_read_without_harm(at in 0_usize..1024, bytes in proptest::collection::vec(any::<u8>(), 1..128)) {
            let mut disk = vec![0; 1 << 16];
            disk[1024 + 56..1024 + 58].copy_from_slice(&0xef53_u16.to_le_bytes());
            disk[1024 + at..1024 + at + bytes.len()].copy_from_slice(&bytes);
            let _ = root_file(&reader(&disk), "box");
        }
    }
}
