//! A pool proves its role to a server that is not a compute of ours.
//!
//! ```text
//!  the server asks for     it gets                         from
//!  nothing                 nothing                         anything
//!  the password            the password                    the password
//!  MD5                     the hash                        the password, or its MD5 text
//!  SCRAM-SHA-256[-PLUS]    a proof, and is checked itself  the password, or what a client's proof left
//! ```

use dormouse_base::Secret;
use dormouse_pgwire::Encode;
use dormouse_pgwire::auth::md5;
use dormouse_pgwire::auth::scram::ChannelBinding;
use dormouse_pgwire::auth::scram::client::{Exchange, Password};
use dormouse_pgwire::backend::Authentication;
use dormouse_pgwire::frontend::PasswordMessage;

use crate::wake::{Introduction, ServerPassword};

/// What a role has to show.
pub(super) struct Prover {
    role: String,
    password: ServerPassword,
    binding: Option<ChannelBinding>,
    exchange: Option<Exchange>,
}

/// Why the server's question cannot be answered, as a sentence for the operator.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unproved {
    #[error("the server asks for a password, and the pooler has none for role {0:?}")]
    NoPassword(String),
    #[error(
        "the server asks for {asked}, and what auth_file has for role {role:?} is good for {good_for} only"
    )]
    WrongKind { asked: &'static str, role: String, good_for: &'static str },
    #[error("the server asks for an authentication method (code {0}) that is not supported")]
    Method(u32),
    #[error("the server's SCRAM exchange failed: {0}")]
    Scram(String),
    #[error("the server broke the protocol of authentication")]
    OutOfOrder,
}

impl Prover {
    pub(super) fn new(introduction: &Introduction, binding: Option<ChannelBinding>) -> Self {
        Self {
            role: introduction.role.clone(),
            password: introduction.password.clone(),
            binding,
            exchange: None,
        }
    }

    /// The answer to one of the server's questions, if it wants one.
    pub(super) fn answer(&mut self, asked: &Authentication) -> Result<Option<Vec<u8>>, Unproved> {
        let scram = |error: &dyn ToString| Unproved::Scram(error.to_string());
        match asked {
            // A server that skips its own proof has not proved that it is the right one.
            Authentication::Ok if self.exchange.as_ref().is_some_and(|exchange| !exchange.is_done()) => {
                Err(Unproved::OutOfOrder)
            }
            Authentication::Ok => Ok(None),
            Authentication::CleartextPassword => match &self.password {
                ServerPassword::Plain(password) => Ok(Some(message(password.expose()))),
                _ => Err(self.cannot("the password in the clear")),
            },
            Authentication::Md5Password(asked) => {
                let stored = match &self.password {
                    ServerPassword::Plain(password) => md5::stored(password.expose(), &self.role),
                    ServerPassword::Md5(stored) => stored.clone(),
                    _ => return Err(self.cannot("MD5")),
                };
                let answer = md5::answer(&stored, asked.salt).ok_or_else(|| self.cannot("MD5"))?;
                Ok(Some(message(answer.expose())))
            }
            Authentication::Sasl(offered) => {
                let password = match &self.password {
                    ServerPassword::Plain(password) => Password::plain(password.expose()),
                    ServerPassword::Keys(keys) => Password::Keys(keys.clone()),
                    _ => return Err(self.cannot("SCRAM-SHA-256")),
                };
                let mut exchange = Exchange::new(password, self.binding.take());
                let first = exchange.start(offered).map_err(|e| scram(&e))?;
                self.exchange = Some(exchange);
                Ok(Some(first.encode()))
            }
            Authentication::SaslContinue(challenge) => {
                let exchange = self.exchange.as_mut().ok_or(Unproved::OutOfOrder)?;
                exchange.respond(challenge).map(|answer| Some(answer.encode())).map_err(|e| scram(&e))
            }
            Authentication::SaslFinal(last) => {
                let exchange = self.exchange.as_mut().ok_or(Unproved::OutOfOrder)?;
                exchange.finish(last).map(|()| None).map_err(|e| scram(&e))
            }
            Authentication::Other { code } => Err(Unproved::Method(*code)),
        }
    }

    fn cannot(&self, asked: &'static str) -> Unproved {
        let role = self.role.clone();
        let good_for = match &self.password {
            ServerPassword::Unknown => return Unproved::NoPassword(role),
            ServerPassword::Md5(_) => "MD5",
            ServerPassword::Keys(_) => "SCRAM-SHA-256",
            ServerPassword::Plain(_) => "other methods",
        };
        Unproved::WrongKind { asked, role, good_for }
    }
}

fn message(text: &str) -> Vec<u8> {
    PasswordMessage { password: Secret::new(text.as_bytes().to_vec()) }.encode()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dormouse_pgwire::backend::{AuthenticationMd5Password, AuthenticationSasl};

    use super::*;

    fn prover(password: ServerPassword) -> Prover {
        let introduction = Introduction {
            place: "here".to_owned(),
            role: "alice".to_owned(),
            database: "db".to_owned(),
            parameters: Vec::new(),
            password,
            first_query: None,
            within: Duration::ZERO,
        };
        Prover::new(&introduction, None)
    }

    #[test]
    fn what_is_known_decides_what_can_be_answered() {
        let plain = || prover(ServerPassword::Plain(Secret::new("secret".to_owned())));
        let hash = || prover(ServerPassword::Md5(md5::stored("secret", "alice")));
        let asks_md5 = Authentication::Md5Password(AuthenticationMd5Password { salt: *b"salt" });
        let clear = plain().answer(&Authentication::CleartextPassword).unwrap();
        assert_eq!(clear.unwrap(), b"p\0\0\0\x0bsecret\0");
        assert_eq!(plain().answer(&asks_md5), hash().answer(&asks_md5));
        let error = hash().answer(&Authentication::CleartextPassword).unwrap_err();
        assert!(error.to_string().contains("good for MD5 only"), "{error}");
        let error = prover(ServerPassword::Unknown).answer(&asks_md5).unwrap_err();
        assert_eq!(error, Unproved::NoPassword("alice".to_owned()));
        assert_eq!(plain().answer(&Authentication::Other { code: 7 }), Err(Unproved::Method(7)));
    }

    #[test]
    fn a_server_must_prove_itself_too() {
        let mut prover = prover(ServerPassword::Plain(Secret::new("secret".to_owned())));
        prover.answer(&Authentication::Sasl(AuthenticationSasl::new(["SCRAM-SHA-256"]))).unwrap();
        assert_eq!(prover.answer(&Authentication::Ok), Err(Unproved::OutOfOrder));
    }
}
