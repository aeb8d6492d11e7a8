//! The box's own program for alerts, against servers of the test. It needs python3 and openssl.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use boxwright::tool::Tool;

#[test]
fn what_is_wrong_is_told_once_it_lasts() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Tool::new("python3")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .arg("-B")
        .arg(project.join("tests/alerts/on_box.py"))
        .arg(project.join("overlays/system/alerts/root/usr/lib/boxwright/alerts"))
        .output();
    if let Err(error) = run {
        panic!("{error:#}");
    }
}
