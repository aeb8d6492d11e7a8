//! A box that is started, watched, restarted and taken apart, for boot scenarios.
//!
//! In: an image as `boxwright build` makes it, and the lock beside it. Everything that a scenario sees of the box comes from
//! outside (the console) or from a probe: a unit that is handed in through the firmware and prints what it finds. There are
//! no fixed waits: everything ends when it is seen, or at a bound.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use boxwright::build::{lock_of, locking};
use boxwright::firmware::{Distribution, Platform};
use boxwright::lock;
use boxwright::tools::Tools;
use boxwright::vm::rehearsal::{self, Rehearsal};
use boxwright::vm::{BoxDisk, Host, Machine, MachineOptions, Options, Said, Unit, verdict};

/// How long a box may take to be good under plain emulation on a busy machine.
pub const GOOD: Duration = Duration::from_secs(1200);

/// How long something may take that follows at once.
pub const SOON: Duration = Duration::from_secs(600);

/// What boxes are started with.
pub struct Bench {
    image: PathBuf,
    tools: Tools,
    platform: Platform,
    distribution: Distribution,
    folder: tempfile::TempDir,
    turn: Turn,
}

/// The right to start machines. Two at once, each with one processor, fit two processors: they get good in 101 s together
/// under plain emulation, and in 122 s one after the other with both. Two processors each would mostly wait for each other, and
/// three machines are no faster than two.
struct Turn(u32);

/// How many processors machines may have together.
const PROCESSORS: u32 = 2;
/// How many may still be taken.
static TURNS: (Mutex<u32>, Condvar) = (Mutex::new(PROCESSORS), Condvar::new());

impl Turn {
    fn take(processors: u32) -> Self {
        let (left, freed) = &TURNS;
        let left = left.lock().unwrap_or_else(PoisonError::into_inner);
        *freed.wait_while(left, |left| *left < processors).unwrap_or_else(PoisonError::into_inner) -=
            processors;
        Self(processors)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (left, freed) = &TURNS;
        *left.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        freed.notify_all();
    }
}

impl Bench {
    /// The image that `BOXWRIGHT_IMAGE` names, or that of the profile `minimal`. None, and a line that says why, where none
    /// can be had.
    pub fn new() -> Option<Self> {
        let turn = Turn::take(1);
        let named = std::env::var_os("BOXWRIGHT_IMAGE").map(PathBuf::from);
        let image = named.or_else(|| crate::built::minimal().map(Path::to_owned))?;
        Some(Self::with(image, turn))
    }

    /// As [`Bench::new`], with the image of the profile at `path` in the checkout.
    pub fn of(path: &str) -> Option<Self> {
        let turn = Turn::take(1);
        let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let image = crate::built::image_of(&crate::built::Source { profile, mirror: None, images: "" })?;
        Some(Self::with(image, turn))
    }

    /// As [`Bench::of`], with stand-ins for all containers of the profile in the image. It needs a static busybox besides.
    pub fn with_containers(path: &str) -> Option<Self> {
        Self::with_processors(path, 1)
    }

    /// As [`Bench::with_containers`], for a box with many: it has all processors, and nothing else runs beside it. With less,
    /// the health checks of twenty containers take longer than they may.
    pub fn alone(path: &str) -> Option<Self> {
        Self::with_processors(path, PROCESSORS)
    }

    fn with_processors(path: &str, processors: u32) -> Option<Self> {
        let turn = Turn::take(processors);
        let image = crate::support::boxes::image_of(path)?;
        Some(Self::with(image, turn))
    }

    fn with(image: PathBuf, turn: Turn) -> Self {
        let context = crate::built::context();
        let project = context.project.clone();
        let lock = lock::load(&lock_of(&image)).unwrap().expect("the image has its lock beside it");
        Self {
            tools: locking::machine_tools(&lock, &context).unwrap(),
            platform: Platform::load(&project, &lock.platform).unwrap(),
            distribution: Distribution::load(&project, &lock.distribution).unwrap(),
            folder: tempfile::tempdir_in(crate::built::folder()).unwrap(),
            image,
            turn,
        }
    }

    /// The image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// The tools: for reading a disk with the programs that a stranger would use.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The distribution of the box.
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// A new disk with the image, called `name`.
    pub fn disk(&self, name: &str) -> BoxDisk {
        self.disk_of(name, 12 << 30)
    }

    /// As [`Bench::disk`], of another size.
    pub fn disk_of(&self, name: &str, bytes: u64) -> BoxDisk {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        BoxDisk::create(&self.image, &folder, bytes).unwrap()
    }

    /// As [`Bench::disk`], made as a user makes it.
    pub fn flashed(&self, name: &str) -> BoxDisk {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let disk = BoxDisk { path: folder.join("disk.raw"), folder };
        self.flash(&disk, &["--size", "12G"]);
        disk
    }

