//! The locked tools: packages go in, a folder in the cache and ready-made calls of its programs come out.
//!
//! No maintainer script runs. Programs are started through the folder's own dynamic loader with the folder's own
//! libraries, so that they are the same on every host. Nothing of the host's is searched or loaded.

mod clock;

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::atomic;
use crate::context::Context;
use crate::debian::deb::{Deb, DebFile, MemberKind};
use crate::debian::unpack::{self, Owners, Target};
use crate::digest::{Hasher, Sha256};
use crate::rooted;
use crate::tool::Tool;
use crate::usage;

pub use clock::{FAKETIME, ahead};

/// Changes whenever the same packages would be unpacked in another way.
const LAYOUT: &[u8] = b"1";

/// Where the certificates that the tools trust are, made when they are unpacked.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Where programs are looked for, the first one wins.
const PROGRAM_FOLDERS: [&str; 3] = ["usr/bin", "usr/sbin", "usr/libexec"];

/// The dynamic loader by the name that every program carries.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";

/// The folder of the libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Folders of libraries that programs find by a path in themselves, which leads to the host's.
const MORE_LIBRARIES: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/lib/x86_64-linux-gnu/libfakeroot",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
    "usr/lib/x86_64-linux-gnu/swtpm",
];

/// The folder of the cache that holds unpacked tools.
const FOLDER: &str = "tools";

/// Where the tools made of these packages are, once they are unpacked.
fn place<'a>(packages: impl IntoIterator<Item = &'a Sha256>, context: &Context) -> PathBuf {
    let digests: BTreeSet<&Sha256> = packages.into_iter().collect();
    let mut hasher = Hasher::new();
    hasher.field("layout", LAYOUT);
    for digest in digests {
        hasher.field("package", digest.bytes());
    }
    context.cache.join(FOLDER).join(hasher.finish().to_string())
}

/// Keeps the tools at `root`, a [`place`], in the cache as long as this process runs.
fn claim(root: &Path, context: &Context) -> Result<()> {
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    usage::claim(&context.cache, FOLDER, &name)
}

/// The unpacked tools.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
    days_ahead: u16,
}

