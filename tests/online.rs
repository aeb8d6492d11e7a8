//! `secrets check --online`: each secret is tried against what it is for, on loopback. S3 is a real server, the repository is one
//! that the real writer of backups made; mail, Cloudflare's API and Pushbullet's are stand-ins.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

#[path = "support/go.rs"]
mod go;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "support/profiles.rs"]
mod profiles;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boxwright::online::{Outcome, Places, Subject, Trial};
use boxwright::secrets::{Needs, Secrets, Value};
use boxwright::tool::{Running, Tool};
use boxwright::ui::Ui;

const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
const SSH_TUNNEL: &str = "11111111-765d-4adf-8112-31c55c1551ef";
const AUDIENCE: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "a password of the repository";
const KEYS: [&str; 2] = ["the-key-id-canary", "the-secret-key-canary"];
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The secret of a tunnel, as its credential has it.
fn tunnel_secret(seed: u8) -> String {
    STANDARD.encode((seed..seed + 32).collect::<Vec<u8>>())
}

fn credentials(id: &str, seed: u8) -> String {
    let secret = tunnel_secret(seed);
    format!(r#"{{"AccountTag":"{ACCOUNT}","TunnelSecret":"{secret}","TunnelID":"{id}"}}"#)
}

/// A private SSH key as the box has it, of no use to anybody.
fn private_key() -> String {
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let kind = string(b"ssh-ed25519");
    let public = string(&[&kind[..], &string(&[7; 32])].concat());
    let private = string(&[b"samesame".as_slice(), &kind, &string(b"the-private-key-canary")].concat());
    let head =
        [b"openssh-key-v1\0".as_slice(), &string(b"none"), &string(b"none"), &string(b""), &[0, 0, 0, 1]];
    STANDARD.encode([head.concat(), public, private].concat())
}

/// A box with a secret of every kind that can be tried; `mail` and `s3` are its servers' ports.
struct Scene {
    folder: tempfile::TempDir,
    places: Places,
    /// The lines of secrets.toml below `[box]`, by key.
    values: Vec<(String, String)>,
    profile: PathBuf,
}

impl Scene {
    fn new(s3: u16, mail: u16, security: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let profile = folder.path().join("box.toml");
        let text = format!(
            "schema = 1\n[box]\nname = \"attic\"\ndomain = \"example.com\"\nadmins = {{ me = [\"ssh-ed25519 \
             AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5p me\"] }}\n\
             [ssh]\nat = \"ssh\"\ntunnel = \"{SSH_TUNNEL}\"\n[cloudflare]\ntunnel = \"{TUNNEL}\"\n\
             team = \"team\"\nadmin = {{ aud = \"{AUDIENCE}\" }}\n\
             [disks]\nusb = {{ label = \"usb\" }}\n\
             [backup]\nto = [{{ s3 = \"boxes\", endpoint = \"localhost:{s3}\", prefix = \"attic\" }}, {{ disk = \"usb\" }}, \
             {{ sftp = \"nas.lan\", user = \"attic\", host-key = \"ssh-ed25519 \
             AAAAC3NzaC1lZDI1NTE5AAAAIIJPRgh+AXm+rRH1Ydo+E3qd2R8JZnZyh3rnFXd25G5p\" }}]\n\
             [alerts]\nto = [\"pushbullet\", \"mail\"]\nheartbeat = true\n\
             mail = {{ host = \"localhost\", port = {mail}, security = \"{security}\", from = \"a@example.com\", user = \"box\" }}\n\
             [services]\nuptime-kuma = {{ at = \"kuma\", for = \"admin\" }}\n"
        );
        fs::write(&profile, text).unwrap();
        let values = [
            ("backup-password", PASSWORD),
            ("backup-boxes-key-id", KEYS[0]),
            ("backup-boxes-secret-key", KEYS[1]),
            ("backup-nas.lan-private-key", &private_key()),
            ("heartbeat", "https://heartbeat.example.com/canary"),
            ("mail-password", "the-mail-password-canary"),
            ("pushbullet", "o.pushbullet-canary"),
            ("ssh-tunnel", &credentials(SSH_TUNNEL, 80)),
        ];
        let values = values.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let der = fs::read(folder.path().join("der")).unwrap();
        let nowhere = "http://127.0.0.1:9".to_owned();
        let places = Places { cloudflare: nowhere.clone(), pushbullet: nowhere, authorities: vec![der] };
        Self { folder, places, values, profile }
    }

    /// A mail server for the box's user, which the profile names from now on; and what it prints.
    fn mail(&self, security: &str) -> (Running, BufReader<std::process::ChildStdout>) {
        let folder = self.folder.path();
        let server = Tool::new("python3").env("PATH", PATH).arg("-B");
        let server = server.arg(profiles::project().join("tests/online/mail.py")).arg(folder.join("crt"));
        let server = server.arg(folder.join("key")).args(["box", "the-mail-password-canary", security]);
        let mut server = server.spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        let text = fs::read_to_string(&self.profile).unwrap();
        let named = format!("host = \"localhost\", port = {},", port.trim());
        fs::write(&self.profile, text.replace("host = \"localhost\", port = 9,", &named)).unwrap();
        (server, lines)
    }

    fn set(&mut self, key: &str, value: &str) {
        self.values.iter_mut().find(|(one, _)| one == key).unwrap().1 = value.to_owned();
    }

    /// Tries everything; what is said has no value in it.
    fn trials(&self, token: Option<&str>) -> Vec<Trial> {
        let checked = profiles::checked(&self.profile);
        let needs = Needs::of(&checked, checked.catalog()).unwrap();
        let mut text = String::from("[box]\n");
        for (key, value) in &self.values {
            text.push_str(&format!("'{key}' = '{value}'\n"));
        }
        text.push_str(&format!("[cloudflared]\ntunnel = '{}'\n", credentials(TUNNEL, 50)));
        let path = self.folder.path().join("secrets.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let secrets = Secrets::load(&path, &needs).map_err(|findings| findings.render(false)).unwrap();
        let subject = Subject { checked: &checked, needs: &needs, secrets: &secrets };
        let trials = subject.trials(&self.places, token.map(Value::new).as_ref(), &Ui::silent()).unwrap();
        for trial in &trials {
            let said = format!("{trial}{}", serde_json::to_string(trial).unwrap());
            assert!(!said.contains("canary") && !said.contains(PASSWORD), "{said}");
        }
        // Every secret is in the list, tried or not.
        let listed: std::collections::BTreeSet<_> =
            trials.iter().flat_map(|trial| trial.secrets.clone()).collect();
        assert_eq!(listed.len(), secrets.ids().count());
        trials
    }
}

/// What came of trying `name`, each time that it was tried.
fn said(trials: &[Trial], name: &str) -> Vec<String> {
    let of = |trial: &&Trial| trial.secrets.iter().any(|id| id.to_string() == name);
    trials.iter().filter(of).map(|trial| trial.to_string()).collect()
}

#[track_caller]
fn assert_said(trials: &[Trial], name: &str, expected: &[&str]) {
    let said = said(trials, name);
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        let (outcome, part) = expected.split_once(": ").unwrap();
        assert!(said.starts_with(outcome) && said.contains(part), "{expected} is not in {said}");
    }
}

/// A certificate for localhost, which is its own authority.
fn certificate(folder: &Path) {
    let request = Tool::new("openssl").env("PATH", PATH).current_dir(folder);
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let request =
        request.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    let request = request.args(["-days", "2", "-keyout", "key", "-out", "crt"]).args(subject);
    request.args(["-addext", "basicConstraints=critical,CA:FALSE"]).run().unwrap();
    let convert = Tool::new("openssl").env("PATH", PATH).current_dir(folder);
    convert.args(["x509", "-in", "crt", "-outform", "der", "-out", "der"]).run().unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A stand-in for an API: `answer` gets the request's head, and says status and body.
fn api(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap_or_default() > 2 {}
            let (status, body) = answer(&head.to_lowercase());
            record.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            let _ = (&stream).write_all(text.as_bytes());
        }
    });
    (url, seen)
}

