//! A real ssh, by the real `cloudflared access ssh`, through the played edge, to a real sshd that was started as on a box: who
//! logs in, and who does not.

use std::fs;
use std::path::Path;

use boxwright::tool::Tool;
use serde_json::{Value, json};

use super::edge::{TEAM, cloudflared, credential, hosts};
use super::{ADMIN, NAMES, SSHD, built, command, go, profiles};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Sends some megabytes there and back.
const BYTES: &str = "head -c 3000000 /dev/urandom >/run/sent && $ssh cat </run/sent >/run/back && \
     cmp /run/sent /run/back && echo the same";

/// Hands over what is no file of new secrets.
const APPLY: &str = "echo nonsense | $ssh box secrets apply 2>&1 | grep -o 'no file of new secrets'";

/// One client: who comes how, what comes of it, and whether sshd has seen it.
struct Client {
    host: &'static str,
    /// Kind and audience, as `edge/clients.go` reads them.
    token: Option<(&'static str, &'static str)>,
    user: &'static str,
    key: &'static str,
    /// The command, where `$ssh` logs in.
    command: &'static str,
    /// What it prints: in, or out.
    expected: Result<&'static str, &'static str>,
    connects: bool,
}

impl Client {
    /// An admin with all that is needed.
    fn new(host: usize) -> Self {
        let (host, audience) = NAMES[host];
        Self {
            host,
            token: Some(("valid", audience)),
            user: "ann",
            key: "ann",
            command: "$ssh id -un",
            expected: Ok("ann"),
            connects: true,
        }
    }

    /// The same who does not get to sshd.
    fn kept_out(host: usize, token: Option<(&'static str, &'static str)>) -> Self {
        Self { token, expected: Err("websocket: bad handshake"), connects: false, ..Self::new(host) }
    }

    /// The same whom sshd refuses.
    fn refused(self) -> Self {
        Self { expected: Err("Permission denied (publickey)."), ..self }
    }

    /// The program with its words.
    fn program(&self) -> [String; 3] {
        let Self { host, token, user, key, command, .. } = self;
        let token =
            token.map_or(String::new(), |(kind, audience)| format!(" --id '{kind}' --secret {audience}"));
        let proxy = format!("/var/lib/boxwright/bin/cloudflared access ssh --hostname %h{token}");
        let ssh = format!(
            "ssh -F /run/clients/config -i /run/clients/{key} -o \"ProxyCommand={proxy}\" {user}@{host}"
        );
        ["sh".to_owned(), "-c".to_owned(), command.replace("$ssh", &ssh)]
    }
}

/// Everyone who comes, one after another.
fn clients() -> Vec<Client> {
    const PASSWORD: &str = "SSH_ASKPASS=/run/clients/password SSH_ASKPASS_REQUIRE=force $ssh \
         -o PubkeyAuthentication=no -o PreferredAuthentications=password,keyboard-interactive id -un";
    let ((_, person), (_, machine)) = (NAMES[0], NAMES[1]);
    let another = || Client { key: "another", ..Client::new(0) }.refused();
    vec![
        Client { command: BYTES, expected: Ok("the same"), ..Client::new(0) },
        Client::new(1),
        // New secrets come as standard input; nobody has signed these.
        Client { command: APPLY, expected: Ok("no file of new secrets"), ..Client::new(0) },
        another(),
        Client { user: "root", ..Client::new(0) }.refused(),
        Client { user: "nobody", ..Client::new(0) }.refused(),
        Client { command: PASSWORD, ..Client::new(0) }.refused(),
        Client::kept_out(0, None),
        Client::kept_out(1, None),
        Client::kept_out(0, Some(("valid", machine))),
        Client::kept_out(1, Some(("valid", person))),
        Client::kept_out(0, Some(("valid", ADMIN))),
        Client::kept_out(0, Some(("expired", person))),
        Client::kept_out(0, Some(("signed by another key", person))),
        another(),
        another(),
        another(),
        another(),
        another(),
        // All come from one address, so that nobody may be made to wait for what others did.
        Client::new(0),
    ]
}

