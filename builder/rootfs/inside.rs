//! Programs of the root filesystem, run inside it.
//!
//! As root they run as they are. Else they run under fakeroot of the tools, whose daemon keeps the owners that the
//! programs gave to files in a file from one run to the next.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::owners::{Owners, Record};
use crate::interrupt;
use crate::sandbox::{Isolation, Sandbox};
use crate::tool::Tool;
use crate::tools::{FAKETIME, Tools, ahead};

/// Where programs are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The folder with programs that go before them, below `/run`.
const FIRST: &str = "first";

/// How many lines of a failed program's standard output its error shows.
const SHOWN_LINES: usize = 20;

/// The folder that is shared with the sandbox, as `/run/state`.
const STATE: &str = "state";

/// What changes the clock, in it.
const CLOCK: &str = "libfaketime.so";

/// The file of the record in it.
const RECORD: &str = "owners";

/// What starts a program under fakeroot: $@ is the program.
const UNDER_FAKEROOT: &str = r#"
set -eu
mkfifo /tmp/faked
/run/state/faked --foreground --load --save-file /run/state/new < /run/state/owners > /tmp/faked &
daemon=$!
read -r started < /tmp/faked
status=0
FAKEROOTKEY="${started%%:*}" LD_PRELOAD="/run/state/libfakeroot.so${LD_PRELOAD:+:$LD_PRELOAD}" "$@" || status=$?
kill -TERM "$daemon"
wait "$daemon" || :
mv /run/state/new /run/state/owners
exit "$status"
"#;

/// A root filesystem in which programs can be run.
#[derive(Debug)]
pub(super) struct Inside {
    tree: PathBuf,
    state: PathBuf,
    isolation: Isolation,
    days_ahead: u16,
}

impl Inside {
    /// Prepares to run programs of the tree in `directory`; `made` is what the tree's files should be like where we are
    /// not root.
    pub fn prepare(directory: &Path, isolation: Isolation, tools: &Tools) -> Result<Self> {
        let (tree, state) = (directory.join("tree"), directory.join(STATE));
        let inside = Self { tree, state, isolation, days_ahead: tools.days_ahead() };
        let mut parts = Vec::new();
        if isolation == Isolation::UserNamespace {
            parts.push(("usr/bin/faked-sysv", "faked"));
            parts.push(("usr/lib/x86_64-linux-gnu/libfakeroot/libfakeroot-sysv.so", "libfakeroot.so"));
        }
        if inside.days_ahead > 0 {
            parts.push((FAKETIME, CLOCK));
        }
        if inside.shares() {
            fs::create_dir_all(&inside.state)
                .with_context(|| format!("creating {}", inside.state.display()))?;
        }
        for (path, name) in parts {
            let target = inside.state.join(name);
            fs::copy(tools.path(path)?, &target).with_context(|| format!("creating {}", target.display()))?;
        }
        Ok(inside)
    }

    /// The tree of an earlier build in `directory`.
    pub fn open(directory: &Path) -> Result<Self> {
        let state = directory.join(STATE);
        let recorded = state.join(RECORD).exists();
        let isolation = if recorded { Isolation::UserNamespace } else { Isolation::detect()? };
        Ok(Self { tree: directory.join("tree"), state, isolation, days_ahead: 0 })
    }

    /// Whether the folder of the state is shared with the sandbox.
    fn shares(&self) -> bool {
        self.isolation == Isolation::UserNamespace || self.days_ahead > 0
    }

    /// The root of the tree.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// How programs are kept apart.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Keeps `record` for the programs that run next. Where owners are real there is none.
    pub fn keep(&self, record: &Record) -> Result<()> {
        if self.isolation == Isolation::Root {
            return Ok(());
        }
        let path = self.state.join(RECORD);
        fs::write(&path, record.render()).with_context(|| format!("writing {}", path.display()))
    }

    /// Who owns the files of the tree now.
    pub fn owners(&self) -> Result<Owners> {
        if self.isolation == Isolation::Root {
            return Ok(Owners::Real);
        }
        let path = self.state.join(RECORD);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Owners::Recorded(Record::parse(&text)?))
    }

    /// A call of `program` with the environment that everything inside has.
    pub fn tool(&self, program: &[&str]) -> Tool {
        self.enclosed(program, Sandbox::new(&self.tree, self.isolation))
    }

    /// As [`Self::tool`]; the program finds the folder `outside` as `/run/<name>`, and may write to it.
    pub fn tool_with(&self, program: &[&str], (outside, name): (&Path, &str)) -> Tool {
        self.enclosed(program, Sandbox::new(&self.tree, self.isolation).share(outside, name))
    }

    /// As [`Self::tool`]; it finds the programs in the folder `first` before the system's.
    pub fn tool_first(&self, program: &[&str], first: &Path) -> Tool {
        self.tool_with(program, (first, FIRST)).env("PATH", format!("/run/{FIRST}:{PATH}"))
    }

    /// As [`Self::tool_with`], for a program that goes on beside another one: it sees no owner but root and can give no other.
    pub fn tool_beside(&self, program: &[&str], (outside, name): (&Path, &str)) -> Tool {
        self.surrounded(plain(program), Sandbox::new(&self.tree, self.isolation).share(outside, name))
    }

    fn enclosed(&self, program: &[&str], sandbox: Sandbox) -> Tool {
        let tool = if self.isolation == Isolation::UserNamespace {
            let tool = Tool::new("/usr/bin/dash").args(["-c", UNDER_FAKEROOT, "fakeroot"]).args(program);
            tool.env("FAKEROOTDONTTRYCHOWN", "1")
        } else {
            plain(program)
        };
        self.surrounded(tool, sandbox)
    }

    fn surrounded(&self, mut tool: Tool, sandbox: Sandbox) -> Tool {
        let sandbox = if self.shares() { sandbox.share(&self.state, STATE) } else { sandbox };
        if self.days_ahead > 0 {
            tool = tool.env("LD_PRELOAD", format!("/run/{STATE}/{CLOCK}")).envs(ahead(self.days_ahead));
        }
        tool.env("PATH", PATH)
            .env("HOME", "/root")
            .env("SHELL", "/bin/sh")
            // The plain one is there in every program already; C.UTF-8 takes a fifth of the time of starting a small one.
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("TERM", "dumb")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("DEBCONF_NONINTERACTIVE_SEEN", "true")
            .env("DEBCONF_NOWARNINGS", "yes")
            // initramfs-tools' kernel hook: the initrd is made once, later, and not in the root filesystem.
            .env("INITRD", "No")
            .env("PYTHONHASHSEED", "0")
            .inside(sandbox)
    }

    /// Runs `program` and calls `line` with each line that it writes to standard output.
    pub fn run(program: Tool, mut line: impl FnMut(&str)) -> Result<()> {
        let mut running = program.spawn()?;
        let stdout = running.stdout.take().context("a program has no standard output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let mut last = Vec::new();
        loop {
            interrupt::check()?;
            match lines.recv_timeout(Duration::from_millis(100)) {
                Ok(text) => {
                    line(&text);
                    if last.len() == SHOWN_LINES {
                        last.remove(0);
                    }
                    last.push(text);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        running
            .wait()
            .with_context(|| format!("the last lines of its output were\n    {}", last.join("\n    ")))
    }
}

fn plain(program: &[&str]) -> Tool {
    let (name, arguments) = program.split_first().unwrap_or((&"", &[]));
    Tool::new(name).args(arguments)
}
