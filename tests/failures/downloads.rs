//! Packages that do not come as they should: `build` says which and what to do, keeps nothing that is wrong, and goes on
//! from what has arrived.

use crate::server::Fault;
use crate::tiny::Tiny;

/// The only package that is missing.
const PACKAGE: &str = "squashfs-tools";

/// A box whose tools are to be fetched and unpacked again, and the path of the package that is missing.
fn without_a_tool() -> Option<(Tiny, String)> {
    let tiny = Tiny::new()?;
    tiny.project.run(&["lock", "box"]).fine();
    tiny.undo("tools");
    let path = format!("/{}", tiny.forget(PACKAGE).path);
    Some((tiny, path))
}

/// `build` is refused with `parts`, and goes well after `repair`.
fn refuses(tiny: &Tiny, parts: &[&str], repair: impl Fn()) {
    tiny.build().refused(2, &[&["fetching the tools", PACKAGE], parts].concat());
    assert_eq!(tiny.project.names("out"), [""; 0]);
    assert_eq!(tiny.project.names("cache/tools"), [""; 0]);
    repair();
    tiny.build().fine();
    assert_eq!(tiny.project.names("cache/partial"), [""; 0]);
}

const AGAIN: &str = "run the same command again";

#[test]
fn a_package_with_a_wrong_digest() {
    let Some((tiny, path)) = without_a_tool() else { return };
    let flip = |content: &mut Vec<u8>| content[300] ^= 1;
    tiny.server.change(&path, flip);
    let parts = ["another content than the signed index says", AGAIN];
    refuses(&tiny, &parts, || tiny.server.change(&path, flip));
}

#[test]
fn a_package_that_is_cut_off() {
    let Some((tiny, path)) = without_a_tool() else { return };
    let whole = tiny.server.content(&path);
    tiny.server.change(&path, |content| content.truncate(1000));
    let parts = ["another size than the signed index says", AGAIN];
    refuses(&tiny, &parts, || tiny.server.put(&path, whole.clone()));
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_broke() {
    let Some((tiny, path)) = without_a_tool() else { return };
    tiny.server.fail(&path, Fault::Cut { after: 1000, times: 1 });
    let before = tiny.server.requests("").len();
    tiny.server.die_after(1);
    refuses(&tiny, &[AGAIN], || tiny.server.heal());
    let requests = tiny.server.requests("").split_off(before);
    assert_eq!(requests.last(), Some(&(path, 1000)));
}

#[test]
fn a_mirror_that_goes_down_in_the_middle() {
    let Some((tiny, _)) = without_a_tool() else { return };
    let others = ["dosfstools", "mtools", "fakeroot", "shim-signed"];
    others.iter().for_each(|name| {
        tiny.forget(name);
    });
    tiny.server.die_after(2);
    let run = tiny.build();
    run.refused(2, &["fetching the tools", "could not be fetched", &tiny.server.url, AGAIN]);
    tiny.server.heal();
    let before = tiny.server.requests("/pool").len();
    tiny.build().fine();
    let after = tiny.server.requests("/pool").len() - before;
    assert_eq!(after, others.len() + 1 - 2, "what had arrived is not fetched again");
}

#[test]
fn a_package_that_is_gone_from_the_mirror() {
    let Some((tiny, path)) = without_a_tool() else { return };
    let content = tiny.server.content(&path);
    tiny.server.remove(&path);
    let parts = ["no longer on the mirrors", "boxwright lock --update"];
    refuses(&tiny, &parts, || tiny.server.put(&path, content.clone()));
}

#[test]
fn without_the_network_it_says_what_is_missing() {
    let Some((tiny, _)) = without_a_tool() else { return };
    tiny.project.run(&["--offline", "build", "box"]).refused(2, &[PACKAGE, "--offline"]);
    tiny.build().fine();
}
