//! A login token in the place of a password: how a client says that it has one, and what it is told.
//!
//! A token is not the password, so SCRAM cannot prove it: it has to be shown in the clear, and for that reason
//! only over TLS. There is no exception for loopback: the far end of a tunnel or of a balancer on this machine
//! looks like loopback, too. A client comes to be asked for it in one of two ways:
//!
//! * It says so: `options=auth=token`. Then it is asked at once. This is for pools that open many connections in
//!   the same moment, whose detour over a failed SCRAM would look like guessing.
//! * It says nothing, SCRAM fails, and a token of this branch is under way (the server knows, because it issued
//!   it): then it is asked once more. Everybody else's logins stay as they are.
//!
//! What a token says and how it is verified is control's business, behind [`crate::Wake::check_token`].

use dormouse_pgwire::ClientError;
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::options;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Params;

use super::help;
use crate::wake::TokenRefusal;

/// The longest token that is looked at, bytes. Those that this version issues have about 400.
pub(super) const MAX_TOKEN: usize = 8 * 1024;

/// Takes `auth=token` out of the `options` parameter; tells whether it was there.
pub(super) fn take_sign(params: &mut Params) -> Result<bool, ClientError> {
    let Some(text) = params.options().map(str::to_owned) else { return Ok(false) };
    let (sign, rest) = options::take_word(&text, "auth");
    let Some(sign) = sign else { return Ok(false) };
    match rest {
        Some(rest) => params.set("options", rest).expect("a part of a value without NUL has no NUL"),
        None => drop(params.remove("options")),
    }
    if sign == "token" {
        return Ok(true);
    }
    let text = format!("there is no way to log in called {}", quoted(&sign));
    Err(ClientError::fatal(SqlState::INVALID_PARAMETER_VALUE, text)
        .with_hint(format!("The only one to ask for is auth=token. {}", help("bad-token"))))
}

/// A token over a connection that others can listen to.
pub(super) fn needs_tls() -> ClientError {
    ClientError::fatal(SqlState::INVALID_AUTHORIZATION, "a login token is accepted over TLS only")
        .with_hint(format!("Add sslmode=require to the connection string. {}", help("bad-token")))
}

/// The role is gone, or never was: whoever holds a token or certificate for it may know.
pub(super) fn no_such_role(role: &str) -> ClientError {
    let text = format!("role {} does not exist", quoted(role));
    ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text).with_hint(help("unknown-role"))
}

/// What a client is told about its token. `None`: that is no token, and says nothing about one.
pub(super) fn refused(refusal: &TokenRefusal, role: &str) -> Option<ClientError> {
    let new = "Get a new one with `dormouse auth token`.";
    let told = |code, text: String, advice: &str, page| {
        Some(ClientError::fatal(code, text).with_hint(format!("{advice} {}", help(page))))
    };
    let (password, not_allowed) = (SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION);
    match refusal {
        TokenRefusal::NotOne => None,
        TokenRefusal::Revoked => {
            let text = "the key that this login token was signed with is not in use any more";
            told(password, text.to_owned(), new, "bad-token")
        }
        TokenRefusal::Expired(at) => {
            told(password, format!("the login token expired at {at:.0}"), new, "token-expired")
        }
        TokenRefusal::NotYet(from) => {
            let text = format!("the login token is not valid before {from:.0}");
            told(
                password,
                text,
                "Compare the clocks of the server that issued it and of this one.",
                "bad-token",
            )
        }
        TokenRefusal::Role => {
            let text = format!("the login token is not for user {}", quoted(role));
            told(not_allowed, text, "A token is for one role.", "bad-token")
        }
        TokenRefusal::Place => {
            let text = "the login token is for another project, branch or endpoint".to_owned();
            told(not_allowed, text, new, "bad-token")
        }
        TokenRefusal::Database(name) => {
            let text = format!("the login token is for database {} only", quoted(name));
            told(not_allowed, text, new, "bad-token")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(options: &str) -> (Result<bool, ClientError>, Option<String>) {
        let mut params = Params::default();
        params.set("options", options).unwrap();
        let sign = take_sign(&mut params);
        (sign, params.options().map(str::to_owned))
    }

    #[test]
    fn the_sign_is_taken_out_of_the_options() {
        assert_eq!(taken("auth=token"), (Ok(true), None));
        let rest = Some("-c geqo=off endpoint=ep-x".to_owned());
        assert_eq!(taken("-c geqo=off auth=token endpoint=ep-x"), (Ok(true), rest.clone()));
        assert_eq!(taken("-c geqo=off endpoint=ep-x"), (Ok(false), rest));
        assert_eq!(taken("-c auth=token"), (Ok(true), None));
        assert_eq!(taken("auth=magic").0.unwrap_err().code, SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(take_sign(&mut Params::default()), Ok(false));
    }

    #[test]
    fn only_what_is_no_token_says_nothing() {
        assert_eq!(refused(&TokenRefusal::NotOne, "anna"), None);
        let expired =
            refused(&TokenRefusal::Expired("2026-11-25T23:00:00.5Z".parse().unwrap()), "anna").unwrap();
        assert_eq!(expired.message, "the login token expired at 2026-11-25T23:00:00Z");
        assert!(expired.hint.unwrap().contains("dormouse auth token"));
    }
}
