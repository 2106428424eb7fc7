//! One login that has yet to prove itself, and the ways to do so: SCRAM, a token, a password in the clear. Wrong guesses
//! are charged before anybody is told ([`crate::throttle`]). The way of those who show the password unasked is in
//! [`crate::session::shown`].

use std::net::IpAddr;

use dormouse_base::clock::Mono;
use dormouse_base::{EndpointId, Secret};
use dormouse_pgwire::auth::scram::ScramError;
use dormouse_pgwire::auth::scram::server::{Exchange, Refused, Reply};
use dormouse_pgwire::backend::AuthenticationSasl;
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::frontend::{SaslInitialResponse, SaslResponse};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, Encode};

use super::{
    Asked, Proved, ask_in_the_clear, credential, known_role, malformed, password_body, wrong_password,
};
use crate::route::{self, Route};
use crate::session::io::Client;
use crate::session::{End, Shared, help, token};
use crate::throttle::Who;
use crate::wake::{Claim, StoredRole, TokenRefusal};

/// One login that has yet to prove itself; see [`crate::throttle`].
pub(in crate::session) struct Attempt<'a> {
    pub(in crate::session) shared: &'a Shared,
    pub(in crate::session) peer: IpAddr,
    pub(in crate::session) role: &'a str,
    who: Who,
    charged: bool,
    /// A wrong SCRAM proof, which was charged.
    refused: Option<Refused>,
    /// What was shown was no guess: a token of ours, though not of use here.
    forgiven: bool,
}

impl<'a> Attempt<'a> {
    pub(in crate::session) fn begin(
        shared: &'a Shared,
        peer: IpAddr,
        endpoint: &EndpointId,
        role: &'a str,
    ) -> Result<Self, ClientError> {
        let who = shared.throttle.who(peer, endpoint, role);
        let attempt = Self { shared, peer, role, who, charged: false, refused: None, forgiven: false };
        attempt.may_try()?;
        Ok(attempt)
    }

    /// Asked again right before a password is compared: others may have failed meanwhile.
    pub(in crate::session) fn may_try(&self) -> Result<(), ClientError> {
        self.shared.throttle.check(self.who, Mono::now()).map_err(|wait| {
            let text = format!("too many failed logins for user {} from this address", quoted(self.role));
            ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
                .with_detail(format!("The next try is possible in {} s.", wait.as_secs() + 1))
                .with_hint(help("too-many-failed-logins"))
        })
    }

    /// Charged at once, before anybody is told.
    pub(in crate::session) fn failed(&mut self) {
        self.charged = true;
        self.shared.throttle.charge(self.who, Mono::now());
    }

    fn refuse(&mut self, error: &ScramError) -> End {
        let error = error.client_error(self.role);
        if error.code != SqlState::INVALID_PASSWORD {
            return End::Refuse(error);
        }
        self.failed();
        End::Refuse(wrong_password(self.role))
    }

    /// A password that carries its route, or a token, fails SCRAM first, which is no guess. A wrong proof that was made
    /// with anything else is one, whatever is shown after it.
    async fn forgive(&mut self, shown: &[u8]) {
        let Some(refused) = self.refused.take() else { return };
        if self.charged && self.shared.proofs.was_made_with(refused, shown).await {
            self.charged = false;
            self.shared.throttle.refund(self.who);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.charged {
            self.shared.metrics.auth_failures.inc();
            tracing::info!(role = self.role, peer = %self.peer, "password authentication failed");
        }
    }
}

impl Attempt<'_> {
    /// SCRAM; if that fails and the client may have something else to show, once more in the clear.
    pub(super) async fn prove(&mut self, client: &mut Client, asked: &Asked<'_>) -> Result<Proved, End> {
        let stored = self.stored(asked.endpoint).await?;
        match self.prove_by_scram(client, stored.as_ref()).await {
            Err(End::Refuse(error)) if self.may_have_more(client, &error, asked) => {
                let secret = ask_in_the_clear(client).await?;
                let proved = self.prove_in_the_clear(&secret, asked).await;
                if proved.is_ok() || self.forgiven {
                    self.forgive(secret.expose()).await;
                }
                proved
            }
            other => other.map(|()| Proved { endpoint: asked.endpoint.clone(), stored, mode: None }),
        }
    }