/// Makes a pair of keys with the box's own program.
fn make_key(root: &Path, folder: &Path, name: &str) -> String {
    let enter = r#"mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/tmp" && exec chroot "$0" ssh-keygen -q -t ed25519 -N "" -C "$2" -f "/tmp/$2""#;
    let made = Tool::new("unshare").args(["--mount", "sh", "-c", enter]).args([root, folder]).arg(name);
    made.env("PATH", PATH).run().unwrap_or_else(|error| panic!("{error:#}"));
    fs::read_to_string(folder.join(name).with_extension("pub")).unwrap()
}

#[test]
fn admins_log_in_by_the_tunnel_with_their_keys_and_nobody_else_does() {
    let (Some(cloudflared), Some(edge)) = (cloudflared(), go::own("support/edge")) else { return };
    let root = match built::root_to_try() {
        Ok(root) => root,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let (rendered, shared) = (folder.path().join("rendered"), folder.path().join("clients"));
    fs::create_dir(&shared).unwrap();
    let key = make_key(&root, &shared, "ann");
    make_key(&root, &shared, "another");
    let (_, tree) = super::behind(&key);
    tree.write_to(&rendered).unwrap();
    let names = NAMES.map(|(name, _)| name);
    fs::write(shared.join("hosts"), hosts(names)).unwrap();
    let (command, environment) = command(&tree, "/run/credentials.json");
    let clients = clients();
    let programs: Vec<_> = clients.iter().map(Client::program).collect();
    let job = json!({
        "Command": command, "Environment": [environment], "Credential": credential(), "Team": TEAM, "Keys": true,
        "Names": names, "Clients": programs,
    });
    let said = Tool::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "python3", "-B"])
        .arg(profiles::project().join("tests/ssh/box.py"))
        .args([&root, &rendered, &shared, &cloudflared, &edge])
        .env("PATH", PATH)
        .stdin_bytes(job.to_string())
        .output()
        .unwrap_or_else(|error| panic!("{error:#}"));
    let said: Value = serde_json::from_slice(&said).unwrap();
    judge(&clients, &said);
}

fn judge(clients: &[Client], said: &Value) {
    let sshd: Vec<&str> =
        said["sshd"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let ends = said["edge"]["ends"].as_array().unwrap();
    assert_eq!(ends.len(), clients.len());
    for (client, end) in clients.iter().zip(ends) {
        let (status, out, err) =
            (end["status"].as_i64(), end["out"].as_str().unwrap(), end["err"].as_str().unwrap());
        let right = match client.expected {
            Ok(printed) => status == Some(0) && out.trim_end() == printed,
            Err(reason) => status == Some(255) && out.is_empty() && err.contains(reason),
        };
        assert!(right, "{:?}: {end}\n{}", client.program(), sshd.join("\n"));
    }
    let count = |start: &str| sshd.iter().filter(|line| line.starts_with(start)).count();
    let connected = clients.iter().filter(|client| client.connects).count();
    assert_eq!(count("Connection from 127.0.0.1 "), connected, "{sshd:#?}");
    assert_eq!(count("Connection from "), connected, "{sshd:#?}");
    let accepted = count("Accepted ") - count("Accepted key ");
    assert_eq!(accepted, clients.iter().filter(|client| client.expected.is_ok()).count(), "{sshd:#?}");
    assert_eq!(accepted, count("Accepted publickey for ann "), "{sshd:#?}");
    // At home there is nothing to connect to.
    let at: Vec<_> = sshd.iter().filter_map(|line| line.strip_prefix("Server listening on ")).collect();
    let (address, port) = SSHD.split_once(':').unwrap();
    assert_eq!(at, [format!("{address} port {port}.")]);
}
