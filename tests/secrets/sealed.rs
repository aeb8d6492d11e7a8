//! Encrypted secrets files: made, opened, and taken by the verbs; those of the program that others know as age.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use boxwright::tool::Tool;

use super::{boxwright, go, owner, write_private};

#[test]
fn a_secrets_file_is_encrypted_taken_everywhere_and_decrypted() {
    let folder = owner();
    let path = |name: &str| folder.path().join(name);
    let run = |arguments: &[&str]| boxwright(folder.path(), arguments);
    let check = |more: &[&str]| run(&[&["secrets", "check", "attic.toml", "--secrets"], more].concat());
    let (code, _, said) = check(&["secrets.toml"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("secrets.toml has all that `attic` needs"), "{said}");

    let locked = fs::read_to_string(path("locked.pub")).unwrap();
    let (code, out, said) =
        run(&["secrets", "encrypt", "secrets.toml", "--profile", "attic.toml", "--recipient", locked.trim()]);
    assert_eq!((code, out.as_str()), (Some(0), "secrets.toml.age\n"), "{said}");
    let sealed = fs::read_to_string(path("secrets.toml.age")).unwrap();
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n") && !sealed.contains("canary"));
    fs::write(path("phrase"), "the phrase of the key\nand more\n").unwrap();

    // By the usual key, by a named one, by one with a passphrase; by none.
    let (code, _, said) = check(&["secrets.toml.age"]);
    assert!(code == Some(1) && said.contains("no key was found"), "{said}");
    let (code, _, said) = check(&["secrets.toml.age", "--identity", "locked"]);
    assert!(
        code == Some(1) && said.contains("has a passphrase") && said.contains("--passphrase-file"),
        "{said}"
    );
    let (code, _, said) = check(&["secrets.toml.age", "--identity", "locked", "--passphrase-file", "phrase"]);
    assert_eq!(code, Some(0), "{said}");
    fs::create_dir(path(".ssh")).unwrap();
    fs::copy(path("me"), path(".ssh/id_ed25519")).unwrap();
    let (code, _, said) = check(&["secrets.toml.age"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("secrets-mode"), "everyone may read what is encrypted: {said}");

    // What is there is kept, what git tracks is not written to, what is written is the owner's alone.
    let decrypt = |more: &[&str]| run(&[&["secrets", "decrypt", "secrets.toml.age"], more].concat());
    let (code, _, said) = decrypt(&[]);
    assert!(code == Some(1) && said.contains("is there already"), "{said}");
    let git = |arguments: &[&str]| {
        let tool = Tool::new("git").env("PATH", "/usr/bin:/bin").current_dir(folder.path());
        tool.args(arguments).run().unwrap();
    };
    git(&["init", "-q"]);
    git(&["add", "secrets.toml", "secrets.toml.age"]);
    let (code, _, said) = check(&["secrets.toml"]);
    assert!(code == Some(0) && said.contains("warning[secrets-tracked]: git tracks secrets.toml"), "{said}");
    assert!(!check(&["secrets.toml.age"]).2.contains("secrets-tracked"));
    fs::remove_file(path("secrets.toml")).unwrap();
    let (code, _, said) = decrypt(&[]);
    assert!(
        code == Some(1) && said.contains("git tracks secrets.toml") && !path("secrets.toml").exists(),
        "{said}"
    );
    let (code, out, said) = decrypt(&["--to", "mine.toml"]);
    assert_eq!((code, out.as_str()), (Some(0), "mine.toml\n"), "{said}");
    assert_eq!(fs::metadata(path("mine.toml")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_to_string(path("mine.toml")).unwrap(),
        "[box]\npushbullet = 'o.canary-canary-canary'\n"
    );
    std::os::unix::fs::symlink("mine.toml", path("link.toml")).unwrap();
    assert!(decrypt(&["--to", "link.toml", "--force"]).2.contains("is not a file"));

    // With a passphrase alone; damaged; for nobody.
    let (code, _, said) = run(&[
        "secrets",
        "encrypt",
        "mine.toml",
        "--passphrase",
        "--passphrase-file",
        "phrase",
        "--to",
        "p.age",
    ]);
    assert_eq!(code, Some(0), "{said}");
    assert!(check(&["p.age"]).2.contains("encrypted with a passphrase"));
    let (code, _, said) = check(&["p.age", "--passphrase-file", "phrase"]);
    assert_eq!(code, Some(0), "{said}");
    fs::write(path("short.age"), &sealed[..sealed.len() - 120]).unwrap();
    let (code, _, said) = check(&["short.age"]);
    assert!(code == Some(1) && said.contains("take it from a backup"), "{said}");
    assert!(run(&["secrets", "encrypt", "mine.toml"]).2.contains("nobody is named who could open it"));
    assert!(run(&["secrets", "encrypt", "p.age", "--passphrase"]).2.contains("is encrypted already"));
}

/// As `secrets encrypt` says of the file that it writes.
#[test]
fn every_verb_for_an_owner_takes_an_encrypted_file() {
    let folder = owner();
    let path = |name: &str| folder.path().join(name);
    let run = |arguments: &[&str]| boxwright(folder.path(), arguments);
    let profile = fs::read_to_string(path("attic.toml")).unwrap();
    fs::write(path("attic.toml"), profile.replace("[ssh]\n", "encrypt = \"tpm\"\n[ssh]\n")).unwrap();
    let key = "0123456789abcdef".repeat(4);
    let text = format!("[box]\npushbullet = 'o.canary-canary-canary'\nrecovery-key = '{key}'\n");
    write_private(&path("secrets.toml"), &text);
    let (code, _, said) = run(&["secrets", "encrypt", "secrets.toml", "--profile", "attic.toml"]);
    assert_eq!(code, Some(0), "{said}");
    fs::remove_file(path("secrets.toml")).unwrap();
    let sheet = ["secrets", "recovery-sheet", "attic.toml", "--secrets", "secrets.toml.age"];
    let rotate =
        ["rotate", "attic.toml", "--secrets", "secrets.toml.age", "--sign-with", "me", "--to", "new.secrets"];
    for verb in [&sheet[..], &rotate] {
        let (code, out, said) = run(verb);
        assert!(code == Some(1) && out.is_empty() && said.contains("no key was found"), "{verb:?}: {said}");
    }
    let with = |verb: &[&str]| run(&[verb, &["--identity", "me"]].concat());
    let (code, out, said) = with(&sheet);
    assert!(code == Some(0) && out.contains(&key), "{out}{said}");
    assert!(!path("new.secrets").exists());
    let (code, out, said) = with(&rotate);
    assert_eq!((code, out.as_str()), (Some(0), "new.secrets\n"), "{said}");
    let signed = fs::read(path("new.secrets")).unwrap();
    assert!(String::from_utf8_lossy(&signed).contains("o.canary-canary-canary"));
}

/// What encrypts and decrypts here is what others know as age.
#[test]
fn age_and_boxwright_read_each_others_files() {
    let Some(age) = age() else { return };
    let folder = owner();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path(".ssh")).unwrap();
    fs::copy(path("me"), path(".ssh/id_ed25519")).unwrap();
    let tool =
        |arguments: &[&str]| Tool::new(&age).current_dir(folder.path()).args(arguments).output().unwrap();
    let text = fs::read(path("secrets.toml")).unwrap();
    let (code, _, said) =
        boxwright(folder.path(), &["secrets", "encrypt", "secrets.toml", "--profile", "attic.toml"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(tool(&["--decrypt", "-i", "me", "secrets.toml.age"]), text);
    for armor in [&["--armor"][..], &[]] {
        tool(&[armor, &["-R", "me.pub", "-o", "theirs", "secrets.toml"]].concat());
        let (code, _, said) =
            boxwright(folder.path(), &["secrets", "check", "attic.toml", "--secrets", "theirs"]);
        assert_eq!(code, Some(0), "{said}");
        fs::remove_file(path("theirs")).unwrap();
    }
}

/// The reference implementation, a Go module.
fn age() -> Option<PathBuf> {
    go::program("filippo.io/age", "./cmd/age", "v1.2.1")
}
