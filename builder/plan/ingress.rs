//! The tunnel's rules: services with a host name in, rules for cloudflared out. Nothing here knows how they are written.

use serde::Serialize;

use super::service::ServicePlan;
use crate::catalog::{Exposure, Login};
use crate::profile::{Audience, Cloudflare};

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
    /// Whether it answers 503 until the owner's account exists: the first visitor would make it.
    pub gated: bool,
}

/// How the tunnel checks who may come in; nothing where everyone may, or the profile has no application for them.
pub(super) fn access(cloudflare: &Cloudflare, audience: Audience) -> Option<Access> {
    let app = match audience {
        Audience::Admin => cloudflare.admin.as_ref()?,
        Audience::Family => cloudflare.family.as_ref()?,
        Audience::Everyone => return None,
    };
    Some(Access { team: cloudflare.team.clone()?, aud: app.aud.as_slice().to_vec() })
}

/// Whether a host name for `audience` must not lead to the application before its owner's account exists: the first visitor
/// would make it, or a program `setup` does and may not have succeeded yet. Behind Access for admins the owner is among the only
/// ones who come in, and needs a way to make the account.
pub(super) fn gated(exposure: Option<&Exposure>, setup: bool, audience: Audience) -> bool {
    let open_at_first = |exposure: &Exposure| match exposure.login {
        Login::AfterSetup => true,
        Login::Own => setup && exposure.owner.is_some(),
        Login::None => false,
    };
    audience != Audience::Admin && exposure.is_some_and(open_at_first)
}

/// The tunnel's rules: pages first, since they share a host name with nobody and let less through.
pub(super) fn rules(services: &[ServicePlan]) -> Vec<IngressRule> {
    let mut rules = Vec::new();
    for service in services {
        let (Some(exposure), Some(url)) = (&service.exposure, &service.url) else { continue };
        let rule = |hostname: &str, path: Option<&String>, audience, access: Option<&Access>| IngressRule {
            hostname: hostname.to_owned(),
            path: path.cloned(),
            url: url.clone(),
            access: access.cloned(),
            service: service.name.clone(),
            gated: gated(Some(exposure), service.setup, audience),
        };
        if let Some(hostname) = &service.page_hostname {
            rules.push(rule(hostname, exposure.page.as_ref(), Audience::Everyone, None));
        }
        if let (Some(hostname), Some(audience)) = (&service.hostname, service.audience) {
            rules.push(rule(hostname, None, audience, service.access.as_ref()));
        }
    }
    rules
}
