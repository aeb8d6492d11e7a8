//! The planned services: lines of the profile and entries of the catalog, put together.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::catalog::{
    BOX, Backup, Catalog, EVERYONE, Exposure, Login, Open, Role, SecretFormat, SecretSource, SecretWhen,
    Service,
};
use crate::check::CheckedService;
use crate::profile::{
    Audience, Cloudflare, Egress, LanAccess, PortRange, Profile, Protocol, ServiceUse, Setting, VpnType,
};

use super::container::{Around, ContainerPlan, PublishedPort, SecretFile};

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
    /// The ports that the box opens for it.
    #[serde(skip)]
    pub published: Vec<PublishedPort>,
    /// How the tunnel's rules for it check Access again.
    pub access: Option<Access>,
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

/// How cloudflared checks Access's tokens again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The Zero Trust team.
    pub team: String,
    /// The audience tags, any of which will do.
    pub aud: Vec<String>,
}

/// One rule of the tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IngressRule {
    /// The host name.
    pub hostname: String,
    /// A regular expression for the path, if not all of it is let through.
    pub path: Option<String>,
    /// Where the request goes, by the name that cloudflared's networks know.
    pub url: String,
    /// How the request's token is checked; nothing where everyone may come in.
    pub access: Option<Access>,
    /// The service.
    pub service: String,
    /// Whether the first visitor would become the application's owner.
    pub after_setup: bool,
}

/// One secret that a service has on this box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretPlan {
    /// Its name in the service.
    pub name: String,
    /// Who makes it: `"owner"`, `"box"`, or `{ service = "sonarr/api-key" }`.
    pub from: SecretSource,
    /// Where it is placed on the box.
    pub path: String,
    /// What it is.
    pub about: String,
    /// Where one gets it.
    pub obtain: Option<String>,
    /// What it looks like.
    pub format: SecretFormat,
    /// Whether the service starts without it.
    pub optional: bool,
    /// Who may read the file on the box.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What of the profile every service is planned with.
struct Surroundings<'a> {
    profile: &'a Profile,
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
    publish_in_namespaces(&mut plans);
    Ok(plans)
}

/// Hands the ports of containers without networks of their own to the container whose namespace they live in.
fn publish_in_namespaces(plans: &mut [ServicePlan]) {
    let all: Vec<PublishedPort> = plans.iter().flat_map(|plan| plan.published.clone()).collect();
    for container in plans.iter_mut().flat_map(|plan| plan.containers.iter_mut()) {
        container.ports = all.iter().filter(|port| port.container == container.name).cloned().collect();
    }
}

