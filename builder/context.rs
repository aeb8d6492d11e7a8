//! What every stage may use and what must not change a byte of any output: folders, the terminal, limits.

use std::path::PathBuf;

use crate::ui::Ui;

/// The surroundings of one run. Nothing in here may reach an output.
#[derive(Debug, Clone)]
pub struct Context {
    /// The folder that holds `overlays/` and `firmware/`.
    pub project: PathBuf,
    /// The content-addressed cache: packages, indexes, tools, layers.
    pub cache: PathBuf,
    /// Where progress and messages go.
    pub ui: Ui,
    /// How many threads work at once.
    pub jobs: usize,
    /// `--mirror`: the package mirror that goes before all others.
    pub mirror: Option<String>,
    /// `--registry-mirror`: the container registry that stands in for all others.
    pub registry_mirror: Option<String>,
    /// Whether the network must not be used at all.
    pub offline: bool,
    /// By how many days the clock is ahead that programs see: for a build that is compared with one that sees the real one.
    pub days_ahead: u16,
}

#[cfg(test)]
impl Context {
    /// One for unit tests: it has the cache in the folder `cache`, and nothing else to work with.
    pub fn of_cache(cache: &std::path::Path) -> Self {
        Self {
            project: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
            cache: cache.to_owned(),
            ui: Ui::silent(),
            jobs: 1,
            mirror: None,
            registry_mirror: None,
            offline: true,
            days_ahead: 0,
        }
    }
}
