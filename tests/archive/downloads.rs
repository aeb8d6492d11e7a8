//! Downloads that break off, servers that lie or die, and two builds on one cache.

use std::path::Path;
use std::time::Duration;

use boxwright::context::Context;
use boxwright::digest::Sha256;
use boxwright::fetch::{FetchError, Fetcher, Wanted};
use boxwright::ui::Ui;

use crate::server::{Fault, Server};

pub fn context(project: &Path, cache: &Path) -> Context {
    Context {
        project: project.to_owned(),
        cache: cache.to_owned(),
        ui: Ui::silent(),
        jobs: 2,
        mirror: None,
        registry_mirror: None,
        offline: false,
        days_ahead: 0,
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

fn wanted(servers: &[&Server], path: &str, content: &[u8]) -> Wanted {
    Wanted {
        name: path.trim_start_matches('/').to_owned(),
        urls: servers.iter().map(|server| format!("{}{path}", server.url)).collect(),
        last_resort: Vec::new(),
        sha256: Sha256::of_bytes(content),
        size: content.len() as u64,
    }
}

/// Fetches one file into a cache of its own.
fn fetch_into(cache: &Path, wanted: &Wanted) -> anyhow::Result<Vec<u8>> {
    let context = context(cache, cache);
    let step = context.ui.step("test");
    let paths = Fetcher::new(&context)?.fetch(std::slice::from_ref(wanted), &step)?;
    Ok(std::fs::read(&paths[0])?)
}

fn fetch(wanted: &Wanted) -> anyhow::Result<Vec<u8>> {
    fetch_into(tempfile::tempdir().unwrap().path(), wanted)
}

#[test]
fn a_transfer_that_breaks_off_is_resumed_where_it_broke() {
    let server = Server::start();
    let file = content(300_000);
    server.put("/a", file.clone());
    server.fail("/a", Fault::Cut { after: 100_000, times: 2 });
    assert_eq!(fetch(&wanted(&[&server], "/a", &file)).unwrap(), file);
    let starts: Vec<usize> = server.requests("/a").into_iter().map(|(_, from)| from).collect();
    assert_eq!(starts, [0, 100_000, 200_000]);
}

#[test]
fn what_has_arrived_survives_a_failed_run() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let file = content(200_000);
    server.put("/a", file.clone());
    server.fail("/a", Fault::Cut { after: 50_000, times: 1 });
    server.die_after(1);
    let wanted = wanted(&[&server], "/a", &file);
    let error = fetch_into(cache.path(), &wanted).unwrap_err();
    assert!(error.is::<FetchError>(), "{error:#}");
    server.die_after(usize::MAX);
    assert_eq!(fetch_into(cache.path(), &wanted).unwrap(), file);
    assert_eq!(server.requests("/a").last().unwrap().1, 50_000);
}

#[test]
fn another_mirror_finishes_what_a_dying_one_began() {
    let (first, second) = (Server::start(), Server::start());
    let file = content(200_000);
    for server in [&first, &second] {
        server.put("/a", file.clone());
    }
    first.fail("/a", Fault::Cut { after: 70_000, times: 1 });
    first.die_after(1);
    assert_eq!(fetch(&wanted(&[&first, &second], "/a", &file)).unwrap(), file);
    assert_eq!(second.requests("/a"), [("/a".to_owned(), 70_000)]);
}

#[test]
fn a_dead_mirror_is_asked_first_only_a_few_times() {
    let (dead, alive, cache) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
    dead.die_after(0);
    let files: Vec<Wanted> = (0..40)
        .map(|number| {
            let (path, content) = (format!("/{number}"), content(1000 + number));
            alive.put(&path, content.clone());
            wanted(&[&dead, &alive], &path, &content)
        })
        .collect();
    let context = context(cache.path(), cache.path());
    let paths = Fetcher::new(&context).unwrap().fetch(&files, &context.ui.step("test")).unwrap();
    assert_eq!(paths.len(), 40);
    let names: std::collections::BTreeSet<String> =
        dead.requests("/").into_iter().map(|(path, _)| path).collect();
    assert!(names.len() < 15, "the dead mirror was asked for {} files", names.len());
}

#[test]
fn wrong_content_is_refused_and_another_mirror_asked() {
    let (liar, honest) = (Server::start(), Server::start());
    let file = content(5000);
    let mut other = file.clone();
    other[17] ^= 1;
    liar.put("/a", other);
    let error = fetch(&wanted(&[&liar], "/a", &file)).unwrap_err();
    assert!(error.to_string().contains("another content than the signed index says"), "{error}");
    assert!(error.to_string().contains(&liar.url), "{error}");
    honest.put("/a", file.clone());
    assert_eq!(fetch(&wanted(&[&liar, &honest], "/a", &file)).unwrap(), file);
    liar.put("/a", &b"<html>please log in</html>"[..]);
    let error = fetch(&wanted(&[&liar], "/a", &file)).unwrap_err();
    assert!(error.to_string().contains("another size"), "{error}");
}

#[test]
fn a_bad_beginning_does_not_spoil_a_good_mirror() {
    let (liar, honest, cache) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
    let file = content(100_000);
    liar.put("/a", vec![0; 100_000]);
    liar.fail("/a", Fault::Cut { after: 40_000, times: 1 });
    liar.die_after(1);
    honest.put("/a", file.clone());
    assert_eq!(fetch_into(cache.path(), &wanted(&[&liar, &honest], "/a", &file)).unwrap(), file);
}

#[test]
fn a_file_that_is_nowhere_is_said_to_be_gone() {
    let server = Server::start();
    let error = fetch(&wanted(&[&server], "/a", b"x")).unwrap_err();
    assert!(error.downcast_ref::<FetchError>().unwrap().gone);
    server.fail("/a", Fault::Status(503));
    let error = fetch(&wanted(&[&server], "/a", b"x")).unwrap_err();
    let error = error.downcast_ref::<FetchError>().unwrap();
    assert!(!error.gone && error.to_string().contains("503"), "{error}");
}

#[test]
fn two_builds_on_one_cache_fetch_each_file_once() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    server.slow_down(Duration::from_millis(20));
    let files: Vec<Wanted> = (0..30)
        .map(|number| {
            let (path, content) = (format!("/{number}"), content(20_000 + number));
            server.put(&path, content.clone());
            wanted(&[&server], &path, &content)
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // Another process has descriptors, and so locks, of its own.
                let context = context(cache.path(), cache.path());
                let paths = Fetcher::new(&context).unwrap().fetch(&files, &context.ui.step("test")).unwrap();
                for (path, wanted) in paths.iter().zip(&files) {
                    assert_eq!(Sha256::of_file(path).unwrap(), wanted.sha256);
                }
            });
        }
    });
    assert_eq!(server.requests("/").len(), 30);
    assert_eq!(std::fs::read_dir(cache.path().join("partial")).unwrap().count(), 0);
}