impl Surroundings<'_> {
    fn service(&self, service: &Service, usage: &ServiceUse, catalog: &Catalog) -> ServicePlan {
        let name = &service.name;
        let egress = usage.egress.or_else(|| service.egress.first().copied()).unwrap_or(Egress::None);
        let namespace = self.vpn.filter(|_| egress == Egress::Vpn);
        let disks: Vec<DiskPlan> = usage.disks().iter().map(|disk| self.disk(disk)).collect();
        let settings = settings(service, usage);
        let wanted = self.secrets(service, &settings);
        let around = Around { service, usage, disks: &disks, namespace, secrets: &wanted };
        let mut containers: Vec<ContainerPlan> =
            service.containers.iter().map(|(key, container)| around.container(key, container)).collect();
        let secrets: Vec<SecretPlan> =
            wanted.iter().map(|secret| secret_plan(service, secret, &containers)).collect();
        let secret_files = secret_files(&secrets, &mut containers);
        let published = publish(service, usage, namespace);
        let hostname = usage.at.as_deref().filter(|_| service.exposure.is_some()).map(|at| self.hostname(at));
        let page = usage.page.as_deref().filter(|_| has_page(service)).map(|at| self.hostname(at));
        let audience = hostname.as_ref().map(|_| usage.audience());
        ServicePlan {
            unit: unit(name),
            state: format!("/srv/state/{name}"),
            title: service.title.clone(),
            about: service.about.clone(),
            role: service.role,
            access: audience.and_then(|audience| access(self.profile.cloudflare.as_ref()?, audience)),
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

    fn has(&self, name: &str) -> bool {
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

    /// The names of the service's secrets that this box needs.
    fn secrets(&self, service: &Service, settings: &BTreeMap<String, Setting>) -> Vec<String> {
        let vpn = self.profile.vpn.as_ref().map(|vpn| match vpn.kind {
            VpnType::Wireguard => "wireguard",
            VpnType::Openvpn => "openvpn",
        });
        let needed = |when: &SecretWhen| {
            let vpn_fits = when.vpn_type.as_deref().is_none_or(|kind| vpn == Some(kind));
            let set = |name: &String| {
                settings.get(name).is_some_and(|value| !matches!(value, Setting::Bool(false)))
            };
            let alert_fits = when.alert.is_none_or(|one| self.profile.alerts.to.contains(&one));
            vpn_fits && alert_fits && when.setting.as_ref().is_none_or(set)
        };
        let there = |source: &SecretSource| match source {
            SecretSource::Service(path) => {
                path.split_once('/').is_some_and(|(other, _)| other == BOX || self.has(other))
            }
            SecretSource::Owner | SecretSource::Box => true,
        };
        let secrets = service.secrets.iter();
        let wanted = secrets.filter(|(_, one)| one.when.as_ref().is_none_or(needed) && there(&one.from));
        wanted.map(|(name, _)| name.clone()).collect()
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
fn host<'a>(service: &'a Service, key: Option<&'a str>) -> String {
    match key {
        Some(key) if key != service.name => format!("{}-{key}", service.name),
        _ => service.name.clone(),
    }
}

fn url(service: &Service, exposure: &Exposure) -> String {
    format!("{}://{}:{}", exposure.scheme, host(service, exposure.container.as_deref()), exposure.port)
}

fn access(cloudflare: &Cloudflare, audience: Audience) -> Option<Access> {
    let app = match audience {
        Audience::Admin => cloudflare.admin.as_ref()?,
        Audience::Family => cloudflare.family.as_ref()?,
        Audience::Everyone => return None,
    };
    Some(Access { team: cloudflare.team.clone()?, aud: app.aud.as_slice().to_vec() })
}

fn settings(service: &Service, usage: &ServiceUse) -> BTreeMap<String, Setting> {
    let value = |(key, spec): (&String, &crate::catalog::SettingSpec)| {
        usage.set.get(key).or(spec.default.as_ref()).map(|value| (key.clone(), value.clone()))
    };
    service.settings.iter().filter_map(value).collect()
}

/// The ports that the box opens for a service.
fn publish(service: &Service, usage: &ServiceUse, namespace: Option<&str>) -> Vec<PublishedPort> {
    let mut published = Vec::new();
    let mut add = |range: PortRange, container: Option<&str>, source: &'static str| {
        for port in range.first..=range.last {
            let container = namespace.map_or_else(|| host(service, container), str::to_owned);
            let service = service.name.clone();
            let protocol = range.protocol;
            published.push(PublishedPort {
                port,
                protocol,
                container_port: port,
                source,
                service,
                container,
            });
        }
    };
    let container_of = |range: PortRange| {
        let declared = service.ports.iter().find(|port| port.port.overlaps(&range));
        declared.and_then(|port| port.container.as_deref())
    };
    match &usage.lan {
        LanAccess::Open(true) => {
            if let Some(exposure) = service.exposure.as_ref().filter(|exposure| exposure.lan) {
                let range = PortRange { first: exposure.port, last: exposure.port, protocol: Protocol::Tcp };
                add(range, exposure.container.as_deref(), "lan");
            }
            for port in service.ports.iter().filter(|port| port.open == Open::Lan) {
                add(port.port, port.container.as_deref(), "lan");
            }
        }
        LanAccess::Open(false) => {}
        LanAccess::Ports(ranges) => ranges.iter().for_each(|&range| add(range, container_of(range), "lan")),
    }
    usage.edge.iter().for_each(|&range| add(range, container_of(range), "edge"));
    published.sort();
    published.dedup();
    published
}

fn secret_plan(service: &Service, name: &str, containers: &[ContainerPlan]) -> SecretPlan {
    let spec = service.secrets.get(name).cloned().unwrap_or_default();
    // One that starts as root can read whatever it is given; one that does not needs to own it.
    let mut readers = containers.iter().filter(|one| one.secrets.iter().any(|secret| secret == name));
    let reader = readers.clone().find(|one| one.user.is_some()).or_else(|| readers.next());
    SecretPlan {
        name: name.to_owned(),
        from: spec.from,
        path: format!("/run/boxwright/secrets/{}/{name}", service.name),
        about: spec.about,
        obtain: spec.obtain,
        format: spec.format,
        optional: spec.optional,
        uid: reader.map_or(0, |reader| reader.uid),
        gid: reader.map_or(0, |reader| reader.gid),
    }
}

/// Gives every container the files that belong to its user, and returns all of them: a secret's file has its plain name
/// for the user who owns it, and ends in `.<uid>` for others.
fn secret_files(secrets: &[SecretPlan], containers: &mut [ContainerPlan]) -> Vec<SecretFile> {
    let mut all = Vec::new();
    for container in containers {
        for secret in secrets.iter().filter(|secret| container.secrets.contains(&secret.name)) {
            let other = container.uid != secret.uid;
            let add = |text: &str, mark: char| match other {
                true => format!("{text}{mark}{}", container.uid),
                false => text.to_owned(),
            };
            let (source, path) = (add(&secret.name, '-'), add(&secret.path, '.'));
            container.secret_files.push(SecretFile { source, path, name: secret.name.clone() });
        }
        all.extend(container.secret_files.iter().cloned());
    }
    all.sort();
    all.dedup();
    all
}

/// The tunnel's rules: pages first, since they share a host name with nobody and let less through.
pub(super) fn ingress(services: &[ServicePlan]) -> Vec<IngressRule> {
    let mut rules = Vec::new();
    for service in services {
        let (Some(exposure), Some(url)) = (&service.exposure, &service.url) else { continue };
        let rule = |hostname: &str, path: Option<&String>, access: Option<&Access>| IngressRule {
            hostname: hostname.to_owned(),
            path: path.cloned(),
            url: url.clone(),
            access: access.cloned(),
            service: service.name.clone(),
            after_setup: exposure.login == Login::AfterSetup,
        };
        if let Some(hostname) = &service.page_hostname {
            rules.push(rule(hostname, exposure.page.as_ref(), None));
        }
        if let Some(hostname) = &service.hostname {
            rules.push(rule(hostname, None, service.access.as_ref()));
        }
    }
    rules
}
