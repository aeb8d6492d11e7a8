//! The comparison of two images names every difference that is planted, by partition and file, and the stage that made it.
//!
//! The images are small: two layers of some files and an ESP, put together by the program's own functions.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "tests")]

#[path = "support/built.rs"]
mod built;

use std::fs::{self, File};
use std::io::Write as Writer;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use boxwright::boot::{Content, EspFile};
use boxwright::build::locking;
use boxwright::digest::Sha256;
use boxwright::disk::{self, Parts, Role};
use boxwright::layers::{self, Layer, Sealing};
use boxwright::lock;
use boxwright::tools::Tools;
use boxwright::verify::{Difference, compare_files};
use gptman::GPT;
use tar::{Builder, EntryType, Header};

const TIME: i64 = 1_790_000_000;

/// A file of a layer.
#[derive(Clone)]
struct Item {
    path: &'static str,
    kind: EntryType,
    /// Its content, or where it leads.
    text: &'static str,
    mode: u32,
    owner: (u64, u64),
    time: i64,
}

const fn item(path: &'static str, kind: EntryType, text: &'static str) -> Item {
    let mode = if matches!(kind, EntryType::Directory) { 0o755 } else { 0o644 };
    Item { path, kind, text, mode, owner: (0, 0), time: TIME }
}

/// What an image is made of.
struct Recipe {
    base: Vec<Item>,
    profile: Vec<Item>,
    esp: Vec<(&'static str, &'static str)>,
    layers: Vec<Role>,
}

impl Recipe {
    fn new() -> Self {
        let (dir, file) = (EntryType::Directory, EntryType::Regular);
        Self {
            base: vec![
                item("./", dir, ""),
                item("usr/", dir, ""),
                item("usr/one", file, "the first program"),
                item("usr/other", file, "the other program"),
                item("usr/same", EntryType::Link, "usr/one"),
                item("usr/to", EntryType::Symlink, "one"),
            ],
            profile: vec![
                item("./", dir, ""),
                item("etc/", dir, ""),
                item("etc/hostname", file, "attic\n"),
                item("etc/with space", file, "a\nb\nc\n"),
            ],
            esp: vec![
                ("EFI/BOOT/BOOTX64.EFI", "shim"),
                ("EFI/BOOT/GRUBX64.EFI", "systemd-boot"),
                ("loader/loader.conf", "timeout 0\n"),
                ("loader/entries/attic-0123456789abcdef+3.conf", "title attic\n"),
                ("boxwright/linux-0123456789abcdef", "a kernel"),
            ],
            layers: vec![Role::Base, Role::Profile],
        }
    }

    fn profile(&mut self, path: &str) -> &mut Item {
        self.profile.iter_mut().find(|item| item.path == path).unwrap()
    }

    fn image(&self, folder: &Path) -> PathBuf {
        let tools = tools().unwrap();
        let context = built::context();
        let seal = |name: &str, items: &[Item]| -> Layer {
            let target = folder.join(name);
            let sealing = Sealing { target: &target, time: TIME, tools, context: &context };
            layers::seal(
                |stream| {
                    write(items, stream);
                    Ok(())
                },
                sealing,
            )
            .unwrap()
        };
        let made = [(Role::Base, seal("base", &self.base)), (Role::Profile, seal("profile", &self.profile))];
        let layers: Vec<(Role, &Layer)> = made
            .iter()
            .filter(|(role, _)| self.layers.contains(role))
            .map(|(role, layer)| (*role, layer))
            .collect();
        let esp: Vec<EspFile> = self
            .esp
            .iter()
            .map(|(path, text)| EspFile { path: (*path).into(), content: Content::Bytes((*text).into()) })
            .collect();
        let seed = Sha256::of_bytes(b"release");
        let parts = Parts { seed: &seed, version: 7, time: TIME, layers: &layers, esp: &esp, secrets: None };
        disk::assemble(&parts, tools, &folder.join("box.img")).unwrap().commit().unwrap().path
    }
}

/// Writes a tar stream of `items`.
fn write(items: &[Item], stream: &mut dyn Writer) {
    let mut archive = Builder::new(stream);
    for item in items {
        let mut header = Header::new_gnu();
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_uid(item.owner.0);
        header.set_gid(item.owner.1);
        header.set_mtime(item.time.try_into().unwrap());
        header.set_size(0);
        if matches!(item.kind, EntryType::Symlink | EntryType::Link) {
            archive.append_link(&mut header, item.path, item.text).unwrap();
        } else {
            header.set_size(item.text.len() as u64);
            archive.append_data(&mut header, item.path, item.text.as_bytes()).unwrap();
        }
    }
    archive.finish().unwrap();
}

