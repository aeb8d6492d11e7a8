//! One run of a virtual machine: QEMU from the tools, with UEFI and a serial console.
//!
//! Nothing of the host is needed. The processor's virtualisation is used where it works, else everything is emulated.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use serde_json::json;

use super::console::Lines;
use super::disk::BoxDisk;
use super::monitor::Monitor;
use crate::firmware::{Distribution, Platform};
use crate::interrupt;
use crate::tool::{Running, Tool};
use crate::tools::Tools;

/// What machines are made with.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// QEMU and the firmware.
    pub tools: &'a Tools,
    /// Which machine to imitate.
    pub platform: &'a Platform,
    /// Where the firmware is in the tools.
    pub distribution: &'a Distribution,
}

/// A machine.
#[derive(Debug, Clone)]
pub struct MachineOptions {
    /// Its memory in MiB.
    pub memory: u32,
    /// How many processors it has.
    pub processors: u32,
    /// Whether Secure Boot is enforced, with Microsoft's keys.
    pub secure_boot: bool,
    /// What its ethernet port is plugged into.
    pub network: Network,
    /// Further disks, as raw files; what the box writes stays in them.
    pub disks: Vec<PathBuf>,
    /// Units that are handed to systemd from outside.
    pub units: Vec<Unit>,
    /// Words for the end of the kernel's command line, for this run alone.
    pub command_line: Vec<String>,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            memory: 2048,
            processors: 2,
            secure_boot: false,
            network: Network::Isolated,
            disks: Vec::new(),
            units: Vec::new(),
            command_line: Vec::new(),
        }
    }
}

/// What the ethernet port is plugged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    Unplugged,
    /// A router that gives an address and leads nowhere: an internet that is down.
    Isolated,
    /// A router that leads where the host can go.
    Open,
    /// As [`Network::Open`] or, with `isolated`, [`Network::Isolated`], and further arguments of `-netdev user`, such as
    /// `hostfwd=tcp:127.0.0.1:2222-:22`.
    Custom {
        /// Whether the box reaches nothing but what the arguments let through.
        isolated: bool,
        /// The arguments.
        arguments: Vec<String>,
    },
}

/// A unit or a drop-in that systemd takes from the firmware (systemd.system-credentials(7)); nothing of it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A unit.
    Whole {
        /// `probe.service`.
        name: String,
        /// Its file.
        text: String,
    },
    /// A drop-in for another unit.
    DropIn {
        /// `multi-user.target`.
        name: String,
        /// Its file.
        text: String,
    },
}

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
}

impl Machine {
    /// Switches a machine with `disk` on.
    ///
    /// # Errors
    /// If QEMU or the firmware is missing from the tools, or QEMU does not start.
    pub fn start(disk: &BoxDisk, options: &MachineOptions, host: &Host<'_>) -> Result<Self> {
        let socket = tempfile::tempdir().context("creating a folder for the machine's socket")?;
        let tool = command(disk, options, host)?
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", socket.path().join("qmp").display()));
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
        Ok(Self { running, lines, seen: Vec::new(), echo, socket })
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
        let Self { running, seen, .. } = self;
        running.kill()?;
        Ok(seen)
    }

    fn monitor(&self) -> Result<Monitor> {
        Monitor::connect(&self.socket.path().join("qmp"))
    }
}

