//! How the proxy's questions are answered: names and passwords by control, the rest by the computes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{EndpointId, RoleChanges};
use dormouse_compute::endpoint::{Endpoint, Run, Ticket};
use dormouse_compute::{Fleet, State, WakeError};
use dormouse_control::{Control, LocateError, Locator, PasswordError, TokenError};
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_proxy::{
    Backend, BackendStream, Claim, Compute, PoolSettings, Route, StoredRole, TokenRefusal, Wake, WakeTicket,
};
use dormouse_runtime::gate::{Closing, Gate, Pass};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::pooler::Layers;
use crate::takeover::successor::Successor;

/// When another server has taken over, what a role must prove is found out in this time. It takes longer only when that
/// server has put the database to sleep since: nobody is woken for who has proved nothing.
const LOGINS_WITHIN: Duration = Duration::from_secs(2);

/// The proxy's door to control and computes.
#[derive(Debug)]
pub struct Door {
    /// Names and passwords; replaced when control is opened anew.
    control: RwLock<Arc<Control>>,
    /// Computes.
    fleet: Fleet,
    /// Settings of some pools.
    layers: Layers,
    /// The server that has taken over, once there is one: it wakes what clients of this one need.
    successor: watch::Sender<Option<Arc<Successor>>>,
}

impl Door {
    /// To these.
    #[must_use]
    pub(crate) fn new(control: Control, fleet: Fleet, layers: Layers) -> Self {
        Self { control: RwLock::new(Arc::new(control)), fleet, layers, successor: watch::Sender::new(None) }
    }

    /// Control was opened anew.
    pub(crate) fn renew(&self, control: Control) {
        *self.control.write() = Arc::new(control);
    }

    /// Another server has everything. Who works may finish; who wants to work again asks there.
    pub(crate) fn hand_over(&self, successor: Arc<Successor>) {
        self.successor.send_replace(Some(successor));
        for endpoint in self.fleet.all() {
            endpoint.give_away();
        }
    }

    /// Settings of some pools, as they are now and after changes.
    pub(crate) fn layers(&self) -> Layers {
        Arc::clone(&self.layers)
    }

    fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control.read())
    }
}

/// What control knows of a role, for the proxy.
fn known_role(role: dormouse_control::StoredRole) -> StoredRole {
    let dormouse_control::StoredRole { verifier: password, can_login, valid_until, oid } = role;
    StoredRole { password, can_login, valid_until, oid }
}

/// The server that has taken over, when there is one.
async fn successor(of: &mut watch::Receiver<Option<Arc<Successor>>>) -> Arc<Successor> {
    if let Ok(now) = of.wait_for(Option::is_some).await
        && let Some(successor) = &*now
    {
        return Arc::clone(successor);
    }
    std::future::pending().await
}

#[async_trait::async_trait]
impl Wake for Door {
    fn locate(&self, route: &Route) -> Result<EndpointId, ClientError> {
        let place = match route {
            Route::Default => Locator::Default,
            Route::Endpoint(id) => Locator::ByEndpoint(id),
            Route::Branch { project, branch } => Locator::ByBranch { project: project.as_deref(), branch },
        };
        self.control
            .read()
            .locate(&place)
            .map(|located| located.endpoint)
            .map_err(|error| not_located(route, &error))
    }

