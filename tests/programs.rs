//! Programs of the box by themselves: python3 runs them in front of servers and stand-ins of the test. Some need openssl, those of
//! the initrd root and e2fsprogs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use boxwright::tool::Tool;

/// Runs `test` of tests/ with `program` of overlays/system/.
fn try_program(test: &str, program: &str) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Tool::new("python3")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .arg("-B")
        .arg(project.join("tests").join(test))
        .arg(project.join("overlays/system").join(program))
        .output();
    if let Err(error) = run {
        panic!("{error:#}");
    }
}

#[test]
fn what_is_wrong_is_told_once_it_lasts() {
    try_program("alerts/on_box.py", "alerts/root/usr/lib/boxwright/alerts");
}

#[test]
fn no_image_is_fetched_while_there_is_no_room() {
    try_program("images/room.py", "images/root/usr/lib/boxwright/images");
}

#[test]
fn a_full_damaged_or_foreign_system_partition_is_taken_for_what_it_is() {
    try_program("starting/initrd.py", "../../firmware/initrd/boxwright");
}

#[test]
fn a_release_may_get_good_late() {
    try_program("starting/good.py", "");
}

#[test]
fn a_log_is_not_given_up_early_and_patches_leave_room() {
    try_program("starting/state.py", "");
}

#[test]
fn a_share_without_its_server_keeps_nobody_waiting() {
    try_program("starting/places.py", "");
}

#[test]
fn a_restart_at_night_cuts_no_restore() {
    try_program("starting/restart.py", "updates/root/usr/lib/boxwright/reboot-if-needed");
}

#[test]
fn a_list_of_addresses_is_taken_over_if_it_looks_like_one() {
    try_program("firewall/edge.py", "firewall/root/usr/lib/boxwright/edge");
}

#[test]
fn containers_that_come_and_go_do_not_concern_the_firewall() {
    try_program("firewall/onlink.py", "firewall/root/usr/lib/boxwright/onlink");
}

#[test]
fn what_fails_again_and_again_is_told() {
    try_program("services/looks.py", "services/root/usr/lib/boxwright/services/watch.py");
}

#[test]
fn a_setup_that_fails_is_tried_less_and_less_often() {
    try_program("services/turns.py", "services/root/usr/lib/boxwright/services/watch.py");
}