/// The S3 server over `data`, with the scene's certificate.
fn s3(program: &Path, folder: &Path, data: &Path, port: u16) -> Running {
    let server = Tool::new(program).env("ROOT_ACCESS_KEY", KEYS[0]).env("ROOT_SECRET_KEY", KEYS[1]);
    let server = server.arg("--port").arg(format!("127.0.0.1:{port}"));
    let server = server.arg("--cert").arg(folder.join("crt")).arg("--key").arg(folder.join("key"));
    let mut running = server.args(["posix", "--nometa"]).arg(data).spawn().unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(running.try_wait().unwrap().is_none(), "the S3 server does not start");
        std::thread::yield_now();
    }
    running
}

#[test]
fn a_bucket_and_its_repository_are_tried() {
    let Some(program) = go::s3_server() else {
        return;
    };
    let port = free_port();
    let mut scene = Scene::new(port, 9, "tls");
    let data = scene.folder.path().join("data");
    fs::create_dir_all(data.join("boxes")).unwrap();
    let _server = s3(&program, scene.folder.path(), &data, port);
    let name = "box/backup-boxes-secret-key";
    let password = "box/backup-password";
    let good = ["works: listed, written, read and deleted"];

    let trials = scene.trials(None);
    assert_said(&trials, name, &good);
    assert_said(
        &trials,
        password,
        &[
            "not tried: no repository in the bucket yet",
            "not tried: only the box reaches",
            "not tried: speaks no SFTP",
        ],
    );
    assert_said(&trials, "box/backup-nas.lan-private-key", &["not tried: speaks no SFTP"]);
    let left: Vec<_> =
        fs::read_dir(data.join("boxes")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name != "boxwright-probe"), "{left:?}");
    assert!(!data.join("boxes/attic/boxwright-probe").exists());

    // A repository of the real program.
    let checked = profiles::checked(&scene.profile);
    let Some(kopia) = go::writer_of_backups(checked.catalog()) else { return };
    let (repository, home) = (scene.folder.path().join("repository"), scene.folder.path().join("home"));
    fs::create_dir(&repository).unwrap();
    let create = Tool::new(kopia).env("HOME", &home).env("KOPIA_PASSWORD", PASSWORD).env("PATH", PATH);
    let create =
        create.env("KOPIA_CHECK_FOR_UPDATES", "false").args(["repository", "create", "filesystem", "--path"]);
    create.arg(&repository).run().unwrap();
    fs::create_dir_all(data.join("boxes/attic")).unwrap();
    fs::copy(repository.join("kopia.repository.f"), data.join("boxes/attic/kopia.repository")).unwrap();
    assert_said(
        &scene.trials(None),
        password,
        &["works: opens the repository", "not tried: only the box", "not tried: speaks no SFTP"],
    );
    scene.set("backup-password", "another password of it");
    assert_said(
        &scene.trials(None),
        password,
        &["fails: does not open the repository", "not tried: only the box", "not tried: speaks no SFTP"],
    );
    fs::write(data.join("boxes/attic/kopia.repository"), "{}").unwrap();
    assert_said(
        &scene.trials(None),
        password,
        &["not tried: of a kind", "not tried: only the box", "not tried: speaks no SFTP"],
    );

    // Wrong keys, a wrong bucket, a bucket in which nothing can be written.
    scene.set("backup-boxes-secret-key", "another-canary");
    assert_said(&scene.trials(None), name, &["fails: does not belong to the access key id"]);
    scene.set("backup-boxes-key-id", "nobody-canary");
    assert_said(&scene.trials(None), name, &["fails: nobody has this access key id"]);
    scene.set("backup-boxes-key-id", KEYS[0]);
    scene.set("backup-boxes-secret-key", KEYS[1]);
    fs::rename(data.join("boxes"), data.join("others")).unwrap();
    assert_said(&scene.trials(None), name, &["fails: there is no bucket boxes"]);
    // Whose certificate is not known is told nothing.
    scene.places.authorities = Vec::new();
    assert_said(&scene.trials(None), name, &["fails: no protected connection"]);
}

