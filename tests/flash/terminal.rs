//! The questions, on a real terminal: a pseudo-terminal types the answers.

use std::process::Command;

use crate::devices::{Loop, turn};
use crate::images::{self, Bench, there};

#[test]
fn a_disk_is_chosen_and_confirmed_on_a_terminal() {
    let _turn = turn();
    let bench = Bench::new();
    if !there("python3") {
        return;
    }
    let image = bench.image("attic", 1);
    // A size that no other disk of this machine has.
    let size = (4 << 30) + 512 * u64::from(std::process::id());
    let file = bench.empty("disk", size);
    let Some(disk) = Loop::new(&file, &[]) else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flash/terminal.py");
    let talk = |answer: &str| {
        let program = env!("CARGO_BIN_EXE_boxwright");
        let arguments = [program, "flash", image.to_str().unwrap(), "--cache", "cache"];
        let output = Command::new("python3")
            .args([script, &disk.device, answer])
            .args(arguments)
            .current_dir(bench.path(""))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, said) = talk("1234");
    assert!(code == Some(1) && said.contains("that was not confirmed: nothing was written"), "{said}");
    let (code, said) = talk("^C");
    assert!(code == Some(2) && said.contains("interrupted"), "{said}");
    assert!(images::table(&file, true).is_none());
    let (code, said) = talk(&size.to_string());
    assert_eq!(code, Some(0), "{said}");
    for text in ["disks that could be meant:", "type its size in bytes", "it may be pulled out now"] {
        assert!(said.contains(text), "no {text} in {said}");
    }
    // Each of the long steps says how long it will take.
    for step in ["writing", "reading it back"] {
        let mut lines = said.split(['\r', '\n']);
        let told = lines.any(|line| line.contains(step) && line.contains(" of ") && line.contains(" left"));
        assert!(told, "{step} does not say how long it takes: {said}");
    }
    assert_eq!(images::difference(&image, &file), None);
}
