//! What people see on the command line: transcripts, and how the program ends.
#![allow(clippy::disallowed_methods, reason = "these tests start the program as people do")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_boxwright");
const VERBS: [&str; 23] = [
    "new",
    "import",
    "check",
    "schema",
    "secrets",
    "secrets check",
    "secrets encrypt",
    "secrets decrypt",
    "secrets recovery-sheet",
    "rotate",
    "lock",
    "render",
    "build",
    "mirror",
    "verify",
    "cache",
    "cache prune",
    "sign",
    "flash",
    "inspect",
    "diff",
    "boot",
    "rehearse",
];

/// Each file under tests/cli is a transcript. `TRYCMD=overwrite cargo test --test cli` writes what is said now.
#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cli/*.trycmd").env("NO_COLOR", "1");
}

#[test]
fn help_fits_80_columns() {
    for verb in [""].iter().chain(&VERBS) {
        let mut command = Command::new(PROGRAM);
        let output = command.args(verb.split_whitespace()).arg("--help").output().unwrap();
        assert!(output.status.success(), "{verb} --help");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() > 5, "{verb} --help says nothing");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{verb} --help: {line}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(PROGRAM).arg("schema").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn data_goes_to_standard_output_and_findings_to_standard_error() {
    let run = |arguments: &[&str]| {
        let output =
            Command::new(PROGRAM).args(["--project", "tests/project"]).args(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, stdout, stderr) = run(&["check", "tests/cli/bad/types.toml"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("tests/cli/bad/types.toml:4:12"), "{stderr}");
    let (code, stdout, stderr) = run(&["check", "--json", "tests/cli/bad/types.toml"]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let first = &json["profiles"][0]["findings"][0];
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(1), Some(10)), "{first}");
}

#[test]
fn the_committed_schema_is_the_types_schema() {
    let committed = std::fs::read_to_string("profiles/profile.schema.json").unwrap();
    assert_eq!(
        committed,
        boxwright::profile::json_schema::text(),
        "run: boxwright schema > profiles/profile.schema.json"
    );
}

#[test]
fn the_shipped_profiles_are_right() {
    for profile in ["minimal", "servarr", "doom-server"] {
        let output = Command::new(PROGRAM).args(["check", profile]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        // The example's key is to be replaced, and its bucket cannot be locked: R2 knows no object lock.
        let known = ["warning[example-key]", "warning[backups-deletable]"];
        let known = known.iter().filter(|warning| stderr.contains(**warning)).count();
        assert_eq!(stderr.matches("warning[").count(), known, "{stderr}");
        assert!(stderr.contains("warning[example-key]"), "{stderr}");
    }
}

/// A profile made from each example is one that `check` takes, with the new name and the example's comments.
#[test]
fn new_profiles_are_right() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["overlays", "firmware"] {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(part);
        std::os::unix::fs::symlink(source, folder.path().join(part)).unwrap();
    }
    std::fs::create_dir(folder.path().join("profiles")).unwrap();
    for example in ["minimal", "servarr", "doom-server"] {
        let source = format!("{}/profiles/{example}.toml", env!("CARGO_MANIFEST_DIR"));
        let name = format!("my-{example}");
        let run = |arguments: &[&str]| {
            Command::new(PROGRAM).args(arguments).current_dir(folder.path()).output().unwrap()
        };
        let made = run(&["new", &name, "--from", &source]);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "{said}");
        let path = String::from_utf8(made.stdout).unwrap();
        assert_eq!(path, format!("profiles/{name}.toml\n"));
        assert!(run(&["check", path.trim_end()]).status.success());
        let text = std::fs::read_to_string(folder.path().join(path.trim_end())).unwrap();
        assert!(text.contains(&format!("\"{name}\"")) && text.contains("# "), "{text}");
        assert_eq!(run(&["new", &name, "--from", &source]).status.code(), Some(2), "nothing is overwritten");
    }
    assert_eq!(Command::new(PROGRAM).args(["new", "Not A Name"]).output().unwrap().status.code(), Some(1));
}

/// A service that somebody adds is held against the same rules, as it is rendered, and the finding is at its line.
#[test]
fn a_service_of_ones_own_meets_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(folder.path().join("overlays/services/paperless")).unwrap();
    std::os::unix::fs::symlink(root.join("firmware"), folder.path().join("firmware")).unwrap();
    std::os::unix::fs::symlink(root.join("overlays/system"), folder.path().join("overlays/system")).unwrap();
    let service = folder.path().join("overlays/services/paperless");
    std::fs::write(
        service.join("service.toml"),
        "schema = 1\ntitle = \"Paperless\"\nabout = \"Documents\"\n[containers.paperless]\n\
         image = \"ghcr.io/paperless-ngx/paperless-ngx:2.19.3\"\nuser = \"1000:1000\"\n",
    )
    .unwrap();
    let minimal = std::fs::read_to_string(root.join("profiles/minimal.toml")).unwrap();
    std::fs::write(folder.path().join("own.toml"), format!("{minimal}paperless = {{}}\n")).unwrap();
    let check = |more: &str| {
        let template = "name: paperless\nservices:\n  paperless:\n    \
             {{ <bw.container service={service} key=\"paperless\" /> }}\n";
        let text = format!("{template}{more}{{{{ <bw.rest service={{service}} /> }}}}\n");
        std::fs::write(service.join("compose.yaml.tera"), text).unwrap();
        let output = Command::new(PROGRAM).args(["check", "own.toml"]).current_dir(folder.path()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = check("");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check("    privileged: true\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error[privileged]") && said.contains("paperless = {}"), "{said}");
}

/// `--registry-mirror` is for the box's Docker as well.
#[test]
fn a_registry_mirror_named_by_a_flag_reaches_the_box() {
    let folder = tempfile::tempdir().unwrap();
    let render = |name: &str, flags: &[&str]| {
        let to = folder.path().join(name);
        let mut command = Command::new(PROGRAM);
        let output = command.args(flags).args(["render", "minimal", "--to"]).arg(&to).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(to.join("etc/docker/daemon.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["registry-mirrors"].clone()
    };
    assert_eq!(render("without", &[]), serde_json::Value::Null);
    let mirrors = render("with", &["--registry-mirror", "hub.example.net:5000"]);
    assert_eq!(mirrors, serde_json::json!(["https://hub.example.net:5000"]));
}

/// What was rendered before stays until all of it is written anew, and what a killed run left is in nobody's way.
#[test]
fn a_result_of_render_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("tree");
    let left = to.join(".unfinished-left/new/etc");
    std::fs::create_dir_all(left).unwrap();
    let render = |before: &str| {
        let script = format!("{before} exec \"$0\" render minimal --to \"$1\"");
        let output = Command::new("sh").args(["-c", &script, PROGRAM]).arg(&to).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(render("").0, Some(0));
    let names = || {
        let entries = std::fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect::<std::collections::BTreeSet<_>>()
    };
    let whole = names();
    assert!(whole.contains("etc") && !whole.iter().any(|name| name.starts_with(".unfinished")), "{whole:?}");
    std::fs::write(to.join("etc/of-an-older-program"), "").unwrap();
    // No file may grow beyond a block, as if the disk were full.
    let (code, said) = render("trap '' XFSZ; ulimit -f 1;");
    assert!(code == Some(2) && said.contains("writing "), "{code:?}: {said}");
    assert!(names() == whole && to.join("etc/of-an-older-program").is_file());
    assert_eq!(render("").0, Some(0));
    assert!(names() == whole && !to.join("etc/of-an-older-program").exists());
    std::fs::remove_file(to.join(".boxwright-render")).unwrap();
    let (code, said) = render("");
    assert!(code == Some(2) && said.contains("is not empty; name another folder"), "{code:?}: {said}");
}

#[test]
fn the_profiles_package_mirror_is_asked_before_the_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = format!("http://{}/debian", listener.local_addr().unwrap());
    let text = std::fs::read_to_string("profiles/minimal.toml").unwrap();
    let text = text.replacen("[box]", &format!("[box]\nmirror = \"{mirror}\""), 1);
    let profile = folder.path().join("near.toml");
    std::fs::write(&profile, text).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["--quiet", "--project", ".", "--cache"]).arg(folder.path().join("cache"));
    let mut child = command.arg("lock").arg(&profile).stderr(Stdio::null()).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    let mut request = String::new();
    BufReader::new(stream).read_line(&mut request).unwrap();
    // It has asked: what it would do without an answer is another test's subject.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(request.starts_with("GET /debian") && request.contains("/dists/trixie"), "{request}");
}
