//! `boxwright new --ci`: files with which a CI builds the boxes of a repository, proves them, and says what changed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;

use super::{Session, surroundings};
use crate::diag::InputError;

/// Where the recipe is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ci {
    /// GitHub Actions: .github/workflows/boxes.yml
    Github,
    /// GitLab CI: ci/boxes.gitlab.yml
    Gitlab,
    /// Any other runner: ci/boxes.sh alone, which the others call
    Shell,
}

/// A file of a recipe: where it goes, what is in it, its mode.
struct Recipe(&'static str, &'static str, u32);

const SCRIPT: Recipe = Recipe("ci/boxes.sh", include_str!("recipes/boxes.sh"), 0o755);
const GITHUB: Recipe = Recipe(".github/workflows/boxes.yml", include_str!("recipes/github.yml"), 0o644);
const GITLAB: Recipe = Recipe("ci/boxes.gitlab.yml", include_str!("recipes/gitlab.yml"), 0o644);

impl Ci {
    fn recipes(self) -> Vec<Recipe> {
        match self {
            Self::Github => vec![SCRIPT, GITHUB],
            Self::Gitlab => vec![SCRIPT, GITLAB],
            Self::Shell => vec![SCRIPT],
        }
    }

    fn next_step(self) -> &'static str {
        match self {
            Self::Github => {
                "Commit these with your profiles and their locks (git add --force profiles/NAME.lock); in the repository's settings, let Actions make pull requests."
            }
            Self::Gitlab => {
                "Commit these with your profiles and their locks (git add --force profiles/NAME.lock), and include ci/boxes.gitlab.yml in .gitlab-ci.yml; its head says how."
            }
            Self::Shell => {
                "Commit it with your profiles and their locks (git add --force profiles/NAME.lock), and let the runner call it; its head says how."
            }
        }
    }
}

/// Writes the recipe into the project; nothing that somebody changed is replaced.
pub(super) fn run(session: &Session, ci: Ci) -> anyhow::Result<()> {
    let project = surroundings::project(&session.global, Path::new("."))?;
    let recipes = ci.recipes();
    let changed: Vec<&str> = recipes.iter().filter(|recipe| recipe.differs(&project)).map(|r| r.0).collect();
    if !changed.is_empty() {
        let reason = "there already, and not as this would write it; remove it, or keep what you have";
        return Err(InputError(format!("{} is {reason}. Nothing was written", changed.join(", "))).into());
    }
    let mut written = String::new();
    for recipe in &recipes {
        recipe.write(&project)?;
        written.push_str(&format!("{}\n", recipe.0));
    }
    session.ui.note(ci.next_step());
    session.out.write(&written)
}

impl Recipe {
    fn differs(&self, project: &Path) -> bool {
        std::fs::read(project.join(self.0)).is_ok_and(|content| content != self.1.as_bytes())
    }

    fn write(&self, project: &Path) -> anyhow::Result<()> {
        let path = project.join(self.0);
        let context = || format!("writing {}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(context)?;
        }
        crate::atomic::write(&path, self.1.as_bytes())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(self.2)).with_context(context)
    }
}
