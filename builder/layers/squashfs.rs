//! A squashfs, read: what it says of itself in front, and its files as unsquashfs writes them with `-pf`: one stream with a
//! line for each file, then the content of all of them.
//!
//! `NAME KIND …` a line: `D TIME MODE UID GID`, `R TIME MODE UID GID LENGTH OFFSET SPARSE`, `S TIME MODE UID GID TARGET`,
//! `L FILE` (another name of that file), `C` and `B TIME MODE UID GID MAJOR MINOR`, `I TIME MODE UID GID f|s`, and
//! `x ATTRIBUTE` (of the file before). A backslash stands before what would end a name.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::diag::InputError;
use crate::interrupt;
use crate::tools::Tools;

/// squashfs' first bytes.
const MAGIC: &[u8] = b"hsqs";

/// What stands in the stream before the content of the files.
const DATA: &[u8] = b"# START OF DATA";

/// How many bytes the lines before that may have: a root filesystem's have some 3 MiB.
const LONGEST: usize = 64 << 20;

/// What a folder is called.
pub const FOLDER: &str = "folder";
/// What a regular file is called.
pub const FILE: &str = "file";
/// What a symbolic link is called.
pub const LINK: &str = "symbolic link";

/// All files, by path: `/etc/hostname`.
pub type Listing = BTreeMap<String, Node>;

/// What is known of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// What it is, in words.
    pub kind: &'static str,
    /// Its date, seconds since 1970.
    pub time: String,
    /// Permission bits in octal.
    pub mode: String,
    /// `UID:GID`.
    pub owner: String,
    /// Where a link leads; the numbers of a device.
    pub target: String,
    /// The size of its content in bytes.
    pub length: u64,
    /// Its extended attributes.
    pub attributes: Vec<String>,
}

/// What a squashfs says of itself in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its date, seconds since 1970.
    pub time: u32,
    /// The size of the filesystem in bytes.
    pub bytes: u64,
}

impl Head {
    /// How many bytes in front tell it.
    pub const LENGTH: usize = 48;

    /// Reads the first bytes of a place with `room` bytes. None if there is no squashfs: one that is larger than its place is
    /// damaged, and there is no reason to look further.
    pub fn parse(bytes: &[u8; Self::LENGTH], room: u64) -> Option<Self> {
        let time = u32::from_le_bytes(bytes[8..12].try_into().ok()?);
        let size = u64::from_le_bytes(bytes[40..48].try_into().ok()?);
        (bytes.starts_with(MAGIC) && size <= room).then_some(Self { time, bytes: size })
    }
}

/// Lists the squashfs that begins at `start` in the file `image`. `content` gets each regular file with its path and all of its
/// bytes to read.
///
/// # Errors
/// If it is none, or damaged; [`InputError`] if it has far more files than a box; those of `content`.
pub fn list(
    image: &Path,
    start: u64,
    tools: &Tools,
    content: impl FnMut(&str, &Node, &mut dyn Read) -> Result<()>,
) -> Result<Listing> {
    let unpack = tools.tool("unsquashfs")?.arg("-o").arg(start.to_string()).args(["-pf", "-"]).arg(image);
    let mut running = unpack.spawn()?;
    let stdout = running.stdout.take().context("unsquashfs has no standard output")?;
    let parsed = parse(BufReader::with_capacity(1 << 20, stdout), content);
    // Where nobody wants the rest, there is nothing to wait for.
    if let Err(error) = &parsed
        && error.is::<InputError>()
    {
        return parsed;
    }
    // What unsquashfs says of damage is worth more than that its stream ends early.
    running.wait()?;
    parsed
}

fn parse(
    mut stream: impl BufRead,
    mut content: impl FnMut(&str, &Node, &mut dyn Read) -> Result<()>,
) -> Result<Listing> {
    let mut listing = Listing::new();
    let mut contents: Vec<(u64, String)> = Vec::new();
    let (mut line, mut read) = (Vec::new(), 0);
    while next_line(&mut stream, &mut line)? {
        read += line.len();
        if read > LONGEST {
            bail!(InputError("it has far more files than a box has: it is no image of Boxwright's".into()));
        }
        if line.starts_with(DATA) {
            // A line with nothing but `#` follows.
            next_line(&mut stream, &mut line)?;
            break;
        }
        let Some((name, rest)) = split(&line) else { continue };
        let path = format!("/{}", name.trim_start_matches('/'));
        let Some((kind, rest)) = rest.split_once(' ') else { bail!("unsquashfs wrote `{rest}` of {path}") };
        if kind == "x" {
            listing.entry(path).or_default().attributes.push(rest.to_owned());
            continue;
        }
        let (node, offset) =
            node(kind, rest).with_context(|| format!("unsquashfs wrote `{kind} {rest}` of {path}"))?;
        contents.extend(offset.map(|offset| (offset, path.clone())));
        let attributes = listing.remove(&path).unwrap_or_default().attributes;
        listing.insert(path, Node { attributes, ..node });
    }
    contents.sort();
    for (_, path) in contents {
        interrupt::check()?;
        let Some(node) = listing.get(&path) else { continue };
        let mut bytes = (&mut stream).take(node.length);
        content(&path, node, &mut bytes).with_context(|| format!("reading {path}"))?;
        if bytes.limit() > 0 {
            bail!("unsquashfs wrote less of {path} than it announced");
        }
    }
    Ok(listing)
}

