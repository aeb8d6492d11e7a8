//! Which secrets a box needs, who makes each, and into which files the box puts them.
//!
//! In: the profile and the plan of its services. Out: [`Needs`], from which the template, the checks of `secrets.toml` and
//! the box's own map (`/etc/boxwright/secrets.json`) are made, so that they cannot disagree. No value is known here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};

use crate::catalog::{Role, SecretApply, SecretFormat, SecretSource};
use crate::plan::{Plan, SecretPlan, ServicePlan};
use crate::profile::Profile;

use super::host;
use super::shape::Shape;

/// The name of a secret: its section and key in `secrets.toml`, and its path under `/run/boxwright/secrets`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// A service, or `box` for what belongs to none.
    pub section: String,
    /// Its name there.
    pub name: String,
}

impl Id {
    /// The secret `name` of `section`.
    pub fn new(section: impl Into<String>, name: impl Into<String>) -> Self {
        Self { section: section.into(), name: name.into() }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.section, self.name)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A secret that the owner hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Its name.
    pub id: Id,
    /// What it is, in one line.
    pub about: String,
    /// Where one gets it.
    pub obtain: Option<String>,
    /// What it looks like.
    pub shape: Shape,
    /// Whether it is a name rather than a secret: a user name may well be in the image too.
    pub public: bool,
    /// Who needs it, and whether they cannot do without: a service, or a section of the profile.
    pub users: BTreeMap<String, bool>,
    /// How those of them get a new value who have to be told of one.
    pub apply: BTreeMap<String, Apply>,
}

/// How a new value of a secret reaches one of its users, once it lies where that looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Apply {
    /// This unit is started again.
    Restart(String),
    /// The `setup` of this service.
    Setup(String),
    /// This program of the box's own.
    Command(String),
    /// Not at all: what the owner does instead.
    FirstStart(String),
}

impl Need {
    /// Whether everyone who uses it can do without.
    pub fn optional(&self) -> bool {
        !self.users.values().any(|required| *required)
    }
}

/// A secret that the box makes for itself and that nobody outside ever sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it is, in one line.
    pub about: String,
    /// What it looks like.
    pub format: SecretFormat,
    /// Who needs it, and whether they cannot do without.
    pub users: BTreeMap<String, bool>,
}

/// A file that the box makes of secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Placed {
    /// Where, under `/run/boxwright/secrets`.
    pub path: String,
    /// The only user that may read it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Whether it is made, empty, where the secret is missing: a container cannot be started without the file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// What is in it: a single line without a prefix is the value as it is, without a newline at its end.
    pub lines: Vec<Line>,
}

/// One line of a file with secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line {
    /// What stands before the value: `password=`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The secret.
    pub secret: Id,
    /// Whether the file is made without this line if there is no such secret.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// Everything secret about a box, without the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The box's name.
    pub box_name: String,
    /// What people might make passwords of: the names of the box, of its domain and of its admins.
    pub names: Vec<String>,
    /// Whether each value is sealed to the TPM as well.
    pub tpm: bool,
    /// What the owner hands over.
    pub owner: BTreeMap<Id, Need>,
    /// What the box makes.
    pub made: BTreeMap<Id, Made>,
    /// The files.
    pub files: BTreeSet<Placed>,
    /// The systemd units of those who need secrets.
    pub units: BTreeMap<String, String>,
}

impl Needs {
    /// What the box with this profile and plan needs.
    pub fn new(profile: &Profile, plan: &Plan) -> Self {
        let machine = &profile.machine;
        let names = [&machine.name].into_iter().chain(&machine.domain).chain(machine.admins.keys());
        let names = names.map(|name| name.to_lowercase()).collect();
        let mut needs = Self { box_name: machine.name.clone(), tpm: machine.tpm, names, ..Self::default() };
        host::add(&mut needs, profile);
        // References come last: they name what is there by then.
        for service in &plan.services {
            for secret in &service.secrets {
                needs.add(profile, service, secret);
            }
        }
        for service in &plan.services {
            for secret in &service.secrets {
                if let SecretSource::Service(from) = &secret.from {
                    needs.refer(service, secret, from);
                }
            }
        }
        needs
    }

