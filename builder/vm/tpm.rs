//! A TPM 2.0 in software (swtpm of the tools): a folder goes in, a socket for QEMU comes out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::interrupt;
use crate::tool::{Running, Tool};
use crate::tools::Tools;

/// How long swtpm may take until it listens: it writes the state of a new TPM first.
const LISTENS: Duration = Duration::from_secs(60);

/// A running TPM. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Tpm {
    _running: Running,
    socket: PathBuf,
}

impl Tpm {
    /// Starts the TPM whose state is in `state`, a folder that is made if it is missing, with its socket in `folder`.
    ///
    /// # Errors
    /// If swtpm is missing from the tools or does not start.
    pub(super) fn start(state: &Path, folder: &Path, tools: &Tools) -> Result<Self> {
        std::fs::create_dir_all(state).with_context(|| format!("creating {}", state.display()))?;
        let socket = folder.join("tpm");
        let mut running = tools
            .tool("swtpm")?
            .args(["socket", "--tpm2", "--terminate", "--tpmstate"])
            .arg(format!("dir={}", state.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", socket.display()))
            .spawn()?;
        let end = Instant::now() + LISTENS;
        while !socket.exists() {
            interrupt::check()?;
            if running.finish()? || Instant::now() >= end {
                bail!("the machine's TPM (swtpm) does not start with {}", state.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { _running: running, socket })
    }

    /// QEMU's call with this TPM.
    pub(super) fn attach(&self, qemu: Tool) -> Tool {
        qemu.arg("-chardev").arg(format!("socket,id=tpm,path={}", self.socket.display())).args([
            "-tpmdev",
            "emulator,id=tpm0,chardev=tpm",
            "-device",
            "tpm-tis,tpmdev=tpm0",
        ])
    }
}
