//! A token of Pushbullet: whose it is, which sends nothing.

use ureq::http::Request;

use super::{Outcome, Places, http};

/// Whether Pushbullet knows `token`.
pub(super) fn tried(token: &str, places: &Places) -> Outcome {
    let request = Request::get(format!("{}/users/me", places.pushbullet)).header("Access-Token", token);
    let Ok(request) = request.body(Vec::new()) else {
        return Outcome::failed("it has characters that no token has", "copy it again");
    };
    match http::send(&http::agent(places), request) {
        Ok(answer) if answer.status == 200 => Outcome::works("Pushbullet knows it"),
        Ok(answer) if matches!(answer.status, 401 | 403) => Outcome::failed(
            "Pushbullet does not know it",
            "make a new one at www.pushbullet.com: Settings, Account, Create Access Token",
        ),
        Ok(answer) => Outcome::untried(format!("Pushbullet answers {}; try again later", answer.status)),
        Err(why) => Outcome::untried(format!("Pushbullet: {why}")),
    }
}