    fn admit(&self, endpoint: &EndpointId, from: IpAddr) -> Result<(), ClientError> {
        match self.control().admits(endpoint, from) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let from = from.to_canonical().to_string();
                let advice = format!("Allow it with `dormouse ip-allow add {from}`. ");
                Err(ClientError::address_not_allowed(&from)
                    .with_hint(format!("{advice}{}", help("address-not-allowed"))))
            }
            Err(error) => {
                tracing::error!(%error, "cannot look at the allowed addresses");
                Err(ClientError::internal("metadata-failed"))
            }
        }
    }

    fn expects_token(&self, endpoint: &EndpointId) -> bool {
        self.control().expects_token(endpoint).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look for login tokens");
            false
        })
    }

    fn check_token(&self, token: &[u8], claim: Claim<'_>) -> Result<(), TokenRefusal> {
        let Claim { endpoint, role, database } = claim;
        let judged = self.control().check_token(token, endpoint, role, database).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot check a login token");
            Err(TokenError::NotOne)
        });
        judged.map_err(|error| {
            tracing::debug!(%error, %endpoint, role, "a login token does not do");
            match error {
                TokenError::NotOne => TokenRefusal::NotOne,
                TokenError::Revoked => TokenRefusal::Revoked,
                TokenError::Expired(at) => TokenRefusal::Expired(at),
                TokenError::NotYet(from) => TokenRefusal::NotYet(from),
                TokenError::Role => TokenRefusal::Role,
                TokenError::Place => TokenRefusal::Place,
                TokenError::Database(name) => TokenRefusal::Database(name),
            }
        })
    }

    async fn stored_password(
        &self,
        endpoint: &EndpointId,
        role: &str,
    ) -> Result<Option<StoredRole>, ClientError> {
        let mut gone = self.successor.subscribe();
        let control = self.control();
        let late = async {
            successor(&mut gone).await;
            tokio::time::sleep(LOGINS_WITHIN).await;
        };
        let stored = tokio::select! {
            stored = control.stored_password(endpoint, role) => stored.map_err(|e| not_known(&e))?,
            () = late => return Err(taken_over("Connect again.")),
        };
        Ok(stored.map(known_role))
    }

    fn remembered_password(&self, endpoint: &EndpointId, role: &str) -> Option<StoredRole> {
        self.control.read().remembered_password(endpoint, role).map(known_role)
    }

    async fn is_same_role(&self, endpoint: &EndpointId, role: &str, oid: u32) -> Result<bool, ClientError> {
        self.control().is_same_role(endpoint, role, oid).await.map_err(|error| not_known(&error))
    }

    fn key_opens(&self, key: &str, endpoint: Option<&EndpointId>) -> bool {
        self.control().key_opens(key, endpoint).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look for an API key");
            false
        })
    }

    fn knows_key(&self, key: &str) -> bool {
        self.control().knows_key(key).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look for an API key");
            false
        })
    }

    fn owner_of(&self, endpoint: &EndpointId, database: &str) -> Result<Option<String>, ClientError> {
        self.control().owner_of(endpoint, database).map_err(|error| {
            tracing::error!(%error, "cannot look for the owner of a database");
            ClientError::internal("metadata-failed")
        })
    }

    fn is_awake(&self, endpoint: &EndpointId) -> bool {
        self.fleet.get(endpoint).is_some_and(|endpoint| endpoint.state() == State::Active)
    }

    async fn keep_pool_settings(
        &self,
        changes: &[(&'static str, Option<String>)],
    ) -> Result<(), ClientError> {
        if self.successor.borrow().is_some() {
            return Err(taken_over("Connect again to change its settings."));
        }
        self.control().keep_pool_settings(changes).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot keep the pooler's settings");
            ClientError::internal("metadata-failed")
        })
    }

    fn pool_settings(
        &self,
        endpoint: &EndpointId,
        database: &str,
        role: &str,
        global: &PoolSettings,
    ) -> PoolSettings {
        global.with(self.layers.read().of(endpoint.as_str(), database, role))
    }

    async fn acquire(&self, endpoint: &EndpointId) -> Result<Backend, ClientError> {
        let mut gone = self.successor.subscribe();
        let here = self.fleet.endpoint(endpoint);
        tokio::select! {
            biased;
            successor = successor(&mut gone) => successor.backend(endpoint).await,
            lease = here.acquire() => {
                let lease = lease.map_err(|e| not_awake(&e))?;
                Ok(Backend {
                    pass: lease.pass,
                    compute: Arc::new(RunOf { endpoint: Arc::clone(&here), run: lease.run, gone }),
                    ticket: lease.ticket.map(|ticket| Box::new(Stamp(ticket)) as Box<dyn WakeTicket>),
                })
            }
        }
    }

    fn running(&self, endpoint: &EndpointId, identity: &str) -> Option<Arc<dyn Compute>> {
        let endpoint = self.fleet.get(endpoint)?;
        let run = endpoint.running()?;
        let gone = self.successor.subscribe();
        let run = RunOf { endpoint, run, gone };
        (run.identity().as_deref() == Some(identity)).then(|| Arc::new(run) as Arc<dyn Compute>)
    }
}

/// One run of one endpoint, as a session holds it.
struct RunOf {
    endpoint: Arc<Endpoint>,
    run: Arc<Run>,
    gone: watch::Receiver<Option<Arc<Successor>>>,
}

impl RunOf {
    /// The new server has it woken, if it is still this run, and keeps it awake.
    async fn reenter_from_afar(&self, successor: &Successor) -> Result<Pass, ClientError> {
        let socket = successor.acquire(self.endpoint.id()).await?;
        if socket.dir != self.run.socket().dir {
            return Err(not_awake(&WakeError::RunEnded));
        }
        let gate = self.endpoint.gate();
        gate.open();
        gate.pass().ok_or_else(|| not_awake(&WakeError::RunEnded))
    }
}

#[async_trait::async_trait]
impl Compute for RunOf {
    async fn connect(&self) -> std::io::Result<BackendStream> {
        self.run.socket().connect().await.and_then(BackendStream::unix)
    }

