//! Programs of a foreign root filesystem, run apart from the host: the one file with `unsafe`.
//!
//! A [`Sandbox`] goes in, and a process that is about to be started is changed so that it finds itself as process 1 of
//! new namespaces (mount, pid, UTS, IPC, network), with the folder as its root. Where we are not root it is root in
//! a user namespace of its own, in which our user is the only one. Nothing of the host can be reached but the kernel,
//! six devices and the folders that are handed in; there is no network, not even a loopback interface that is up.
//!
//! Everything between fork and exec is a bare system call on memory that was allocated before.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};
use rustix::thread::{
    CapabilitySet, CpuSet, UnshareFlags, sched_setaffinity, set_thread_gid, set_thread_groups, set_thread_uid,
};

/// The status with which a process ends that could not enter its sandbox.
const CANNOT_ENTER: i32 = 125;

/// The host name inside.
const HOST_NAME: &[u8] = b"localhost";

/// The devices that programs find under /dev.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What even the root of the sandbox must not do to the host's kernel.
const FORBIDDEN: [CapabilitySet; 8] = [
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::SYS_BOOT,
    CapabilitySet::SYS_TIME,
    CapabilitySet::SYSLOG,
    CapabilitySet::WAKE_ALARM,
    CapabilitySet::MAC_ADMIN,
    CapabilitySet::AUDIT_CONTROL,
];

/// How a process gets its own namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// As root: owners are real.
    Root,
    /// In a user namespace that knows one user: every file belongs to it, owners have to be recorded elsewhere.
    UserNamespace,
}

impl Isolation {
    /// The best way that this kernel allows us.
    ///
    /// # Errors
    /// If there is none; the message names the setting that forbids it.
    pub fn detect() -> Result<Self> {
        if rustix::process::geteuid().is_root() && Self::Root.try_out() == Ok(()) {
            return Ok(Self::Root);
        }
        match Self::UserNamespace.try_out() {
            Ok(()) => Ok(Self::UserNamespace),
            Err(error) => bail!("{}", why_forbidden(error)),
        }
    }

    /// Makes the namespaces in a process of its own, which ends at once.
    fn try_out(self) -> Result<(), Errno> {
        let maps = IdMaps::of_this_process();
        // SAFETY: the child makes system calls on memory that exists already, and ends without unwinding.
        match unsafe { libc::fork() } {
            -1 => Err(Errno::AGAIN),
            0 => {
                let result = self.separate(&maps).and_then(|()| {
                    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
                    rustix::mount::mount_change(c"/", flags)
                });
                let status = result.map_or_else(Errno::raw_os_error, |()| 0);
                // SAFETY: ends this process without running anything else.
                unsafe { libc::_exit(status) }
            }
            child => match wait_for(child) {
                0 => Ok(()),
                status => Err(Errno::from_raw_os_error(status)),
            },
        }
    }

    /// Moves this process into namespaces of its own; its children will be in a new pid namespace.
    fn separate(self, maps: &IdMaps) -> Result<(), Errno> {
        let common = UnshareFlags::NEWNS
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWNET;
        let flags = if self == Self::Root { common } else { common | UnshareFlags::NEWUSER };
        // SAFETY: the table of file descriptors is not among what is unshared.
        unsafe { rustix::thread::unshare_unsafe(flags)? };
        if self == Self::UserNamespace {
            write_file(c"/proc/self/setgroups", b"deny")?;
            write_file(c"/proc/self/uid_map", &maps.user)?;
            write_file(c"/proc/self/gid_map", &maps.group)?;
        }
        Ok(())
    }
}

/// The lines that make our user and group root in a user namespace.
#[derive(Debug, Clone)]
struct IdMaps {
    user: Vec<u8>,
    group: Vec<u8>,
}

impl IdMaps {
    fn of_this_process() -> Self {
        Self {
            user: format!("0 {} 1", rustix::process::geteuid().as_raw()).into_bytes(),
            group: format!("0 {} 1", rustix::process::getegid().as_raw()).into_bytes(),
        }
    }
}

/// The setting that keeps us from making a user namespace, in words.
fn why_forbidden(error: Errno) -> String {
    let value = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let settings = [
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "0",
        ),
        ("kernel.unprivileged_userns_clone", "/proc/sys/kernel/unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "/proc/sys/user/max_user_namespaces", "0", "15000"),
    ];
    for (name, path, forbidden, allowed) in settings {
        if value(path) == forbidden {
            return format!(
                "this kernel does not let ordinary users make user namespaces: {name} is {forbidden}\n\
                 run `sudo sysctl {name}={allowed}`, or build as root"
            );
        }
    }
    let reason = io::Error::from(error);
    format!(
        "the packages cannot be configured apart from this system, since namespaces cannot be made: {reason}\n\
         build as root, or, in a container, start that with user namespaces allowed (Docker: \
         --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined)"
    )
}

