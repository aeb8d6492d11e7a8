//! In: `[[unit]]` entries and the rendered unit files. Out: the links that `systemctl enable` and `mask` would make, and a
//! preset file that agrees with them. Nothing on the box has to run presets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::manifest::{State, Unit};

/// Where the links go, as `systemctl enable` puts them.
const LINKS: &str = "etc/systemd/system";
/// Where packages and overlays keep their units.
const UNITS: &str = "usr/lib/systemd/system";

/// The `[Install]` section of a unit file (systemd.unit(5)).
#[derive(Debug, Default, PartialEq, Eq)]
struct Install {
    wanted_by: Vec<String>,
    required_by: Vec<String>,
    upheld_by: Vec<String>,
    alias: Vec<String>,
}

impl Install {
    fn read(text: &str) -> Option<Self> {
        let mut found = None;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                if line == "[Install]" {
                    found.get_or_insert_with(Self::default);
                } else if found.is_some() {
                    break;
                }
            } else if let (Some(install), Some((key, value))) = (found.as_mut(), line.split_once('=')) {
                let list = match key.trim() {
                    "WantedBy" => &mut install.wanted_by,
                    "RequiredBy" => &mut install.required_by,
                    "UpheldBy" => &mut install.upheld_by,
                    "Alias" => &mut install.alias,
                    _ => continue,
                };
                list.extend(value.split_whitespace().map(str::to_owned));
            }
        }
        found
    }

    fn extend(&mut self, unit: &Unit) {
        self.wanted_by.extend(unit.wanted_by.iter().cloned());
        self.required_by.extend(unit.required_by.iter().cloned());
        self.upheld_by.extend(unit.upheld_by.iter().cloned());
        self.alias.extend(unit.alias.iter().cloned());
    }

    fn is_empty(&self) -> bool {
        self.wanted_by.is_empty()
            && self.required_by.is_empty()
            && self.upheld_by.is_empty()
            && self.alias.is_empty()
    }
}

/// The file that defines a unit: an instance's is its template (`a@b.service` → `a@.service`).
fn file_name(unit: &str) -> String {
    match (unit.find('@'), unit.rfind('.')) {
        (Some(at), Some(dot)) if at < dot => format!("{}@{}", &unit[..at], &unit[dot..]),
        _ => unit.to_owned(),
    }
}

/// Which links (path → target) and which preset lines the entries mean. `rendered` holds every rendered unit file's text
/// under its file name. Each entry comes with the label of the overlay.toml that says it.
///
/// # Errors
/// An enabled unit has nothing to be started by, or two entries disagree.
pub fn links(
    entries: &[(String, Unit)],
    rendered: &BTreeMap<String, String>,
) -> Result<(BTreeMap<String, String>, String)> {
    let mut links = BTreeMap::new();
    let mut states: BTreeMap<&str, (State, &str)> = BTreeMap::new();
    for (label, unit) in entries {
        match states.insert(&unit.name, (unit.state, label)) {
            Some((state, other)) if state != unit.state => {
                bail!("{label} and {other} want different states of the unit {}", unit.name)
            }
            _ => {}
        }
        match unit.state {
            State::Enabled => enable(label, unit, rendered, &mut links)?,
            State::Masked => {
                links.insert(format!("{LINKS}/{}", unit.name), "/dev/null".to_owned());
            }
            State::Disabled => {}
        }
    }
    Ok((links, preset(&states, rendered)))
}

fn enable(
    label: &str,
    unit: &Unit,
    rendered: &BTreeMap<String, String>,
    links: &mut BTreeMap<String, String>,
) -> Result<()> {
    let file = file_name(&unit.name);
    let mut install = rendered.get(&file).and_then(|text| Install::read(text)).unwrap_or_default();
    install.extend(unit);
    if install.is_empty() {
        bail!(
            "{label}: nothing starts the unit {}: no overlay renders it with an [Install] section, and the entry has no wanted_by",
            unit.name
        );
    }
    let target = format!("/{UNITS}/{file}");
    let kinds =
        [("wants", &install.wanted_by), ("requires", &install.required_by), ("upholds", &install.upheld_by)];
    for (kind, starters) in kinds {
        for starter in starters {
            links.insert(format!("{LINKS}/{starter}.{kind}/{}", unit.name), target.clone());
        }
    }
    for alias in &install.alias {
        links.insert(format!("{LINKS}/{alias}"), target.clone());
    }
    Ok(())
}

