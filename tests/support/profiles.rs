//! The shipped profiles, checked and rendered.

use std::fs;
use std::path::{Path, PathBuf};

use boxwright::check::{self, CheckedProfile, World};
use boxwright::overlay::Inputs;
use boxwright::plan::Plan;
use boxwright::profile::load;
use boxwright::tree::Tree;

/// The project's folder.
pub fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the profiles in profiles/, sorted.
pub fn shipped() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(project().join("profiles"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// The profile at `path`, which has no errors.
pub fn checked(path: &Path) -> CheckedProfile {
    let loaded = load::load(path).unwrap();
    let mut findings = loaded.findings;
    let document = loaded.document.unwrap_or_else(|| panic!("{}", findings.render(false)));
    let world = World::load(&project(), &document.profile, &mut findings).unwrap();
    let (checked, findings) = check::check(&document, world, findings);
    checked.unwrap_or_else(|| panic!("{}", findings.render(false)))
}

/// What the shipped profile `name` renders to without a lock.
pub fn rendered(name: &str) -> Tree {
    rendered_at(&project().join("profiles").join(name).with_extension("toml"))
}

/// What the profile at `path` renders to without a lock.
pub fn rendered_at(path: &Path) -> Tree {
    let profile = checked(path);
    let plan = Plan::new(&profile, profile.catalog()).unwrap();
    let inputs = Inputs { profile: &profile, plan: &plan, images: &[] };
    inputs.tree(&project().join("overlays")).unwrap_or_else(|error| panic!("{error:#}"))
}
