//! Secrets of a Compose file: none is written, none is told, and none loses its name to another.

use std::path::Path;

use boxwright::import::{Imported, import};

fn made(text: &str) -> Imported {
    import(Path::new("x/compose.yaml"), text.as_bytes(), Some("x"))
}

/// What is said of `text`, which is refused.
fn refused(text: &str) -> String {
    let made = made(text);
    assert!(made.files.is_empty(), "{text}");
    made.findings.render(false)
}

const DATABASE: &str = "services:\n  x:\n    image: a/b:1\n    user: 1:1\n    environment:\n      \
                        MARIADB_PASSWORD: hunter-secret-1\n";

#[test]
fn a_value_that_became_a_secret_is_written_nowhere_else() {
    for (line, what) in [
        ("      DB_DSN: app:hunter-secret-1@tcp(db:3306)/app\n", "DB_DSN has"),
        ("      PG_DSN: host=db password=hunter-secret-1\n", "PG_DSN has"),
        ("      DSN: ${P:-hunter-secret-1}\n", "DSN has"),
        ("      x-hunter-secret-1: a\n", "the name of a variable has"),
        ("    command: [run, 'app:hunter-secret-1']\n", "`command` has"),
        ("    sysctls: {hunter-secret-1: 1}\n", "`sysctls` has"),
        ("    healthcheck: {test: 'ping hunter-secret-1'}\n", "`healthcheck` has"),
        ("  y:\n    image: a/c:1\n    environment: ['A=1', 'DSN=p hunter-secret-1']\n", "DSN has"),
    ] {
        let said = refused(&format!("{DATABASE}{line}"));
        assert!(said.contains("error[secret-elsewhere]") && said.contains(what), "{line}: {said}");
        assert!(said.contains("/run/secrets/mariadb-password") && !said.contains("hunter"), "{line}: {said}");
    }
    let short = DATABASE.replace("hunter-secret-1", "app") + "      NAME: app\n";
    assert!(!made(&short).files.is_empty(), "a short value may stand anywhere");
    let named = DATABASE.replace("hunter-secret-1", "mariadb-password");
    assert!(!made(&named).files.is_empty(), "the path of a secret does not tell its value");
}

#[test]
fn a_file_that_is_copied_has_no_secret_in_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.ini"), "[db]\npassword = hunter-secret-1\n").unwrap();
    let text = format!("{DATABASE}    volumes: ['./app.ini:/app.ini:ro']\n");
    let made = import(&folder.path().join("compose.yaml"), text.as_bytes(), Some("x"));
    let said = made.findings.render(false);
    assert!(made.files.is_empty() && said.contains("which is copied, has the value"), "{said}");
}

#[test]
fn every_secret_has_a_name_of_its_own() {
    let container = |name: &str, variable: &str| {
        format!(
            "  {name}:\n    image: a/b:1\n    user: 1:1\n    environment: {{{variable}: of-{name}-alone}}\n"
        )
    };
    let four = [("y", "TOKEN"), ("x", "API_TOKEN"), ("web-api", "TOKEN"), ("web", "API_TOKEN")];
    let four: String = four.iter().map(|(name, variable)| container(name, variable)).collect();
    let with_four = made(&format!("services:\n{four}"));
    assert!(!with_four.files.is_empty(), "{}", with_four.findings.render(false));
    let all: String = with_four.files.values().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    assert!(!all.contains("-alone"), "{all}");
    for name in ["token", "api-token", "web-api-token", "web-api-token-2"] {
        assert!(all.contains(&format!("[secrets.{name}]")), "{name} is not in {all}");
    }
    // What the file calls a secret itself is none of a variable's.
    let own = format!("services:\n{}secrets: {{token: {{file: ./t}}}}\n", container("x", "TOKEN"));
    let own = String::from_utf8(made(&own).files["service.toml"].clone()).unwrap();
    assert!(own.contains("[secrets.x-token]") && !own.contains("[secrets.token]"), "{own}");
}

#[test]
fn names_of_secrets_that_a_box_cannot_tell_apart_are_refused() {
    let with = |names: &str| format!("services:\n  x: {{image: 'a/b:1', user: '1:1'}}\nsecrets: {names}\n");
    let said = refused(&with("{db_pass: {file: ./a}, db-pass: {file: ./b}}"));
    assert!(said.contains("`db_pass` and `db-pass` would be one secret on a box: `db-pass`"), "{said}");
    let said = refused(&with("{___: {file: ./a}}"));
    assert!(said.contains("`___` cannot be a secret's name"), "{said}");
}
