//! Disks that break: a write that ends anywhere leaves nothing that starts, and what a disk does not keep is noticed.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use boxwright::flash::{Medium, Target, write};
use boxwright::ui::Ui;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::images::{self, Bench};

const SIZE: u64 = 4 << 30;

/// How a disk breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// After so many bytes nothing is written any more: the power is gone, or the disk was pulled out.
    Power(u64),
    /// One write fails after so many bytes, the next ones are taken again.
    Once(u64),
    /// A bit of this byte flips after so many waits for the disk.
    Flip { settled: u32, byte: u64 },
}

struct Faulty<M = Target> {
    inner: M,
    fault: Fault,
    /// Bytes written, and waits.
    seen: Mutex<(u64, u32)>,
}

impl Faulty {
    fn new(path: &Path, fault: Fault) -> Self {
        Self { inner: Target::open(path).unwrap(), fault, seen: Mutex::default() }
    }
}

impl<M: Medium> Medium for Faulty<M> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read(at, bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let before = self.seen.lock().unwrap().0;
        let after = before + bytes.len() as u64;
        self.seen.lock().unwrap().0 = after;
        let limit = match self.fault {
            Fault::Power(limit) if limit < after => limit,
            Fault::Once(limit) if (before..after).contains(&limit) => limit,
            _ => return self.inner.write(at, bytes),
        };
        // Whole sectors of it arrive.
        let length = usize::try_from(limit.saturating_sub(before)).unwrap() / 512 * 512;
        self.inner.write(at, &bytes[..length])?;
        Err(io::Error::other("broken on purpose"))
    }

    fn forget(&self, range: &Range<u64>) -> bool {
        self.inner.forget(range)
    }

    fn settle(&self) -> io::Result<()> {
        self.inner.settle()?;
        self.seen.lock().unwrap().1 += 1;
        if let Fault::Flip { settled, byte } = self.fault
            && self.seen.lock().unwrap().1 == settled
        {
            let mut bytes = [0];
            self.inner.read(byte, &mut bytes)?;
            self.inner.write(byte, &[bytes[0] ^ 4])?;
            self.inner.settle()?;
        }
        Ok(())
    }
}

fn tables(disk: &Path) -> usize {
    usize::from(images::table(disk, true).is_some()) + usize::from(images::table(disk, false).is_some())
}

#[test]
fn a_write_that_breaks_anywhere_leaves_nothing_that_starts() {
    let bench = Bench::new();
    let (old, new) = (bench.image("attic", 1), bench.image("attic", 2));
    let disk = bench.empty("disk", SIZE);
    let total = {
        let (source, aim) = images::aimed(&bench, &new, &disk);
        let (plan, _) = images::order(&source, &aim).plan().unwrap();
        let whole = Faulty::new(&disk, Fault::Power(u64::MAX));
        write::act(&plan, &source, &whole, &Ui::silent()).unwrap();
        whole.seen.lock().unwrap().0
    };
    assert_eq!((tables(&disk), images::difference(&new, &disk)), (2, None));
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // Anywhere, and within the last steps.
    let last = total - (1 << 20) - 33 * 512;
    let mut places: Vec<u64> = (0..10).map(|_| random.gen_range(0..total)).collect();
    places.extend((0..2).map(|_| random.gen_range(last..total)));
    places.extend([0, last, total - 1]);
    for (index, place) in places.into_iter().enumerate() {
        let fault = if index % 2 == 0 { Fault::Power(place) } else { Fault::Once(place) };
        // The disk started another release before.
        std::fs::remove_file(&disk).unwrap();
        bench.empty("disk", SIZE);
        let (source, aim) = images::aimed(&bench, &old, &disk);
        let plan = images::order(&source, &aim).plan().unwrap().0;
        write::act(&plan, &source, &Target::open(&disk).unwrap(), &Ui::silent()).unwrap();
        let (source, aim) = images::aimed(&bench, &new, &disk);
        let plan = images::order(&source, &aim).plan().unwrap().0;
        let error = write::act(&plan, &source, &Faulty::new(&disk, fault), &Ui::silent()).unwrap_err();
        assert!(format!("{error:#}").contains("broken on purpose"), "{error:#}");
        // As long as one of the old tables is there, the old release is whole.
        let untouched = place < (1 << 20) + 33 * 512 && images::difference(&old, &disk).is_none();
        // Once the new ones are written, everything else has been compared.
        let finished = place >= last && images::difference(&new, &disk).is_none();
        match fault {
            Fault::Power(_) => {
                assert!(tables(&disk) == 0 || untouched || finished, "{fault:?} of {total}")
            }
            _ => assert_eq!(tables(&disk), 0, "{fault:?} of {total}"),
        }
        if !untouched && !finished {
            assert_eq!(tables(&disk), 0, "{fault:?} of {total}");
        }
    }
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let layout = boxwright::disk::read(&image).unwrap().layout;
    let base = layout.find(boxwright::disk::Role::Base).unwrap();
    let hole = layout.find(boxwright::disk::Role::Profile).unwrap().start - 4096;
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let any = base.start + 4096 + random.gen_range(0..1000);
    let last = SIZE - 512 + 20;
    for (settled, byte, name) in [
        (3, any, format!("byte {any} (byte {} of the partition {})", any - base.start, base.name)),
        // What the disk has forgotten is looked at again.
        (3, hole, "behind byte".to_owned()),
        // The tables themselves.
        (4, last, format!("byte {last}")),
        (5, 520, "byte 520".to_owned()),
    ] {
        let disk = bench.empty(&format!("disk-{byte}"), SIZE);
        let (source, aim) = images::aimed(&bench, &image, &disk);
        let plan = images::order(&source, &aim).plan().unwrap().0;
        let faulty = Faulty::new(&disk, Fault::Flip { settled, byte });
        let error = write::act(&plan, &source, &faulty, &Ui::silent()).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(&name) && text.contains("does not keep"), "{text}");
        assert_eq!(tables(&disk), 0);
    }
}

