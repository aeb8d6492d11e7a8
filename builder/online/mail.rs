//! The login at the mail server, without a message.

use lettre::SmtpTransport;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};

use super::{Outcome, PATIENCE, Places};
use crate::profile::{Mail, MailSecurity};

/// Whether the server of `mail` takes its user with `password`.
pub(super) fn tried(mail: &Mail, password: &str, places: &Places) -> Outcome {
    let user = mail.user.as_deref().unwrap_or_default();
    let at = format!("{}:{}", mail.host, mail.port);
    match logged_in(mail, user, password, places) {
        Ok(true) => Outcome::works(format!("{at} takes the login of {user}")),
        Ok(false) => Outcome::failed(format!("{at} takes the login and then breaks off"), "try again later"),
        Err(error) => judge(&error, &at, user),
    }
}

fn logged_in(mail: &Mail, user: &str, password: &str, places: &Places) -> Result<bool, Error> {
    let mut tls = TlsParameters::builder(mail.host.clone());
    for authority in &places.authorities {
        tls = tls.add_root_certificate(Certificate::from_der(authority.clone())?);
    }
    let tls = tls.build()?;
    let tls = match mail.security {
        MailSecurity::Starttls => Tls::Required(tls),
        MailSecurity::Tls => Tls::Wrapper(tls),
    };
    let transport = SmtpTransport::builder_dangerous(&mail.host)
        .port(mail.port)
        .tls(tls)
        .credentials(Credentials::new(user.to_owned(), password.to_owned()))
        .timeout(Some(PATIENCE))
        .build();
    transport.test_connection()
}

fn judge(error: &Error, at: &str, user: &str) -> Outcome {
    let code = error.status().map(|code| code.to_string()).unwrap_or_default();
    let settings = "see whether `host`, `port` and `security` in [alerts] mail are right";
    match code.as_str() {
        "530" | "534" | "535" | "538" => Outcome::failed(
            format!("{at} refuses the login of {user} ({code})"),
            "write the password of that mailbox; providers with a second factor want one made for programs",
        ),
        "" if error.is_timeout() => Outcome::failed(format!("{at} does not answer"), settings),
        "" if error.is_tls() => Outcome::failed(format!("{at} makes no protected connection"), settings),
        "" if error.is_client() => Outcome::failed(
            format!("{at} offers no protected connection, or no login that is known"),
            settings,
        ),
        "" => Outcome::failed(format!("{at} takes no connection"), settings),
        code => Outcome::failed(format!("{at} refuses with {code}"), "try again later, or ask the provider"),
    }
}
