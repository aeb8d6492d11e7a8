//! The planned services: lines of the profile and entries of the catalog, put together.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::container::{Around, ContainerPlan, PublishedPort, SecretFile};
use super::ingress::{self, Access};
use super::published;
use super::secret::{self, SecretPlan};
use crate::catalog::{Backup, Catalog, EVERYONE, Exposure, Role, Service};
use crate::check::CheckedService;
use crate::profile::{Audience, Egress, Profile, ServiceUse, Setting};

/// One service as it will run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServicePlan {
    /// Its name: the folder in the catalog, the Compose project, the host name of its main container.
    pub name: String,
    /// The name as people write it.
    pub title: String,
    /// What it is for, in one line.
    pub about: String,
    /// What the rest of the box needs it for.
    pub role: Option<Role>,
    /// Its systemd unit.
    pub unit: String,
    /// Its folder on the state partition.
    pub state: String,
    /// The host name under which the tunnel serves it.
    pub hostname: Option<String>,
    /// The host name of the part of it that everyone may see.
    pub page_hostname: Option<String>,
    /// Who may come in through the tunnel; nothing where it is not published.
    pub audience: Option<Audience>,
    /// Whether devices at home reach it.
    pub lan: bool,
    /// Where its main container answers on the box's networks: `http://sonarr:8989`.
    pub url: Option<String>,
    /// The same in parts, and what monitors and firewalls need of it.
    pub exposure: Option<Exposure>,
    /// The disks that it works on.
    pub disks: Vec<DiskPlan>,
    /// Its way out.
    pub egress: Egress,
    /// The container whose namespace is the way out, if that is the VPN.
    pub namespace: Option<String>,
    /// Machines at home that it may reach: an address or a network by the name in the profile.
    pub reach: BTreeMap<String, String>,
    /// The services of this box that it connects to.
    pub talks_to: Vec<String>,
    /// Units that must run for it to run.
    pub requires: Vec<String>,
    /// Its containers.
    pub containers: Vec<ContainerPlan>,
    /// The networks that any of its containers is on.
    pub networks: Vec<String>,
    /// Its secrets.
    pub secrets: Vec<SecretPlan>,
    /// The files on the box that its containers get for them.
    pub secret_files: Vec<SecretFile>,
    /// Every setting with its value.
    pub settings: BTreeMap<String, Setting>,
    /// What is backed up.
    pub backup: Backup,
    /// Programs of its main container's image that the box itself runs.
    pub host_programs: Vec<String>,
    /// Whether its folder has a program `seed`.
    pub seed: bool,
    /// Whether its folder has a program `setup`.
    pub setup: bool,
    /// Whether its folder has a program `check`.
    pub check: bool,
    /// Whether it is stopped while there is no room.
    pub downloads: bool,
    /// Whether its folder has a program `report`.
    pub report: bool,
    /// Whether its folder has a program `owned`.
    pub owned: bool,
    /// Whether its folder has a program `claim`.
    pub claim: bool,
    /// Whether its folder has a program `reset-login`.
    pub reset_login: bool,
    /// What to do about a lost password where it has none.
    pub lost_login: Option<String>,
    /// Its host names that answer 503 until the owner's account exists.
    pub gated: Vec<String>,
    /// The ports that the box opens for it.
    #[serde(skip)]
    pub published: Vec<PublishedPort>,
    /// How the tunnel's rules for it check Access again.
    pub access: Option<Access>,
}

impl ServicePlan {
    /// Whether its containers run: what writes the backups is a program of the box, out of the image of a container that
    /// never does.
    pub fn runs(&self) -> bool {
        self.role != Some(Role::Backup)
    }
}

/// A data disk that a service works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskPlan {
    /// Its name in the profile.
    pub name: String,
    /// Where it is mounted.
    pub path: String,
    /// The owner of its files.
    pub uid: u32,
    /// The group of its files.
    pub gid: u32,
    /// Whether the box only reads it.
    pub read_only: bool,
}

/// What of the profile every service is planned with.
pub(super) struct Surroundings<'a> {
    pub(super) profile: &'a Profile,
    chosen: &'a [CheckedService],
    vpn: Option<&'a str>,
}

/// Plans every service but for its networks.
pub(super) fn plan(
    profile: &Profile,
    chosen: &[CheckedService],
    catalog: &Catalog,
) -> Result<Vec<ServicePlan>> {
    let is_vpn = |name: &str| catalog.get(name).is_some_and(|service| service.role == Some(Role::Vpn));
    let vpn = chosen.iter().map(|one| one.name.as_str()).find(|name| is_vpn(name));
    let surroundings = Surroundings { profile, chosen, vpn };
    let mut plans = Vec::new();
    for one in chosen {
        let service = catalog
            .get(&one.name)
            .with_context(|| format!("there is no service `{}` under overlays/services", one.name))?;
        plans.push(surroundings.service(service, &one.usage, catalog));
    }
    plans.sort_by(|left: &ServicePlan, right| left.name.cmp(&right.name));
    published::in_namespaces(&mut plans);
    Ok(plans)
}

