//! QEMU's monitor (QMP): commands go in as JSON, one a line; what they return comes out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// A connection to the monitor of one machine.
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// If nobody listens, or it is no monitor.
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).context("connecting to the virtual machine")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut monitor = Self { reader: BufReader::new(stream) };
        monitor.answer()?;
        monitor.call("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Runs `command` and returns what it returns.
    ///
    /// # Errors
    /// If the machine refuses it or is gone.
    pub fn call(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let text = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.reader.get_mut().write_all(text.as_bytes()).context("asking the virtual machine")?;
        loop {
            let answer = self.answer()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                bail!("the virtual machine refuses `{command}`: {error}");
            }
            // Anything else is an event.
        }
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).context("reading from the virtual machine")? == 0 {
            bail!("the virtual machine is gone");
        }
        serde_json::from_str(&line).context("reading from the virtual machine")
    }
}
