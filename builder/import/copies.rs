//! Relative paths: files beside the Compose file are copied into the service's folder, anything else is state.

use std::fs;
use std::path::{Component, Path};

use super::Import;
use super::container::Subject;
use super::mounts::{Mount, blank};
use super::names::label;
use super::yaml::Node;

/// The largest file that is copied, and the most of a folder.
const LARGEST: u64 = 1 << 20;
const MOST: usize = 64;

impl Import<'_> {
    /// A relative path: files beside the Compose file are copied, anything else is state.
    pub(super) fn beside(&mut self, subject: &Subject<'_>, item: &Node, source: &str, mount: &Mount) {
        let relative = Path::new(source.trim_start_matches("./"));
        let plain =
            relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !plain {
            self.report.error(
                &item.span,
                "foreign-path",
                format!("{source} is outside the file's folder"),
                "copy it beside the file",
            );
            return;
        }
        let place = self.folder.join(relative);
        let inside = place.canonicalize().ok().zip(self.folder.canonicalize().ok());
        let kind = fs::symlink_metadata(&place).map(|data| data.file_type());
        match kind {
            Ok(kind)
                if kind.is_symlink() || inside.is_some_and(|(place, folder)| !place.starts_with(folder)) =>
            {
                self.report.error(
                    &item.span,
                    "foreign-path",
                    format!("{source} is a link"),
                    "put the file itself there",
                );
            }
            Ok(kind) if kind.is_file() => {
                self.copy(subject, item, &place, relative, &mount.target, mount.read_only)
            }
            Ok(kind) if kind.is_dir() && mount.read_only => {
                self.copy_folder(subject, item, &place, relative, &mount.target)
            }
            Err(_) if mount.read_only => {
                let help = "put it there, so that it can be copied";
                self.report.error(&item.span, "missing-file", format!("{source} is not there"), help);
            }
            _ => {
                let name = label(&relative.to_string_lossy());
                if kind.is_ok() {
                    self.moves(item, source, &name);
                }
                self.state(subject, item, &name, mount);
            }
        }
    }

    fn copy_folder(
        &mut self,
        subject: &Subject<'_>,
        item: &Node,
        place: &Path,
        relative: &Path,
        target: &str,
    ) {
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            match entry.file_name().into_string() {
                Ok(name) => names.push(name),
                Err(_) => self.report.error(
                    &item.span,
                    "missing-file",
                    "a file's name in it is not UTF-8",
                    "rename it",
                ),
            }
        }
        names.sort();
        if names.len() > MOST || names.iter().any(|name| place.join(name).is_dir()) {
            let message = format!("it has folders, or more than {MOST} files: only plain files are copied");
            self.report.error(
                &item.span,
                "missing-file",
                message,
                "bind-mount the files that are needed one by one",
            );
            return;
        }
        for name in names {
            let at = format!("{}/{name}", target.trim_end_matches('/'));
            self.copy(subject, item, &place.join(&name), &relative.join(&name), &at, true);
        }
    }

    fn copy(
        &mut self,
        subject: &Subject<'_>,
        item: &Node,
        place: &Path,
        relative: &Path,
        target: &str,
        read_only: bool,
    ) {
        let name = relative.to_string_lossy().into_owned();
        let size = fs::symlink_metadata(place).map(|data| if data.is_file() { data.len() } else { u64::MAX });
        let bytes = match size {
            Ok(size) if size <= LARGEST => fs::read(place),
            Ok(_) => {
                self.report.error(
                    &item.span,
                    "missing-file",
                    format!("{name} is no file of at most 1 MiB"),
                    "keep data in a volume",
                );
                return;
            }
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                self.report.error(
                    &item.span,
                    "missing-file",
                    format!("{name} cannot be read: {error}"),
                    "make it readable",
                );
                return;
            }
        };
        let special = [".tera", ".md", "~", ".swp"].iter().any(|end| name.ends_with(end))
            || name.contains("__pycache__");
        if special || name.chars().any(char::is_control) {
            let message = format!("a file called {name} would not reach the box as it is");
            self.report.error(&item.span, "bad-file-name", message, "give it another name");
        } else if name.ends_with(".env") || bytes.windows(11).any(|part| part == b"PRIVATE KEY") {
            let message = format!("{name} has secrets, and the disk image may be published");
            self.report.error(&item.span, "secret-in-file", message, "declare it under `secrets`");
        } else {
            let folder = format!("files/{name}");
            self.report.once(
                &item.span,
                "copied-file",
                format!("{name} is copied, and becomes part of the disk image: no secret may stand in it"),
            );
            if !read_only {
                let help = "keep it in a volume if the application writes it";
                self.report.warning(
                    &item.span,
                    "read-only-file",
                    format!("{name} can only be read on the box"),
                    help,
                );
            }
            self.copies.insert(folder.clone(), bytes);
            self.add(subject, blank(None, None, Some(folder), target));
        }
    }
}
