//! The files of a squashfs as unsquashfs writes them with `-pf`.
//!
//! `NAME KIND …` a line: `D TIME MODE UID GID`, `R TIME MODE UID GID LENGTH OFFSET SPARSE`, `S TIME MODE UID GID TARGET`,
//! `L FILE` (another name of that file), `C` and `B TIME MODE UID GID MAJOR MINOR`, `I TIME MODE UID GID f|s`, and
//! `x ATTRIBUTE` (of the file before). A backslash stands before what would end a name.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::digest::{Hasher, Sha256};
use crate::interrupt;
use crate::tools::Tools;

/// What stands in the stream before the content of the files.
const DATA: &[u8] = b"# START OF DATA";

/// All files, by path: `/etc/hostname`.
pub(super) type Listing = BTreeMap<String, Node>;

/// What is known of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// What it is, in words.
    pub(super) kind: &'static str,
    pub(super) time: String,
    pub(super) mode: String,
    /// `UID:GID`.
    pub(super) owner: String,
    /// Where a link leads; the numbers of a device.
    pub(super) target: String,
    /// The size of its content in bytes.
    pub(super) length: u64,
    /// The digest of its content, if it has one.
    pub(super) digest: Option<Sha256>,
    pub(super) attributes: Vec<String>,
}

/// Reads the squashfs that begins at `start` in the file `image`.
///
/// # Errors
/// If it is none, or damaged.
pub(super) fn read(image: &Path, start: u64, tools: &Tools) -> Result<Listing> {
    let unpack = tools.tool("unsquashfs")?.arg("-o").arg(start.to_string()).args(["-pf", "-"]).arg(image);
    let mut running = unpack.spawn()?;
    let stdout = running.stdout.take().context("unsquashfs has no standard output")?;
    let parsed = parse(BufReader::with_capacity(1 << 20, stdout));
    // What unsquashfs says of damage is worth more than that its stream ends early.
    running.wait()?;
    parsed
}

fn parse(mut stream: impl BufRead) -> Result<Listing> {
    let mut listing = Listing::new();
    let mut contents: Vec<(u64, String)> = Vec::new();
    let mut line = Vec::new();
    while next_line(&mut stream, &mut line)? {
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
        let Some(node) = listing.get_mut(&path) else { continue };
        let mut hasher = Hasher::new();
        let copied =
            std::io::copy(&mut (&mut stream).take(node.length), &mut hasher).context("reading a layer")?;
        if copied != node.length {
            bail!("unsquashfs wrote less of {path} than it announced");
        }
        node.digest = Some(hasher.finish());
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
        "D" => "folder",
        "S" => "symbolic link",
        "C" => "character device",
        "B" => "block device",
        "I" => "pipe or socket",
        "R" => {
            let mut numbers = more.split(' ').map(str::parse::<u64>);
            let (length, offset) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            return Some((Node { kind: "file", length, ..node }, Some(offset)));
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
        let listing = parse(&stream[..]).unwrap();
        let names: Vec<&str> = listing.keys().map(String::as_str).collect();
        assert_eq!(names, ["/", "/a b", "/a b/one", "/hard", "/new\nline", "/q\"u\\o", "/sym"]);
        assert_eq!(listing["/a b/one"].owner, "1:2");
        assert_eq!(listing["/a b/one"].digest, Some(Sha256::of_bytes(b"one\n")));
        assert_eq!(listing["/q\"u\\o"].digest, Some(Sha256::of_bytes(b"xy")));
        assert_eq!(listing["/hard"].attributes, ["user.a=b"]);
        assert_eq!((listing["/hard"].kind, listing["/sym"].target.as_str()), ("another name", "to where"));
        assert!(parse(&b"a R 7 644 0 0 9 0 0\n# START OF DATA\n#\nshort"[..]).is_err());
        assert!(parse(&b"a Z 7\n"[..]).is_err());
    }
}
