//! Trees as tar streams.

use std::io::{self, Write};

use tar::{Builder, EntryType, Header};

use super::{Entry, Kind, Tree};

impl Tree {
    /// Writes the tree to `writer` as a tar stream (GNU format), sorted by path, every time being `mtime` (seconds
    /// since 1970). Names are written as they are in the tree, the root as `./`.
    ///
    /// # Errors
    /// Any error of the writer.
    pub fn write_tar(&self, writer: &mut impl Write, mtime: i64) -> io::Result<()> {
        let mut archive = Builder::new(writer);
        for (path, entry) in self.iter() {
            let path = if path.is_empty() { "./" } else { path };
            let mut header = header(entry, mtime);
            match &entry.kind {
                Kind::Dir => archive.append_data(&mut header, path, io::empty())?,
                Kind::File(content) => archive.append_data(&mut header, path, content.as_slice())?,
                Kind::Symlink(target) => archive.append_link(&mut header, path, target)?,
            }
        }
        archive.finish()
    }
}

/// The header of `entry`, without name and link target.
fn header(entry: &Entry, mtime: i64) -> Header {
    let mut header = Header::new_gnu();
    let (kind, size) = match &entry.kind {
        Kind::Dir => (EntryType::Directory, 0),
        Kind::File(content) => (EntryType::Regular, content.len() as u64),
        Kind::Symlink(_) => (EntryType::Symlink, 0),
    };
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    header.set_mtime(mtime.try_into().unwrap_or(0));
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_tree_is_read_back_from_its_tar_stream() {
        let long = format!("usr/{}/{}", "a".repeat(120), "b".repeat(120));
        let mut tree = Tree::new();
        tree.insert("etc/shadow", Entry::file(0o640, "secret").owned_by(0, 42)).unwrap();
        tree.insert_symlink("etc/localtime", &format!("/{long}")).unwrap();
        tree.insert_file(&long, 0o4755, vec![7; 1000]).unwrap();
        tree.fill_directories(&super::super::Directories::new());
        let mut bytes = Vec::new();
        tree.write_tar(&mut bytes, 1_763_683_962).unwrap();

        let mut read = Tree::new();
        for file in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut file = file.unwrap();
            let path = file.path().unwrap().to_str().unwrap().trim_start_matches("./").to_owned();
            let header = file.header().clone();
            assert_eq!(header.mtime().unwrap(), 1_763_683_962);
            let kind = match header.entry_type() {
                EntryType::Directory => Kind::Dir,
                EntryType::Symlink => {
                    Kind::Symlink(file.link_name().unwrap().unwrap().to_str().unwrap().to_owned())
                }
                _ => {
                    let mut content = Vec::new();
                    file.read_to_end(&mut content).unwrap();
                    Kind::File(content)
                }
            };
            let (uid, gid) = (header.uid().unwrap() as u32, header.gid().unwrap() as u32);
            read.insert(&path, Entry { mode: header.mode().unwrap(), uid, gid, kind }).unwrap();
        }
        assert_eq!(read, tree);
    }
}