    fn gate(&self) -> Arc<Gate> {
        self.endpoint.gate()
    }

    fn role_changes(&self) -> RoleChanges {
        self.endpoint.role_changes().clone()
    }

    fn closing(&self) -> watch::Receiver<Option<Closing>> {
        self.run.closing()
    }

    async fn reenter(self: Arc<Self>) -> Result<Pass, ClientError> {
        let mut gone = self.gone.clone();
        tokio::select! {
            biased;
            successor = successor(&mut gone) => self.reenter_from_afar(&successor).await,
            pass = self.endpoint.reenter(&self.run) => pass.map_err(|e| not_awake(&e)),
        }
    }

    fn identity(&self) -> Option<String> {
        Some(format!("{} {}", self.run.pid(), self.run.socket().dir.display()))
    }
}

struct Stamp(Ticket);

impl WakeTicket for Stamp {
    fn connected(&mut self) {
        self.0.connected();
    }

    fn first_row(&mut self) {
        self.0.first_row();
    }
}

fn taken_over(advice: &str) -> ClientError {
    ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, "another server has taken over").with_hint(advice)
}

fn help(code: &str) -> String {
    format!("See docs/errors/{code}.md.")
}

/// Names what the client asked for, never what exists.
fn not_located(route: &Route, error: &LocateError) -> ClientError {
    if let LocateError::Metadata(error) = error {
        tracing::error!(%error, "cannot look up an endpoint");
        return ClientError::internal("metadata-failed");
    }
    let why = match error {
        LocateError::NoWriter(_) => Some(("has no endpoint", "branch-has-no-endpoint")),
        LocateError::NotReady(_) => Some(("is being made", "branch-not-ready")),
        _ => None,
    };
    if let Some((what, code)) = why {
        return not_there_yet(route, what, code);
    }
    let asked = match route {
        Route::Default => "there is no default project".to_owned(),
        Route::Endpoint(id) => format!("endpoint {} does not exist", quoted(id)),
        Route::Branch { project: None, branch } => format!("branch {} does not exist", quoted(branch)),
        Route::Branch { project: Some(project), branch } => {
            format!("branch {} of project {} does not exist", quoted(branch), quoted(project))
        }
    };
    ClientError::fatal(SqlState::INVALID_CATALOG_NAME, asked)
        .with_hint(format!("List them with `dormouse endpoint list`. {}", help("unknown-endpoint")))
}

/// The branch exists, but nothing of it can be connected to.
fn not_there_yet(route: &Route, what: &str, code: &str) -> ClientError {
    let asked = match route {
        Route::Default => "the default branch".to_owned(),
        Route::Endpoint(id) => format!("the branch of endpoint {}", quoted(id)),
        Route::Branch { branch, .. } => format!("branch {}", quoted(branch)),
    };
    let advice = if code == "branch-not-ready" {
        "Connect again in a moment."
    } else {
        "Create one with `dormouse endpoint create --branch BRANCH`."
    };
    ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, format!("{asked} {what}"))
        .with_hint(format!("{advice} {}", help(code)))
}

fn quoted(name: &str) -> String {
    dormouse_pgwire::client_error::quoted(name)
}

fn not_known(error: &PasswordError) -> ClientError {
    match error {
        PasswordError::NoEndpoint => ClientError::fatal(SqlState::INVALID_CATALOG_NAME, error.to_string())
            .with_hint(help("unknown-endpoint")),
        PasswordError::Compute(error) => {
            ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, error.message.clone())
                .with_hint(help(error.code))
        }
        PasswordError::Metadata(error) => {
            tracing::error!(%error, "cannot look up a role");
            ClientError::internal("metadata-failed")
        }
    }
}

fn not_awake(error: &WakeError) -> ClientError {
    let code = SqlState::ALL.iter().map(|(_, code)| *code).find(|code| code.as_str() == error.sqlstate());
    let told = ClientError::fatal(code.unwrap_or(SqlState::CANNOT_CONNECT_NOW), error.to_string());
    let advice = match error {
        WakeError::Storage | WakeError::BackedOff { storage: true, .. } => {
            "Connect again in a moment; if it stays, the operator finds the reason with `dormouse endpoint events`. "
        }
        WakeError::Start { .. } | WakeError::BackedOff { .. } | WakeError::Admin(_) => {
            "The operator finds the reason with `dormouse endpoint events`. "
        }
        WakeError::DiskFull => "Free some space on the server, then connect again. ",
        WakeError::Quota { hint, .. } => return told.with_hint(format!("{hint} {}", help(error.code()))),
        _ => "Connect again in a moment. ",
    };
    told.with_hint(format!("{advice}{}", help(error.code())))
}