/// Whether the host's processor can run the machine: /dev/kvm may exist where it cannot.
fn virtualisation() -> bool {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let capable = flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    capable && OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// QEMU's call for a machine, without the monitor.
fn command(disk: &BoxDisk, options: &MachineOptions, host: &Host<'_>) -> Result<Tool> {
    let Host { tools, platform, distribution } = host;
    let emulator = &platform.emulator;
    let secure = if options.secure_boot { ",smm=on" } else { "" };
    let mut tool = tools
        .tool(&emulator.program)?
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"])
        .arg("-machine")
        .arg(format!("{}{secure}", emulator.machine));
    for folder in ["usr/share/qemu", "usr/share/seabios"] {
        if let Ok(path) = tools.path(folder) {
            tool = tool.arg("-L").arg(path);
        }
    }
    tool = processor(tool, options, &emulator.processor);
    tool = tool.arg("-smp").arg(options.processors.to_string()).arg("-m").arg(options.memory.to_string());

    let paths = &distribution.tools.paths;
    let (code, variables) = if options.secure_boot {
        tool = tool.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        (&paths.ovmf_secure_code, &paths.ovmf_secure_vars)
    } else {
        (&paths.ovmf_code, &paths.ovmf_vars)
    };
    let own = disk.folder.join(if options.secure_boot { "variables.secure" } else { "variables" });
    if !own.exists() {
        let original = tools.path(variables)?;
        std::fs::copy(&original, &own).with_context(|| format!("copying {}", original.display()))?;
    }
    tool = tool
        .arg("-drive")
        .arg(format!("if=pflash,format=raw,readonly=on,file={}", escaped(&tools.path(code)?)))
        .arg("-drive")
        .arg(format!("if=pflash,format=raw,file={}", escaped(&own)));

    tool = drive(tool, "box", &disk.path).args(["-device", "virtio-blk-pci,drive=box,bootindex=0"]);
    tool = tool.args(["-device", "qemu-xhci,id=usb"]);
    for (number, path) in options.disks.iter().enumerate() {
        let name = format!("extra{number}");
        tool =
            drive(tool, &name, path).arg("-device").arg(format!("virtio-blk-pci,drive={name},serial={name}"));
    }
    tool = network(tool, &options.network);
    for unit in &options.units {
        tool = tool.arg("-smbios").arg(credential(unit));
    }
    Ok(tool.args([
        "-device",
        "virtio-rng-pci",
        "-chardev",
        "stdio,id=console,signal=off",
        "-serial",
        "chardev:console",
    ]))
}

/// The processor, emulated as `emulated` where the host's cannot be used, and what the kernel is told about it.
fn processor(tool: Tool, options: &MachineOptions, emulated: &str) -> Tool {
    let mut words = options.command_line.clone();
    let tool = if virtualisation() {
        tool.args(["-accel", "kvm", "-cpu", "host"])
    } else {
        // On a busy host an emulated timer may be late when the kernel looks for it, and the kernel would panic. It leaves
        // the check out by itself where it sees a hypervisor that it knows.
        words.push("no_timer_check".to_owned());
        tool.args(["-accel", "tcg,thread=multi", "-cpu", emulated])
    };
    if words.is_empty() {
        return tool;
    }
    // smbios-type-11(7): systemd-boot adds it to the entry's.
    let words = words.join(" ").replace(',', ",,");
    tool.arg("-smbios").arg(format!("type=11,value=io.systemd.boot.kernel-cmdline-extra={words}"))
}

fn drive(tool: Tool, name: &str, path: &Path) -> Tool {
    // The file is a copy: a crash of the host may take what the machine believed to be written.
    tool.arg("-drive")
        .arg(format!("if=none,id={name},format=raw,cache=unsafe,discard=unmap,file={}", escaped(path)))
}

fn network(tool: Tool, network: &Network) -> Tool {
    let (isolated, arguments) = match network {
        Network::Unplugged => return tool,
        Network::Isolated => (true, &[][..]),
        Network::Open => (false, &[][..]),
        Network::Custom { isolated, arguments } => (*isolated, arguments.as_slice()),
    };
    let mut backend = String::from("user,id=lan");
    if isolated {
        backend.push_str(",restrict=on");
    }
    for argument in arguments {
        backend.push(',');
        backend.push_str(argument);
    }
    // The card's own boot program is not needed and not among the tools.
    tool.arg("-netdev").arg(backend).args(["-device", "virtio-net-pci,netdev=lan,romfile="])
}

/// QEMU reads a doubled comma as a comma.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// SMBIOS type 11, as systemd reads it (systemd.system-credentials(7)).
fn credential(unit: &Unit) -> String {
    let (kind, name, text) = match unit {
        Unit::Whole { name, text } => ("extra-unit", name, text),
        Unit::DropIn { name, text } => ("unit-dropin", name, text),
    };
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    format!("type=11,value=io.systemd.credential.binary:systemd.{kind}.{name}={text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_smbios_strings_that_survive_qemus_commas() {
        let unit =
            Unit::Whole { name: "probe.service".into(), text: "[Service]\nExecStart=/bin/true a,b\n".into() };
        let shown = credential(&unit);
        assert!(
            shown.starts_with("type=11,value=io.systemd.credential.binary:systemd.extra-unit.probe.service=")
        );
        assert_eq!(shown.matches(',').count(), 1);
    }
}