#[test]
fn a_bucket_that_cannot_be_reached_is_told() {
    let port = free_port();
    let scene = Scene::new(port, 9, "tls");
    assert_said(&scene.trials(None), "box/backup-boxes-key-id", &["fails: the bucket boxes at localhost"]);
}

#[test]
fn a_mail_login_is_tried_and_no_mail_is_sent() {
    for security in ["starttls", "tls"] {
        let mut scene = Scene::new(9, 9, security);
        let (server, mut lines) = scene.mail(security);
        let name = "box/mail-password";
        assert_said(&scene.trials(None), name, &["works: takes the login of box"]);
        scene.set("mail-password", "another-canary");
        assert_said(&scene.trials(None), name, &["fails: refuses the login of box (535)"]);
        // Whose certificate is not known gets no password.
        scene.places.authorities = Vec::new();
        assert_said(&scene.trials(None), name, &["fails: "]);
        server.kill().unwrap();
        let mut verbs = String::new();
        lines.read_to_string(&mut verbs).unwrap();
        assert_eq!(verbs.matches("AUTH").count(), 2, "{verbs}");
        assert!(!verbs.contains("MAIL") && !verbs.contains("DATA"), "{verbs}");
    }
}

#[test]
fn a_mail_server_without_protection_gets_no_password() {
    let scene = Scene::new(9, 9, "starttls");
    let (server, mut lines) = scene.mail("open");
    assert_said(&scene.trials(None), "box/mail-password", &["fails: offers no protected connection"]);
    server.kill().unwrap();
    let mut verbs = String::new();
    lines.read_to_string(&mut verbs).unwrap();
    assert!(verbs.contains("EHLO") && !verbs.contains("AUTH"), "{verbs}");
}

