//! A tunnel: whether it exists, is locally managed, and has this very secret.
//!
//! The credential alone can only be tried by joining the tunnel, and who joins gets a part of its visitors. So Cloudflare's API
//! is asked instead, which takes a token of the owner's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use ureq::Agent;
use ureq::http::Request;
use zeroize::Zeroizing;

use super::http::{self, Answer};
use super::{Outcome, Places};
use crate::secrets::Value;

const NO_TOKEN: &str = "Cloudflare tells about tunnels only to who has a token of its API, and joining the tunnel would take \
                        visitors away from a box that runs; run `cloudflared tunnel login`, or set CLOUDFLARE_API_TOKEN to one \
                        with the right to read Cloudflare Tunnel";

/// Whether the tunnel of this credentials file is as the box needs it.
pub(super) fn tried(credentials: &str, token: Option<&Value>, places: &Places) -> Outcome {
    let Some(token) = token else { return Outcome::untried(NO_TOKEN) };
    let credentials: Json = serde_json::from_str(credentials).unwrap_or_default();
    let text = |name: &str| credentials[name].as_str().unwrap_or_default();
    let (account, id) = (text("AccountTag"), text("TunnelID"));
    let api = Api { agent: http::agent(places), places, token };
    let path = format!("accounts/{account}/cfd_tunnel/{id}");
    match api.get(&path) {
        Ok(answer) => match judge(&answer, id) {
            Ok(()) => same_secret(&api.get(&format!("{path}/token")), text("TunnelSecret"), id),
            Err(outcome) => outcome,
        },
        Err(why) => Outcome::untried(format!("Cloudflare's API: {why}")),
    }
}

struct Api<'a> {
    agent: Agent,
    places: &'a Places,
    token: &'a Value,
}

impl Api<'_> {
    fn get(&self, path: &str) -> Result<Answer, String> {
        let authorization = Zeroizing::new(format!("Bearer {}", self.token.reveal()));
        let request = Request::get(format!("{}/{path}", self.places.cloudflare))
            .header("Authorization", authorization.as_str())
            .body(Vec::new())
            .map_err(|_| "the token has characters that no token has".to_owned())?;
        http::send(&self.agent, request)
    }
}

/// What the API tells of the tunnel `id`.
fn judge(answer: &Answer, id: &str) -> Result<(), Outcome> {
    let json = answer.json();
    let tunnel = &json["result"];
    let another =
        "make one with `cloudflared tunnel create NAME`, and put its id into the profile and its file here";
    Err(match answer.status {
        404 => Outcome::failed(format!("the tunnel {id} does not exist in its account"), another),
        400 | 401 | 403 => Outcome::untried(format!(
            "Cloudflare's API refuses its token ({}): it is of another account, or may not read tunnels",
            answer.status
        )),
        200 if !tunnel["deleted_at"].is_null() => {
            Outcome::failed(format!("the tunnel {id} was deleted"), another)
        }
        200 if tunnel["config_src"] == "cloudflare" => Outcome::failed(
            format!(
                "the tunnel {id} is managed in Cloudflare's dashboard, which would overrule the box's own rules"
            ),
            another,
        ),
        200 if tunnel["config_src"] == "local" => return Ok(()),
        status => Outcome::untried(format!(
            "Cloudflare's API answers {status} and nothing about the tunnel; try again later"
        )),
    })
}

/// Whether the token that the API has for the tunnel `id` holds `secret`.
fn same_secret(answer: &Result<Answer, String>, secret: &str, id: &str) -> Outcome {
    let good = format!("the tunnel {id} exists and is locally managed");
    let unseen =
        format!("{good}; whether its secret is this one was not tried, since the API's token may not see it");
    let Ok(answer) = answer else { return Outcome::works(unseen) };
    let json = answer.json();
    let token =
        Zeroizing::new(STANDARD.decode(json["result"].as_str().unwrap_or_default()).unwrap_or_default());
    let token: Json = serde_json::from_slice(&token).unwrap_or_default();
    let bytes = |text: &str| Zeroizing::new(STANDARD.decode(text).unwrap_or_default());
    match token["s"].as_str() {
        Some(real) if answer.status == 200 && bytes(real) == bytes(secret) => {
            Outcome::works(format!("{good}, and its secret is this one"))
        }
        Some(_) if answer.status == 200 => Outcome::failed(
            format!("the tunnel {id} has another secret: it was renewed"),
            "take what `cloudflared tunnel token NAME` prints",
        ),
        _ => Outcome::works(unseen),
    }
}

/// The API's token in the `cert.pem` that `cloudflared tunnel login` writes.
pub fn token_of_login(pem: &str) -> Option<Value> {
    let (_, rest) = pem.split_once("-----BEGIN ARGO TUNNEL TOKEN-----")?;
    let (block, _) = rest.split_once("-----END ARGO TUNNEL TOKEN-----")?;
    let text = Zeroizing::new(block.split_whitespace().collect::<String>());
    let json = Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?);
    let json: Json = serde_json::from_slice(&json).ok()?;
    json["apiToken"].as_str().filter(|token| !token.is_empty()).map(Value::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_login_is_found() {
        let block = STANDARD.encode(r#"{"zoneID":"z","accountID":"a","apiToken":"the-token"}"#);
        let (first, second) = block.split_at(20);
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n-----BEGIN ARGO TUNNEL TOKEN-----\n{first}\n{second}\n\
             -----END ARGO TUNNEL TOKEN-----\n"
        );
        assert_eq!(token_of_login(&pem).unwrap().reveal(), "the-token");
        for text in [
            "",
            "-----BEGIN ARGO TUNNEL TOKEN-----",
            "-----BEGIN ARGO TUNNEL TOKEN-----\n??\n-----END ARGO TUNNEL TOKEN-----",
        ] {
            assert_eq!(token_of_login(text), None, "{text}");
        }
    }
}
