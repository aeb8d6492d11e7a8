//! No output but the secrets partition may contain a secret's value; this looks before anything is sealed, and again into
//! everything that comes out: what is in each layer, what lies beside it in the cache, the ESP, the image, its manifest and
//! its lock.

use std::fs;
use std::io::{BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::layer;
use crate::boot::{Content, EspFile};
use crate::disk::{DiskImage, Role};
use crate::layers::Layer;
use crate::secrets::{Leak, Secrets};
use crate::tools::Tools;
use crate::tree::Tree;

/// What stands in unsquashfs's stream before the content of the files.
const DATA: &str = "# START OF DATA";

/// Fails if a file of the rendered tree contains the value of a secret.
///
/// # Errors
/// The secret's name and the file.
pub(super) fn refuse_in_tree(secrets: &Secrets, tree: &Tree) -> Result<()> {
    refuse(&secrets.scan_tree(Path::new("/"), tree))
}

/// Fails if a file in the sealed layer `name`, or what the cache keeps beside it, contains the value of a secret.
///
/// # Errors
/// The secret's name and the file; or if something cannot be read.
pub(super) fn refuse_in_layer(secrets: &Secrets, name: &str, sealed: &Layer, tools: &Tools) -> Result<()> {
    let reading = || format!("looking for secrets in {}", sealed.path.display());
    let unpack = tools.tool("unsquashfs")?.args(["-no-xattrs", "-pf", "-"]).arg(&sealed.path);
    let mut running = unpack.spawn()?;
    let stdout = running.stdout.take().context("unsquashfs has no standard output")?;
    let leaks = in_layer(secrets, name, BufReader::with_capacity(1 << 20, stdout)).with_context(reading)?;
    running.wait()?;
    refuse(&leaks)?;
    let folder = sealed.path.parent().with_context(reading)?;
    let mut beside = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        beside.push(entry.with_context(reading)?.path());
    }
    beside.retain(|path| path.file_name().is_some_and(|name| name != layer::FILE));
    beside.sort();
    refuse(&secrets.scan(&beside)?)
}

/// The leaks in what unsquashfs writes: a line for each file, then the content of all of them.
fn in_layer(secrets: &Secrets, name: &str, mut stream: impl std::io::BufRead) -> Result<Vec<Leak>> {
    let scanner = secrets.scanner();
    let (mut names, mut files) = (Vec::new(), Vec::new());
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.starts_with(DATA.as_bytes()) {
            // A line with nothing but `#` follows.
            stream.read_until(b'\n', &mut line)?;
            break;
        }
        files.extend(described(&String::from_utf8_lossy(&line)));
        names.extend_from_slice(&line);
    }
    let root = Path::new(name);
    let mut leaks = scanner.stream(&root.join("(names)"), &names[..])?;
    files.sort();
    for (_, length, path) in files {
        leaks.extend(scanner.stream(&root.join(path), (&mut stream).take(length))?);
    }
    if stream.read(&mut [0])? > 0 {
        bail!("unsquashfs wrote more than it announced");
    }
    Ok(leaks)
}

/// Where the content of a file begins, its length, and its name: `NAME R TIME MODE UID GID LENGTH OFFSET SPARSE`.
fn described(line: &str) -> Option<(u64, u64, String)> {
    let mut words = line.trim_end_matches('\n').rsplitn(9, ' ');
    let (_sparse, offset, length) = (words.next()?, words.next()?, words.next()?);
    let kind = words.nth(4)?;
    let name = words.next()?;
    (kind == "R").then(|| Some((offset.parse().ok()?, length.parse().ok()?, name.to_owned())))?
}

/// Fails if a file of the ESP contains the value of a secret.
///
/// # Errors
/// The secret's name and the file; or if a file cannot be read.
pub(super) fn refuse_in_esp(secrets: &Secrets, esp: &[EspFile]) -> Result<()> {
    let mut texts = Tree::new();
    let scanner = secrets.scanner();
    for file in esp {
        match &file.content {
            Content::File(path) => refuse(
                &scanner
                    .initrd(path)
                    .with_context(|| format!("looking for secrets in {}", path.display()))?,
            )?,
            Content::Bytes(bytes) => texts.insert_file(&file.path, 0o644, bytes.clone())?,
        }
    }
    refuse(&secrets.scan_tree(Path::new("ESP"), &texts))
}

/// Fails if anything of the assembled image but its secrets partition contains the value of a secret. `name` is the path
/// that it is to have.
///
/// # Errors
/// The secret's name and the place; or if the image cannot be read.
pub(super) fn refuse_in_image(secrets: &Secrets, image: &DiskImage, name: &Path) -> Result<()> {
    let partition = image.layout.partitions.iter().find(|partition| partition.role == Role::Secrets);
    let except = partition.map_or(0..0, |partition| partition.start..partition.start + partition.length);
    let mut leaks = secrets.scanner().file_but(&image.path, &except)?;
    leaks.iter_mut().for_each(|leak| leak.file = name.to_owned());
    refuse(&leaks)
}

/// Fails if `text`, which is about to be written beside the image as `name`, contains the value of a secret.
///
/// # Errors
/// The secret's name and the place.
pub(super) fn refuse_in_text(secrets: &Secrets, name: &Path, text: &str) -> Result<()> {
    refuse(&secrets.scanner().stream(name, text.as_bytes())?)
}

