//! A web server on the loopback interface that serves a map of files, and fails as it is told.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a request goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection breaks after so many bytes of the body, so many times.
    Cut { after: usize, times: usize },
    /// The server answers with this status.
    Status(u16),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Fault>,
    /// Path and first byte asked for, of every request.
    requests: Vec<(String, usize)>,
    /// The server breaks every connection after so many more requests.
    lives: Option<usize>,
    /// How long each response takes.
    delay: Duration,
}

/// The server; it ends when it is dropped.
pub struct Server {
    pub url: String,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (state, stop) = (state.clone(), stop.clone());
            move || {
                for connection in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let state = state.clone();
                    std::thread::spawn(move || serve(connection.unwrap(), &state));
                }
            }
        });
        Self { url: format!("http://{address}"), state, stop, thread: Some(thread) }
    }

    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.state.lock().unwrap().files.insert(path.to_owned(), content.into());
    }

    pub fn put_all(&self, files: &BTreeMap<String, Vec<u8>>) {
        self.state.lock().unwrap().files.extend(files.clone());
    }

    /// Removes every file whose path contains `part`.
    pub fn remove(&self, part: &str) {
        self.state.lock().unwrap().files.retain(|path, _| !path.contains(part));
    }

    /// Changes the content of every file whose path contains `part`; at least one must.
    pub fn change(&self, part: &str, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.state.lock().unwrap();
        let mut matching = state.files.iter_mut().filter(|(path, _)| path.contains(part)).peekable();
        assert!(matching.peek().is_some(), "no file is called {part}");
        matching.for_each(|(_, content)| change(content));
    }

    /// The content of the file at `path`.
    pub fn content(&self, path: &str) -> Vec<u8> {
        self.state.lock().unwrap().files[path].clone()
    }

    /// Ends all faults.
    pub fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        state.faults.clear();
        state.lives = None;
    }

    pub fn fail(&self, path: &str, fault: Fault) {
        self.state.lock().unwrap().faults.insert(path.to_owned(), fault);
    }

    /// Breaks all connections after `requests` more.
    pub fn die_after(&self, requests: usize) {
        self.state.lock().unwrap().lives = Some(requests);
    }

    pub fn slow_down(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// The requests whose path contains `part`: path and first byte asked for.
    pub fn requests(&self, part: &str) -> Vec<(String, usize)> {
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|(path, _)| path.contains(part)).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect(self.url.trim_start_matches("http://")));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Serves one connection until the client closes it, or nothing came for ten seconds.
fn serve(connection: TcpStream, state: &Mutex<State>) {
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut writer = connection;
    while let Some((path, from)) = request(&mut reader) {
        let (response, delay) = respond(&mut state.lock().unwrap(), &path, from);
        std::thread::sleep(delay);
        let Some(Response { bytes, whole }) = response else { return };
        if writer.write_all(&bytes).is_err() || !whole {
            return;
        }
    }
}

struct Response {
    bytes: Vec<u8>,
    /// Whether the connection stays open.
    whole: bool,
}

/// Path and first byte of the next request.
fn request(reader: &mut impl std::io::BufRead) -> Option<(String, usize)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut from = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim().to_lowercase();
        if header.is_empty() {
            return Some((path, from));
        }
        if let Some(range) = header.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok()?;
        }
    }
}

fn respond(state: &mut State, path: &str, from: usize) -> (Option<Response>, Duration) {
    state.requests.push((path.to_owned(), from));
    if let Some(lives) = &mut state.lives {
        if *lives == 0 {
            return (None, state.delay);
        }
        *lives -= 1;
    }
    let plain = |status: u16| Response {
        bytes: format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        whole: true,
    };
    let response = match (state.files.get(path), state.faults.get_mut(path)) {
        (_, Some(Fault::Status(status))) => plain(*status),
        (None, _) => plain(404),
        (Some(content), _) if from > 0 && from >= content.len() => plain(416),
        (Some(content), fault) => {
            let head = if from > 0 {
                let end = content.len() - 1;
                format!("206 Partial Content\r\nContent-Range: bytes {from}-{end}/{}", content.len())
            } else {
                "200 OK".to_owned()
            };
            let body = &content[from..];
            let mut bytes = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
            match fault {
                Some(Fault::Cut { after, times }) if *times > 0 => {
                    *times -= 1;
                    bytes.extend(&body[..body.len().min(*after)]);
                    Response { bytes, whole: false }
                }
                _ => {
                    bytes.extend(body);
                    Response { bytes, whole: true }
                }
            }
        }
    };
    (Some(response), state.delay)
}
