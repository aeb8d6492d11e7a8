//! One HTTP request: an address goes in, a stream comes out, or why not and whether trying again makes sense.

use std::io::Read;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::unversioned::transport::DefaultConnector;

use super::resolve::Remembering;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come over a connection. Ctrl-C takes effect no later than this.
const SILENCE: Duration = Duration::from_secs(10);
/// A client with its open connections.
#[derive(Debug, Clone)]
pub(super) struct Http {
    agent: Agent,
}

/// A response that has begun.
pub(super) struct Body {
    /// The position in the file of the first byte that comes.
    pub start: u64,
    /// The length of the whole file, if the server told.
    pub total: Option<u64>,
    /// The bytes.
    pub reader: Box<dyn Read>,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server does not have the file.
    Gone(String),
    /// The server has less of the file than there is already.
    Range,
    /// It may work another time.
    Temporary(String),
    /// It will not work another time.
    Permanent(String),
}

impl Http {
    /// A client without connections.
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE * 3))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("boxwright/", env!("CARGO_PKG_VERSION")))
            // A compressed transfer would not be the file whose digest is known.
            .accept_encoding("identity")
            .build();
        Self { agent: Agent::with_parts(config, DefaultConnector::default(), Remembering::default()) }
    }

    /// Asks for the file at `url` from byte `from` on.
    pub fn get(&self, url: &str, from: u64) -> Result<Body, Failure> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let response = request.call().map_err(|error| judge(&error))?;
        let status = response.status();
        let headers = response.headers();
        let (start, total) = match status {
            StatusCode::OK => (0, number(headers, header::CONTENT_LENGTH)),
            StatusCode::PARTIAL_CONTENT => content_range(headers).ok_or(Failure::Range)?,
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(Failure::Range),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Failure::Gone(text(status))),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Err(Failure::Temporary(text(status)));
            }
            _ if status.is_server_error() => return Err(Failure::Temporary(text(status))),
            _ => return Err(Failure::Permanent(text(status))),
        };
        Ok(Body { start, total, reader: Box::new(response.into_body().into_reader()) })
    }
}

fn text(status: StatusCode) -> String {
    format!("the server answers {status}")
}

fn judge(error: &ureq::Error) -> Failure {
    let text = match error {
        ureq::Error::Timeout(_) => "the server does not answer".to_owned(),
        ureq::Error::HostNotFound => "there is no such host, or no network".to_owned(),
        other => other.to_string(),
    };
    match error {
        ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl => {
            Failure::Permanent(text)
        }
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::TooManyRedirects => {
            Failure::Permanent(text)
        }
        _ => Failure::Temporary(text),
    }
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Start and total of `Content-Range: bytes 5-9/10` (RFC 9110, section 14.4).
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _end) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, text.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(range("bytes */10"), None);
        assert_eq!(range("lines 5-9/10"), None);
    }
}
