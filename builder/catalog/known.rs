//! What is known of images of databases and caches (`known.toml`), and images' names written out in full: what `import` makes
//! of one, and what the rules ask of one.

use serde::Deserialize;

/// The table.
const TABLE: &str = include_str!("known.toml");

/// A database or a cache.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    repositories: Vec<String>,
    user: String,
    alpine: Option<String>,
    /// Variables that it also takes from a file, named by the variable with `_FILE`.
    #[serde(default)]
    pub files: Vec<String>,
    /// How one sees that it works.
    pub test: Option<Vec<String>>,
    /// How its data is dumped and read back.
    pub dump: Option<Dump>,
    /// Whether its files, copied while it runs, are no backup; there is no `dump` then.
    #[serde(default)]
    pub lies: bool,
}

/// A dump; `{user}` and `{database}` stand for the values of its variables.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dump {
    /// The variable with the user.
    pub user: String,
    /// The variable with the name of the database.
    pub database: String,
    /// What both are where there is no variable.
    pub default: String,
    /// What writes it to standard output.
    pub command: Vec<String>,
    /// What reads it back from standard input.
    pub load: Vec<String>,
    /// What the name of its file ends in.
    pub suffix: String,
}

#[derive(Deserialize)]
struct Table {
    image: Vec<Known>,
}

impl Known {
    /// The user that the image with this tag runs as.
    pub fn user(&self, image: &str) -> &str {
        self.alpine.as_deref().filter(|_| image.contains("alpine")).unwrap_or(&self.user)
    }
}

/// What is known of `image`, a full name.
pub fn find(image: &str) -> Option<Known> {
    let repository = image.split_once('@').map_or(image, |(name, _)| name);
    let colon = repository.rfind(':').filter(|at| !repository.get(*at..).unwrap_or_default().contains('/'));
    let repository = colon.and_then(|at| repository.get(..at)).unwrap_or(repository);
    let table: Table = toml::from_str(TABLE).ok()?;
    table.image.into_iter().find(|known| known.repositories.iter().any(|one| one == repository))
}

/// `image` with the registry that Docker would ask.
pub fn full_name(image: &str) -> String {
    let (first, rest) = image.split_once('/').unwrap_or(("", image));
    if first.contains('.') || first.contains(':') || first == "localhost" {
        let hub = ["index.docker.io", "registry-1.docker.io"].contains(&first);
        return if hub { full_name(rest) } else { image.to_owned() };
    }
    if first.is_empty() { format!("docker.io/library/{rest}") } else { format!("docker.io/{image}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_found_by_any_form_of_a_name() {
        assert!(toml::from_str::<Table>(TABLE).is_ok());
        for image in
            ["postgres", "postgres:18-alpine", "library/postgres", "docker.io/library/postgres:1@sha256:0"]
        {
            let image = full_name(image);
            let found = find(&image.replace("docker.io/library/library", "docker.io/library"));
            assert!(found.is_some_and(|one| one.dump.is_some()), "{image}");
        }
        assert_eq!(find("docker.io/library/postgres:18-alpine").unwrap().user("x:18-alpine"), "70:70");
        assert_eq!(full_name("a/b:1"), "docker.io/a/b:1");
        assert_eq!(full_name("localhost:5000/b"), "localhost:5000/b");
        assert!(find(&full_name("ghcr.io/someone/postgres:1")).is_none());
    }
}
