//! A bucket: whether its keys list, write, read and delete in it.

use std::fmt;
use std::time::Duration;

use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Credentials, S3Action, UrlStyle};
use ureq::Agent;
use ureq::http::Request;

use super::http::{self, Answer};
use super::{Outcome, Places};
use crate::profile::BackupTarget;

/// How long a signed address is good.
const VALID: Duration = Duration::from_secs(300);

/// The object that is written and removed again. Nothing of a repository begins like it. It has one name for good, so that
/// where nothing can be deleted there is only one.
const PROBE: &str = "boxwright-probe";
const CONTENT: &[u8] = b"Written by `boxwright secrets check --online`; it may be deleted.\n";

/// A bucket with its keys.
pub(super) struct Bucket<'a> {
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
    agent: Agent,
    target: &'a BackupTarget,
}

impl fmt::Debug for Bucket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.bucket.name())
    }
}

impl<'a> Bucket<'a> {
    /// The bucket of `target` with these two keys.
    ///
    /// # Errors
    /// What comes of trying, if there is no such address.
    pub fn new(target: &'a BackupTarget, keys: [&str; 2], places: &Places) -> Result<Self, Outcome> {
        let name = target.s3.clone().unwrap_or_default();
        let endpoint = target.endpoint.as_deref().unwrap_or("s3.amazonaws.com");
        let known = endpoint.ends_with(".r2.cloudflarestorage.com").then_some("auto");
        let region = target.region.as_deref().or(known).unwrap_or("us-east-1").to_owned();
        // As the writer of backups does: only Amazon wants the bucket in the host's name.
        let style = if endpoint.ends_with(".amazonaws.com") { UrlStyle::VirtualHost } else { UrlStyle::Path };
        let wrong = || {
            Outcome::failed(format!("`{endpoint}` is not a server's name"), "correct `endpoint` in [backup]")
        };
        let url = format!("https://{endpoint}").parse().map_err(|_| wrong())?;
        let bucket = rusty_s3::Bucket::new(url, style, name, region).map_err(|_| wrong())?;
        let credentials = Credentials::new(keys[0], keys[1]);
        Ok(Self { bucket, credentials, agent: http::agent(places), target })
    }

    /// Lists, writes, reads and deletes.
    pub fn tried(&self) -> Outcome {
        match self.steps() {
            Ok(outcome) | Err(outcome) => outcome,
        }
    }

    fn steps(&self) -> Result<Outcome, Outcome> {
        let credentials = Some(&self.credentials);
        let probe = self.path(PROBE);
        let mut list = ListObjectsV2::new(&self.bucket, credentials);
        list.with_prefix(self.path(""));
        list.with_max_keys(1);
        let answer = self.send("GET", &list, Vec::new());
        self.expect(answer, "list what is in it")?;
        let put = self.bucket.put_object(credentials, &probe);
        let answer = self.send("PUT", &put, CONTENT.to_vec());
        self.expect(answer, "write to it")?;
        let read = self.object(PROBE);
        let read = self.expect(read, "read from it")?;
        if read.body != CONTENT {
            return Err(Outcome::failed("what was written comes back as something else", "ask the provider"));
        }
        let delete = self.bucket.delete_object(credentials, &probe);
        let deleted = self.send("DELETE", &delete, Vec::new()).map_err(|why| self.unreachable(&why))?;
        let name = self.bucket.name();
        Ok(match deleted.status {
            200 | 204 => {
                Outcome::works(format!("the bucket {name} can be listed, written, read and deleted from"))
            }
            403 => Outcome::works(format!(
                "the bucket {name} can be listed, written and read, and the keys may not delete, so that `{probe}` stays there"
            )),
            status => {
                return Err(Outcome::failed(
                    format!("deleting from the bucket {name} ends with {}", said(&deleted, status)),
                    format!("remove `{probe}` by hand"),
                ));
            }
        })
    }

    /// The object `name` in the target's folder.
    pub fn object(&self, name: &str) -> Result<Answer, String> {
        let path = self.path(name);
        let get = self.bucket.get_object(Some(&self.credentials), &path);
        http::send(&self.agent, self.request("GET", get.sign(VALID).as_str(), Vec::new())?)
    }

    fn path(&self, name: &str) -> String {
        match self.target.prefix.as_deref().map(|prefix| prefix.trim_matches('/')) {
            Some(prefix) if !prefix.is_empty() => format!("{prefix}/{name}"),
            _ => name.to_owned(),
        }
    }

    fn send<'b>(&self, method: &str, action: &impl S3Action<'b>, body: Vec<u8>) -> Result<Answer, String> {
        http::send(&self.agent, self.request(method, action.sign(VALID).as_str(), body)?)
    }

    fn request(&self, method: &str, url: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, String> {
        let request = Request::builder().method(method).uri(url);
        request.body(body).map_err(|_| "its address is not one of a server".to_owned())
    }

    fn unreachable(&self, why: &str) -> Outcome {
        let at = self.target.endpoint.as_deref().unwrap_or("its provider");
        Outcome::failed(
            format!("the bucket {} at {at}: {why}", self.bucket.name()),
            "see whether `endpoint` in [backup] is right",
        )
    }

    fn expect(&self, answer: Result<Answer, String>, what: &str) -> Result<Answer, Outcome> {
        let answer = answer.map_err(|why| self.unreachable(&why))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let name = self.bucket.name();
        let body = String::from_utf8_lossy(&answer.body);
        let code = element(&body, "Code").unwrap_or_default();
        let wrong = |message: String, help: &str| Outcome::failed(message, help);
        let clock = "set the clock of this machine";
        let region = "name the bucket's region as `region` in [backup]";
        Err(match (code, answer.status) {
            ("InvalidAccessKeyId" | "XAdminUserNotFound", _) => wrong(
                format!("nobody has this access key id at the bucket {name}"),
                "copy it again, or make new keys",
            ),
            ("SignatureDoesNotMatch", _) => wrong(
                "the secret access key does not belong to the access key id".into(),
                "copy both again, or make new keys",
            ),
            ("RequestTimeTooSkewed", _) => wrong("the server's clock is another".into(), clock),
            ("NoSuchBucket", _) => wrong(
                format!("there is no bucket {name}"),
                "make it at the provider, or correct `s3` in [backup]",
            ),
            (
                "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException",
                _,
            )
            | (_, 301 | 307) => {
                wrong(format!("the bucket {name} is in another region than {}", self.bucket.region()), region)
            }
            (_, 401 | 403) => wrong(
                format!("the keys may not {what}: the bucket {name}"),
                "give them the right to list, read and write objects",
            ),
            (_, status) => wrong(
                format!("the bucket {name} ends with {}", said(&answer, status)),
                "try again later, or ask the provider",
            ),
        })
    }
}

/// The server's own word for what went wrong.
fn said(answer: &Answer, status: u16) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let plain = |code: &&str| code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let code = element(&body, "Code").filter(plain).map(|code| format!(" ({code})")).unwrap_or_default();
    format!("{status}{code}")
}

/// The text of the first element `name`.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}
