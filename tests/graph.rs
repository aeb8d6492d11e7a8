//! The drawing of a box, as a browser shows it: well-formed, nothing sticks out of its box, and readable in light and dark.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[allow(dead_code, reason = "not all of it is used here")]
#[path = "support/profiles.rs"]
mod profiles;

use std::fs;
use std::path::Path;
use std::process::Command;

use boxwright::graph::{self, Drawing};
use boxwright::plan::Plan;

/// Measures the drawing in a page: a line for each finding in an element of its own.
const MEASURE: &str = include_str!("graph/measure.html");

fn drawing(profile: &str) -> (Drawing, Plan) {
    let checked = profiles::checked(&profiles::project().join(profile));
    let plan = Plan::new(&checked, checked.catalog()).unwrap();
    (graph::draw(&checked, &plan).unwrap(), plan)
}

/// What Chromium makes of the file at `path`; none where there is no Chromium.
fn shown(path: &Path, scheme: &str) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", home.path().display()))
        .arg(format!("file://{}", path.display()))
        .output();
    match output {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "no chromium");
            eprintln!("SKIPPED: there is no chromium here to show the drawing");
            None
        }
    }
}

#[test]
fn a_browser_shows_everything_in_its_place_in_light_and_dark() {
    let folder = tempfile::tempdir().unwrap();
    for profile in ["profiles/minimal.toml", "profiles/servarr.toml", "tests/services/every.toml"] {
        let (drawing, _) = drawing(profile);
        let page = folder.path().join("page.html");
        fs::write(&page, drawing.page.replace("</body>", &format!("{MEASURE}</body>"))).unwrap();
        let mut grounds = Vec::new();
        for scheme in ["0", "1"] {
            let Some(seen) = shown(&page, scheme) else { return };
            let findings =
                seen.split_once("<pre id=\"findings\">").unwrap().1.split_once("</pre>").unwrap().0;
            let (first, rest) = findings.split_once('\n').unwrap();
            assert_eq!(rest, "", "{profile} in scheme {scheme}");
            grounds.push(first.to_owned());
        }
        assert_ne!(grounds[0], grounds[1], "light and dark are two");

        let alone = folder.path().join("drawing.svg");
        fs::write(&alone, &drawing.svg).unwrap();
        let seen = shown(&alone, "1").unwrap();
        assert!(seen.contains("<svg") && !seen.contains("parsererror"), "{seen}");
    }
}

#[test]
fn the_drawing_has_every_way_in_and_every_service() {
    let (drawing, plan) = drawing("tests/services/every.toml");
    for rule in &plan.ingress {
        assert!(drawing.svg.contains(&rule.hostname), "{}", rule.hostname);
    }
    for service in &plan.services {
        assert!(drawing.svg.contains(&service.title) || service.name == "cloudflared", "{}", service.name);
    }
    for text in ["port 25565/tcp, 27015/udp", "The internet", "protonvpn"] {
        assert!(drawing.svg.contains(text), "{text}");
    }
}
