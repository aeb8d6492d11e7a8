//! Two builds of one lock are the same bytes: another folder, user, umask, time zone, language, host name, date, order of
//! files, and one thread. `verify --twice` makes both and compares them whole.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

#[path = "support/built.rs"]
mod built;

#[test]
fn whatever_varies_the_bytes_stay() {
    let Some(profile) = built::locked("minimal") else { return };
    let call = built::call("--json").arg("verify").arg("--twice").arg(&profile);
    // What the first build sees of the surroundings is what this test sees.
    let printed = call.output().unwrap_or_else(|error| panic!("{error:#}"));
    let said: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(said["identical"], true, "{said:#}");
    assert_eq!(said["differences"], serde_json::json!([]));
    let varied = said["varied"].as_object().unwrap();
    let not = |name: &str| varied[name].as_str().unwrap().starts_with("not ");
    for name in ["folder", "umask", "time zone", "language", "processors", "clock"] {
        assert!(!not(name), "{said:#}");
    }
    if rustix::process::geteuid().is_root() {
        for name in ["user", "host name"] {
            assert!(!not(name), "{said:#}");
        }
    } else {
        eprintln!("SKIPPED: only root can build as another user, on a machine of another name");
    }
    // The project is copied into memory, where entries keep an order.
    assert!(!not("order of files") || !std::path::Path::new("/dev/shm").is_dir(), "{said:#}");
}