    /// Flashes `disk` as a user does, with these further arguments; the receipt.
    pub fn flash(&self, disk: &BoxDisk, arguments: &[&str]) -> String {
        let call = crate::built::call("flash").arg(&self.image).arg("--to").arg(&disk.path);
        String::from_utf8(call.args(arguments).output().unwrap()).unwrap()
    }

    /// The files in the folder `path` of the ESP of `disk`, which is switched off.
    pub fn esp_list(&self, disk: &BoxDisk, path: &str) -> Vec<String> {
        let listing = self.esp("mdir", disk, &["-b", &format!("::/{path}")], None);
        let listing = String::from_utf8(listing).unwrap();
        let names = listing.lines().filter_map(|line| line.trim().rsplit('/').next());
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// The file `path` of the ESP of `disk`.
    pub fn esp_read(&self, disk: &BoxDisk, path: &str) -> String {
        String::from_utf8(self.esp_bytes(disk, path)).unwrap()
    }

    /// As [`Bench::esp_read`], for a file that is no text.
    pub fn esp_bytes(&self, disk: &BoxDisk, path: &str) -> Vec<u8> {
        self.esp("mtype", disk, &[&format!("::/{path}")], None)
    }

    /// Writes the file `path` of the ESP of `disk`.
    pub fn esp_write(&self, disk: &BoxDisk, path: &str, content: impl AsRef<[u8]>) {
        self.esp("mcopy", disk, &["-o", "-", &format!("::/{path}")], Some(content.as_ref().to_owned()));
    }

    fn esp(&self, tool: &str, disk: &BoxDisk, arguments: &[&str], input: Option<Vec<u8>>) -> Vec<u8> {
        let layout = boxwright::disk::read(&disk.path).unwrap().layout;
        let start = layout.find(boxwright::disk::Role::Esp).unwrap().start;
        let image = format!("{}@@{start}", disk.path.display());
        let call = self.tools.tool(tool).unwrap().arg("-i").arg(image).args(arguments);
        let call = match input {
            Some(content) => call.stdin_bytes(content),
            None => call,
        };
        call.output().unwrap()
    }

    /// Where a file called `name` may be made for this bench.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An empty data disk of `bytes`, called `name`.
    #[allow(dead_code, reason = "for scenarios with data disks")]
    pub fn empty(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.raw"));
        std::fs::File::create_new(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    fn host(&self) -> Host<'_> {
        Host { tools: &self.tools, platform: &self.platform, distribution: &self.distribution }
    }

    /// Rehearses a restore, as `boxwright rehearse` does, with what the secrets partition is to begin with.
    pub fn rehearse(&self, bundle: Vec<u8>, machine: &MachineOptions) -> Rehearsal {
        let options = Options {
            timeout: GOOD * 2,
            secrets: Some(bundle),
            machine: MachineOptions { processors: self.turn.0, ..machine.clone() },
            echo: std::env::var_os("BOXWRIGHT_CONSOLE").is_some(),
            ..Options::default()
        };
        rehearsal::rehearse(&self.image, &options, &self.host(), &crate::built::context()).unwrap()
    }

    /// Switches a machine with `disk` on.
    pub fn start(&self, disk: &BoxDisk, options: &MachineOptions) -> Run {
        let options = MachineOptions { processors: self.turn.0, ..options.clone() };
        let machine = Machine::start(disk, &options, &self.host()).unwrap();
        if std::env::var_os("BOXWRIGHT_CONSOLE").is_some() {
            machine.echo();
        }
        Run { machine }
    }
}

/// One run of a machine.
pub struct Run {
    pub machine: Machine,
}

impl Run {
    /// Waits until the box says it is good.
    ///
    /// # Panics
    /// If it does not in time, or says that it is not.
    pub fn until_good(&mut self) {
        let said =
            self.until(GOOD, |said| matches!(said, Said::Good | Said::NotGood(_) | Said::CannotStart(_)));
        assert_eq!(said, Said::Good);
    }

    /// Waits until the box says something that `wanted` looks for.
    pub fn until(&mut self, timeout: Duration, wanted: impl Fn(&Said) -> bool) -> Said {
        self.machine.wait_for(timeout, |line| verdict::parse(line).filter(|said| wanted(said))).unwrap()
    }

    /// The last that it has said of what `wanted` looks for, or the next.
    pub fn last_or_next(&mut self, timeout: Duration, wanted: impl Fn(&Said) -> bool) -> Said {
        let mut said = self.machine.seen().iter().rev().filter_map(|line| verdict::parse(line));
        let last = said.find(|said| wanted(said));
        last.unwrap_or_else(|| self.until(timeout, wanted))
    }

    /// Waits for a line of the console with `text`.
    pub fn until_text(&mut self, timeout: Duration, text: &str) -> String {
        self.machine.wait_for(timeout, |line| line.contains(text).then(|| line.to_owned())).unwrap()
    }

    /// As [`Run::until_text`], for what it may have said already.
    pub fn said_or_says(&mut self, timeout: Duration, text: &str) {
        if !self.machine.seen().iter().any(|line| line.contains(text)) {
            self.until_text(timeout, text);
        }
    }

    /// Waits for the end of the probe `name`: what it printed.
    ///
    /// # Panics
    /// If it fails or does not end in time.
    pub fn probe(&mut self, name: &str, timeout: Duration) -> Vec<String> {
        let mark = format!("probe[{name}] ");
        let mut printed = Vec::new();
        let status = self.machine.wait_for(timeout, |line| {
            let text = line.split_once(&mark)?.1;
            match text.strip_prefix("exit ") {
                Some(status) => Some(status.trim().to_owned()),
                None => {
                    printed.push(text.to_owned());
                    None
                }
            }
        });
        let status = status.unwrap_or_else(|error| panic!("probe {name}: {error}\n{}", printed.join("\n")));
        assert_eq!(status, "0", "probe {name} printed\n{}", printed.join("\n"));
        printed
    }

    /// Waits for the end of the probe `name`, whose script has `count` [`checks`], all of which must succeed; what else it
    /// printed.
    pub fn checks(&mut self, name: &str, count: usize) -> Vec<String> {
        let printed = self.probe(name, Duration::from_secs(2400));
        let (checks, others): (Vec<String>, Vec<String>) =
            printed.into_iter().partition(|line| line.starts_with("check "));
        let failed: Vec<&String> = checks.iter().filter(|check| !check.ends_with(": yes")).collect();
        assert!(failed.is_empty() && checks.len() == count, "{failed:#?} of {checks:#?}");
        others
    }

    /// Shuts the box down, as its power button does.
    pub fn shut_down(self) -> Vec<String> {
        self.machine.press_power().unwrap();
        self.machine.wait_end(Duration::from_secs(900)).unwrap()
    }

    /// Takes the power away.
    pub fn cut_power(self) -> Vec<String> {
        self.machine.stop().unwrap()
    }
}

/// A probe: `script` runs once the box is good (or before, if it waits for nothing). What it prints is read with
/// [`Run::probe`].
pub fn probe(name: &str, when: When, script: &str) -> Vec<Unit> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(script);
    // $$ is a $ in a unit; the console is opened for each line, since a getty hangs it up.
    let run = format!(
        "t=$$(mktemp); echo {encoded} | base64 -d >$$t; {{ sh $$t 2>&1; echo exit $$?; }} | \
         while IFS= read -r line; do echo \"probe[{name}] $$line\" >/dev/console; done"
    );
    // What starts it, and what that is wanted by.
    let service = format!("probe-{name}.service");
    let path = format!("probe-{name}.path");
    let (after, starter, wanted_by) = match when {
        When::Good => ("boxwright-good.target", &service, "boxwright-good.target"),
        When::Early => ("local-fs.target", &service, "sysinit.target"),
        When::Ready => ("docker.service", &path, "paths.target"),
    };
    let text = format!(
        "[Unit]\nDescription=Probe {name}\nDefaultDependencies=no\nAfter={after}\n\n\
         [Service]\nType=exec\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{run}'\n"
    );
    let mut units = vec![
        Unit::Whole { name: service.clone(), text },
        Unit::DropIn {
            name: format!("{wanted_by}~probe-{name}"),
            text: format!("[Unit]\nWants={starter}\n"),
        },
    ];
    if when == When::Ready {
        units.push(Unit::Whole { name: path, text: "[Path]\nPathExists=/run/boxwright/ready\n".to_owned() });
    }
    units
}

/// A script that looks whether each of these commands succeeds; [`Run::checks`] reads what it prints.
pub fn checks(list: &[(&str, &str)]) -> String {
    let mut script = "check() { if seen=$(eval \"$2\" 2>&1); then echo \"check $1: yes\"; \
        else echo \"check $1: no: $(echo \"$seen\" | tail -n 9 | paste -sd '|' -)\"; fi; }\n"
        .to_owned();
    for (name, command) in list {
        assert!(!command.contains('\''), "{command}");
        script.push_str(&format!("check '{name}' '{command}'\n"));
    }
    script
}

/// When a probe runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once the release is good.
    Good,
    /// As soon as the local filesystems are there.
    Early,
    /// Once everything is up.
    Ready,
}

/// `options` with these units.
pub fn with_units(options: &MachineOptions, units: impl IntoIterator<Item = Vec<Unit>>) -> MachineOptions {
    let mut options = options.clone();
    options.units.extend(units.into_iter().flatten());
    options
}

/// What the line of `lines` says that begins with `key`.
///
/// # Panics
/// If there is none.
pub fn value(lines: &[String], key: &str) -> String {
    let prefix = format!("{key} ");
    let found = lines.iter().find_map(|line| line.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("no {key} in {lines:?}")).to_owned()
}