fn tools() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| {
        let lock = lock::load(&built::locked("minimal")?.with_extension("lock")).unwrap().unwrap();
        Some(locking::tools(&lock, &built::context()).unwrap())
    });
    tools.as_ref()
}

/// The image that all others are compared with.
fn original() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let folder = built::folder().join("verify");
        fs::create_dir_all(&folder).unwrap();
        Recipe::new().image(&folder)
    })
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("verify-").tempdir_in(built::folder()).unwrap()
}

/// Plants something into what an image is made of.
type Change = fn(&mut Recipe);
/// Plants something into an image.
type Write = fn(&Path);

/// Something planted: into what the image is made of, or into the image.
enum Planted {
    Made(Change),
    Written(Write),
}

/// Where a difference is to be found: the stage, the partition, the file, and what of it.
type Expected = (&'static str, &'static str, Option<&'static str>, &'static str);

/// Plants a difference and looks for it. Nothing else may be found but what follows from it in the partition table.
#[track_caller]
fn finds(planted: &Planted, expected: Expected) {
    let folder = folder();
    let mut recipe = Recipe::new();
    if let Planted::Made(change) = planted {
        change(&mut recipe);
    }
    let image = recipe.image(folder.path());
    if let Planted::Written(change) = planted {
        change(&image);
    }
    let found = compare_files(original(), &image, tools().unwrap()).unwrap();
    let (stage, partition, file, what) = expected;
    let is = |each: &&Difference| {
        each.stage.word() == stage
            && each.partition == partition
            && each.file.as_deref() == file
            && each.what.starts_with(what)
    };
    assert!(found.iter().any(|each| is(&each)), "{expected:?} is not among {found:#?}");
    let follows = |each: &Difference| each.partition == "partition table" && each.what == "GUID";
    let more: Vec<_> = found.iter().filter(|each| !is(each) && !follows(each)).collect();
    assert!(more.is_empty(), "{expected:?} is planted, and found is {more:#?}");
    assert!(found.iter().all(|each| each.first != each.second), "{found:#?}");
}

/// Changes one byte of the image.
fn flip(image: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(image).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x02], offset).unwrap();
}

fn start(image: &Path, role: Role) -> u64 {
    disk::read(image).unwrap().layout.find(role).unwrap().start
}

/// Where the bytes `wanted` are in the first part of the ESP.
fn in_esp(image: &Path, wanted: &[u8]) -> u64 {
    let start = start(image, Role::Esp);
    let mut bytes = vec![0; 4 << 20];
    File::open(image).unwrap().read_exact_at(&mut bytes, start).unwrap();
    start + bytes.windows(wanted.len()).position(|part| part == wanted).unwrap() as u64
}

/// Changes the partition table, both copies of it.
fn table(image: &Path, change: impl FnOnce(&mut GPT)) {
    let mut file = File::options().read(true).write(true).open(image).unwrap();
    let mut table = GPT::read_from(&mut file, 512).unwrap();
    change(&mut table);
    table.write_into(&mut file).unwrap();
}

/// Puts another squashfs into the profile's partition: packed with these options, with an attribute of a file.
fn packed(image: &Path, options: &[&str], attribute: bool) {
    let mut stream = Vec::new();
    for item in Recipe::new().profile {
        if attribute && item.path == "etc/hostname" {
            let mut part = Vec::new();
            let mut archive = Builder::new(&mut part);
            let extension = [("SCHILY.xattr.user.origin", "elsewhere".as_bytes())];
            archive.append_pax_extensions(extension).unwrap();
            stream.extend(archive.into_inner().unwrap().strip_suffix(&[0; 1024]).unwrap());
        }
        let mut part = Vec::new();
        write(&[item], &mut part);
        // Each stream but for its end, which is two empty blocks.
        stream.extend(part.strip_suffix(&[0; 1024]).unwrap());
    }
    stream.extend([0; 1024]);
    let time = TIME.to_string();
    let target = image.with_extension("squashfs");
    let tool = tools().unwrap().tool("mksquashfs").unwrap().arg("-").arg(&target);
    tool.args(["-tar", "-noappend", "-quiet", "-no-progress", "-comp", "zstd", "-root-mode", "0755"])
        .args(["-mkfs-time", &time, "-root-time", &time])
        .args(options)
        .stdin_bytes(stream)
        .run()
        .unwrap();
    let file = File::options().write(true).open(image).unwrap();
    // What is behind it differs too, which is not told apart.
    file.write_all_at(&fs::read(target).unwrap(), start(image, Role::Profile)).unwrap();
}

