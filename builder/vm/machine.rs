//! One run of a virtual machine: QEMU from the tools, with UEFI and a serial console.
//!
//! Nothing of the host is needed. The processor's virtualisation is used where it works, else everything is emulated.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::command;
use super::console::Lines;
use super::disk::BoxDisk;
use super::monitor::Monitor;
use super::options::{Host, MachineOptions};
use super::tpm::Tpm;
use crate::interrupt;
use crate::tool::Running;

/// What [`Machine::next_line`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line of the console.
    Text(String),
    /// Nothing within the time.
    Nothing,
    /// The machine is switched off, and everything that it wrote has been read.
    End,
}

/// A running machine. It ends when this is dropped.
#[derive(Debug)]
pub struct Machine {
    running: Running,
    lines: Receiver<String>,
    seen: Vec<String>,
    echo: Arc<AtomicBool>,
    socket: tempfile::TempDir,
    /// It ends after QEMU.
    _tpm: Option<Tpm>,
}

impl Machine {
    /// Switches a machine with `disk` on.
    ///
    /// # Errors
    /// If QEMU or the firmware is missing from the tools, or QEMU does not start.
    pub fn start(disk: &BoxDisk, options: &MachineOptions, host: &Host<'_>) -> Result<Self> {
        let socket = tempfile::tempdir().context("creating a folder for the machine's socket")?;
        let tpm =
            options.tpm.as_deref().map(|state| Tpm::start(state, socket.path(), host.tools)).transpose()?;
        let mut tool = command::line(disk, options, host)?;
        if let Some(tpm) = &tpm {
            tool = tpm.attach(tool);
        }
        let tool =
            tool.arg("-qmp").arg(format!("unix:{},server=on,wait=off", socket.path().join("qmp").display()));
        let mut running = tool.spawn()?;
        let mut stdout = running.stdout.take().context("QEMU has no console")?;
        let (sender, lines) = channel();
        let echo = Arc::new(AtomicBool::new(false));
        let echoing = Arc::clone(&echo);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut split = Lines::default();
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if echoing.load(Ordering::Relaxed) {
                    let _ = std::io::stderr().write_all(&buffer[..count]);
                }
                for line in split.feed(&buffer[..count]) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Self { running, lines, seen: Vec::new(), echo, socket, _tpm: tpm })
    }

    /// Shows the console on standard error from now on.
    pub fn echo(&self) {
        self.echo.store(true, Ordering::Relaxed);
    }

    /// The next line of the console, if there is one within `timeout`.
    ///
    /// # Errors
    /// If QEMU ended with an error.
    pub fn next_line(&mut self, timeout: Duration) -> Result<Line> {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => {
                self.seen.push(line.clone());
                Ok(Line::Text(line))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Line::Nothing),
            Err(RecvTimeoutError::Disconnected) => {
                // Its console is closed: it has ended or is about to.
                if self.running.finish()? { Ok(Line::End) } else { Ok(Line::Nothing) }
            }
        }
    }

    /// Reads the console until `wanted` finds what it looks for in a line.
    ///
    /// # Errors
    /// If it does not within `timeout`, or the machine ends before; the message has the end of the console.
    pub fn wait_for<T>(&mut self, timeout: Duration, mut wanted: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let end = Instant::now() + timeout;
        loop {
            interrupt::check()?;
            match self.next_line(Duration::from_millis(250))? {
                Line::Text(line) => {
                    if let Some(found) = wanted(&line) {
                        return Ok(found);
                    }
                }
                Line::Nothing if Instant::now() < end => {}
                Line::Nothing => {
                    bail!("not seen within {} s; the console ends with\n{}", timeout.as_secs(), self.tail())
                }
                Line::End => bail!("the machine was switched off; the console ends with\n{}", self.tail()),
            }
        }
    }

    /// The lines of the console that have been read.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    fn tail(&self) -> String {
        self.seen[self.seen.len().saturating_sub(40)..].join("\n")
    }

    /// Presses the power button: the box shuts down.
    ///
    /// # Errors
    /// If the machine is gone.
    pub fn press_power(&self) -> Result<()> {
        self.monitor()?.call("system_powerdown", json!({})).map(drop)
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// If the machine is gone.
    pub fn reset(&self) -> Result<()> {
        self.monitor()?.call("system_reset", json!({})).map(drop)
    }

    /// Plugs the raw file `path` in as a USB disk called `name`.
    ///
    /// # Errors
    /// If the machine is gone or the file cannot be opened.
    pub fn plug(&self, name: &str, path: &Path) -> Result<()> {
        let mut monitor = self.monitor()?;
        let file = json!({ "driver": "file", "filename": path });
        monitor.call("blockdev-add", json!({ "driver": "raw", "node-name": name, "file": file }))?;
        let device =
            json!({ "driver": "usb-storage", "id": name, "drive": name, "bus": "usb.0", "serial": name });
        monitor.call("device_add", device).map(drop)
    }

    /// Pulls the USB disk called `name`.
    ///
    /// # Errors
    /// If the machine is gone or has no such disk.
    pub fn pull(&self, name: &str) -> Result<()> {
        self.monitor()?.call("device_del", json!({ "id": name })).map(drop)
    }

    /// Waits until the machine is switched off.
    ///
    /// # Errors
    /// If it is not within `timeout`.
    pub fn wait_end(mut self, timeout: Duration) -> Result<Vec<String>> {
        let end = Instant::now() + timeout;
        loop {
            interrupt::check()?;
            match self.next_line(Duration::from_millis(250))? {
                Line::End => return Ok(self.seen),
                Line::Nothing if Instant::now() >= end => {
                    bail!("still running; the console ends with\n{}", self.tail())
                }
                Line::Text(_) | Line::Nothing => {}
            }
        }
    }

    /// Takes the power away.
    ///
    /// # Errors
    /// If QEMU cannot be ended.
    pub fn stop(self) -> Result<Vec<String>> {
        let Self { running, seen, _tpm, .. } = self;
        running.kill()?;
        Ok(seen)
    }

    fn monitor(&self) -> Result<Monitor> {
        Monitor::connect(&self.socket.path().join("qmp"))
    }
}
