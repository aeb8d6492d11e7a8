//! What packages a box asks for: the distribution's sets, the platform's, and what the profile adds.
//!
//! A [`PackageRequest`] goes in, the lists that are solved come out, and a digest that tells when they have changed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::diag::InputError;
use crate::digest::{Hasher, Sha256};
use crate::firmware::{Distribution, Platform};

/// What a profile asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRequest {
    /// A folder under `firmware/`: `debian-13`.
    pub distribution: String,
    /// A folder under `firmware/`: `uefi-x86_64`.
    pub platform: String,
    /// Packages that the profile and its services add, in any order.
    pub packages: Vec<String>,
    /// Words of the distribution's table `box.features` that they add: `btrfs`.
    pub features: Vec<String>,
}

/// A request with everything that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// The distribution.
    pub distribution: Distribution,
    /// The platform.
    pub platform: Platform,
    /// What the box is to have, sorted.
    pub packages: Vec<String>,
    /// What builds it.
    pub tools: Vec<String>,
}

impl PackageRequest {
    /// Looks everything up.
    ///
    /// # Errors
    /// [`InputError`] if the distribution, the platform or a feature does not exist, or they do not go together.
    pub fn load(&self, project: &Path) -> anyhow::Result<Wishes> {
        let distribution = Distribution::load(project, &self.distribution)?;
        let platform = Platform::load(project, &self.platform)?;
        let own = platform.packages.get(&self.distribution);
        let Some(own) = own.filter(|_| platform.architecture == distribution.architecture) else {
            return Err(InputError(format!(
                "{} does not run on the platform {}",
                distribution.title, platform.name
            ))
            .into());
        };
        let mut packages: BTreeSet<&String> = distribution.system.base.iter().chain(own).collect();
        packages.insert(&distribution.system.kernel);
        packages.extend(&self.packages);
        for feature in &self.features {
            let known = &distribution.system.features;
            let Some(list) = known.get(feature) else {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                return Err(InputError(format!(
                    "{} has no feature `{feature}`; it has {}",
                    distribution.title,
                    known.join(", ")
                ))
                .into());
            };
            packages.extend(list);
        }
        let packages = packages.into_iter().cloned().collect();
        let more = platform.tools.get(&self.distribution).into_iter().flatten();
        let tools = distribution.tools.build.iter().chain(more).cloned().collect();
        Ok(Wishes { distribution, platform, packages, tools })
    }
}

impl Wishes {
    /// A digest of everything that decides which packages are chosen, but for the archive itself.
    pub fn digest(&self) -> Sha256 {
        let distribution = &self.distribution.tools;
        let mut hasher = Hasher::new();
        hasher.field("distribution", self.distribution.name.as_bytes());
        hasher.field("platform", self.platform.name.as_bytes());
        let lists = [
            ("packages", &self.packages),
            ("tools", &self.tools),
            ("machine", &distribution.machine),
            ("assumed", &distribution.assumed),
        ];
        for (label, list) in lists {
            for name in list.iter().collect::<BTreeSet<_>>() {
                hasher.field(label, name.as_bytes());
            }
        }
        for name in self.distribution.system.excluded.keys() {
            hasher.field("excluded", name.as_bytes());
        }
        for archive in &self.distribution.archives {
            hasher.field("suite", archive.suite.as_bytes());
            for component in &archive.components {
                hasher.field("component", component.as_bytes());
            }
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> PackageRequest {
        PackageRequest {
            distribution: "debian-13".into(),
            platform: "uefi-x86_64".into(),
            packages: vec!["zsh".into(), "curl".into()],
            features: vec!["btrfs".into()],
        }
    }

    fn load(request: &PackageRequest) -> anyhow::Result<Wishes> {
        request.load(Path::new(env!("CARGO_MANIFEST_DIR")))
    }

    #[test]
    fn all_lists_come_together() {
        let wishes = load(&request()).unwrap();
        for name in ["zsh", "curl", "btrfs-progs", "docker.io", "linux-image-amd64", "firmware-realtek"] {
            assert!(wishes.packages.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn the_digest_is_about_packages_not_their_order() {
        let first = load(&request()).unwrap().digest();
        let mut other = request();
        other.packages.reverse();
        assert_eq!(load(&other).unwrap().digest(), first);
        other.features.clear();
        assert_ne!(load(&other).unwrap().digest(), first);
    }

    #[test]
    fn what_does_not_exist_is_named_with_what_does() {
        let mut unknown = request();
        unknown.features.push("livepatch".into());
        let error = load(&unknown).unwrap_err();
        assert!(error.is::<InputError>() && error.to_string().contains("btrfs"), "{error}");
    }
}
