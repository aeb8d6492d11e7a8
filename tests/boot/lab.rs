//! The networks around a box: a home, the internet, and hosts in both, as `lab/lab.py` makes them in namespaces of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};

use boxwright::tool::{Running, Tool};
use boxwright::vm::Network;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is wanted of the machine that this runs on.
const PROGRAMS: [&str; 3] = ["ip", "unshare", "python3"];

/// A running lab. It ends when this is dropped.
pub struct Lab {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    socket: PathBuf,
    _running: Running,
}

/// The box's addresses.
#[derive(Debug, Deserialize)]
pub struct Addresses {
    #[serde(rename = "4")]
    pub v4: Option<String>,
    #[serde(rename = "6")]
    pub v6: Vec<String>,
}

/// What a scan found: ports, and what they answered.
pub type Found = BTreeMap<u16, String>;

/// Where a box has sent packets: address, protocol, port, how many; and for which names it has asked the router.
#[derive(Debug, Deserialize)]
pub struct Sent {
    pub to: Vec<(String, String, u16, u64)>,
    pub names: Vec<String>,
}

impl Sent {
    /// What went to `address`.
    pub fn to(&self, address: &str) -> Vec<&(String, String, u16, u64)> {
        self.to.iter().filter(|(to, ..)| to == address).collect()
    }
}

impl Lab {
    /// Makes the networks. None, with a printed reason, where that cannot be done; on a CI machine that is a failure.
    pub fn start(folder: &Path) -> Option<Self> {
        match Self::try_start(folder) {
            Ok(lab) => Some(lab),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "{error:#}");
                eprintln!(
                    "SKIPPED: no networks of their own for tests here (they need {}): {error:#}",
                    PROGRAMS.join(", ")
                );
                None
            }
        }
    }

    fn try_start(folder: &Path) -> anyhow::Result<Self> {
        let socket = folder.join("cable");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot/lab/lab.py");
        let mut running = Tool::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["python3", "-B"])
            .args([&program, &socket])
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin_pipe()
            .spawn()?;
        let input = running.stdin.take().expect("it is a pipe");
        let output = BufReader::new(running.stdout.take().expect("it is a pipe"));
        let mut lab = Self { input, output, socket, _running: running };
        lab.answer()?;
        Ok(lab)
    }

    /// What the box's ethernet port is plugged into.
    pub fn network(&self) -> Network {
        Network::Cable(self.socket.clone())
    }

    /// The box's addresses, as the router knows them.
    pub fn addresses(&mut self) -> Addresses {
        self.call(&json!({ "do": "addresses" }))
    }

    /// Scans `to` from a host: all TCP ports (`tcp`), or UDP ports that are often open (`udp`).
    pub fn scan(&mut self, from: &str, to: &str, kind: &str) -> Found {
        self.call(&json!({ "do": "scan", "from": from, "to": to, "kind": kind }))
    }

    /// Runs a program on a host: its status and what it printed.
    pub fn ask(&mut self, from: &str, script: &[&str]) -> (i32, String) {
        let found: Value = self.call(&json!({ "do": "ask", "from": from, "script": script }));
        let text = format!("{}{}", found["out"].as_str().unwrap(), found["error"].as_str().unwrap());
        (i32::try_from(found["status"].as_i64().unwrap()).unwrap(), text)
    }

    /// Starts a program on a host that goes on until the lab ends.
    pub fn start_on(&mut self, from: &str, script: &[&str]) {
        let _: Value = self.call(&json!({ "do": "start", "from": from, "script": script }));
    }

    /// Forgets what the box has sent.
    pub fn forget(&mut self) {
        let _: Value = self.call(&json!({ "do": "forget" }));
    }

    /// What the box has sent since.
    pub fn sent(&mut self) -> Sent {
        self.call(&json!({ "do": "sent" }))
    }

    /// Takes a host's cable out (`cut`), or plugs it in again (`mend`).
    pub fn cable_of(&mut self, host: &str, what: &str) {
        let _: Value = self.call(&json!({ "do": what, "host": host }));
    }

    fn call<T: serde::de::DeserializeOwned>(&mut self, command: &Value) -> T {
        writeln!(self.input, "{command}").unwrap_or_else(|error| panic!("{command}: {error}"));
        let answer = self.answer().unwrap_or_else(|error| panic!("{command}: {error:#}"));
        serde_json::from_value(answer).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn answer(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() {
            self._running.finish()?;
            anyhow::bail!("the lab has ended");
        }
        Ok(serde_json::from_str(&line)?)
    }
}