#[test]
fn a_tunnel_is_asked_for_and_never_joined() {
    let tunnel = |source: &str, deleted: &str| {
        format!(r#"{{"success":true,"result":{{"id":"x","config_src":"{source}","deleted_at":{deleted}}}}}"#)
    };
    let token = |seed: u8| {
        let text = format!(r#"{{"a":"{ACCOUNT}","t":"x","s":"{}"}}"#, tunnel_secret(seed));
        format!(r#"{{"success":true,"result":"{}"}}"#, STANDARD.encode(text))
    };
    let names = ["box/ssh-tunnel", "cloudflared/tunnel"];
    let mut scene = Scene::new(9, 9, "tls");
    for name in names {
        assert_said(&scene.trials(None), name, &["not tried: CLOUDFLARE_API_TOKEN"]);
        assert_said(&scene.trials(Some("a-token-canary")), name, &["not tried: Cloudflare's API: "]);
    }
    let good = (200, tunnel("local", "null"));
    for ((status, body), (token_status, token_body), ssh, edge) in [
        (good.clone(), (200, token(50)), "fails: has another secret", "works: and its secret is this one"),
        (good.clone(), (403, "{}".to_owned()), "works: may not see it", "works: may not see it"),
        ((200, tunnel("cloudflare", "null")), (200, token(50)), "fails: managed in", "fails: managed in"),
        (
            (200, tunnel("local", "\"2026-01-01\"")),
            (200, token(50)),
            "fails: was deleted",
            "fails: was deleted",
        ),
        ((404, "{}".to_owned()), (404, "{}".to_owned()), "fails: does not exist", "fails: does not exist"),
        (
            (403, "{}".to_owned()),
            (403, "{}".to_owned()),
            "not tried: refuses its token",
            "not tried: refuses its",
        ),
        (
            (500, "<html>".to_owned()),
            (500, String::new()),
            "not tried: answers 500",
            "not tried: answers 500",
        ),
        // What repeats a secret is not shown.
        ((302, String::new()), (200, String::new()), "not tried: answers 302", "not tried: answers 302"),
    ] {
        let (url, seen) = api(move |head| match head {
            _ if !head.contains("authorization: bearer a-token-canary") => (401, "{}".to_owned()),
            _ if head.lines().next().unwrap().contains("/token ") => (token_status, token_body.clone()),
            _ => (status, body.clone()),
        });
        scene.places.cloudflare = url;
        let trials = scene.trials(Some("a-token-canary"));
        assert_said(&trials, names[0], &[ssh]);
        assert_said(&trials, names[1], &[edge]);
        let seen = seen.lock().unwrap().clone();
        assert!(
            seen.iter().all(|line| line.starts_with(&format!("GET /accounts/{ACCOUNT}/cfd_tunnel/"))),
            "{seen:?}"
        );
    }
}

#[test]
fn a_token_of_pushbullet_is_tried_and_what_cannot_be_is_said() {
    let (url, seen) = api(|head| {
        if head.contains("access-token: o.pushbullet-canary") {
            (200, "{}".into())
        } else {
            (401, "{}".into())
        }
    });
    let mut scene = Scene::new(9, 9, "tls");
    scene.places.pushbullet = url;
    assert_said(&scene.trials(None), "box/pushbullet", &["works: Pushbullet knows it"]);
    scene.set("pushbullet", "o.another-canary");
    let trials = scene.trials(None);
    assert_said(&trials, "box/pushbullet", &["fails: does not know it"]);
    assert_eq!(*seen.lock().unwrap(), ["GET /users/me HTTP/1.1", "GET /users/me HTTP/1.1"]);
    assert_said(&trials, "box/heartbeat", &["not tried: alive"]);
    let failed = trials.iter().filter(|trial| matches!(trial.outcome, Outcome::Failed { .. })).count();
    assert_eq!(failed, 3, "the token, the bucket and the mail server: {trials:#?}");
}