fn refuse(leaks: &[Leak]) -> Result<()> {
    let Some(leak) = leaks.first() else { return Ok(()) };
    bail!(
        "{leak}; no image was made. The profile, an overlay or the cache holds the value of a secret: take it out there"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use super::*;
    use crate::disk::{Layout, Partition};
    use crate::secrets::{Id, Need, Needs, Shape};

    const CANARY: &str = "o.canary-7Q2wE5rT8y";

    fn secrets() -> Secrets {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.toml");
        fs::write(&path, format!("[box]\npushbullet = '{CANARY}'\n")).unwrap();
        let (id, users) = (Id::new("box", "pushbullet"), BTreeMap::new());
        let need = Need {
            id: id.clone(),
            about: String::new(),
            obtain: None,
            shape: Shape::Text,
            public: false,
            users,
            apply: BTreeMap::new(),
        };
        let needs = Needs { owner: BTreeMap::from([(id, need)]), ..Needs::default() };
        Secrets::load(&path, &needs).map_err(|findings| findings.render(false)).unwrap()
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    /// What unsquashfs writes of a layer with these files.
    fn stream(files: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut head, mut data) = (String::from("/ D 1 755 0 0\n"), Vec::new());
        for (name, bytes) in files {
            head.push_str(&format!("{name} R 1 644 0 0 {} {} 0\n", bytes.len(), data.len()));
            data.extend_from_slice(bytes);
        }
        [format!("{head}#\n# START OF DATA - DO NOT MODIFY\n#\n").as_bytes(), &data].concat()
    }

    #[test]
    fn a_canary_in_a_layer_is_found_by_the_name_of_its_file() {
        let secrets = secrets();
        let said = |files: &[(&str, &[u8])]| {
            let leaks = in_layer(&secrets, "base layer", &stream(files)[..]).unwrap();
            leaks.iter().map(Leak::to_string).collect::<Vec<_>>().join("; ")
        };
        let value = "the value of the secret `box/pushbullet` is in base layer";
        assert_eq!(said(&[("etc/a", b"x"), ("etc/b", b"")]), "");
        assert_eq!(
            said(&[("etc/a", b"x"), ("etc/b", CANARY.as_bytes())]),
            format!("{value}/etc/b at byte 0")
        );
        let blob = packed(&format!("layer.tar {CANARY}"));
        assert_eq!(
            said(&[("blobs/1", &blob), ("b", b"x")]),
            format!("{value}/blobs/1 (unpacked) at byte 10")
        );
        assert!(said(&[(&format!("etc/{CANARY}"), b"x")]).starts_with(&format!("{value}/(names) at byte")));
        // A value that two files share is in neither.
        assert_eq!(said(&[("etc/a", &CANARY.as_bytes()[..9]), ("etc/b", &CANARY.as_bytes()[9..])]), "");
        let unannounced = [&stream(&[("a", b"x")])[..], b"more"].concat();
        assert!(in_layer(&secrets, "base layer", &unannounced[..]).is_err());
    }

    #[test]
    fn a_canary_on_the_esp_in_the_image_or_beside_it_is_refused() {
        let secrets = secrets();
        let folder = tempfile::tempdir().unwrap();
        let initrd = folder.path().join("initrd");
        let esp = |path: &str, content: Content| [EspFile { path: path.to_owned(), content }];
        let refused = |result: Result<()>, place: &str| {
            let said = result.unwrap_err().to_string();
            assert!(
                said.contains(place) && said.contains("no image was made") && !said.contains(CANARY),
                "{said}"
            );
        };
        let entry =
            |text: &str| esp("loader/entries/a.conf", Content::Bytes(format!("options {text}").into()));
        refuse_in_esp(&secrets, &entry("quiet")).unwrap();
        refused(refuse_in_esp(&secrets, &entry(CANARY)), "ESP/loader/entries/a.conf at byte 8");
        fs::write(&initrd, [b"070701 TRAILER!!!\0\0\0".as_slice(), &packed(&format!("x{CANARY}"))].concat())
            .unwrap();
        refused(
            refuse_in_esp(&secrets, &esp("initrd", Content::File(initrd))),
            "initrd (unpacked) at byte 1",
        );
        refused(
            refuse_in_text(&secrets, Path::new("out/attic.manifest.json"), CANARY),
            "attic.manifest.json",
        );

        let image = folder.path().join(".unfinished-a");
        let mut bytes = vec![1; 3 << 20];
        bytes[1 << 20..][..CANARY.len()].copy_from_slice(CANARY.as_bytes());
        fs::write(&image, &bytes).unwrap();
        let partition =
            |role, start, length| Partition { role, name: String::new(), guid: [0; 16], start, length };
        let made = |start| DiskImage {
            path: image.clone(),
            layout: Layout {
                disk_guid: [0; 16],
                partitions: vec![partition(Role::Esp, 0, 1 << 20), partition(Role::Secrets, start, 1 << 20)],
                total_bytes: 3 << 20,
            },
            written_bytes: 3 << 20,
        };
        refuse_in_image(&secrets, &made(1 << 20), Path::new("out/attic.img")).unwrap();
        refused(
            refuse_in_image(&secrets, &made(2 << 20), Path::new("out/attic.img")),
            "out/attic.img at byte 1048576",
        );
    }

    #[test]
    fn lines_about_files_are_understood() {
        for (line, expected) in [
            ("etc/hostname R 1795140670 644 0 0 5 173 0\n", Some((173, 5, "etc/hostname"))),
            ("usr/a\\ b R 1 755 65532 65532 1742 291 0\n", Some((291, 1742, "usr/a\\ b"))),
            ("etc D 1795140670 755 0 0\n", None),
            ("etc/link S 1795140670 777 0 0 /a b c d e R 1 1\n", None),
            ("# START\n", None),
        ] {
            let expected =
                expected.map(|(offset, length, name): (u64, u64, &str)| (offset, length, name.to_owned()));
            assert_eq!(described(line), expected, "{line}");
        }
    }
}