impl Surroundings<'_> {
    fn service(&self, service: &Service, usage: &ServiceUse, catalog: &Catalog) -> ServicePlan {
        let name = &service.name;
        let egress = usage.egress.or_else(|| service.egress.first().copied()).unwrap_or(Egress::None);
        let namespace = self.vpn.filter(|_| egress == Egress::Vpn);
        let disks: Vec<DiskPlan> = usage.disks().iter().map(|disk| self.disk(disk)).collect();
        let settings = settings(service, usage);
        let wanted = self.wanted_secrets(service, &settings);
        let around = Around { service, usage, disks: &disks, namespace, secrets: &wanted };
        let mut containers: Vec<ContainerPlan> =
            service.containers.iter().map(|(key, container)| around.container(key, container)).collect();
        let secrets: Vec<SecretPlan> =
            wanted.iter().map(|secret| secret::plan(service, secret, &containers)).collect();
        let secret_files = secret::files(&secrets, &mut containers);
        let published = published::publish(service, usage, namespace);
        let hostname = usage.at.as_deref().filter(|_| service.exposure.is_some()).map(|at| self.hostname(at));
        let page = usage.page.as_deref().filter(|_| has_page(service)).map(|at| self.hostname(at));
        let audience = hostname.as_ref().map(|_| usage.audience());
        let names = [hostname.as_ref().zip(audience), page.as_ref().zip(Some(Audience::Everyone))];
        let gated = |audience| ingress::gated(service.exposure.as_ref(), service.setup, audience);
        let gated = names.into_iter().flatten().filter(|(_, audience)| gated(*audience));
        let gated = gated.map(|(name, _)| name.clone()).collect();
        ServicePlan {
            unit: unit(name),
            state: format!("/srv/state/{name}"),
            title: service.title.clone(),
            about: service.about.clone(),
            role: service.role,
            access: audience
                .and_then(|audience| ingress::access(self.profile.cloudflare.as_ref()?, audience)),
            audience,
            hostname,
            page_hostname: page,
            lan: !published.is_empty(),
            url: service.exposure.as_ref().map(|exposure| url(service, exposure)),
            exposure: service.exposure.clone(),
            reach: self.reach(usage),
            talks_to: self.talks_to(service, catalog),
            requires: namespace.iter().map(|vpn| unit(vpn)).collect(),
            secrets,
            secret_files,
            namespace: namespace.map(str::to_owned),
            networks: Vec::new(),
            containers,
            disks,
            egress,
            settings,
            backup: service.backup.clone(),
            host_programs: service.host_programs.clone(),
            seed: service.seed,
            setup: service.setup,
            check: service.check,
            downloads: service.downloads,
            report: service.report,
            owned: service.owned,
            claim: service.claim,
            reset_login: service.reset_login,
            lost_login: service.lost_login.clone(),
            gated,
            published,
            name: name.clone(),
        }
    }

    /// The services of this box that `service` connects to.
    fn talks_to(&self, service: &Service, catalog: &Catalog) -> Vec<String> {
        let all = service.talks_to.iter().any(|other| other == EVERYONE);
        let answers = |name: &str| catalog.get(name).is_some_and(|other| other.exposure.is_some());
        let names = self.chosen.iter().map(|one| &one.name);
        let meant = |name: &&String| service.talks_to.contains(name) || all && answers(name);
        let mut names: Vec<String> =
            names.filter(|name| **name != service.name && meant(name)).cloned().collect();
        names.sort();
        names
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.chosen.iter().any(|one| one.name == name)
    }

    fn hostname(&self, label: &str) -> String {
        match &self.profile.machine.domain {
            Some(domain) => format!("{label}.{domain}"),
            None => label.to_owned(),
        }
    }

    fn disk(&self, name: &str) -> DiskPlan {
        let disk = self.profile.disks.get(name);
        let owner = disk.and_then(|disk| disk.owner);
        DiskPlan {
            name: name.to_owned(),
            path: format!("/srv/{name}"),
            uid: owner.map_or(1000, |owner| owner.uid),
            gid: owner.map_or(1000, |owner| owner.gid),
            read_only: disk.is_some_and(|disk| disk.read_only),
        }
    }

    fn reach(&self, usage: &ServiceUse) -> BTreeMap<String, String> {
        let hosts = &self.profile.network.hosts;
        let named = |name: &String| hosts.get(name).map(|address| (name.clone(), address.clone()));
        usage.reach.iter().filter_map(named).collect()
    }
}

/// The systemd unit of the service `name`.
fn unit(name: &str) -> String {
    format!("boxwright-service-{name}.service")
}

fn has_page(service: &Service) -> bool {
    service.exposure.as_ref().is_some_and(|exposure| exposure.page.is_some())
}

/// The host name that other containers know the container `key` by.
pub(super) fn host<'a>(service: &'a Service, key: Option<&'a str>) -> String {
    match key {
        Some(key) if key != service.name => format!("{}-{key}", service.name),
        _ => service.name.clone(),
    }
}

fn url(service: &Service, exposure: &Exposure) -> String {
    format!("{}://{}:{}", exposure.scheme, host(service, exposure.container.as_deref()), exposure.port)
}

fn settings(service: &Service, usage: &ServiceUse) -> BTreeMap<String, Setting> {
    let value = |(key, spec): (&String, &crate::catalog::SettingSpec)| {
        usage.set.get(key).or(spec.default.as_ref()).map(|value| (key.clone(), value.clone()))
    };
    service.settings.iter().filter_map(value).collect()
}