/// A root filesystem and what is handed into it.
#[derive(Debug, Clone)]
pub struct Sandbox {
    root: PathBuf,
    isolation: Isolation,
    shared: Vec<(PathBuf, PathBuf)>,
}

impl Sandbox {
    /// A sandbox whose root is the folder `root`. `/run`, `/tmp` and `/dev` are empty ones of its own.
    pub fn new(root: &Path, isolation: Isolation) -> Self {
        Self { root: root.to_owned(), isolation, shared: Vec::new() }
    }

    /// Shows the folder `outside` as `/run/<name>` inside, writable.
    #[must_use]
    pub fn share(mut self, outside: &Path, name: &str) -> Self {
        self.shared.push((outside.to_owned(), self.root.join("run").join(name)));
        self
    }

    /// Makes `command` start inside. Its program is a path inside; its working directory is `/`. It ends when the
    /// calling thread ends. What goes wrong on the way in is on its standard error, and its status is 125.
    ///
    /// # Errors
    /// If a path cannot be handed to the kernel.
    pub fn enclose(&self, command: &mut Command) -> Result<()> {
        let plan = Plan::new(self)?;
        // SAFETY: `enter` only makes system calls on what `plan` holds; it allocates nothing.
        unsafe {
            command.pre_exec(move || {
                plan.enter();
                Ok(())
            });
        }
        Ok(())
    }
}

/// Circumstances of a process that must not change what it makes; what is none stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The host's name, in a namespace of its own: for root.
    pub host_name: Option<&'static str>,
    /// What new files do not permit.
    pub umask: Option<u32>,
    /// The one processor that it may use.
    pub processor: Option<usize>,
    /// The ids of the user and his only group: for root.
    pub user: Option<u32>,
}

impl Circumstances {
    /// Makes `command` start under them. What the kernel refuses is an error of the start.
    pub fn apply(self, command: &mut Command) {
        // SAFETY: `enter` only makes system calls on what `self` holds; it allocates nothing.
        unsafe {
            command.pre_exec(move || Ok(self.enter()?));
        }
    }

    fn enter(self) -> rustix::io::Result<()> {
        if let Some(name) = self.host_name {
            // SAFETY: the table of file descriptors is not among what is unshared.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUTS)? };
            rustix::system::sethostname(name.as_bytes())?;
        }
        if let Some(umask) = self.umask {
            rustix::process::umask(Mode::from_raw_mode(umask));
        }
        if let Some(processor) = self.processor {
            let mut set = CpuSet::new();
            set.set(processor);
            sched_setaffinity(None, &set)?;
        }
        if let Some(id) = self.user {
            set_thread_groups(&[])?;
            set_thread_gid(Gid::from_raw(id))?;
            set_thread_uid(Uid::from_raw(id))?;
        }
        Ok(())
    }
}

