//! What a rule sees, and where it puts its findings.

use crate::catalog::Service;
use crate::diag::{Finding, Findings};
use crate::profile::{Document, Egress, Profile, ServiceUse};

use super::world::World;

/// What every rule sees.
pub(super) struct Facts<'a> {
    pub(super) profile: &'a Profile,
    pub(super) world: &'a World,
    /// The lines of `[services]`, in the order in which they stand there.
    pub(super) lines: Vec<Line<'a>>,
}

/// One line of `[services]`.
pub(super) struct Line<'a> {
    /// The name as it is written.
    pub(super) key: &'a str,
    pub(super) usage: &'a ServiceUse,
    /// The service, if the catalog has it.
    pub(super) service: Option<&'a Service>,
    /// What to tell a user who wrote another name of the service.
    pub(super) note: Option<&'a str>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(document: &'a Document, world: &'a World) -> Self {
        let mut lines: Vec<(&String, &ServiceUse)> = document.profile.services.iter().collect();
        lines.sort_by_key(|(key, _)| document.places.key(&["services", key]).start);
        let lines = lines.into_iter().map(|(key, usage)| {
            let found = world.catalog.find(key);
            let service = found.map(|found| found.service);
            Line { key, usage, service, note: found.and_then(|found| found.note) }
        });
        Self { profile: &document.profile, world, lines: lines.collect() }
    }

    /// The lines whose service exists.
    pub(super) fn known(&self) -> impl Iterator<Item = (&Line<'a>, &'a Service)> {
        self.lines.iter().filter_map(|line| Some((line, line.service?)))
    }
}

impl Line<'_> {
    /// The way out that the service gets.
    pub(super) fn egress(&self) -> Egress {
        let default = self.service.and_then(|service| service.egress.first().copied());
        self.usage.egress.or(default).unwrap_or(Egress::None)
    }

    /// Whether the owner takes on the drawback of this name.
    pub(super) fn accepts(&self, code: &str) -> bool {
        self.usage.accept.iter().any(|accepted| accepted == code)
    }
}

/// A place in the profile.
pub(super) enum At<'p> {
    /// The key at this path.
    Key(&'p [&'p str]),
    /// The value at this path.
    Value(&'p [&'p str]),
    /// The key at this path, and the finding is about all that stands in it.
    Whole(&'p [&'p str]),
}

/// Where findings are put.
pub(super) struct Report<'a> {
    document: &'a Document,
    findings: &'a mut Findings,
}

impl<'a> Report<'a> {
    pub(super) fn new(document: &'a Document, findings: &'a mut Findings) -> Self {
        Self { document, findings }
    }

    /// Whether the shape of what is at `path` is wrong, so that what follows from it goes without saying.
    pub(super) fn is_known(&self, path: &[&str]) -> bool {
        self.document.is_faulty(path)
    }

    /// Adds a finding about a place, unless the shape of that place is wrong already.
    pub(super) fn add(&mut self, at: At<'_>, finding: Finding) {
        self.put(at, finding, true);
    }

    /// Adds a finding about a place whose line must not be shown: there is a secret in it.
    pub(super) fn add_hidden(&mut self, at: At<'_>, finding: Finding) {
        self.put(at, finding, false);
    }

    fn put(&mut self, at: At<'_>, finding: Finding, shown: bool) {
        let places = &self.document.places;
        let (known, span) = match at {
            At::Key(path) => (self.document.is_faulty(path), places.key(path)),
            At::Value(path) => (self.document.is_faulty(path), places.value(path)),
            At::Whole(path) => (self.document.is_faulty_inside(path), places.key(path)),
        };
        if !known {
            let finding = finding.at(&self.document.path, span);
            self.findings.push(if shown { finding } else { finding.hidden() });
        }
    }
}
