//! Binary packages: the path of a .deb file goes in, its control files and its members come out as streams.
//!
//! Nothing is written here; a package is foreign input, so every size and name in it is checked. The format is
//! described in deb(5): an ar archive of `debian-binary`, `control.tar` and `data.tar`, the latter two compressed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::digest::Sha256;
use crate::interrupt;

/// How much memory a decoder may take, in bytes: `xz -9` needs 65 MiB.
const DECODER_MEMORY: u64 = 256 << 20;

/// How large all control files of a package may be together, in bytes.
const CONTROL_LIMIT: u64 = 64 << 20;

/// How much of a package is read at once, in bytes.
const CHUNK: usize = 1 << 18;

/// A .deb file on the disk whose digest has been checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DebFile {
    /// The package's name, without architecture.
    pub name: String,
    /// The full version, with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The digest of the file.
    pub sha256: Sha256,
    /// Where it is.
    pub path: PathBuf,
}

/// An open package.
#[derive(Debug)]
pub struct Deb {
    path: PathBuf,
    control: Part,
    data: Part,
}

/// Where a compressed tar archive is in the file.
#[derive(Debug, Clone, Copy)]
struct Part {
    offset: u64,
    size: u64,
    compression: Compression,
}

#[derive(Debug, Clone, Copy)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// One file, folder or link of a package, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The path without leading slash or `./`; empty for the root.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// What it is.
    pub kind: MemberKind,
}

/// What a [`Member`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A folder.
    Dir,
    /// A regular file with its size in bytes.
    File(u64),
    /// A symbolic link and where it points.
    Symlink(PathBuf),
    /// Another name of the member with this path, which came before.
    Hardlink(PathBuf),
}

/// A file of the control archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// Permission bits.
    pub mode: u32,
    /// The content.
    pub content: Vec<u8>,
}

impl Deb {
    /// Opens the package at `path` and finds its parts.
    ///
    /// # Errors
    /// If it cannot be read or is no Debian package.
    pub fn open(path: &Path) -> Result<Self> {
        let parts =
            File::open(path).map_err(Into::into).and_then(|file| find_parts(&mut BufReader::new(file)));
        let (control, data) = parts.with_context(|| format!("opening the package {}", path.display()))?;
        Ok(Self { path: path.to_owned(), control, data })
    }

    /// The control files by name: `control`, `postinst`, `conffiles`, …
    ///
    /// # Errors
    /// If the archive is damaged or larger than any package's.
    pub fn control(&self) -> Result<BTreeMap<String, ControlFile>> {
        let mut files = BTreeMap::new();
        let mut total = 0_u64;
        self.read(self.control, |member, content| {
            let MemberKind::File(size) = member.kind else { return Ok(()) };
            total = size.saturating_add(total);
            ensure!(total <= CONTROL_LIMIT, "the control files are larger than {CONTROL_LIMIT} bytes");
            let name = member.path.to_str().context("a control file has no readable name")?.to_owned();
            ensure!(!name.contains('/'), "the control file `{name}` is in a folder");
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            files.insert(name, ControlFile { mode: member.mode, content: bytes });
            Ok(())
        })?;
        ensure!(files.contains_key("control"), "the package {} has no control file", self.path.display());
        Ok(files)
    }

    /// Calls `visit` with every member of the package, in its order, and the content of regular files.
    ///
    /// # Errors
    /// If the archive is damaged, has a path that leads out of it, or a device; or what `visit` returns.
    pub fn data(&self, visit: impl FnMut(Member, &mut dyn Read) -> Result<()>) -> Result<()> {
        self.read(self.data, visit)
    }

