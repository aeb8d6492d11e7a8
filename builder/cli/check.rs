//! `boxwright check`: every finding about one or more profiles, and what each profile means when it is filled in.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Session;
use super::args::Check;
use super::output::{self, Rejected};
use super::profile::Reading;
use crate::catalog::Role;
use crate::check::{CheckedProfile, CheckedService};
use crate::diag::{Finding, Findings, Severity};
use crate::profile::{Audience, Egress};

pub(super) fn run(session: &Session, arguments: &Check) -> anyhow::Result<()> {
    let mut results = Vec::new();
    let mut wrong = false;
    for path in &arguments.profiles {
        crate::interrupt::check()?;
        let reading = session.read(path)?;
        wrong |= reading.checked.is_none();
        if session.global.json {
            results.push(as_json(path, &reading));
            continue;
        }
        output::findings(&reading.findings, session.ui.colour());
        if !reading.findings.list.is_empty() {
            output::message(&format!("{}: {}", path.display(), count(&reading.findings)));
        }
        if let Some(checked) = reading.checked.filter(|_| !session.global.quiet) {
            session.out.write(&summary(&checked))?;
        }
    }
    if session.global.json {
        session.out.json(&json!({ "profiles": results }))?;
    }
    if wrong { Err(Rejected.into()) } else { Ok(()) }
}

/// "2 errors, 1 warning"
fn count(findings: &Findings) -> String {
    let number = |severity| findings.list.iter().filter(|finding| finding.severity == severity).count();
    let words = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let parts =
        words.into_iter().map(|(severity, word)| (number(severity), word)).filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts
        .map(|(number, word)| format!("{number} {word}{}", if number == 1 { "" } else { "s" }))
        .collect();
    parts.join(", ")
}

fn as_json(path: &std::path::Path, reading: &Reading) -> Value {
    let findings: Vec<Value> =
        reading.findings.list.iter().map(|one| finding(one, &reading.findings)).collect();
    let profile = reading.checked.as_ref().map(|checked| json!(checked.profile()));
    json!({
        "path": path,
        "ok": reading.checked.is_some(),
        "findings": findings,
        "profile": profile,
        "services": reading.checked.as_ref().map(|checked| checked.services().iter().map(|s| &s.name).collect::<Vec<_>>()),
    })
}

/// A finding with its place in lines and columns, which is what editors and CI systems take.
pub(super) fn finding(finding: &Finding, findings: &Findings) -> Value {
    let position = |offset: Option<usize>| {
        let place = finding.place.as_ref()?;
        findings.position(&place.file, offset?)
    };
    let start = position(finding.place.as_ref().map(|place| place.span.start));
    let end = position(finding.place.as_ref().map(|place| place.span.end));
    json!({
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
        "help": finding.help,
        "file": finding.place.as_ref().map(|place| &place.file),
        "line": start.map(|(line, _)| line),
        "column": start.map(|(_, column)| column),
        "end_line": end.map(|(line, _)| line),
        "end_column": end.map(|(_, column)| column),
    })
}

/// What the box will be, for a person.
fn summary(checked: &CheckedProfile) -> String {
    let profile = checked.profile();
    let machine = &profile.machine;
    let mut text = String::new();
    let services = checked.services().len();
    let domain = machine.domain.as_deref().map(|domain| format!(", under {domain}")).unwrap_or_default();
    let plural = if services == 1 { "" } else { "s" };
    // Writing into a String cannot fail.
    _ = writeln!(text, "{}: {services} service{plural}{domain}", checked.name());
    let line = |text: &mut String, what: &str, value: &str| _ = writeln!(text, "  {what:<10} {value}");
    line(&mut text, "system", &format!("{}, {}", checked.distribution().title, checked.platform().title));
    line(&mut text, "time zone", &machine.timezone);
    line(&mut text, "ssh", &ssh(checked));
    for (name, disk) in &profile.disks {
        line(&mut text, "disk", &format!("/srv/{name}, {}", source(disk)));
    }
    if let Some(vpn) = &profile.vpn {
        line(&mut text, "vpn", &vpn.provider);
    }
    if let Some(backup) = &profile.backup {
        line(&mut text, "backup", &format!("daily at {}", backup.at));
    }
    let rows: Vec<[String; 4]> = checked.services().iter().map(|service| row(checked, service)).collect();
    text.push_str(&table(["service", "from outside", "at home", "way out"], &rows));
    text
}

fn ssh(checked: &CheckedProfile) -> String {
    use crate::profile::SshLan::{Always, Never, Rescue};
    let ssh = &checked.profile().ssh;
    let admins: Vec<&str> = checked.profile().machine.admins.keys().map(String::as_str).collect();
    let home = match ssh.lan {
        Always => "at home always",
        Rescue if ssh.at.is_some() => "at home while the tunnel is down",
        Rescue | Never => "never at home",
    };
    let outside = ssh.at.as_deref().map(|at| format!("{}, ", checked.hostname(at))).unwrap_or_default();
    format!("{outside}{home}, for {}", if admins.is_empty() { "nobody".into() } else { admins.join(", ") })
}

fn source(disk: &crate::profile::Disk) -> String {
    use crate::profile::DiskSource::{Cifs, Label, Nfs, Uuid};
    match disk.source() {
        Some(Label(label)) => format!("labelled {label}"),
        Some(Uuid(uuid)) => format!("with UUID {uuid}"),
        Some(Nfs(share) | Cifs(share)) => format!("from {share}"),
        None => String::new(),
    }
}

fn row(checked: &CheckedProfile, service: &CheckedService) -> [String; 4] {
    let usage = &service.usage;
    let mut outside: Vec<String> = Vec::new();
    if let Some(at) = &usage.at {
        let audience = match usage.audience() {
            Audience::Admin => "admin",
            Audience::Family => "family",
            Audience::Everyone => "everyone",
        };
        outside.push(format!("{} for {audience}", checked.hostname(at)));
    }
    outside.extend(usage.page.as_ref().map(|page| format!("{} for everyone", checked.hostname(page))));
    outside.extend(usage.edge.iter().map(|port| format!("{port} from Cloudflare")));
    let home: Vec<String> = checked.lan_ports(service).iter().map(ToString::to_string).collect();
    let written_by = checked.catalog().with_role(Role::Backup).is_some_and(|one| one.name == service.name);
    let egress = match checked.egress(service) {
        _ if written_by => "the box's",
        Egress::Direct => "direct",
        Egress::Vpn => "vpn",
        Egress::None => "none",
    };
    let dash = |list: Vec<String>| if list.is_empty() { "–".into() } else { list.join(", ") };
    [service.name.clone(), dash(outside), dash(home), egress.into()]
}

fn table(head: [&str; 4], rows: &[[String; 4]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    let head = head.map(str::to_owned);
    for row in std::iter::once(&head).chain(rows).filter(|_| !rows.is_empty()) {
        let [a, b, c, d] = row;
        _ = writeln!(text, "  {a:<0$}  {b:<1$}  {c:<2$}  {d}", widths[0], widths[1], widths[2]);
    }
    text
}