    /// The client said that it has a token.
    pub(super) async fn prove_by_token(
        &mut self,
        client: &mut Client,
        asked: &Asked<'_>,
    ) -> Result<Proved, End> {
        if !client.stream.is_tls() {
            return Err(token::needs_tls().into());
        }
        let secret = ask_in_the_clear(client).await?;
        self.may_try()?;
        let proved = self.prove_in_the_clear(&secret, asked).await;
        if matches!(&proved, Err(End::Refuse(e)) if e.code == SqlState::INVALID_PASSWORD) && !self.forgiven {
            self.failed();
        }
        proved
    }

    /// What the role must prove, asked together with others who log in at this moment.
    async fn stored(&self, endpoint: &EndpointId) -> Result<Option<StoredRole>, ClientError> {
        self.shared.lookups.stored(&*self.shared.wake, endpoint, self.role).await
    }

    async fn prove_by_scram(&mut self, client: &mut Client, stored: Option<&StoredRole>) -> Result<(), End> {
        let credential = credential(self.shared, self.role, stored)?;
        let mut exchange = Exchange::new(credential, client.stream.binding().cloned());
        let offer = AuthenticationSasl::new(exchange.mechanisms().iter().copied());
        client.send(&offer.encode()).await?;
        let first = SaslInitialResponse::decode(&password_body(client).await?).map_err(malformed)?;
        let mut reply = exchange.begin(&first).map_err(|e| self.refuse(&e))?;
        loop {
            match reply {
                Reply::Continue(message) => {
                    client.send(&message.encode()).await?;
                    let answer = SaslResponse::decode(&password_body(client).await?).map_err(malformed)?;
                    self.may_try()?;
                    reply = match exchange.respond(&answer) {
                        Ok(reply) => reply,
                        Err(error) => {
                            self.refused = exchange.refused();
                            return Err(self.refuse(&error));
                        }
                    };
                }
                Reply::Final(message) => {
                    client.hold(&message.encode());
                    return Ok(());
                }
            }
        }
    }

    /// Only after a wrong password (not a protocol error), and only where nobody can listen.
    fn may_have_more(&self, client: &Client, error: &ClientError, asked: &Asked<'_>) -> bool {
        client.stream.is_tls()
            && error.code == SqlState::INVALID_PASSWORD
            && (*asked.route == Route::Default || self.shared.wake.expects_token(asked.endpoint))
    }

    async fn prove_in_the_clear(
        &mut self,
        secret: &Secret<Vec<u8>>,
        asked: &Asked<'_>,
    ) -> Result<Proved, End> {
        let elsewhere = route::from_password(secret.expose()).filter(|_| *asked.route == Route::Default);
        let (endpoint, secret) = match &elsewhere {
            Some((routed, secret)) => (self.shared.wake.locate(&routed.route)?, *secret),
            None => (asked.endpoint.clone(), secret.expose().as_slice()),
        };
        if elsewhere.is_some() {
            self.shared.wake.admit(&endpoint, self.peer)?;
        }
        let mode = elsewhere.as_ref().and_then(|(routed, _)| routed.mode);
        match self.check_token(secret, &endpoint, asked.database) {
            Ok(()) => {
                let stored = known_role(self.shared, &endpoint, self.role).await?;
                Ok(Proved { endpoint, stored: Some(stored), mode })
            }
            Err(TokenRefusal::NotOne) if elsewhere.is_some() => {
                let stored = self.stored(&endpoint).await?;
                self.compare(secret, stored.as_ref()).await?;
                Ok(Proved { endpoint, stored, mode })
            }
            Err(refusal) => {
                if !matches!(refusal, TokenRefusal::NotOne | TokenRefusal::Revoked) {
                    self.forgiven = true;
                }
                Err(token::refused(&refusal, self.role).unwrap_or_else(|| wrong_password(self.role)).into())
            }
        }
    }

    pub(in crate::session) fn check_token(
        &self,
        secret: &[u8],
        endpoint: &EndpointId,
        database: &str,
    ) -> Result<(), TokenRefusal> {
        if secret.len() > token::MAX_TOKEN {
            return Err(TokenRefusal::NotOne);
        }
        self.shared.wake.check_token(secret, Claim { endpoint, role: self.role, database })
    }

    /// Compares a password that was shown in the clear.
    async fn compare(&self, password: &[u8], stored: Option<&StoredRole>) -> Result<(), End> {
        let credential = credential(self.shared, self.role, stored)?;
        let right = self.shared.proofs.compare(credential, password);
        if right.await { Ok(()) } else { Err(wrong_password(self.role).into()) }
    }
}
