//! One HTTP request to where a secret belongs: what came back, or in plain words why nothing did.

use ureq::Agent;
use ureq::http::Request;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{PATIENCE, Places};

/// Nothing that is asked for here comes near this many bytes.
const LARGEST: u64 = 1 << 20;

/// An answer.
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A client for `places`. It follows no redirection: a secret goes where it belongs and nowhere else.
pub(super) fn agent(places: &Places) -> Agent {
    let mut tls = TlsConfig::builder();
    if !places.authorities.is_empty() {
        let own = places.authorities.iter().map(|der| Certificate::from_der(der).to_owned());
        tls = tls.root_certs(RootCerts::new_with_certs(&own.collect::<Vec<_>>()));
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("boxwright/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build());
    config.build().into()
}

/// Sends `request`.
///
/// # Errors
/// In plain words, without the address: that may say whose the secret is.
pub(super) fn send(agent: &Agent, request: Request<Vec<u8>>) -> Result<Answer, String> {
    let response = agent.run(request).map_err(|error| plain(&error))?;
    let status = response.status().as_u16();
    let body =
        response.into_body().with_config().limit(LARGEST).read_to_vec().map_err(|error| plain(&error))?;
    Ok(Answer { status, body })
}

fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "the server does not answer".into(),
        ureq::Error::HostNotFound => "there is no such server, or no network".into(),
        ureq::Error::ConnectionFailed => "the server takes no connection".into(),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "its address is not one of a server".into(),
        ureq::Error::Rustls(error) => format!("no protected connection: {error}"),
        // What TLS finds wrong comes as an error of reading.
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            format!("no protected connection: {error}")
        }
        ureq::Error::Io(error) => format!("the connection broke: {error}"),
        _ => "the server's answer cannot be understood".into(),
    }
}
