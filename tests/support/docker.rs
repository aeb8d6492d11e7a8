//! A real Docker, where the machine has one: its answers are what matters, not ours.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boxwright::tool::{Running, Tool};

/// Where programs of the machine are.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether this is root on a machine with these programs; if not, it says that a test is skipped.
pub fn able(programs: &[&str]) -> bool {
    let there = |name: &&str| PATH.split(':').any(|folder| Path::new(folder).join(name).is_file());
    let able = rustix::process::geteuid().is_root() && programs.iter().all(there);
    if !able {
        eprintln!("SKIPPED: this needs root and {}", programs.join(", "));
    }
    able
}

/// A Docker daemon of a test's own, without networks; it ends with the value.
pub struct Docker {
    folder: PathBuf,
    running: Option<Running>,
}

impl Docker {
    /// Starts one in `folder`, with `mirror` (host and port, plain HTTP) for docker.io.
    pub fn start(folder: &Path, mirror: &str) -> Self {
        let at = |name: &str| folder.join(name).display().to_string();
        std::fs::write(folder.join("daemon.json"), "{}").unwrap();
        let running = Tool::new("dockerd")
            .env("PATH", PATH)
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("sock")), "--config-file", &at("daemon.json")])
            .args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--bridge=none"])
            .args(["--storage-driver", "overlay2", "--registry-mirror", &format!("http://{mirror}")])
            .stdout_file(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let docker = Self { folder: folder.to_owned(), running: Some(running) };
        let begin = Instant::now();
        while docker.command(&["version"]).output().is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "dockerd does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        docker
    }

    /// A call of the client.
    pub fn command(&self, arguments: &[&str]) -> Tool {
        let socket = format!("unix://{}", self.folder.join("sock").display());
        Tool::new("docker")
            .env("PATH", PATH)
            .env("HOME", &self.folder)
            .args(["--host", &socket])
            .args(arguments)
    }

    /// The id of the image `name`.
    pub fn id(&self, name: &str) -> String {
        let output = self.command(&["image", "inspect", "--format", "{{.Id}}", name]).output().unwrap();
        String::from_utf8(output).unwrap().trim().to_owned()
    }
}

impl Docker {
    /// The digests of the manifests by which it has pulled the image `name`.
    pub fn pulled(&self, name: &str) -> Vec<String> {
        let format = "{{range .RepoDigests}}{{println .}}{{end}}";
        let said = self.command(&["image", "inspect", "--format", format, name]).output().unwrap();
        let said = String::from_utf8(said).unwrap();
        said.lines().filter_map(|line| Some(line.split_once('@')?.1.to_owned())).collect()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let pid = rustix::process::Pid::from_raw(running.id() as i32).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        for _ in 0..200 {
            if matches!(running.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
