//! What an image was made from: what it says itself, or else what lies beside it; and what of that is another today.

use std::path::Path;

use super::Session;
use crate::build::lock_of;
use crate::build::manifest::Manifest;
use crate::diag::InputError;
use crate::disk::content;
use crate::inspect;
use crate::lock::{self, Lock};
use crate::provenance::Origin;

/// What an image was made from.
pub(super) struct MadeFrom {
    /// The box's name.
    pub(super) name: String,
    /// The packages, tools and container images.
    pub(super) lock: Lock,
    /// What the image says itself; images of older programs say nothing.
    origin: Option<Origin>,
    /// The manifest beside the image.
    manifest: Option<Manifest>,
}

impl MadeFrom {
    /// Asks the image at `path`, and only if it says nothing what lies beside it.
    ///
    /// # Errors
    /// [`InputError`] if nobody says what it was made from.
    pub(super) fn of(session: &Session, path: &Path) -> anyhow::Result<Self> {
        let manifest = Manifest::load(path);
        match inspect::origin_in(path) {
            Ok(Some(origin)) => Ok(Self {
                name: origin.name.clone(),
                lock: origin.lock.clone(),
                origin: Some(origin),
                manifest,
            }),
            Ok(None) => beside(path, manifest),
            // What was damaged there is named where it can be compared with what it should be.
            Err(error) => match beside(path, manifest) {
                Ok(made_from) => {
                    session.ui.warn(format!("{error:#}; what lies beside the image is believed instead"));
                    Ok(made_from)
                }
                Err(_) => Err(error),
            },
        }
    }

    /// Says what may be the reason why the image at `path` differs from the one `again`, which has this manifest, as far as
    /// that is known. `changed`: what of the project is not as the lock recorded it.
    pub(super) fn explain(
        &self,
        session: &Session,
        path: &Path,
        again: (&Path, &Manifest),
        changed: Vec<String>,
    ) {
        let (built, made) = again;
        let origins = self.origin.as_ref().zip(inspect::origin_in(built).ok().flatten());
        let changed = match &origins {
            Some((then, now)) => changed_since(then, now, changed),
            None => changed,
        };
        let manifest = self.manifest_of(session, path);
        let other = manifest.is_some_and(|manifest| manifest.inputs != made.inputs);
        let since = match (changed.as_slice(), &origins) {
            // All that may be another is told by the image itself, but for secrets.
            ([], Some(_)) => other.then(|| "it holds secrets".to_owned()),
            ([], None) => other.then(|| {
                "the program, the profile, overlays/ or firmware/ have changed since, or it holds secrets"
                    .to_owned()
            }),
            (names, Some(_)) => Some(format!("{} changed since", names.join(", "))),
            (names, None) => other.then(|| {
                format!(
                    "{} changed since, perhaps the profile as well, or it holds secrets",
                    names.join(", ")
                )
            }),
        };
        if let Some(since) = &since {
            session.ui.warn(format!("this is not what the image was made from: {since}"));
        }
        let now = || content::of(path).ok().map(|content| content.digest);
        match manifest.map(|manifest| manifest.content) {
            Some(Some(content)) if now() != Some(content) => session.ui.warn(format!(
                "{} is not what its manifest says: it was changed after it was built",
                path.display()
            )),
            None if since.is_none() => session.ui.warn(format!(
                "what {} says that it was made from is as it was then: it holds secrets, or was changed after it was built",
                path.display()
            )),
            _ => {}
        }
    }

    /// The manifest beside the image at `path`, if it is of the release that the image says it is. Tells if that is not so, and
    /// if another lock lies beside the image than is in it.
    fn manifest_of(&self, session: &Session, path: &Path) -> Option<&Manifest> {
        let Some(origin) = &self.origin else { return self.manifest.as_ref() };
        let beside = lock_of(path);
        if lock::load(&beside).is_ok_and(|lock| lock.is_some_and(|lock| lock.sorted() != origin.lock)) {
            session.ui.warn(format!(
                "{} is not the lock in the image, from which it was built again",
                beside.display()
            ));
        }
        let manifest = self.manifest.as_ref()?;
        if manifest.release == origin.release {
            return Some(manifest);
        }
        session.ui.warn(format!(
            "{} is of another release than {} says that it is",
            Manifest::path(path).display(),
            path.display()
        ));
        None
    }
}

/// What lies beside the image at `path`, which says nothing itself.
fn beside(path: &Path, manifest: Option<Manifest>) -> anyhow::Result<MadeFrom> {
    let missing = |file: &Path, what: &str| {
        InputError(format!(
            "{} says in nothing that this program knows what it was made from, and {} {what}; put what was built with the image \
             beside it, or build it again",
            path.display(),
            file.display()
        ))
    };
    let manifest = manifest.ok_or_else(|| {
        missing(&Manifest::path(path), "is missing or of another program: it has the box's name")
    })?;
    let file = lock_of(path);
    let lock = lock::load(&file)?.ok_or_else(|| missing(&file, "is missing: it names the packages"))?;
    Ok(MadeFrom { name: manifest.name.clone(), lock, origin: None, manifest: Some(manifest) })
}

/// `changed`, and what else differs between what two images of a box were made from.
fn changed_since(then: &Origin, now: &Origin, mut changed: Vec<String>) -> Vec<String> {
    let folder = |name: &str| changed.iter().any(|known| known.starts_with(name));
    let parts = [
        // A version is told with its number; two states of one version have none.
        ("Boxwright", then.program.sources != now.program.sources && !folder("Boxwright")),
        ("the profile", then.profile != now.profile),
        ("overlays/", then.overlays != now.overlays && !folder("overlays/")),
        ("firmware/", then.firmware != now.firmware && !folder("firmware/")),
    ];
    changed.extend(parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()));
    changed
}
