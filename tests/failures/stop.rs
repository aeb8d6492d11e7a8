//! Ctrl-C and SIGKILL while each step of a real build is under way: nothing half-made has a final name, no process and no
//! mount is left, and the next run makes the very image that an undisturbed one makes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::tiny::Tiny;

/// Whom a signal goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// The whole group, as a terminal does it.
    CtrlC,
    /// The program alone, which cannot do anything about it.
    Kill,
}

/// Builds, and stops the run once it has said that the step called `step` is done for the `times`-th time: the next one is
/// under way then.
fn stopped(tiny: &Tiny, (step, times): (&str, usize), how: Stop) -> (ExitStatus, String) {
    let mut command = tiny.project.command(&["build", "box"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap();
    let id = Pid::from_child(&child);
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut seen = 0;
    while seen < times {
        let before = said.len();
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended before the end of {step}: {said}");
        seen += usize::from(said[before..].trim_start().starts_with(step));
    }
    match how {
        Stop::CtrlC => kill_process_group(id, Signal::INT).unwrap(),
        Stop::Kill => kill_process(id, Signal::KILL).unwrap(),
    }
    // All that hold the pipe have ended once it is closed.
    stderr.read_to_string(&mut said).unwrap();
    (child.wait().unwrap(), said)
}

/// The processes that have a path of the project on their command line or see a mount of it.
fn processes(tiny: &Tiny) -> Vec<String> {
    let folder = tiny.project.path("");
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let text = |file: &str| {
            String::from_utf8_lossy(&fs::read(entry.path().join(file)).unwrap_or_default()).into_owned()
        };
        let command = text("cmdline");
        if command.contains(&name) || text("mountinfo").contains(&name) {
            found.push(format!("{:?}: {}", entry.file_name(), command.replace('\0', " ")));
        }
    }
    found
}

/// Waits until nothing is left of a killed run: its input has ended, so that each program that it had started ends too.
fn all_end(tiny: &Tiny) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        if processes(tiny).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("still running: {:?}", processes(tiny));
}

/// Sees to it that no results are there but those of the steps that were done.
fn nothing_half_made(tiny: &Tiny, step: &str) {
    assert_eq!(tiny.project.names("out"), [""; 0], "after {step}");
    let bases = tiny.project.names("cache/base");
    let final_name = |name: &&String| !name.starts_with('.') && !name.ends_with(".lock");
    assert_eq!(bases.iter().find(final_name), None, "after {step}");
}

#[test]
fn ctrl_c_in_each_step() {
    let Some(tiny) = Tiny::new() else { return };
    let undisturbed = tiny.image();
    for stage in ["tools", "base", "profile"] {
        tiny.undo(stage);
    }
    let steps = [
        ("fetching packages", 1),
        ("unpacking tools", 1),
        ("fetching packages", 1),
        ("unpacking packages", 1),
        ("configuring packages", 1),
    ];
    for step in steps {
        let (status, said) = stopped(&tiny, step, Stop::CtrlC);
        assert_eq!(status.code(), Some(2), "after {step:?}: {said}");
        assert!(said.ends_with("the next run continues from the cache\n"), "after {step:?}: {said}");
        assert_eq!(said.matches("error").count(), 1, "after {step:?}: {said}");
        nothing_half_made(&tiny, step.0);
        assert_eq!(tiny.leftovers(), [""; 0], "after {step:?}");
        assert_eq!(processes(&tiny), [""; 0], "after {step:?}");
    }
    let (status, said) = stopped(&tiny, ("unpacking packages", 1), Stop::Kill);
    assert_eq!(status.code(), None, "{said}");
    nothing_half_made(&tiny, "SIGKILL");
    all_end(&tiny);

    let (status, said) = stopped(&tiny, ("making the initrd", 1), Stop::CtrlC);
    assert_eq!(status.code(), Some(2), "{said}");
    assert_eq!(tiny.project.names("out"), [""; 0]);
    assert_eq!(tiny.leftovers(), [""; 0], "what the killed run left is gone");
    assert_eq!(tiny.image(), undisturbed);
}

/// The quick steps at the end, from a base that is there.
#[test]
fn ctrl_c_and_sigkill_at_the_end() {
    let Some(tiny) = Tiny::new() else { return };
    let undisturbed = tiny.image();
    for how in [Stop::CtrlC, Stop::Kill] {
        tiny.undo("profile");
        let (status, said) = stopped(&tiny, ("sealing the profile layer", 1), how);
        assert_eq!(status.code(), (how == Stop::CtrlC).then_some(2), "{said}");
        assert!(!tiny.project.path("out/attic.img").exists());
        all_end(&tiny);
    }
    assert_eq!(tiny.image(), undisturbed);
    assert_eq!(tiny.leftovers(), [""; 0]);
}
