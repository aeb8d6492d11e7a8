//! A container registry on the loopback interface, for `--registry-mirror`.
//!
//! In: images. Out: what the OCI distribution specification 1.1 wants of a registry that is only read from, over plain
//! HTTP on a free port, until it is dropped. It can be told to lie. Connections and their time are bounded.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use boxwright::digest::Sha256;
use boxwright::images::{Mirror, Reference};

use super::standin::{Format, Image};

/// How many connections are served at once; others wait.
const CONNECTIONS: usize = 32;
/// How long one may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest request that is read.
const REQUEST: u64 = 16 << 10;

/// What a registry holds.
#[derive(Default)]
pub struct Content {
    /// Repository and tag or digest → media type and bytes.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    /// Digest → bytes.
    blobs: BTreeMap<String, Vec<u8>>,
}

/// A way in which a registry misbehaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Manifests asked for by digest are others.
    OtherManifest,
    /// Blobs end in the middle.
    TruncatedBlob,
    /// Blobs have a changed byte.
    ChangedBlob,
    /// Everything is answered with this status.
    Status(u16),
    /// Connections are accepted, and that is all.
    Silent,
    /// Manifests are no JSON.
    Garbage,
}

impl Content {
    /// Adds `image` under `reference`, at the path where a mirror has it.
    pub fn add(&mut self, reference: &str, image: &Image) {
        let parsed: Reference = reference.parse().unwrap();
        let (_, repository) = "localhost".parse::<Mirror>().unwrap().place(&parsed);
        let digest = image.digest();
        self.manifest(&repository, &digest, image.media_type(), image.manifest.clone());
        match image.list() {
            Some((media_type, bytes)) => {
                let list = format!("sha256:{}", Sha256::of_bytes(&bytes));
                self.manifest(&repository, &list, media_type, bytes.clone());
                self.manifest(&repository, &parsed.tag, media_type, bytes);
            }
            None => self.manifest(&repository, &parsed.tag, image.media_type(), image.manifest.clone()),
        }
        for blob in image.blobs() {
            self.blobs.insert(format!("sha256:{}", Sha256::of_bytes(blob)), blob.to_vec());
        }
    }

    fn manifest(&mut self, repository: &str, version: &str, media_type: &str, bytes: Vec<u8>) {
        self.manifests.insert((repository.to_owned(), version.to_owned()), (media_type.to_owned(), bytes));
    }
}

/// A running registry.
pub struct Registry {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    content: Content,
    fault: Mutex<Option<Fault>>,
    stop: AtomicBool,
    open: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Registry {
    /// Serves `content` on a free port of 127.0.0.1.
    pub fn start(content: Content) -> Self {
        Self::start_on(content, 0)
    }

    /// Serves `content` on this port of 127.0.0.1.
    pub fn start_on(content: Content, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            content,
            fault: Mutex::default(),
            stop: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            requests: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || accept(&listener, &shared));
        Self { address, state, thread: Some(thread) }
    }

    /// What `--registry-mirror` takes: `127.0.0.1:PORT`.
    pub fn mirror(&self) -> String {
        self.address.to_string()
    }

    /// From now on it misbehaves so, or behaves.
    pub fn fault(&self, fault: Option<Fault>) {
        *self.state.fault.lock().unwrap() = fault;
    }

    /// The requests so far: method and path.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.stop.load(Ordering::Relaxed) {
            return;
        }
        while state.open.load(Ordering::Relaxed) >= CONNECTIONS && !state.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let Ok(stream) = stream else { continue };
        state.open.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(state);
        std::thread::spawn(move || {
            // A client that goes away is its own business.
            drop(serve(stream, &shared));
            shared.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn serve(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut reader = (&stream).take(REQUEST);
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..count]);
        // A client that tries TLS first (its handshake begins with 22) is to notice at once.
        if request.first() == Some(&22) {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request);
    let mut words = text.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    state.requests.lock().unwrap().push(format!("{method} {path}"));
    let fault = state.fault.lock().unwrap().clone();
    if fault == Some(Fault::Silent) {
        while !state.stop.load(Ordering::Relaxed) && reader.read(&mut buffer).is_err() {
            std::hint::spin_loop();
        }
        return Ok(());
    }
    let mut answer = find(path, state, fault.as_ref());
    let whole = answer.body.len();
    if fault == Some(Fault::TruncatedBlob) && path.contains("/blobs/") {
        answer.body.truncate(whole / 2);
    }
    let mut head = format!("HTTP/1.1 {} Answer\r\nContent-Type: {}\r\n", answer.status, answer.media_type);
    if let Some(digest) = answer.digest {
        head.push_str(&format!("Docker-Content-Digest: {digest}\r\n"));
    }
    head.push_str("Docker-Distribution-Api-Version: registry/2.0\r\nConnection: close\r\n");
    head.push_str(&format!("Content-Length: {whole}\r\n\r\n"));
    stream.write_all(head.as_bytes())?;
    if method != "HEAD" {
        stream.write_all(&answer.body)?;
    }
    stream.flush()
}

struct Answer {
    status: u16,
    media_type: String,
    digest: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn error(status: u16, code: &str) -> Self {
        let body = format!(
            r#"{{"errors":[{{"code":"{code}","message":"{}"}}]}}"#,
            code.to_lowercase().replace('_', " ")
        );
        Self { status, media_type: "application/json".into(), digest: None, body: body.into_bytes() }
    }
}

fn find(path: &str, state: &State, fault: Option<&Fault>) -> Answer {
    if let Some(Fault::Status(status)) = fault {
        return Answer::error(*status, if *status == 401 { "UNAUTHORIZED" } else { "UNKNOWN" });
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return Answer::error(404, "NOT_FOUND") };
    if rest.is_empty() {
        return Answer {
            status: 200,
            media_type: "application/json".into(),
            digest: None,
            body: b"{}".to_vec(),
        };
    }
    if let Some((repository, version)) = rest.rsplit_once("/manifests/") {
        let key = (repository.to_owned(), version.to_owned());
        let Some((media_type, bytes)) = state.content.manifests.get(&key) else {
            return Answer::error(404, "MANIFEST_UNKNOWN");
        };
        let mut body = bytes.clone();
        match fault {
            Some(Fault::OtherManifest) if version.starts_with("sha256:") => body.push(b'\n'),
            Some(Fault::Garbage) => body = b"<html>log in to the wifi</html>".to_vec(),
            _ => {}
        }
        let digest = Some(format!("sha256:{}", Sha256::of_bytes(&body)));
        return Answer { status: 200, media_type: media_type.clone(), digest, body };
    }
    if let Some((_, digest)) = rest.rsplit_once("/blobs/") {
        let Some(bytes) = state.content.blobs.get(digest) else { return Answer::error(404, "BLOB_UNKNOWN") };
        let mut body = bytes.clone();
        if fault == Some(&Fault::ChangedBlob)
            && let Some(byte) = body.last_mut()
        {
            *byte ^= 1;
        }
        let media_type = "application/octet-stream".to_owned();
        return Answer { status: 200, media_type, digest: Some(digest.to_owned()), body };
    }
    Answer::error(404, "NOT_FOUND")
}

/// The formats in turn, so that a set of images has all of them.
pub fn format_of(index: usize) -> Format {
    [Format::OciIndex, Format::DockerList, Format::DockerSingle][index % 3]
}
