//! The power goes while a disk that holds a state is written, and the disk has stored what it was given since the last wait in an
//! order of its own: the state is found again, whatever is missing.

use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;

use boxwright::flash::{Contents, Medium, Target, write};
use boxwright::ui::Ui;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

use crate::images::{self, Bench};

const SIZE: u64 = 4 << 30;
const TAIL: u64 = 33 * 512;

/// What a disk stores at once.
const PAGE: usize = 4096;

/// A disk with a cache. At the last wait the power goes, and of what it was given since the wait before only some is stored.
struct Caching<'a> {
    inner: Target,
    stores: &'a (dyn Fn(u64) -> bool + Sync),
    state: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// Waits until the power goes.
    waits: u32,
    /// What was in the places that were written since the last one.
    before: Vec<(u64, Vec<u8>)>,
}

impl Medium for Caching<'_> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read(at, bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.waits == 0 {
            return Err(io::Error::other("the power is gone"));
        }
        for (at, page) in (at..).step_by(PAGE).zip(bytes.chunks(PAGE)) {
            let mut before = vec![0; page.len()];
            self.inner.read(at, &mut before)?;
            state.before.push((at, before));
        }
        self.inner.write(at, bytes)
    }

    fn forget(&self, range: &Range<u64>) -> bool {
        self.inner.forget(range)
    }

    fn settle(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let given = std::mem::take(&mut state.before);
        state.waits = state.waits.saturating_sub(1);
        if state.waits > 0 {
            return self.inner.settle();
        }
        for (at, before) in given.iter().rev().filter(|(at, _)| !(self.stores)(*at)) {
            self.inner.write(*at, before)?;
        }
        Err(io::Error::other("the power is gone"))
    }
}

#[test]
fn a_state_is_found_after_a_power_cut_whatever_the_disk_had_stored() {
    let bench = Bench::new();
    let (old, new) = (bench.image("attic", 1), bench.image("attic", 2));
    let path = bench.empty("disk", SIZE);
    bench.flash(&[old.to_str().unwrap(), "--to", path.to_str().unwrap()]).good();
    if !images::start(&path, "attic") {
        return;
    }
    let (head, tail) = (images::bytes(&path, 0, 1 << 20), images::bytes(&path, SIZE - TAIL, TAIL));
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let some = |at: u64| StdRng::seed_from_u64(seed ^ at).next_u32().is_multiple_of(2);
    let record = |at: u64| (512 << 10..1 << 20).contains(&at);
    let orders: [&(dyn Fn(u64) -> bool + Sync); 4] = [&|_| true, &record, &|at| !record(at), &some];
    // The record, the tables, the image, the end of it, and the new tables.
    for wait in 1..=6 {
        for (index, stores) in orders.into_iter().enumerate() {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&head, 0).unwrap();
            file.write_all_at(&tail, SIZE - TAIL).unwrap();
            let (source, aim) = images::aimed(&bench, &new, &path);
            assert!(aim.contents.state.is_some());
            let plan = images::order(&source, &aim).plan().unwrap().0;
            let inner = Target::open(&path).unwrap();
            let disk =
                Caching { inner, stores, state: Mutex::new(Cache { waits: wait, ..Cache::default() }) };
            let error = write::act(&plan, &source, &disk, &Ui::silent()).unwrap_err();
            assert!(format!("{error:#}").contains("the power is gone"), "{error:#}");
            drop(disk);
            let found = Contents::of(&Target::open(&path).unwrap()).unwrap();
            assert_eq!(found.state, aim.contents.state, "wait {wait}, order {index}");
        }
    }
}