impl Tools {
    /// The tools made of the packages with these digests, if the cache has them unpacked.
    pub fn unpacked<'a>(packages: impl IntoIterator<Item = &'a Sha256>, context: &Context) -> Option<Self> {
        let root = place(packages, context);
        (claim(&root, context).is_ok() && root.is_dir())
            .then_some(Self { root, days_ahead: context.days_ahead })
    }

    /// Unpacks `debs` into the cache unless they are there already.
    ///
    /// # Errors
    /// If a package cannot be read or the cache cannot be written.
    pub fn prepare(debs: &[DebFile], context: &Context) -> Result<Self> {
        let root = place(debs.iter().map(|deb| &deb.sha256), context);
        let folder = context.cache.join(FOLDER);
        claim(&root, context)?;
        if !root.is_dir() {
            let step = context.ui.step("unpacking tools");
            let scratch = atomic::Scratch::create(&folder)?;
            let content = scratch.path().join("content");
            fs::create_dir(&content).with_context(|| format!("creating {}", content.display()))?;
            unpack_all(debs, &content, context.jobs).context("unpacking the tools")?;
            join_certificates(&content).context("collecting the certificates of the tools")?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&content, mode).context("publishing the tools")?;
            // Nobody looks at these thousands of files again: they have to be on the disk before the folder has its name.
            let filesystem = fs::File::open(&content).context("publishing the tools")?;
            rustix::fs::syncfs(&filesystem).context("publishing the tools")?;
            atomic::publish_dir(&content, &root)?;
            step.done(format!("{} packages", debs.len()));
        }
        Ok(Self { root, days_ahead: context.days_ahead })
    }

    /// A call of `name`, a program of the tools, with the environment that it needs; arguments are still to be added.
    ///
    /// # Errors
    /// If no package of the tools has such a program.
    pub fn tool(&self, name: &str) -> Result<Tool> {
        let program = PROGRAM_FOLDERS
            .iter()
            .find_map(|folder| self.path(&format!("{folder}/{name}")).ok())
            .with_context(|| format!("no package of the tools has the program `{name}`"))?;
        let libraries: Vec<String> = [LIBRARIES]
            .into_iter()
            .chain(MORE_LIBRARIES)
            .map(|folder| self.root.join(folder).display().to_string())
            .collect();
        let inside = |path: &str| self.root.join(path);
        let mut tool = Tool::new(self.path(LOADER)?).arg("--library-path").arg(libraries.join(":"));
        if self.days_ahead > 0 {
            tool = tool.arg("--preload").arg(self.path(FAKETIME)?).envs(ahead(self.days_ahead));
        }
        Ok(tool
            .arg("--argv0")
            .arg(name)
            .arg(program)
            .env("PATH", "/nonexistent")
            .env("HOME", "/nonexistent")
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .env("GCONV_PATH", inside("usr/lib/x86_64-linux-gnu/gconv"))
            .env("MTOOLSRC", "/dev/null")
            .env("OPENSSL_CONF", "/dev/null")
            .env("OPENSSL_MODULES", inside("usr/lib/x86_64-linux-gnu/ossl-modules"))
            .env("SSL_CERT_FILE", inside(CERTIFICATES))
            .env("SSL_CERT_DIR", "/nonexistent")
            .env("QEMU_MODULE_DIR", inside("usr/lib/x86_64-linux-gnu/qemu")))
    }

    /// Where the file `path` of the tools is: `usr/share/OVMF/OVMF_CODE_4M.fd`. Symbolic links are followed inside the
    /// tools only.
    ///
    /// # Errors
    /// If no package of the tools has it, or the folder of the tools is gone.
    pub fn path(&self, path: &str) -> Result<PathBuf> {
        let root = rustix::fs::open(&self.root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| format!("opening {}", self.root.display()))?;
        let file = match rooted::open(&root, Path::new(path.trim_start_matches('/')), OFlags::PATH) {
            Err(Errno::NOENT) => bail!("no package of the tools has /{path}"),
            other => other.with_context(|| format!("opening /{path} of the tools"))?,
        };
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::read_link(&link).with_context(|| format!("reading {link}"))
    }

    /// By how many days the clock is ahead that the programs see.
    pub fn days_ahead(&self) -> u16 {
        self.days_ahead
    }

    /// The folder that the packages are unpacked in.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn unpack_all(debs: &[DebFile], root: &Path, jobs: usize) -> Result<()> {
    unpack::make_usr_aliases(root)?;
    let target = Target::open(root, Owners::Ours)?;
    let mut largest_first: Vec<(u64, &DebFile)> =
        debs.iter().map(|deb| (fs::metadata(&deb.path).map_or(0, |metadata| metadata.len()), deb)).collect();
    largest_first.sort_by(|left, right| right.cmp(left));
    unpack::in_parallel(&largest_first, jobs, |(_, deb)| {
        Deb::open(&deb.path)?.data(|mut member, content| {
            // Nobody runs these with other rights than their own, and everyone may use the cache.
            member.mode = match member.kind {
                MemberKind::Dir => 0o755,
                _ => (member.mode & 0o111) | 0o644,
            };
            let path = member.path.clone();
            unpack::must_be_free(target.place(&member, &path, content, i64::MAX)?, &path)
        })
    })?;
    Ok(())
}

/// Writes the bundle that ca-certificates' maintainer script would make, if that package is there.
fn join_certificates(root: &Path) -> Result<()> {
    let folder = root.join("usr/share/ca-certificates/mozilla");
    if !folder.is_dir() {
        return Ok(());
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|file| Ok(file?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut bundle = Vec::new();
    for file in files {
        bundle.extend(fs::read(file)?);
        bundle.push(b'\n');
    }
    let target = root.join(CERTIFICATES);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    atomic::write(&target, &bundle)
}