#[test]
fn secrets_do_not_stay_on_a_disk_that_failed() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let disk = bench.empty("disk", SIZE);
    let (source, aim) = images::aimed(&bench, &image, &disk);
    let mut order = images::order(&source, &aim);
    order.secrets = Some(zeroize::Zeroizing::new(b"BOXWRIGHTSECRET\nof the test".to_vec()));
    let plan = order.plan().unwrap().0;
    let place = source.layout.find(boxwright::disk::Role::Secrets).unwrap();
    let fault = Fault::Flip { settled: 3, byte: place.start + place.length - 1 };
    write::act(&plan, &source, &Faulty::new(&disk, fault), &Ui::silent()).unwrap_err();
    assert!(images::bytes(&disk, place.start, place.length).iter().all(|byte| *byte == 0));
    write::act(&plan, &source, &Target::open(&disk).unwrap(), &Ui::silent()).unwrap();
    assert!(images::bytes(&disk, place.start, 64).starts_with(b"BOXWRIGHTSECRET\nof the test"));
}

/// A disk that does not forget, whatever it says.
struct Stubborn {
    inner: Target,
    says: bool,
}

impl Medium for Stubborn {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read(at, bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write(at, bytes)
    }

    fn forget(&self, _: &Range<u64>) -> bool {
        self.says
    }

    fn settle(&self) -> io::Result<()> {
        self.inner.settle()
    }
}

#[test]
fn a_disk_that_cannot_forget_is_overwritten() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let gap = boxwright::disk::read(&image).unwrap().layout.partitions[1].start + (20 << 20);
    for says in [false, true] {
        let disk = bench.empty(&format!("disk-{says}"), SIZE);
        let target = Target::open(&disk).unwrap();
        target.write(gap, &vec![0xa5; 20 << 20]).unwrap();
        drop(target);
        let (source, aim) = images::aimed(&bench, &image, &disk);
        let plan = images::order(&source, &aim).plan().unwrap().0;
        let stubborn = Stubborn { inner: Target::open(&disk).unwrap(), says };
        write::act(&plan, &source, &stubborn, &Ui::silent()).unwrap();
        assert!(images::bytes(&disk, gap, 20 << 20).iter().all(|byte| *byte == 0), "{says}");
        // What was zero already was not written: reading is faster.
        let written = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&disk).unwrap()) * 512;
        assert!(written < 80 << 20, "{written} bytes are written");
    }
}

#[test]
fn zeroes_that_were_written_are_read_back_like_everything_else() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let gap = boxwright::disk::read(&image).unwrap().layout.partitions[1].start + (20 << 20);
    let disk = bench.empty("disk", SIZE);
    Target::open(&disk).unwrap().write(gap, &vec![0xa5; 20 << 20]).unwrap();
    let (source, aim) = images::aimed(&bench, &image, &disk);
    let plan = images::order(&source, &aim).plan().unwrap().0;
    // Far from the places in which a gap that the disk made zero by itself is looked into.
    let start = plan.zeroes.iter().find(|range| range.contains(&gap)).unwrap().start;
    let byte = start + (gap - start).next_multiple_of(8 << 20) + (1 << 20);
    let stubborn = Stubborn { inner: Target::open(&disk).unwrap(), says: true };
    let fault = Fault::Flip { settled: 3, byte };
    let faulty = Faulty { inner: stubborn, fault, seen: Mutex::default() };
    found(&write::act(&plan, &source, &faulty, &Ui::silent()), byte);
    assert_eq!(tables(&disk), 0);
}

#[test]
fn a_former_state_that_does_not_go_is_found() {
    let bench = Bench::new();
    let image = bench.image("attic", 1);
    let disk = bench.empty("disk", SIZE);
    bench.flash(&[image.to_str().unwrap(), "--to", disk.to_str().unwrap()]).good();
    if !images::start(&disk, "attic") {
        return;
    }
    let (source, aim) = images::aimed(&bench, &image, &disk);
    let mut order = images::order(&source, &aim);
    order.erase_state = true;
    let plan = order.plan().unwrap().0;
    let byte = plan.wipes.last().unwrap().end - 1;
    let faulty = Faulty::new(&disk, Fault::Flip { settled: 3, byte });
    found(&write::act(&plan, &source, &faulty, &Ui::silent()), byte);
}

/// The flipped bit of a zero at `byte` was found and named.
#[track_caller]
fn found(done: &anyhow::Result<()>, byte: u64) {
    let text = format!("{:#}", done.as_ref().unwrap_err());
    assert!(
        text.contains(&format!("byte {byte} ")) && text.contains("is 0x04 and was written as 0x00"),
        "{text}"
    );
}
