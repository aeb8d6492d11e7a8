//! What a virtual machine is made of: its parts, as plain values.

use std::path::PathBuf;

use crate::firmware::{Distribution, Platform};
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
    /// Its TPM 2.0, if it has one: the folder in which that keeps what it knows. Without the folder's content it is another
    /// TPM.
    pub tpm: Option<PathBuf>,
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
            tpm: None,
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
    /// A program of one's own that carries its frames, each after its length (32 bits, big-endian): the Unix socket on which
    /// it listens.
    Cable(PathBuf),
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
