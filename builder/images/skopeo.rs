//! Questions to registries, asked through skopeo.
//!
//! In: an image and a deadline. Out: the bytes of a manifest, or a folder of blobs; otherwise whether nobody answered or
//! somebody said no. Nothing of the host's own container configuration or logins is used, nothing of the host is
//! written, and what comes back is not believed here: whoever asks compares digests.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::manifest::LONGEST;
use super::reference::{Mirror, Reference};
use crate::atomic;
use crate::context::Context;
use crate::interrupt;
use crate::tool::Tool;
use crate::tools::Tools;

/// How often a running skopeo is looked at.
const POLL: Duration = Duration::from_millis(15);

/// skopeo, ready to ask.
pub struct Skopeo {
    start: Box<dyn Fn() -> Result<Tool> + Send + Sync>,
    home: PathBuf,
    mirror: Option<Mirror>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody answered, or whoever did had no time: later, or elsewhere, it may work.
    Unreachable(String),
    /// Somebody answered, and the answer is no, or cannot be used.
    Refused(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(error)
    }
}

impl Skopeo {
    /// The skopeo of the locked tools, with the context's registry mirror.
    ///
    /// # Errors
    /// If the mirror is none, or the cache cannot be written.
    pub fn new(tools: &Tools, context: &Context) -> Result<Self> {
        let tools = tools.clone();
        Self::with(Box::new(move || tools.tool("skopeo")), context)
    }

    /// Another skopeo, at `program`. For tests that have no tools.
    ///
    /// # Errors
    /// As for [`Skopeo::new`].
    pub fn at(program: &Path, context: &Context) -> Result<Self> {
        let program = program.to_owned();
        Self::with(Box::new(move || Ok(Tool::new(&program))), context)
    }

    fn with(start: Box<dyn Fn() -> Result<Tool> + Send + Sync>, context: &Context) -> Result<Self> {
        let mirror = context.registry_mirror.as_deref().map(str::parse).transpose()?;
        let home = context.cache.join("skopeo");
        let signatures = home.join("registries.d");
        fs::create_dir_all(&signatures).with_context(|| format!("creating {}", signatures.display()))?;
        let configuration = home.join("registries.conf");
        if !configuration.is_file() {
            atomic::write(&configuration, b"unqualified-search-registries = []\n")?;
        }
        Ok(Self { start, home, mirror })
    }

    /// Who is asked for `reference`: the mirror, or its own registry.
    pub(super) fn host(&self, reference: &Reference) -> String {
        self.place(reference).0
    }

    /// Registry and repository that are asked for `reference`.
    pub(super) fn place(&self, reference: &Reference) -> (String, String) {
        match &self.mirror {
            Some(mirror) => mirror.place(reference),
            None => (reference.registry.clone(), reference.repository.clone()),
        }
    }

    /// The bytes of the manifest that the registry has under `version` (`:tag` or `@sha256:…`). `late` is asked with
    /// the time that has gone by, again and again, whether to give up.
    pub(super) fn manifest(
        &self,
        reference: &Reference,
        version: &str,
        late: &dyn Fn(Duration) -> bool,
    ) -> Result<Vec<u8>, Trouble> {
        let tool = self
            .command("inspect")?
            .args(["--raw", "--no-creds", self.tls("--tls-verify")])
            .arg(self.source(reference, version));
        run(tool, late)
    }

    /// Copies all blobs of the image with this manifest digest into the empty folder `target`, each under the
    /// hexadecimal digits of its digest, with the manifest as `manifest.json`.
    pub(super) fn copy(&self, reference: &Reference, digest: &str, target: &Path) -> Result<(), Trouble> {
        let tool = self
            .command("copy")?
            .args(["--quiet", "--retry-times", "2", "--src-no-creds", self.tls("--src-tls-verify")])
            .arg(self.source(reference, &format!("@{digest}")))
            .arg(format!("dir:{}", target.display()));
        run(tool, &|_| false).map(drop)
    }

    fn source(&self, reference: &Reference, version: &str) -> String {
        let (registry, repository) = self.place(reference);
        format!("docker://{registry}/{repository}{version}")
    }

    fn tls(&self, flag: &str) -> &'static str {
        let verify = !self.mirror.as_ref().is_some_and(Mirror::is_plain);
        match (flag, verify) {
            ("--tls-verify", true) => "--tls-verify=true",
            ("--tls-verify", false) => "--tls-verify=false",
            (_, true) => "--src-tls-verify=true",
            (_, false) => "--src-tls-verify=false",
        }
    }

    /// skopeo's verb `verb`, kept away from the host: its configuration, its logins, its cache of blobs (which a
    /// skopeo that takes itself for root's keeps in /var).
    fn command(&self, verb: &str) -> Result<Tool> {
        let tool = (self.start)()?
            .env("HOME", &self.home)
            .env("XDG_DATA_HOME", &self.home)
            .env("XDG_RUNTIME_DIR", &self.home)
            .env("TMPDIR", &self.home)
            .env("_CONTAINERS_ROOTLESS_UID", "65534")
            .env("CONTAINERS_REGISTRIES_CONF", self.home.join("registries.conf"))
            .args(["--insecure-policy", "--override-os", "linux", "--override-arch", "amd64"])
            .arg("--registries.d")
            .arg(self.home.join("registries.d"));
        Ok(tool.arg(verb))
    }
}

/// Runs `tool` until it ends or `late` says so.
fn run(tool: Tool, late: &dyn Fn(Duration) -> bool) -> Result<Vec<u8>, Trouble> {
    let begin = Instant::now();
    let mut running = tool.spawn()?;
    let output = running.stdout.take().map(|stdout| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.take(LONGEST + 1).read_to_end(&mut bytes).map(|_| bytes)
        })
    });
    while running.try_wait()?.is_none() {
        interrupt::check()?;
        if late(begin.elapsed()) {
            running.kill()?;
            return Err(Trouble::Unreachable(format!("no answer within {} s", begin.elapsed().as_secs())));
        }
        std::thread::sleep(POLL);
    }
    running.wait().map_err(|error| classify(&error))?;
    let Some(thread) = output else { return Ok(Vec::new()) };
    let bytes =
        thread.join().map_err(|_| anyhow!("reading skopeo's output"))?.context("reading skopeo's output")?;
    if bytes.len() as u64 > LONGEST {
        return Err(Trouble::Refused(anyhow!("the manifest is longer than {LONGEST} bytes")));
    }
    Ok(bytes)
}

/// Whether a registry said no, or could not be asked. Only skopeo's words tell.
fn classify(error: &anyhow::Error) -> Trouble {
    const NO: [&str; 8] = [
        "manifest unknown",
        "name unknown",
        "not found",
        "StatusCode: 404",
        "unauthorized",
        "denied",
        "did not match",
        "verification failed",
    ];
    let text = error.to_string();
    let message = text
        .split_once("level=fatal msg=\"")
        .map_or(text.as_str(), |(_, rest)| rest.trim_end().trim_end_matches('"'))
        .replace("\\\"", "\"");
    if NO.iter().any(|word| message.contains(word)) {
        Trouble::Refused(anyhow!(message))
    } else {
        Trouble::Unreachable(message)
    }
}

impl std::fmt::Debug for Skopeo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Skopeo")
            .field("home", &self.home)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}