/// A preset file: what the entries say, and `disable` for every rendered unit that could be enabled and is not.
fn preset(states: &BTreeMap<&str, (State, &str)>, rendered: &BTreeMap<String, String>) -> String {
    let mut enable = BTreeSet::new();
    let mut disable = BTreeSet::new();
    for (name, (state, _)) in states {
        let list = if *state == State::Enabled { &mut enable } else { &mut disable };
        list.insert((*name).to_owned());
    }
    for (name, text) in rendered {
        if Install::read(text).is_some() && !enable.iter().any(|unit| file_name(unit) == *name) {
            disable.insert(name.clone());
        }
    }
    let mut text = String::from("# What the builder linked; `systemctl preset` changes nothing.\n");
    for (word, names) in [("enable", enable), ("disable", disable)] {
        for name in names {
            text.push_str(&format!("{word} {name}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str) -> Unit {
        Unit { name: name.to_owned(), ..Unit::default() }
    }

    fn rendered() -> BTreeMap<String, String> {
        let units = [
            (
                "a.service",
                "[Unit]\nDescription=A\n\n[Install]\nWantedBy=multi-user.target x.target\nAlias=b.service\n",
            ),
            ("t@.service", "[Install]\nRequiredBy=x.target\n[Service]\nWantedBy=no.target\n"),
            ("idle.timer", "[Install]\nWantedBy=timers.target\n"),
            ("static.service", "[Service]\nExecStart=/bin/true\n"),
        ];
        units.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn enabling_writes_the_links_of_systemctl() {
        let entries: Vec<_> = ["a.service", "t@one.service"].map(|name| ("o".to_owned(), unit(name))).into();
        let (links, preset) = links(&entries, &rendered()).unwrap();
        let expected = [
            ("etc/systemd/system/b.service", "/usr/lib/systemd/system/a.service"),
            ("etc/systemd/system/multi-user.target.wants/a.service", "/usr/lib/systemd/system/a.service"),
            ("etc/systemd/system/x.target.requires/t@one.service", "/usr/lib/systemd/system/t@.service"),
            ("etc/systemd/system/x.target.wants/a.service", "/usr/lib/systemd/system/a.service"),
        ];
        let links: Vec<_> = links.iter().map(|(path, to)| (path.as_str(), to.as_str())).collect();
        assert_eq!(links, expected);
        assert!(preset.ends_with("enable a.service\nenable t@one.service\ndisable idle.timer\n"), "{preset}");
    }

    #[test]
    fn masking_links_to_null() {
        let entry = Unit { state: State::Masked, ..unit("apt-daily.timer") };
        let (links, preset) = links(&[("o".to_owned(), entry)], &BTreeMap::new()).unwrap();
        assert_eq!(links["etc/systemd/system/apt-daily.timer"], "/dev/null");
        assert!(preset.contains("disable apt-daily.timer\n"));
    }

    #[test]
    fn a_unit_that_nothing_starts_is_an_error() {
        for name in ["static.service", "missing.service"] {
            let error = links(&[("overlays/x/overlay.toml".to_owned(), unit(name))], &rendered());
            let message = format!("{:#}", error.unwrap_err());
            assert!(message.contains(name) && message.contains("overlays/x/overlay.toml"), "{message}");
        }
    }

    #[test]
    fn two_overlays_that_disagree_are_an_error() {
        let masked = Unit { state: State::Masked, ..unit("a.service") };
        let entries = [("one".to_owned(), unit("a.service")), ("two".to_owned(), masked)];
        assert!(links(&entries, &rendered()).is_err());
    }
}