#[test]
fn nothing_differs_where_nothing_was_planted() {
    if tools().is_none() {
        return;
    }
    let folder = folder();
    let image = Recipe::new().image(folder.path());
    assert_eq!(compare_files(original(), &image, tools().unwrap()).unwrap(), []);
}

#[test]
fn what_is_planted_in_a_layer_is_named_by_file() {
    if tools().is_none() {
        return;
    }
    let cases: &[(Change, &'static str, Option<&'static str>, &'static str)] = &[
        (|it| it.profile("etc/hostname").time += 1, "profile", Some("/etc/hostname"), "time"),
        (|it| it.profile("etc/").time += 1, "profile", Some("/etc"), "time"),
        (|it| it.profile("etc/hostname").mode = 0o640, "profile", Some("/etc/hostname"), "mode"),
        (|it| it.profile("etc/hostname").mode = 0o4644, "profile", Some("/etc/hostname"), "mode"),
        (|it| it.profile("etc/hostname").owner = (1000, 0), "profile", Some("/etc/hostname"), "owner"),
        (|it| it.profile("etc/hostname").owner = (0, 5), "profile", Some("/etc/hostname"), "owner"),
        // The name of the machine that built it.
        (|it| it.profile("etc/hostname").text = "buildd\n", "profile", Some("/etc/hostname"), "content"),
        // A list in the order of another locale.
        (|it| it.profile("etc/with space").text = "a\nc\nb\n", "profile", Some("/etc/with space"), "content"),
        (
            |it| it.profile("etc/with space").text = "a\nb\nc\n\n",
            "profile",
            Some("/etc/with space"),
            "content",
        ),
        (
            |it| it.profile.push(item("etc/more", EntryType::Regular, "")),
            "profile",
            Some("/etc/more"),
            "missing",
        ),
        (|it| it.base.retain(|file| file.path != "usr/other"), "base", Some("/usr/other"), "missing"),
        (|it| it.base[5].text = "other", "base", Some("/usr/to"), "link"),
        (|it| it.base[4].text = "usr/other", "base", Some("/usr/same"), "link"),
        // The order in which a folder was read: the same files, packed one after the other in another way.
        (|it| it.base.swap(2, 3), "base", None, "bytes that belong to no file"),
    ];
    for (change, stage, file, what) in cases {
        let partition = if *stage == "base" { "base_7" } else { "profile_7" };
        finds(&Planted::Made(*change), (stage, partition, *file, what));
    }
    let attribute: Write = |image| packed(image, &["-b", "1M", "-Xcompression-level", "9"], true);
    finds(
        &Planted::Written(attribute),
        ("profile", "profile_7", Some("/etc/hostname"), "extended attributes"),
    );
    let sealed: Write = |image| flip(image, start(image, Role::Profile) + 8);
    finds(&Planted::Written(sealed), ("profile", "profile_7", None, "time of the filesystem"));
    let packing: Write = |image| packed(image, &["-b", "128K", "-no-xattrs"], false);
    finds(&Planted::Written(packing), ("profile", "profile_7", None, "bytes that belong to no file"));
}

/// A hard link in place of a copy changes what the file is, not what is in it.
#[test]
fn a_hard_link_in_place_of_a_copy_is_named() {
    if tools().is_none() {
        return;
    }
    let folder = folder();
    let mut recipe = Recipe::new();
    recipe.base[4] = item("usr/same", EntryType::Regular, "the first program");
    let found = compare_files(original(), &recipe.image(folder.path()), tools().unwrap()).unwrap();
    let kind = found.iter().find(|each| each.what == "kind").unwrap();
    assert_eq!(kind.file.as_deref(), Some("/usr/same"));
    assert_eq!((kind.first.as_str(), kind.second.as_str()), ("another name", "file"));
}

#[test]
fn what_is_planted_on_the_esp_is_named_by_file() {
    if tools().is_none() {
        return;
    }
    let made: &[(Change, Expected)] = &[
        (|it| it.esp[2].1 = "timeout 5\n", ("boot", "esp", Some("/loader/loader.conf"), "content")),
        (
            |it| it.esp[4].1 = "another!",
            ("base", "esp", Some("/boxwright/linux-0123456789abcdef"), "content"),
        ),
        (
            |it| it.esp.push(("loader/random-seed", "7")),
            ("boot", "esp", Some("/loader/random-seed"), "missing"),
        ),
        (
            |it| it.esp.retain(|file| file.1 != "shim"),
            ("boot", "esp", Some("/EFI/BOOT/BOOTX64.EFI"), "missing"),
        ),
        (|it| it.esp.swap(0, 1), ("boot", "esp", Some("/EFI/BOOT/"), "order")),
    ];
    for (change, expected) in made {
        finds(&Planted::Made(*change), *expected);
    }
    let written: &[(Write, Expected)] = &[
        (
            |image| flip(image, start(image, Role::Esp) + 67),
            ("boot", "esp", None, "number of the filesystem"),
        ),
        (|image| flip(image, start(image, Role::Esp) + 71), ("boot", "esp", None, "label")),
        (
            |image| flip(image, in_esp(image, b"BOOTX64 EFI") + 11),
            ("boot", "esp", Some("/EFI/BOOT/BOOTX64.EFI"), "mode"),
        ),
        (
            |image| flip(image, in_esp(image, b"BOOTX64 EFI") + 22),
            ("boot", "esp", Some("/EFI/BOOT/BOOTX64.EFI"), "time"),
        ),
        (
            |image| flip(image, start(image, Role::Esp) + (300 << 20)),
            ("boot", "esp", None, "bytes that belong to no file"),
        ),
        // A filesystem that cannot be read is a difference, not an error.
        (|image| flip(image, start(image, Role::Esp) + 11), ("boot", "esp", None, "files")),
    ];
    for (change, expected) in written {
        finds(&Planted::Written(*change), *expected);
    }
}

#[test]
fn what_is_planted_elsewhere_is_named_by_place() {
    if tools().is_none() {
        return;
    }
    let disk = |file, what| ("disk", "partition table", file, what);
    let written: &[(Write, Expected)] = &[
        (|image| table(image, |gpt| gpt.header.disk_guid = [7; 16]), disk(None, "GUID of the disk")),
        (|image| table(image, |gpt| gpt[1].unique_partition_guid = [7; 16]), disk(Some("esp"), "GUID")),
        (
            |image| table(image, |gpt| gpt[3].partition_name = "Profile_7".into()),
            disk(Some("profile_7"), "name"),
        ),
        (|image| table(image, |gpt| gpt[4].attribute_bits = 1), disk(Some("secrets"), "attributes")),
        (|image| flip(image, 440), disk(None, "protective MBR")),
        (|image| flip(image, 600 * 512), ("disk", "between partitions", None, "bytes")),
        (
            |image| flip(image, start(image, Role::Secrets) + 5),
            ("disk", "secrets", None, "bytes that belong to no file"),
        ),
        (
            |image| flip(image, start(image, Role::Base) + (8 << 20)),
            ("base", "base_7", None, "hash tree, or what lies behind it"),
        ),
        (|image| flip(image, start(image, Role::Base) + 4096), ("base", "base_7", None, "hash tree")),
        // A layer that cannot be read is a difference, not an error.
        (|image| flip(image, start(image, Role::Base) + 64), ("base", "base_7", None, "files")),
    ];
    for (change, expected) in written {
        finds(&Planted::Written(*change), *expected);
    }
    let last: Write = |image| flip(image, fs::metadata(image).unwrap().len() - 512 + 100);
    finds(&Planted::Written(last), disk(None, "second copy"));
    finds(
        &Planted::Written(|image| File::options().write(true).open(image).unwrap().set_len(2 << 30).unwrap()),
        ("disk", "image", None, "size"),
    );
}

#[test]
fn a_missing_partition_is_named() {
    if tools().is_none() {
        return;
    }
    let folder = folder();
    let mut recipe = Recipe::new();
    recipe.layers.pop();
    let found = compare_files(original(), &recipe.image(folder.path()), tools().unwrap()).unwrap();
    let missing: Vec<_> = found.iter().filter(|each| each.what == "missing").collect();
    assert!(
        missing.iter().any(|each| each.partition == "profile_7" && each.stage.word() == "profile"),
        "{found:#?}"
    );
}
