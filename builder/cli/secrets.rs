//! `boxwright secrets`: prints a template of the secrets that a profile's box needs, and what else can be done with secrets.

use serde_json::json;

use super::Session;
use super::args::{Secrets, SecretsCheck, SecretsVerb};
use super::output::{self, Rejected};
use super::{check, recovery_sheet, sealing, surroundings};
use crate::check::CheckedProfile;
use crate::diag::{Finding, Findings, InputError};
use crate::online::{self, Outcome, Trial};
use crate::plan::Plan;
use crate::secrets::{self, Needs};

pub(super) fn run(session: &Session, arguments: &Secrets) -> anyhow::Result<()> {
    match (&arguments.verb, &arguments.profile) {
        (Some(SecretsVerb::Check(arguments)), _) => examine(session, arguments),
        (Some(SecretsVerb::Encrypt(arguments)), _) => sealing::encrypt(session, arguments),
        (Some(SecretsVerb::Decrypt(arguments)), _) => sealing::decrypt(session, arguments),
        (Some(SecretsVerb::RecoverySheet(arguments)), _) => recovery_sheet::run(session, arguments),
        (None, Some(profile)) => {
            let checked = session.checked(profile)?;
            session.out.write(&secrets::template(&checked, checked.catalog())?)
        }
        (None, None) => Err(InputError("name a profile".into()).into()),
    }
}

/// `secrets check`: everything that can be said about a file without writing a disk.
fn examine(session: &Session, arguments: &SecretsCheck) -> anyhow::Result<()> {
    let path = session.find(&arguments.profile);
    let checked = session.checked(&path)?;
    let needs = Needs::of(&checked, checked.catalog())?;
    let read = secrets::load(&arguments.secrets, &checked, checked.catalog(), &session.opener()?);
    let (findings, trials) = match &read {
        Ok(secrets) => {
            let mut findings = secrets.findings().clone();
            leaks(session, &path, &checked, secrets, &mut findings)?;
            let trials = if arguments.online {
                if session.global.offline {
                    return Err(InputError("--online and --offline exclude each other".into()).into());
                }
                let token = surroundings::cloudflare_token();
                let subject = online::Subject { checked: &checked, needs: &needs, secrets };
                subject.trials(&online::Places::default(), token.as_ref(), &session.ui)?
            } else {
                Vec::new()
            };
            (findings, trials)
        }
        Err(findings) => (findings.clone(), Vec::new()),
    };
    let failed = trials.iter().any(|trial| matches!(trial.outcome, Outcome::Failed { .. }));
    let lacking = findings.list.iter().any(|finding| finding.code == "secret-missing");
    let good = !(findings.has_errors() || lacking || failed);
    if session.global.json {
        let list: Vec<_> = findings.list.iter().map(|one| check::finding(one, &findings)).collect();
        session.out.json(&json!({ "ok": good, "findings": list, "trials": trials }))?;
    } else {
        output::findings(&findings, session.ui.colour());
        let text: String = trials.iter().map(Trial::to_string).collect();
        session.out.write(&text)?;
        if good && !session.global.quiet {
            session.ui.note(summary(
                &arguments.secrets.display().to_string(),
                &needs,
                &findings,
                arguments.online,
            ));
        }
    }
    if good { Ok(()) } else { Err(Rejected.into()) }
}

fn summary(file: &str, needs: &Needs, findings: &Findings, online: bool) -> String {
    let whole = format!("{file} has all that `{}` needs", needs.box_name);
    let care = if findings.list.is_empty() { "" } else { "; heed the warnings" };
    let next = if online { "" } else { "; whether each value works says --online" };
    format!("{whole}{care}{next}")
}

/// What is secret in the file stands in no file that the profile puts onto the box.
fn leaks(
    session: &Session,
    path: &std::path::Path,
    checked: &CheckedProfile,
    secrets: &secrets::Secrets,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let plan = Plan::new(checked, checked.catalog())?;
    let tree = crate::build::render(checked, &plan, &[], &session.context(path)?)?;
    for leak in secrets.scan_tree(std::path::Path::new("/"), &tree) {
        let finding = Finding::error("secret-leaked", format!("{leak} of the box, which everyone can read"));
        findings.push(
            finding.help("take it out of the profile or the overlay that it comes from, and get a new one"),
        );
    }
    Ok(())
}
