//! Small images of the real layout: the real partition table, an ESP with a boot entry, and layers of random bytes with holes.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use boxwright::build::manifest::{self, Manifest, SCHEMA};
use boxwright::digest::Sha256;
use boxwright::disk::layout::{LayerSize, MIB};
use boxwright::disk::{Layout, Role, content, gpt};
use boxwright::flash::{Aim, Machine, Order, Source};
use boxwright::ui::Ui;
use gptman::{GPT, GPTPartitionEntry};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};

/// A folder for one test, on a filesystem that has direct reads and holes.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let parent = Path::new(env!("CARGO_MANIFEST_DIR")).join("out/test");
        std::fs::create_dir_all(&parent).unwrap();
        Self { folder: tempfile::tempdir_in(parent).unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The image of a release of the box `name`, with its manifest.
    pub fn image(&self, name: &str, version: u64) -> PathBuf {
        let seed = Sha256::of_bytes(format!("{name} {version}").as_bytes());
        let mut random = StdRng::from_seed(*seed.bytes());
        let layer = |role, guid: u8| LayerSize { role, bytes: 6 << 20, guid: [guid; 16] };
        let number = u8::try_from(version).unwrap() * 2;
        let layers = [layer(Role::Base, number), layer(Role::Profile, number + 1)];
        let layout = Layout::plan(&seed, version, &layers).unwrap();
        let path = self.path(&format!("{name}-{version}.img"));
        let mut file =
            OpenOptions::new().read(true).write(true).create_new(true).truncate(false).open(&path).unwrap();
        file.set_len(layout.total_bytes).unwrap();
        gpt::write(&layout, &mut file).unwrap();
        esp(&file, layout.find(Role::Esp).unwrap().start, name);
        for role in [Role::Base, Role::Profile] {
            let start = layout.find(role).unwrap().start;
            for part in 0..3 {
                let mut bytes = vec![0; random.gen_range(1..400_000)];
                random.fill_bytes(&mut bytes);
                file.write_all_at(&bytes, start + part * 2 * MIB + 4096).unwrap();
            }
        }
        file.sync_all().unwrap();
        let manifest = Manifest {
            schema: SCHEMA,
            name: name.into(),
            release: seed,
            version,
            time: 0,
            distribution: "debian-13".into(),
            platform: "uefi-x86_64".into(),
            inputs: seed,
            parts: Vec::new(),
            size: layout.total_bytes,
            written: 0,
            fingerprint: manifest::fingerprint(&path).unwrap(),
            content: Some(content::read(&file, &|_| ()).unwrap().digest),
            encrypt: None,
            sha256: None,
            embedded: Vec::new(),
            unresolved: Vec::new(),
        };
        manifest.save(&path).unwrap();
        path
    }

    /// An empty sparse file.
    pub fn empty(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        File::create_new(&path).unwrap().set_len(size).unwrap();
        path
    }

    /// Runs the program's `flash`.
    pub fn flash(&self, arguments: &[&str]) -> Said {
        self.call("flash", arguments)
    }

    /// Runs the program.
    pub fn call(&self, verb: &str, arguments: &[&str]) -> Said {
        let program = env!("CARGO_BIN_EXE_boxwright");
        let output = Command::new(program)
            .arg(verb)
            .args(arguments)
            .arg("--cache")
            .arg(self.path("cache"))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        Said::of(&output)
    }
}

/// What a run said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It went well.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It was refused, and says all of this.
    #[track_caller]
    pub fn refused(self, texts: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        for text in texts {
            assert!(self.err.contains(text), "no {text} in {self:?}");
        }
        self
    }
}