/// Makes `command` end when the calling thread ends, however it does: what a killed process had started does not go on.
pub fn end_with_thread(command: &mut Command) {
    // SAFETY: a single system call, which allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

/// Everything that is needed between fork and exec, ready for the kernel.
struct Plan {
    isolation: Isolation,
    maps: IdMaps,
    root: CString,
    directories: [(CString, &'static CStr); 3],
    proc_directory: CString,
    proc_sys: CString,
    devices: Vec<(CString, CString)>,
    links: [(&'static CStr, CString); 4],
    shm: CString,
    shared: Vec<(CString, CString)>,
}

impl Plan {
    fn new(sandbox: &Sandbox) -> Result<Self> {
        let root = fs::canonicalize(&sandbox.root)
            .with_context(|| format!("opening the root filesystem {}", sandbox.root.display()))?;
        let inside = |path: &str| c_path(&root.join(path));
        let devices = DEVICES
            .iter()
            .map(|name| Ok((c_path(&Path::new("/dev").join(name))?, inside(&format!("dev/{name}"))?)));
        let shared = sandbox.shared.iter().map(|(outside, target)| {
            let target = target.strip_prefix(&sandbox.root).unwrap_or(target);
            Ok((c_path(&fs::canonicalize(outside)?)?, c_path(&root.join(target))?))
        });
        Ok(Self {
            isolation: sandbox.isolation,
            maps: IdMaps::of_this_process(),
            directories: [
                (inside("run")?, c"mode=0755"),
                (inside("tmp")?, c"mode=1777"),
                (inside("dev")?, c"mode=0755"),
            ],
            proc_directory: inside("proc")?,
            proc_sys: inside("proc/sys")?,
            devices: devices.collect::<Result<_>>()?,
            links: [
                (c"/proc/self/fd", inside("dev/fd")?),
                (c"/proc/self/fd/0", inside("dev/stdin")?),
                (c"/proc/self/fd/1", inside("dev/stdout")?),
                (c"/proc/self/fd/2", inside("dev/stderr")?),
            ],
            shm: inside("dev/shm")?,
            shared: shared.collect::<Result<_>>().context("opening the folders of the sandbox")?,
            root: c_path(&root)?,
        })
    }

    /// Moves this process into the sandbox, as its process 1. Ends the process if that fails.
    fn enter(&self) {
        let _ = rustix::process::setsid();
        rustix::process::umask(Mode::empty());
        stop_on_error("making namespaces", self.isolation.separate(&self.maps));
        stop_on_error("starting", self.become_first());
        stop_on_error("mounting the root filesystem", self.mount_root());
        stop_on_error("mounting /dev", self.mount_devices());
        stop_on_error("mounting /proc", self.mount_proc());
        stop_on_error("sharing folders", self.mount_shared());
        stop_on_error("changing the root", self.change_root());
        stop_on_error("setting limits", self.limit());
    }

    /// Goes on in a child, which is process 1 of the new namespace; this process passes its status on.
    fn become_first(&self) -> Result<(), Errno> {
        let die = || rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        die()?;
        // SAFETY: this process has one thread, since it was forked itself.
        match unsafe { libc::fork() } {
            -1 => Err(Errno::AGAIN),
            0 => die(),
            child => {
                // The standard library waits for the end of a pipe, whose other end must be the child's alone.
                // SAFETY: nothing of this process uses a file any more.
                unsafe { libc::close_range(0, u32::MAX, 0) };
                let status = wait_for(child);
                // SAFETY: ends this process without running anything else.
                unsafe { libc::_exit(status) }
            }
        }
    }

    fn mount_root(&self) -> Result<(), Errno> {
        rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        rustix::mount::mount_bind_recursive(&self.root, &self.root)?;
        for (directory, options) in &self.directories {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount(c"tmpfs", directory, c"tmpfs", flags, Some(*options))?;
        }
        Ok(())
    }

    fn mount_devices(&self) -> Result<(), Errno> {
        for (outside, inside) in &self.devices {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::open(inside, flags, Mode::from_raw_mode(0o666))?;
            rustix::mount::mount_bind(outside, inside)?;
        }
        for (target, link) in &self.links {
            rustix::fs::symlink(*target, link)?;
        }
        rustix::fs::mkdir(&self.shm, Mode::from_raw_mode(0o777))
    }

    fn mount_proc(&self) -> Result<(), Errno> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        match rustix::mount::mount(c"proc", &self.proc_directory, c"proc", flags, None) {
            // In a container whose own /proc has covered parts, only that one may be shown; its /proc/sys is read-only.
            Err(Errno::PERM) => {
                return rustix::mount::mount_bind_recursive(c"/proc", &self.proc_directory);
            }
            other => other?,
        }
        let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_bind(&self.proc_sys, &self.proc_sys)?;
        rustix::mount::mount_remount(&self.proc_sys, flags, c"")
    }

    fn mount_shared(&self) -> Result<(), Errno> {
        for (outside, inside) in &self.shared {
            rustix::fs::mkdir(inside, Mode::from_raw_mode(0o755))?;
            rustix::mount::mount_bind_recursive(outside, inside)?;
        }
        Ok(())
    }

    /// Makes the root filesystem the root, with nothing of the former one left to be found.
    fn change_root(&self) -> Result<(), Errno> {
        rustix::process::chdir(&self.root)?;
        rustix::process::pivot_root(c".", c".")?;
        rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")
    }

    /// Makes equal what would otherwise be the host's.
    fn limit(&self) -> Result<(), Errno> {
        rustix::system::sethostname(HOST_NAME)?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let same = |value| Rlimit { current: Some(value), maximum: Some(value) };
        rustix::process::setrlimit(Resource::Core, same(0))?;
        rustix::process::setrlimit(Resource::Nofile, same(1024))?;
        skip_syncing()?;
        if self.isolation == Isolation::Root {
            for capability in FORBIDDEN {
                match rustix::thread::remove_capability_from_bounding_set(capability) {
                    // One that this kernel does not have.
                    Err(Errno::INVAL) => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }
}

/// Lets the calls that wait for the disk succeed without doing so: what is made here is thrown away if the machine
/// stops, and dpkg would wait hundreds of times for all that was just unpacked.
fn skip_syncing() -> Result<(), Errno> {
    // Classic BPF: load the system call's number (the first field of seccomp_data), compare, return. A program for another
    // architecture of this machine finds other numbers, and loses nothing but durability, or gains it.
    const SKIPPED: [i64; 4] = [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs];
    let code = |kind: u32| kind as u16;
    let statement = |kind, k| libc::sock_filter { code: code(kind), jt: 0, jf: 0, k };
    let equal = |number: i64, jt| libc::sock_filter {
        code: code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K),
        jt,
        jf: 0,
        k: number as u32,
    };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        equal(SKIPPED[0], 4),
        equal(SKIPPED[1], 3),
        equal(SKIPPED[2], 2),
        equal(SKIPPED[3], 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        // An error number of 0 is success.
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } {
        // A kernel without seccomp is slower, not wrong.
        0 => Ok(()),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => Ok(()),
        _ => Err(Errno::PERM),
    }
}

/// Reports `step` on standard error and ends the process, unless all went well.
fn stop_on_error(step: &str, result: Result<(), Errno>) {
    let Err(error) = result else { return };
    let mut message = [0; 128];
    let mut rest = &mut message[..];
    let _ = writeln!(rest, "entering the sandbox: {step}: error {}", error.raw_os_error());
    let unused = rest.len();
    let length = message.len() - unused;
    let _ = rustix::io::write(rustix::stdio::stderr(), &message[..length]);
    // SAFETY: ends this process without running anything else.
    unsafe { libc::_exit(CANNOT_ENTER) }
}

/// The exit status of the process `child` once it has ended; 128 more than the signal that ended it.
fn wait_for(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return CANNOT_ENTER;
        }
    }
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

fn write_file(path: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, bytes)?;
    Ok(())
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).with_context(|| format!("{} is no path", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    /// What a shell says inside a sandbox made of the host's own programs.
    fn say(isolation: Isolation, script: &str) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for directory in ["run", "tmp", "dev", "proc"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for name in ["bin", "lib", "lib64"] {
            std::os::unix::fs::symlink(Path::new("/run/usr").join(name), root.join(name)).unwrap();
        }
        fs::write(folder.path().join("outside"), "").unwrap();
        let sandbox = Sandbox::new(&root, isolation).share(Path::new("/usr"), "usr");
        let output =
            Tool::new("/bin/sh").args(["-c", script]).env("PATH", "/bin").inside(sandbox).output()?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn nothing_of_the_host_is_inside() {
        for isolation in [Isolation::Root, Isolation::UserNamespace] {
            if let Err(error) = isolation.try_out() {
                eprintln!("skipped for {isolation:?}: this kernel or user cannot: {error}");
                continue;
            }
            let script = "echo $$ $(uname -n) $(id -u) $(umask) $(pwd) /*; grep -c : /proc/net/dev; ls /dev";
            let said = say(isolation, script).unwrap();
            let mut lines = said.lines();
            assert_eq!(
                lines.next(),
                Some("1 localhost 0 0022 / /bin /dev /lib /lib64 /proc /run /tmp"),
                "{isolation:?}"
            );
            assert_eq!(lines.next(), Some("1"), "there is a network interface beside lo");
            let devices: Vec<&str> = lines.collect();
            let expected = [
                "fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
            ];
            assert_eq!(devices, expected);
            assert!(say(isolation, "echo 0 > /proc/sys/kernel/panic").is_err());
        }
    }

    #[test]
    fn the_status_and_the_reason_come_back() {
        let Ok(isolation) = Isolation::detect() else { return };
        let error = say(isolation, "echo no >&2; exit 7").unwrap_err().to_string();
        assert!(error.contains("exit status: 7") && error.contains("no"), "{error}");
        let error = say(isolation, "kill -9 $$; sleep 1; exit 3").unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "process 1 cannot be killed from inside: {error}");

        let folder = tempfile::tempdir().unwrap();
        let empty = Sandbox::new(folder.path(), isolation);
        let error = Tool::new("/bin/true").inside(empty).run().unwrap_err().to_string();
        assert!(error.contains("mounting the root filesystem"), "{error}");
    }
}