    /// As [`Self::data`], from the archive that [`Self::decompress`] has read.
    ///
    /// # Errors
    /// Those of [`Self::data`].
    pub fn data_from(
        &self,
        decompressed: impl Read,
        mut visit: impl FnMut(Member, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let run = || -> Result<()> {
            let mut archive = tar::Archive::new(decompressed);
            for entry in archive.entries()? {
                interrupt::check()?;
                let mut entry = entry?;
                let member = member(&entry)?;
                let path = member.path.clone();
                visit(member, &mut entry).with_context(|| format!("unpacking {}", path.display()))?;
            }
            // The checksum of a compressed stream is at its very end.
            io::copy(&mut archive.into_inner(), &mut io::sink())?;
            Ok(())
        };
        run().with_context(|| format!("reading the package {}", self.path.display()))
    }

    /// The data archive, decompressed.
    ///
    /// # Errors
    /// If the package cannot be read.
    pub fn decompress(&self) -> Result<Box<dyn Read>> {
        decoder(&self.path, self.data)
    }

    /// Whether decompressing the data takes long.
    pub fn is_slow(&self) -> bool {
        matches!(self.data.compression, Compression::Xz)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, part: Part, visit: impl FnMut(Member, &mut dyn Read) -> Result<()>) -> Result<()> {
        let decoder =
            decoder(&self.path, part).with_context(|| format!("opening {}", self.path.display()))?;
        self.data_from(decoder, visit)
    }
}

/// The control and the data part of the ar archive `file`.
fn find_parts(file: &mut BufReader<File>) -> Result<(Part, Part)> {
    let length = file.get_ref().metadata()?.len();
    let mut magic = [0; 8];
    file.read_exact(&mut magic).context("it is no Debian package")?;
    ensure!(&magic == b"!<arch>\n", "it is no Debian package");
    let mut offset = 8;
    let (mut seen_version, mut control) = (false, None);
    loop {
        let mut header = [0; 60];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut header).context("it ends before its data")?;
        ensure!(&header[58..] == b"`\n", "it is damaged at byte {offset}");
        let field = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).map(str::trim_end);
        let size: u64 = field(48..58)?.parse().context("it has a member without a size")?;
        let name = field(0..16)?.trim_end_matches('/').to_owned();
        offset += 60;
        ensure!(offset.checked_add(size).is_some_and(|end| end <= length), "it ends before its data");
        let part =
            |rest: &str| Ok::<_, anyhow::Error>(Part { offset, size, compression: compression(rest)? });
        match (name.strip_prefix("control.tar"), name.strip_prefix("data.tar")) {
            (Some(rest), _) if seen_version && control.is_none() => control = Some(part(rest)?),
            (_, Some(rest)) if control.is_some() => {
                return Ok((control.context("it has no control archive")?, part(rest)?));
            }
            _ if name == "debian-binary" && !seen_version => {
                let mut version = [0; 2];
                file.read_exact(&mut version)?;
                ensure!(&version == b"2.", "its format is not 2.x");
                seen_version = true;
            }
            _ if name.starts_with('_') => {}
            _ => bail!("it has the unexpected member `{name}`"),
        }
        offset += size + size % 2;
    }
}

fn compression(suffix: &str) -> Result<Compression> {
    Ok(match suffix {
        "" => Compression::None,
        ".gz" => Compression::Gzip,
        ".xz" => Compression::Xz,
        ".zst" => Compression::Zstd,
        _ => bail!("it is compressed in the unknown way `{suffix}`"),
    })
}

/// The decompressed content of `part` of the file at `path`.
fn decoder(path: &Path, part: Part) -> Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(part.offset))?;
    let raw = BufReader::with_capacity(CHUNK, file.take(part.size));
    Ok(match part.compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(flate2::bufread::GzDecoder::new(raw)),
        Compression::Xz => {
            // liblzma, in C, takes two thirds of lzma-rust2's time (1.55 s to 2.52 s for a kernel package).
            let stream = liblzma::stream::Stream::new_stream_decoder(DECODER_MEMORY, 0)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(raw, stream))
        }
        Compression::Zstd => Box::new(ruzstd::decoding::StreamingDecoder::new(raw)?),
    })
}

/// What the tar header of `entry` says.
fn member<R: Read>(entry: &tar::Entry<'_, R>) -> Result<Member> {
    let header = entry.header();
    let path = inner_path(&entry.path_bytes())?;
    let link = || -> Result<PathBuf> {
        let target = entry.link_name_bytes().context("a link leads nowhere")?;
        Ok(PathBuf::from(OsStr::from_bytes(&target)))
    };
    let kind = match header.entry_type() {
        tar::EntryType::Directory => MemberKind::Dir,
        tar::EntryType::Regular | tar::EntryType::Continuous => MemberKind::File(entry.size()),
        tar::EntryType::Symlink => MemberKind::Symlink(link()?),
        tar::EntryType::Link => MemberKind::Hardlink(inner_path(link()?.as_os_str().as_bytes())?),
        other => bail!("{} is a device or something unknown ({other:?})", path.display()),
    };
    Ok(Member {
        mode: header.mode()? & 0o7777,
        uid: header.uid()?.try_into().context("a user id is too large")?,
        gid: header.gid()?.try_into().context("a group id is too large")?,
        mtime: header.mtime()?.try_into().context("a time is too large")?,
        path,
        kind,
    })
}

/// `path` relative to the root that it must stay in.
fn inner_path(path: &[u8]) -> Result<PathBuf> {
    let mut inner = PathBuf::new();
    for part in path.split(|byte| *byte == b'/') {
        ensure!(part != b"..", "the path `{}` leads out of the package", path.escape_ascii());
        ensure!(!part.contains(&0), "the path `{}` is no path", path.escape_ascii());
        if !part.is_empty() && part != b"." {
            inner.push(OsStr::from_bytes(part));
        }
    }
    Ok(inner)
}