/// A FAT32 of 512 MiB with `loader/entries/a.conf`, as far as flashing reads it; `fsck.vfat` agrees.
fn esp(file: &File, start: u64, name: &str) {
    let entry = |name: &[u8; 11], kind: u8, cluster: u16, length: u32| {
        let mut entry = [0; 32];
        entry[..11].copy_from_slice(name);
        entry[11] = kind;
        entry[26..28].copy_from_slice(&cluster.to_le_bytes());
        entry[28..].copy_from_slice(&length.to_le_bytes());
        entry
    };
    let mut boot = [0; 512];
    boot[..11].copy_from_slice(b"\xeb\x58\x90mkfs.fat");
    for (at, value) in [(11, 512_u16), (14, 32), (24, 32), (26, 64), (48, 1), (50, 6)] {
        boot[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    (boot[13], boot[16], boot[21], boot[66]) = (8, 2, 0xf8, 0x29);
    for (at, value) in [(32, 1_048_576_u32), (36, 1024), (44, 2)] {
        boot[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    boot[71..90].copy_from_slice(b"NO NAME    FAT32   ");
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut info = [0; 512];
    info[..4].copy_from_slice(b"RRaA");
    info[484..488].copy_from_slice(b"rrAa");
    let clusters: u32 = (1_048_576 - 32 - 2048) / 8;
    info[488..492].copy_from_slice(&(clusters - 4).to_le_bytes());
    info[492..496].copy_from_slice(&5_u32.to_le_bytes());
    info[510..].copy_from_slice(&[0x55, 0xaa]);
    for copy in [0, 6 * 512] {
        file.write_all_at(&boot, start + copy).unwrap();
        file.write_all_at(&info, start + copy + 512).unwrap();
    }
    let table: Vec<u8> = [0x0fff_fff8_u32, 0x0fff_ffff, 0x0fff_ffff, 0x0fff_ffff, 0x0fff_ffff, 0x0fff_ffff]
        .iter()
        .flat_map(|entry| entry.to_le_bytes())
        .collect();
    for copy in [32, 32 + 1024] {
        file.write_all_at(&table, start + copy * 512).unwrap();
    }
    let text = format!("title {name}\noptions boot=boxwright boxwright.box={name} quiet\n");
    let cluster = |number: u64| start + (32 + 2048) * 512 + (number - 2) * 4096;
    file.write_all_at(&entry(b"LOADER     ", 0x10, 3, 0), cluster(2)).unwrap();
    let dots = |own: u16, parent: u16| {
        [entry(b".          ", 0x10, own, 0), entry(b"..         ", 0x10, parent, 0)].concat()
    };
    file.write_all_at(&[dots(3, 0), entry(b"ENTRIES    ", 0x10, 4, 0).to_vec()].concat(), cluster(3))
        .unwrap();
    let conf = entry(b"A       CON", 0x20, 5, u32::try_from(text.len()).unwrap()).to_vec();
    file.write_all_at(&[dots(4, 3), conf].concat(), cluster(4)).unwrap();
    file.write_all_at(text.as_bytes(), cluster(5)).unwrap();
}

/// What the first start makes on the disk at `path`: second slots, a system partition of the box `name`, and state. False where
/// there is no mke2fs.
pub fn start(path: &Path, name: &str) -> bool {
    let program = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].into_iter().find(|path| Path::new(path).exists());
    let Some(program) = program else {
        assert!(std::env::var_os("CI").is_none(), "mke2fs is missing");
        eprintln!("SKIPPED: there is no mke2fs on this machine");
        return false;
    };
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut table = GPT::read_from(&mut file, 512).unwrap();
    let end = table.iter().filter(|(_, entry)| entry.is_used()).map(|(_, entry)| entry.ending_lba + 1);
    let mut at = end.max().unwrap();
    let mut add = |number: u32, role: Role, name: &str, sectors: u64| {
        let mut guid = role.type_guid();
        guid[..4].reverse();
        guid[4..6].reverse();
        guid[6..8].reverse();
        table[number] = GPTPartitionEntry {
            partition_type_guid: guid,
            unique_partition_guid: rand::random(),
            starting_lba: at,
            ending_lba: at + sectors - 1,
            attribute_bits: 0,
            partition_name: name.into(),
        };
        at += sectors;
        (at - sectors) * 512
    };
    add(5, Role::Base, "_empty", 2048 * 20);
    add(6, Role::Profile, "_empty", 2048 * 8);
    let system = add(7, Role::System, "system", 2048 * 32);
    let state = add(8, Role::State, "state", 2048 * 32);
    table.write_into(&mut file).unwrap();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("box"), format!("{name}\n")).unwrap();
    let made = Command::new(program)
        .args(["-q", "-F", "-t", "ext4", "-L", "boxwright-sys", "-d"])
        .arg(files.path())
        .args(["-E", &format!("offset={system}")])
        .arg(path)
        .arg("32m")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut bytes = vec![0; 32 << 20];
    StdRng::seed_from_u64(7).fill_bytes(&mut bytes);
    file.write_all_at(&bytes, state).unwrap();
    file.flush().unwrap();
    true
}

/// The used entries of one of the two tables of `file`, if that table is whole: the first or the second alone.
pub fn table(path: &Path, first: bool) -> Option<Vec<(u32, GPTPartitionEntry)>> {
    let mut whole = File::open(path).unwrap();
    let size = std::io::Seek::seek(&mut whole, std::io::SeekFrom::End(0)).unwrap();
    let mut alone = tempfile::tempfile().unwrap();
    alone.set_len(size).unwrap();
    let (at, length) = if first { (0, 1 << 20) } else { (size - 33 * 512, 33 * 512) };
    let mut bytes = vec![0; length];
    whole.read_exact_at(&mut bytes, at).unwrap();
    alone.write_all_at(&bytes, at).unwrap();
    let table = GPT::read_from(&mut alone, 512).ok()?;
    Some(
        table
            .iter()
            .filter(|(_, entry)| entry.is_used())
            .map(|(number, entry)| (number, entry.clone()))
            .collect(),
    )
}

/// The bytes of a range of a file.
pub fn bytes(path: &Path, start: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    File::open(path).unwrap().read_exact_at(&mut bytes, start).unwrap();
    bytes
}

/// The first difference between the layers of an image and a disk, if there is any.
pub fn difference(image: &Path, disk: &Path) -> Option<String> {
    let layout = boxwright::disk::read(image).unwrap().layout;
    let image = File::open(image).unwrap();
    let disk = File::open(disk).unwrap();
    for role in [Role::Base, Role::Profile] {
        let part = layout.find(role).unwrap();
        let (mut one, mut other) = (vec![0; 8 << 20], vec![0; 8 << 20]);
        image.read_exact_at(&mut one, part.start).unwrap();
        disk.read_exact_at(&mut other, part.start).unwrap();
        if one != other {
            return Some(part.name.clone());
        }
    }
    None
}

/// An image and a file as a disk, ready for the plan.
pub fn aimed(bench: &Bench, image: &Path, disk: &Path) -> (Source, Aim) {
    let mut source = Source::open(image, &bench.path("cache"), false, &Ui::silent()).unwrap();
    source.check(&Ui::silent()).unwrap();
    let aim = Aim::take(&Machine::default(), disk, (&source, false), None).unwrap();
    assert_eq!(aim.refusals, [], "{aim:?}");
    (source, aim)
}

/// An order without secrets.
pub fn order<'a>(source: &'a Source, aim: &'a Aim) -> Order<'a> {
    Order { source, aim, secrets: None, erase_state: false, time: 1_790_000_000 }
}

/// Runs a program that a test cannot do without; false, and a line that says so, where it is not there.
pub fn there(program: &str) -> bool {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing");
        eprintln!("SKIPPED: there is no {program} on this machine");
    }
    found
}
