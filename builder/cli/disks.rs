//! The disks that an image could be written to: listed, chosen, and confirmed.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use super::Session;
use super::prompt;
use crate::diag::InputError;
use crate::flash::{Aim, Disk, Machine, Source};
use crate::ui::human_bytes;

/// All disks, those first that are the likeliest: possible, and made for being taken out.
pub(super) fn survey(
    machine: &Machine,
    source: Option<&Source>,
    erase_state: bool,
) -> anyhow::Result<Vec<Aim>> {
    let mut found = Vec::new();
    for disk in machine.disks()? {
        let path = disk.path.clone();
        found.push(match source {
            Some(source) => Aim::take(machine, &path, (source, erase_state), None)?,
            None => Aim::disk(machine, disk),
        });
    }
    likeliest_first(&mut found);
    Ok(found)
}

fn likeliest_first(aims: &mut [Aim]) {
    aims.sort_by_key(|aim| (!aim.refusals.is_empty(), !removable(aim)));
}

fn removable(aim: &Aim) -> bool {
    aim.disk.as_ref().is_some_and(|disk| disk.removable)
}

/// The list for a person.
pub(super) fn text(aims: &[Aim]) -> String {
    let mut text = String::new();
    let possible = aims.iter().filter(|aim| aim.refusals.is_empty()).count();
    for (index, aim) in aims.iter().enumerate() {
        let Some(disk) = &aim.disk else { continue };
        if index == 0 && possible > 0 {
            text.push_str("disks that could be meant:\n");
        }
        if index == possible {
            text.push_str("disks that cannot be used now:\n");
        }
        let number = if index < possible { (index + 1).to_string() } else { String::new() };
        // Writing into a String cannot fail.
        _ = writeln!(text, "{number:>3}  {}", about(disk));
        _ = writeln!(text, "       holds {}", holds(aim));
        for refusal in &aim.refusals {
            _ = writeln!(text, "       not possible: {refusal}");
        }
    }
    if aims.is_empty() {
        text.push_str("there is no disk that could be meant; plug one in\n");
    }
    text
}

/// A disk in one line.
fn about(disk: &Disk) -> String {
    let path = disk.path.display().to_string();
    let mut text = format!("{path:<14} {:<8} {:>10}", disk.connection.word(), human_bytes(disk.size));
    if let Some(model) = &disk.model {
        _ = write!(text, "  {model}");
    }
    if let Some(serial) = &disk.serial {
        _ = write!(text, "  serial {serial}");
    }
    if let Some(file) = &disk.file {
        _ = write!(text, "  {}", file.display());
    }
    if disk.removable {
        text.push_str("  (removable)");
    }
    text
}

/// What is on a disk, for a person.
pub(super) fn holds(aim: &Aim) -> String {
    let contents = &aim.contents;
    if let Some(state) = &contents.state {
        return match &state.owner {
            Some(owner) => format!("the box {owner} with its state"),
            None => "a box that cannot be named, with its state".to_owned(),
        };
    }
    if let Some(name) = &contents.image_of {
        return format!("the box {name}, which was never started");
    }
    let Some(disk) = &aim.disk else {
        return if contents.blank { "nothing" } else { "a partition table" }.to_owned();
    };
    let parts = disk.partitions.iter().map(|part| {
        let words = [part.label.as_deref(), part.filesystem.as_deref()];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        format!(
            "{} ({})",
            if words.is_empty() { part.name.clone() } else { words.join(", ") },
            human_bytes(part.size)
        )
    });
    let parts: Vec<String> = parts.collect();
    match (&disk.filesystem, parts.is_empty()) {
        (_, false) => parts.join(", "),
        (Some(filesystem), true) => format!("a filesystem ({filesystem})"),
        (None, true) if contents.blank => "nothing at its beginning".to_owned(),
        (None, true) => "no partitions that the kernel knows".to_owned(),
    }
}

/// The list for a program.
pub(super) fn json(aims: &[Aim]) -> Value {
    aims.iter().map(one).collect()
}

/// One disk for a program.
pub(super) fn one(aim: &Aim) -> Value {
    let state = aim.contents.state.as_ref();
    json!({
        "path": aim.path,
        "size": aim.size,
        "disk": aim.disk,
        "holds": {
            "box": state.and_then(|state| state.owner.clone()).or_else(|| aim.contents.image_of.clone()),
            "state": state.is_some(),
        },
        "refusals": aim.refusals,
    })
}

/// Has one of `aims` chosen.
///
/// # Errors
/// If none is possible, or none is chosen.
pub(super) fn choose(mut aims: Vec<Aim>) -> anyhow::Result<Aim> {
    let possible = aims.iter().filter(|aim| aim.refusals.is_empty()).count();
    if possible == 0 {
        bail!(InputError(
            "there is no disk that the image could be written to: plug one in, or follow the advice above"
                .into()
        ));
    }
    let default = aims.first().is_some_and(removable);
    let question = match (possible, default) {
        (1, true) => "write to which one? [1]".to_owned(),
        (_, true) => format!("write to which one, 1 to {possible}? [1]"),
        (1, false) => "write to which one? (1; Ctrl-C for none)".to_owned(),
        (_, false) => format!("write to which one, 1 to {possible}? (Ctrl-C for none)"),
    };
    loop {
        if let Some(index) = chosen(&aims, &prompt::ask(&question)?) {
            return Ok(aims.swap_remove(index));
        }
    }
}

