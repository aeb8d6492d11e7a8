//! New secrets on a stick that is plugged into a box that runs: those of a stranger are refused on its screen, those of an admin
//! are taken, and overwritten on the stick.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use boxwright::inspect::Report;
use boxwright::secrets::signed;
use boxwright::tool::Tool;

use crate::harness::{Bench, Run, SOON};

const CANARY: &str = "https://hc-ping.com/a-canary-on-a-stick";

/// Sticks for the box of a bench.
pub struct Sticks {
    folder: PathBuf,
    name: String,
    admin: String,
}

impl Sticks {
    /// None, and a line that says why, where nothing can be signed.
    pub fn new(bench: &Bench) -> Option<Self> {
        if !Path::new("/usr/bin/ssh-keygen").exists() {
            assert!(std::env::var_os("CI").is_none(), "there is no ssh-keygen");
            eprintln!("SKIPPED: new secrets on a stick: there is no ssh-keygen");
            return None;
        }
        let folder = bench.path("sticks");
        std::fs::create_dir_all(&folder).unwrap();
        let name = Report::read(bench.image()).unwrap().manifest.expect("the image has a manifest").name;
        let mut sticks = Self { folder, name, admin: String::new() };
        sticks.key("stranger");
        sticks.admin = sticks.key("admin");
        Some(sticks)
    }

    fn key(&self, name: &str) -> String {
        let path = self.folder.join(name);
        ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path.to_str().unwrap()])
            .run()
            .unwrap();
        std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
    }

    /// What makes the box one whose admin's key is the tests' own, and which has a secret, until it is switched off.
    pub fn prepare(&self) -> String {
        format!(
            "echo 'ada namespaces=\"boxwright-secrets\" {}' >/run/signers\n\
             mount --bind /run/signers /etc/boxwright/allowed_signers\n\
             python3 - <<'END'\n\
             import json\n\
             box = json.load(open('/etc/boxwright/secrets.json'))\n\
             box['secrets']['box/heartbeat'] = {{'from': 'owner', 'about': 'A', 'users': {{'alerts': True}}, 'apply': {{}}}}\n\
             json.dump(box, open('/run/map', 'w'))\n\
             END\n\
             mount --bind /run/map /etc/boxwright/secrets.json\n",
            self.admin
        )
    }

    /// A stick with a secret that `signer` has signed.
    fn stick(&self, bench: &Bench, signer: &str) -> PathBuf {
        let serial = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let payload = format!(
            r#"{{"box":"{}","serial":{serial},"secrets":{{"box/heartbeat":"{CANARY}"}}}}"#,
            self.name
        );
        let key = self.folder.join(signer);
        let sign = ssh_keygen(&["-Y", "sign", "-q", "-n", signed::NAMESPACE, "-f", key.to_str().unwrap()]);
        let signature = sign.stdin_bytes(payload.clone()).output().unwrap();
        let file = signed::join(payload.as_bytes(), &signature).unwrap();
        let path = self.folder.join(format!("{signer}.img"));
        std::fs::File::create(&path).unwrap().set_len(16 << 20).unwrap();
        bench.tools().tool("mkfs.vfat").unwrap().arg(&path).run().unwrap();
        let copy = bench.tools().tool("mcopy").unwrap().arg("-i").arg(&path);
        copy.args(["-", &format!("::/boxwright-{}.secrets", self.name)])
            .stdin_bytes(file.to_vec())
            .run()
            .unwrap();
        path
    }

    /// Plugs both in, one after the other, and waits for what the box says on its screen.
    pub fn assert_told_apart(&self, bench: &Bench, run: &mut Run) {
        for (signer, said) in [
            ("stranger", "signed by nobody who is an admin of this box"),
            ("admin", "taken over: box/heartbeat"),
        ] {
            let path = self.stick(bench, signer);
            let before = std::fs::read(&path).unwrap();
            run.machine.plug(signer, &path).unwrap();
            let line = run.machine.wait_for(SOON, |line| line.contains(said).then(|| line.to_owned()));
            let line = line.unwrap_or_else(|error| panic!("{signer}: {error}"));
            assert!(line.contains(&format!("boxwright-{}.secrets on the stick sd", self.name)), "{line}");
            assert!(contains(&before, CANARY));
            if signer == "stranger" {
                assert!(
                    std::fs::read(&path).unwrap() == before,
                    "a stick was written to whose secrets were refused"
                );
                run.machine.pull(signer).unwrap();
            }
        }
    }

    /// The stick of the admin, once the box is switched off.
    pub fn assert_overwritten(&self) {
        let bytes = std::fs::read(self.folder.join("admin.img")).unwrap();
        assert!(!contains(&bytes, CANARY), "the secret is still on the stick");
        assert!(contains(&bytes, "The box has taken these secrets"));
    }
}

/// What holds at the next start: it is in the store, everyone was told, and nothing else is left of it.
pub const KEPT: (&str, &str) = (
    "rotated",
    "cd /var/lib/boxwright/secrets && test -s box.heartbeat.cred && test -s serial && ! test -e rotation && \
     systemd-creds decrypt --name=box.heartbeat box.heartbeat.cred - | grep -x https://hc-ping.com/a-canary-on-a-stick",
);

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn ssh_keygen(arguments: &[&str]) -> Tool {
    Tool::new("/usr/bin/ssh-keygen").args(arguments)
}
