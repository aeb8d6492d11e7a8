//! System users and groups with fixed ids, whatever the order in which packages were configured.
//!
//! Packages take the next free id for their users. A file that outlives a release would change its owner whenever that
//! order changes; so every id of the dynamic range is replaced, in the account files and in the tree, by the one that
//! the distribution's file has for the name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::firmware::SystemId;

/// Ids that packages make up: Debian policy 9.2.2 ("dynamically allocated system users and groups").
const DYNAMIC: std::ops::RangeInclusive<u32> = 100..=999;

/// Which id becomes which.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Renumbering {
    users: BTreeMap<u32, u32>,
    groups: BTreeMap<u32, u32>,
}

/// The names with fixed ids.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed<'a> {
    pub users: &'a BTreeMap<String, SystemId>,
    pub groups: &'a BTreeMap<String, u32>,
}

impl Renumbering {
    /// The user id that becomes of `uid`.
    pub fn user(&self, uid: u32) -> u32 {
        self.users.get(&uid).copied().unwrap_or(uid)
    }

    /// The group id that becomes of `gid`.
    pub fn group(&self, gid: u32) -> u32 {
        self.groups.get(&gid).copied().unwrap_or(gid)
    }
}

/// Rewrites `/etc/passwd` and `/etc/group` below `root` and returns what the owners of files have to become.
pub(super) fn renumber(root: &Path, fixed: Fixed<'_>) -> Result<Renumbering> {
    let read = |name: &str| {
        let path = root.join("etc").join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let (passwd, group) = (read("passwd")?, read("group")?);
    let (numbering, passwd, group) = plan(&passwd, &group, fixed)?;
    for (name, text) in [("passwd", passwd), ("group", group)] {
        let path = root.join("etc").join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(numbering)
}

/// The renumbering, and the new text of both files.
fn plan(passwd: &str, group: &str, fixed: Fixed<'_>) -> Result<(Renumbering, String, String)> {
    let gid_of = |name: &str| {
        let of_user = fixed.users.get(name).map(|id| id.gid);
        fixed.groups.get(name).copied().or(of_user)
    };
    let users = mapping(passwd, |name| fixed.users.get(name).map(|id| id.uid));
    let groups = mapping(group, gid_of);
    let (mut unknown, users) = users?;
    let (unknown_groups, groups) = groups?;
    unknown.extend(unknown_groups.into_iter().map(|name| format!("group {name}")));
    if !unknown.is_empty() {
        let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
        bail!(
            "packages make system accounts without a fixed id: {names}\n\
             add them to `users` and `groups` in the distribution's distribution.toml, with ids that nobody has yet"
        );
    }
    let numbering = Renumbering { users, groups };
    let passwd = rewrite(passwd, |fields| {
        for (index, map) in [(2, &numbering.users), (3, &numbering.groups)] {
            replace(&mut fields[index], map);
        }
    });
    let group = rewrite(group, |fields| replace(&mut fields[2], &numbering.groups));
    Ok((numbering, passwd, group))
}

/// From the id that each dynamic account of `text` has to its fixed one; and the names that have none.
fn mapping(
    text: &str,
    fixed: impl Fn(&str) -> Option<u32>,
) -> Result<(BTreeSet<String>, BTreeMap<u32, u32>)> {
    let (mut unknown, mut map) = (BTreeSet::new(), BTreeMap::new());
    let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else { continue };
        let id: u32 = id.parse().with_context(|| format!("the account `{name}` has no id"))?;
        let new = match fixed(name) {
            Some(new) if DYNAMIC.contains(&id) => new,
            None if DYNAMIC.contains(&id) => {
                unknown.insert(name.to_owned());
                continue;
            }
            _ => id,
        };
        map.insert(id, new);
        if let Some(other) = taken.insert(new, name) {
            bail!("the accounts `{other}` and `{name}` would both have the id {new}");
        }
    }
    Ok((unknown, map))
}

/// Every line of `text` that has all fields, changed by `change`.
fn rewrite(text: &str, change: impl Fn(&mut Vec<String>)) -> String {
    let mut result = String::new();
    for line in text.lines() {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if fields.len() >= 4 {
            change(&mut fields);
        }
        result.push_str(&fields.join(":"));
        result.push('\n');
    }
    result
}

fn replace(field: &mut String, map: &BTreeMap<u32, u32>) {
    if let Some(new) = field.parse().ok().and_then(|id: u32| map.get(&id)) {
        *field = new.to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          sshd:x:998:65534:sshd user:/run/sshd:/usr/sbin/nologin\n\
                          messagebus:x:997:996::/nonexistent:/usr/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\nrender:x:997:\nmessagebus:x:996:\ndocker:x:101:nathan\n";

    fn fixed() -> (BTreeMap<String, SystemId>, BTreeMap<String, u32>) {
        let user = |name: &str, uid, gid| (name.to_owned(), SystemId { uid, gid });
        let users = [user("sshd", 101, 65534), user("messagebus", 998, 998)];
        let groups = [("render", 996), ("docker", 990)].map(|(name, gid)| (name.to_owned(), gid));
        (users.into(), groups.into())
    }

    #[test]
    fn ids_that_change_places_do_not_mix() {
        let (users, groups) = fixed();
        let (numbering, passwd, group) =
            plan(PASSWD, GROUP, Fixed { users: &users, groups: &groups }).unwrap();
        assert!(
            passwd.contains("sshd:x:101:65534:") && passwd.contains("messagebus:x:998:998::"),
            "{passwd}"
        );
        assert_eq!(group, "root:x:0:\nrender:x:996:\nmessagebus:x:998:\ndocker:x:990:nathan\n");
        assert_eq!([numbering.user(998), numbering.user(997), numbering.user(33)], [101, 998, 33]);
        assert_eq!([numbering.group(997), numbering.group(996)], [996, 998]);
    }

    #[test]
    fn accounts_without_a_fixed_id_are_all_named() {
        let (mut users, mut groups) = fixed();
        users.remove("sshd");
        groups.remove("docker");
        let error = plan(PASSWD, GROUP, Fixed { users: &users, groups: &groups }).unwrap_err().to_string();
        assert!(error.contains("group docker, sshd"), "{error}");
        groups.insert("docker".into(), 996);
        users.insert("sshd".into(), SystemId { uid: 101, gid: 65534 });
        let error = plan(PASSWD, GROUP, Fixed { users: &users, groups: &groups }).unwrap_err().to_string();
        assert!(error.contains("would both have the id 996"), "{error}");
    }
}