    fn add(&mut self, profile: &Profile, service: &ServicePlan, secret: &SecretPlan) {
        let id = Id::new(&service.name, &secret.name);
        let users = BTreeMap::from([(service.name.clone(), !secret.optional)]);
        let about = secret.about.clone();
        match &secret.from {
            SecretSource::Owner => {
                let tunnel = profile.cloudflare.as_ref().map(|cloudflare| cloudflare.tunnel.clone());
                let tunnel = tunnel.filter(|_| service.role == Some(Role::Ingress));
                let shape = Shape::new(secret.format, tunnel, &profile.network);
                let obtain = secret.obtain.clone();
                let apply = applied(service, secret);
                let need = Need { id: id.clone(), about, obtain, shape, public: false, users, apply };
                self.owner.insert(id.clone(), need);
            }
            SecretSource::Box => {
                self.made.insert(id.clone(), Made { about, format: secret.format, users });
            }
            SecretSource::Service(_) => return,
        }
        self.place(service, secret, &id);
    }

    /// `secret` is another service's secret, or one of the box itself (`box/mail-password`), where there is that.
    fn refer(&mut self, service: &ServicePlan, secret: &SecretPlan, from: &str) {
        let Some((section, name)) = from.split_once('/') else { return };
        let id = Id::new(section, name);
        if let Some(need) = self.owner.get_mut(&id) {
            need.apply.append(&mut applied(service, secret));
        }
        let owner = self.owner.get_mut(&id).map(|need| &mut need.users);
        let Some(users) = owner.or_else(|| self.made.get_mut(&id).map(|made| &mut made.users)) else {
            return;
        };
        let required = users.entry(service.name.clone()).or_insert(false);
        *required |= !secret.optional;
        self.place(service, secret, &id);
    }

    /// A file for each user id that reads the secret: the first has its plain name, others end in `.<uid>`.
    fn place(&mut self, service: &ServicePlan, secret: &SecretPlan, id: &Id) {
        self.units.insert(service.name.clone(), service.unit.clone());
        let line = || Line { prefix: String::new(), secret: id.clone(), optional: false };
        let plain = format!("{}/{}", service.name, secret.name);
        let (uid, gid, optional) = (secret.uid, secret.gid, secret.optional);
        self.files.insert(Placed { path: plain.clone(), uid, gid, optional, lines: vec![line()] });
        for container in service.containers.iter().filter(|one| one.secrets.contains(&secret.name)) {
            let (uid, gid) = (container.uid, container.gid);
            if uid != secret.uid {
                let path = format!("{plain}.{uid}");
                self.files.insert(Placed { path, uid, gid, optional, lines: vec![line()] });
            }
        }
    }

    /// The names of all sections that `secrets.toml` can have for this box.
    pub fn sections(&self) -> BTreeSet<&str> {
        self.owner.keys().map(|id| id.section.as_str()).collect()
    }

    /// The secrets of `section` that the owner hands over.
    pub fn section<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Need> {
        self.owner.values().filter(move |need| need.id.section == section)
    }
}

/// How `service` gets a new value of `secret`.
fn applied(service: &ServicePlan, secret: &SecretPlan) -> BTreeMap<String, Apply> {
    let apply = match &secret.apply {
        SecretApply::Restart => Apply::Restart(service.unit.clone()),
        SecretApply::Setup => Apply::Setup(service.name.clone()),
        SecretApply::FirstStart(instead) => Apply::FirstStart(instead.clone()),
    };
    BTreeMap::from([(service.name.clone(), apply)])
}

/// The map that the box reads: `/etc/boxwright/secrets.json`.
impl Serialize for Needs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Map<'a> {
            version: u32,
            #[serde(rename = "box")]
            box_name: &'a str,
            tpm: bool,
            secrets: BTreeMap<String, Entry<'a>>,
            files: &'a BTreeSet<Placed>,
            units: &'a BTreeMap<String, String>,
        }
        #[derive(Serialize)]
        struct Entry<'a> {
            from: &'static str,
            about: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            format: Option<SecretFormat>,
            users: &'a BTreeMap<String, bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            apply: Option<&'a BTreeMap<String, Apply>>,
        }
        let owner = self.owner.values().map(|need| {
            let apply = Some(&need.apply);
            let entry = Entry { from: "owner", about: &need.about, format: None, users: &need.users, apply };
            (need.id.to_string(), entry)
        });
        let made = self.made.iter().map(|(id, made)| {
            let (about, format, users) = (&made.about, Some(made.format), &made.users);
            let entry = Entry { from: "box", about, format, users, apply: None };
            (id.to_string(), entry)
        });
        let secrets = owner.chain(made).collect();
        let (box_name, tpm, files, units) = (&self.box_name, self.tpm, &self.files, &self.units);
        Map { version: 1, box_name, tpm, secrets, files, units }.serialize(serializer)
    }
}
