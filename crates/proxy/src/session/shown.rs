//! A password or token that a client shows without being asked: over HTTP, and at the start of a WebSocket.
//!
//! ```text
//!  secret ──► was it right before, for what is stored now? ──► in
//!        └──► a login token? ──► in, or told why not
//!        └──► the password? ──► in, and remembered
//! ```
//!
//! Whether others can listen is the client's decision here: it has sent the secret already.

use std::net::SocketAddr;

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use dormouse_pooler::config::PoolMode;

use super::login::{Asked, Attempt, Proved, credential, permitted, refuse_replication, wrong_password};
use super::{End, Shared, help, token};
use crate::console;
use crate::route::{self, Route};
use crate::tls::Tls;
use crate::wake::{StoredRole, TokenRefusal};

/// How requests are pooled, whatever name they use.
pub(crate) const MODE: route::Pooling = route::Pooling::Mode(PoolMode::Transaction);

/// Where a request wants to go, as whom: all that its connection string alone decides.
#[derive(Debug)]
pub(crate) struct Wanted {
    role: String,
    database: String,
    route: Route,
    /// What PostgreSQL is asked for, without what was meant for us.
    pub(crate) startup: Startup,
}

impl Wanted {
    /// Reads it from what a client of the wire protocol would say.
    pub(crate) fn read(mut startup: Startup, host: &str) -> Result<Self, ClientError> {
        let role = startup.params.user().ok_or_else(ClientError::no_user)?.to_owned();
        refuse_replication(&startup)?;
        // Nothing needs to be said: whatever is shown is looked at as a token, too.
        token::take_sign(&mut startup.params)?;
        let routed = route::find(Some(host), &mut startup.params).map_err(|e| {
            ClientError::fatal(SqlState::CONNECTION_REJECTED, e.to_string())
                .with_hint(help("endpoint-routes-differ"))
        })?;
        let database = startup.params.database().unwrap_or(&role).to_owned();
        if console::asks_for(&routed.route, &database) {
            let text = "the console of the pooler is not reached over HTTP";
            return Err(
                ClientError::fatal(SqlState::FEATURE_NOT_SUPPORTED, text).with_hint(help("console-login"))
            );
        }
        Ok(Self { role, database, route: routed.route, startup })
    }
}

/// Where somebody was let in.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) endpoint: EndpointId,
    /// Which role it is, if that is known.
    pub(crate) role_oid: Option<u32>,
}

/// Authenticates a request that brings its proof, and tells which endpoint it is for.
pub(crate) async fn enter(
    shared: &Shared,
    wanted: &Wanted,
    secret: &[u8],
    peer: SocketAddr,
) -> Result<Entered, ClientError> {
    let Wanted { role, database, route, .. } = wanted;
    let refused = |end| match end {
        End::Refuse(error) => error,
        End::Passed(_) | End::Quiet(_) => ClientError::connection_lost(),
    };
    if let Some(clients) = shared.tls.as_ref().and_then(Tls::clients) {
        clients.prove(None, role)?;
    }
    let endpoint = shared.wake.locate(route)?;
    shared.wake.admit(&endpoint, peer.ip())?;
    let asked = Asked { route, endpoint: &endpoint, database };
    let mut attempt = Attempt::begin(shared, peer.ip(), &endpoint, role)?;
    // Requests are pooled in any case.
    let proved = attempt.prove_by_showing(secret, &asked).await.map_err(refused)?;
    permitted(role, proved.stored.as_ref())?;
    Ok(Entered { endpoint: proved.endpoint, role_oid: proved.stored.and_then(|role| role.oid) })
}

/// Lets the holder of an API key in, as a role that exists. The key has been looked at.
pub(crate) async fn enter_by_key(
    shared: &Shared,
    endpoint: EndpointId,
    role: &str,
    database: &str,
) -> Result<(Entered, Startup), ClientError> {
    let stored = shared.lookups.stored(&*shared.wake, &endpoint, role).await?;
    let stored = stored.ok_or_else(|| token::no_such_role(role))?;
    permitted(role, Some(&stored))?;
    let invalid = |_| ClientError::protocol_violation("a name has a zero character");
    let startup = Startup::new(role).and_then(|s| s.with("database", database)).map_err(invalid)?;
    let startup = startup.with("client_encoding", "UTF8").map_err(invalid)?;
    Ok((Entered { endpoint, role_oid: stored.oid }, startup))
}

impl Attempt<'_> {
    /// The client has shown something. What is wrong is charged.
    pub(super) async fn prove_by_showing(&mut self, secret: &[u8], asked: &Asked<'_>) -> Result<Proved, End> {
        let elsewhere = route::from_password(secret).filter(|_| *asked.route == Route::Default);
        let (endpoint, secret) = match &elsewhere {
            Some((routed, secret)) => (self.shared.wake.locate(&routed.route)?, *secret),
            None => (asked.endpoint.clone(), secret),
        };
        if elsewhere.is_some() {
            self.shared.wake.admit(&endpoint, self.peer)?;
        }
        let mode = elsewhere.as_ref().and_then(|(routed, _)| routed.mode);
        let stored = self.shared.lookups.stored(&*self.shared.wake, &endpoint, self.role).await?;
        let claim = self.claim(&endpoint, stored.as_ref(), secret);
        if claim.is_some_and(|claim| self.shared.proofs.knows(&claim)) {
            return Ok(Proved { endpoint, stored, mode });
        }
        match self.check_token(secret, &endpoint, asked.database) {
            Ok(()) if stored.is_some() => return Ok(Proved { endpoint, stored, mode }),
            Ok(()) => return Err(token::no_such_role(self.role).into()),
            Err(TokenRefusal::NotOne) => {}
            Err(refusal) => {
                if refusal == TokenRefusal::Revoked {
                    self.failed();
                }
                let told = token::refused(&refusal, self.role);
                return Err(told.unwrap_or_else(|| wrong_password(self.role)).into());
            }
        }
        self.may_try()?;
        let credential = credential(self.shared, self.role, stored.as_ref())?;
        if !self.shared.proofs.compare(credential, secret).await {
            self.failed();
            return Err(wrong_password(self.role).into());
        }
        if let Some(claim) = claim {
            self.shared.proofs.remember(claim);
        }
        Ok(Proved { endpoint, stored, mode })
    }

    /// What is remembered of a right password; `None` when the role has none that works.
    fn claim(&self, endpoint: &EndpointId, stored: Option<&StoredRole>, secret: &[u8]) -> Option<[u8; 32]> {
        let stored = stored.filter(|stored| !super::login::has_expired(stored))?;
        let verifier = stored.password.as_deref()?;
        Some(self.shared.proofs.claim(endpoint, self.role, verifier, secret))
    }
}