/// Which of `aims` is meant by `answer`: a number, a path, or nothing for the first one, if that is removable.
fn chosen(aims: &[Aim], answer: &str) -> Option<usize> {
    let index = match answer {
        "" => aims.first().filter(|aim| removable(aim)).map(|_| 0),
        _ => match answer.parse::<usize>() {
            Ok(number) => number.checked_sub(1),
            Err(_) => aims.iter().position(|aim| aim.path == Path::new(answer)),
        },
    };
    index.filter(|index| aims.get(*index).is_some_and(|aim| aim.refusals.is_empty()))
}

/// Makes sure that this disk is meant. `given` is what `--confirm` says.
///
/// # Errors
/// [`InputError`] if it is not.
pub(super) fn confirm(session: &Session, aim: &Aim, given: Option<&str>) -> anyhow::Result<()> {
    let Some(disk) = &aim.disk else { return Ok(()) };
    let path = disk.path.display();
    if let Some(given) = given {
        if is_meant(disk, given) {
            return Ok(());
        }
        bail!(InputError(format!(
            "--confirm says {given}, and {path} is {}: nothing was written",
            identity(disk)
        )));
    }
    if !prompt::possible() {
        if disk.removable {
            return Ok(());
        }
        bail!(InputError(format!(
            "{path} is not a removable disk: add --confirm with its serial number, or its size in bytes, if it is really meant; it is {}",
            identity(disk)
        )));
    }
    session.ui.note(format!("{}\n     holds {}", about(disk), holds(aim)));
    let agreed = if disk.removable {
        matches!(prompt::ask("Write to it? (yes, or no)")?.as_str(), "yes" | "y" | "Yes" | "YES")
    } else {
        let question = format!("It is not a removable disk. To write to it, type {}:", wanted(disk));
        is_meant(disk, &prompt::ask(&question)?)
    };
    if !agreed {
        bail!(InputError("that was not confirmed: nothing was written".into()));
    }
    Ok(())
}

fn identity(disk: &Disk) -> String {
    match &disk.serial {
        Some(serial) => format!("the disk with the serial number {serial} and {} bytes", disk.size),
        None => format!("a disk without a serial number, of {} bytes", disk.size),
    }
}

fn wanted(disk: &Disk) -> String {
    match &disk.serial {
        Some(_) => "its serial number, or its size in bytes".to_owned(),
        None => format!("its size in bytes ({})", disk.size),
    }
}

fn is_meant(disk: &Disk, given: &str) -> bool {
    disk.serial.as_deref() == Some(given) || given == disk.size.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::{Connection, Contents, Refusal};

    fn aim(name: &str, removable: bool, refused: bool) -> Aim {
        let disk = Disk {
            name: name.to_owned(),
            path: Path::new("/dev").join(name),
            model: None,
            serial: Some("S4EW".to_owned()),
            size: 4096,
            sector: 512,
            connection: Connection::Other,
            removable,
            read_only: false,
            partitions: Vec::new(),
            filesystem: None,
            file: None,
        };
        let refusal = Refusal { code: "mounted", reason: "it is mounted".into(), advice: "umount it".into() };
        let refusals = if refused { vec![refusal] } else { Vec::new() };
        let contents = Contents::default();
        let (path, size) = (disk.path.clone(), disk.size);
        Aim { path, size, has: Some(size), disk: Some(disk), sequence: None, contents, refusals }
    }

    #[test]
    fn possible_disks_come_first_and_of_those_the_removable_ones() {
        let mut aims = [
            aim("sdya", false, true),
            aim("sdyb", true, true),
            aim("sdyc", false, false),
            aim("sdyd", true, false),
        ];
        likeliest_first(&mut aims);
        let names: Vec<_> = aims.iter().map(|aim| aim.path.display().to_string()).collect();
        assert_eq!(names, ["/dev/sdyd", "/dev/sdyc", "/dev/sdyb", "/dev/sdya"]);
    }

    #[test]
    fn only_a_removable_disk_is_chosen_by_saying_nothing() {
        let removable = [aim("sdyd", true, false), aim("sdyc", false, false), aim("sdyb", true, true)];
        let fixed = [aim("sdyc", false, false), aim("sdyb", true, true)];
        assert_eq!((chosen(&removable, ""), chosen(&fixed, "")), (Some(0), None));
        assert_eq!(chosen(&[aim("sdyb", true, true)], ""), None);
        for (answer, wanted) in
            [("1", Some(0)), ("2", Some(1)), ("/dev/sdyc", Some(1)), ("0", None), ("x", None), ("-1", None)]
        {
            assert_eq!(chosen(&removable, answer), wanted, "{answer}");
        }
        // What is refused is shown without a number, and is not taken by any.
        assert_eq!((chosen(&removable, "3"), chosen(&removable, "/dev/sdyb")), (None, None));
    }

    #[test]
    fn a_disk_is_meant_by_its_whole_serial_or_size_alone() {
        let mut disk = aim("sdyc", false, false).disk.unwrap();
        assert!(is_meant(&disk, "S4EW") && is_meant(&disk, "4096"));
        for given in ["", "y", "yes", "s4ew", "S4", "4", "4 KiB", "/dev/sdyc", "sdyc"] {
            assert!(!is_meant(&disk, given), "{given}");
        }
        assert!(wanted(&disk).contains("serial number"));
        disk.serial = None;
        assert!(is_meant(&disk, "4096") && !is_meant(&disk, "") && !is_meant(&disk, "S4EW"));
        assert!(wanted(&disk).contains("4096"));
    }
}