/// Reads a line without its end; one whose end is escaped goes on. `false` at the end of the stream.
fn next_line(stream: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    loop {
        if stream.read_until(b'\n', line).context("reading a layer")? == 0 {
            return Ok(!line.is_empty());
        }
        let end = line.len().saturating_sub(1);
        let escapes =
            line.get(..end).unwrap_or_default().iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes % 2 == 0 {
            line.truncate(end);
            return Ok(true);
        }
    }
}

/// The name, as it is on the disk, and the rest of the line; none for a comment.
fn split(line: &[u8]) -> Option<(String, String)> {
    let mut name = Vec::new();
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' => {
                let rest: Vec<u8> = bytes.collect();
                return Some((lossless(&name), lossless(&rest)));
            }
            b'\\' => name.extend(bytes.next()),
            _ => name.push(byte),
        }
    }
    None
}

/// Bytes as text; those that are none are escaped, so that different names stay different.
fn lossless(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.escape_ascii().to_string())
}

/// What a line says of a file, and where its content is in the stream.
fn node(kind: &str, rest: &str) -> Option<(Node, Option<u64>)> {
    if kind == "L" {
        return Some((Node { kind: "another name", target: rest.to_owned(), ..Node::default() }, None));
    }
    let mut words = rest.splitn(5, ' ');
    let (time, mode) = (words.next()?.to_owned(), words.next()?.to_owned());
    let owner = format!("{}:{}", words.next()?, words.next()?);
    let more = words.next().unwrap_or_default();
    let node = Node { time, mode, owner, ..Node::default() };
    let kind = match kind {
        "D" => FOLDER,
        "S" => LINK,
        "C" => "character device",
        "B" => "block device",
        "I" => "pipe or socket",
        "R" => {
            let mut numbers = more.split(' ').map(str::parse::<u64>);
            let (length, offset) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            return Some((Node { kind: FILE, length, ..node }, Some(offset)));
        }
        _ => return None,
    };
    Some((Node { kind, target: more.to_owned(), ..node }, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_links_and_contents_are_read_as_they_are() {
        let stream = b"/ D 7 755 0 0\na\\ b D 7 755 0 0\na\\ b/one R 7 644 1 2 4 0 0\nhard L a\\ b/one\n\
            hard x user.a=b\nnew\\\nline R 7 644 0 0 0 4 0\nq\\\"u\\\\o R 7 600 0 0 2 4 0\nsym S 7 777 0 0 to where\n\
            #\n# START OF DATA - DO NOT MODIFY\n#\none\nxy";
        let mut contents = BTreeMap::new();
        let listing = parse(&stream[..], |path, _, bytes| {
            contents.insert(path.to_owned(), std::io::read_to_string(bytes)?);
            Ok(())
        })
        .unwrap();
        let names: Vec<&str> = listing.keys().map(String::as_str).collect();
        assert_eq!(names, ["/", "/a b", "/a b/one", "/hard", "/new\nline", "/q\"u\\o", "/sym"]);
        assert_eq!(listing["/a b/one"].owner, "1:2");
        let expected = [("/a b/one", "one\n"), ("/new\nline", ""), ("/q\"u\\o", "xy")];
        assert_eq!(contents, BTreeMap::from(expected.map(|(path, text)| (path.to_owned(), text.to_owned()))));
        assert_eq!(listing["/hard"].attributes, ["user.a=b"]);
        assert_eq!((listing["/hard"].kind, listing["/sym"].target.as_str()), ("another name", "to where"));
        let drained = |_: &str, _: &Node, bytes: &mut dyn Read| {
            Ok(std::io::copy(bytes, &mut std::io::sink()).map(drop)?)
        };
        assert!(parse(&b"a R 7 644 0 0 9 0 0\n# START OF DATA\n#\nshort"[..], drained).is_err());
        assert!(parse(&b"a Z 7\n"[..], drained).is_err());
    }
}
