//! The proxy in front of ordinary servers, as PgBouncer does it: `dormouse pool FILE.ini`.
//!
//! ```text
//!  client ─► login (auth_type, userlist) ─► pool of (entry of [databases], database, role) ─► Target ─► server
//!                                             │ settings: [pgbouncer] ◄ [databases] ◄ [users]   TCP, TLS or Unix
//! ```
//!
//! There are no endpoints, so nothing sleeps: an entry of `[databases]` takes an endpoint's place, every client is
//! pooled, and a [`Target`](target::Target) is a "compute" that always runs. Its gate is PgBouncer's PAUSE: closed,
//! work that runs comes to its end and no other begins.
//!
//! In reading order: [`config`] says what is understood of a `pgbouncer.ini` and what is refused, [`login`] lets
//! clients in, [`target`] leads to servers, [`server_tls`] encrypts the way. How a pool proves its role there is in
//! `pooled/prove.rs`. Where the next change goes: a setting of the file that must be refused or read is one entry
//! in `config`.

mod config;
mod login;
mod server_tls;
mod target;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::auth::scram::{LoginKeys, Verifier};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::Settings;
use dormouse_pooler::config::userlist::Password;
use parking_lot::{Mutex, RwLock};

pub use config::{AuthType, ClientTls, Plan, PlanError, TlsMode};
pub(crate) use login::login;

use crate::route::Route;
use crate::session::help;
use crate::wake::{Backend, Claim, Compute, StoredRole, TokenRefusal, Wake};
use target::{Target, Targets};

/// The door to ordinary servers. Cheap to clone.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    users: Arc<Users>,
    state: RwLock<Arc<State>>,
}

/// What the files say now.
struct State {
    plan: Plan,
    targets: HashMap<EndpointId, Targets>,
}

/// The roles, and what their logins leave.
#[derive(Default)]
struct Users {
    list: RwLock<HashMap<String, Password>>,
    /// Of roles whose verifier is all that the list has. At most one for each of the list.
    keys: Mutex<HashMap<String, LoginKeys>>,
    /// Of roles whose password the list has in the clear.
    verifiers: Mutex<HashMap<String, Verifier>>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

impl Upstream {
    /// As a plan says.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let users = Arc::new(Users::default());
        let state = State::new(plan, &HashMap::new(), &users);
        Self(Arc::new(Inner { users, state: RwLock::new(Arc::new(state)) }))
    }

    /// As another plan says, from now on. Entries that are the same keep their connections; those of others
    /// serve who has them, and nobody else. The settings of pools are [`crate::Proxy::reconfigure`]'s.
    pub fn reload(&self, plan: Plan) {
        let before = self.state();
        let state = State::new(plan, &before.targets, &self.0.users);
        for (id, old) in &before.targets {
            if !state.targets.get(id).is_some_and(|new| new.is_same(old)) {
                old.replaced();
            }
        }
        *self.0.state.write() = Arc::new(state);
    }

    /// The settings of `[pgbouncer]`.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.state().plan.ini.settings.clone()
    }

    /// Lets no work begin; returns when nothing runs any more.
    pub async fn pause(&self) {
        let targets: Vec<Arc<Target>> = self.all();
        targets.iter().for_each(|target| target.pause());
        for target in targets {
            target.gate().emptied().await;
        }
    }

    /// Undoes [`Upstream::pause`].
    pub fn resume(&self) {
        self.all().iter().for_each(|target| target.resume());
    }

    fn all(&self) -> Vec<Arc<Target>> {
        self.state().targets.values().flat_map(|targets| targets.all().to_vec()).collect()
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.state.read())
    }

    /// Where the file says that a database is.
    pub(crate) fn host(&self, database: &str) -> Option<String> {
        self.state().plan.ini.database(database).and_then(|entry| entry.host.clone())
    }

    /// The entry of `[databases]` for a database.
    fn entry(&self, database: &str) -> Result<EndpointId, ClientError> {
        let state = self.state();
        let entry = state.plan.ini.database(database).ok_or_else(|| {
            ClientError::fatal(
                SqlState::INVALID_CATALOG_NAME,
                format!("no such database: {}", dormouse_pgwire::client_error::quoted(database)),
            )
            .with_hint("It has no entry in [databases] of the pooler's configuration, and there is no `*`.")
        })?;
        Ok(target::id(&entry.name))
    }
}

impl State {
    fn new(plan: Plan, known: &HashMap<EndpointId, Targets>, users: &Arc<Users>) -> Self {
        let list = plan.users.iter().map(|user| (user.name.clone(), user.password.clone())).collect();
        users.keys.lock().retain(|name, _| {
            users.list.read().get(name).is_some_and(|old: &Password| {
                plan.users.iter().any(|user| user.name == *name && user.password == *old)
            })
        });
        *users.list.write() = list;
        users.verifiers.lock().clear();
        let mut targets = HashMap::new();
        for entry in &plan.ini.databases {
            let id = target::id(&entry.name);
            let made = Targets::new(entry, &plan, users);
            let kept = known.get(&id).filter(|known| known.is_same(&made)).cloned();
            targets.insert(id, kept.unwrap_or(made));
        }
        Self { plan, targets }
    }
}

#[async_trait::async_trait]
impl Wake for Upstream {
    fn locate(&self, _route: &Route) -> Result<EndpointId, ClientError> {
        Err(ClientError::internal("no-endpoints-here"))
    }

    fn admit(&self, _endpoint: &EndpointId, _from: IpAddr) -> Result<(), ClientError> {
        Ok(())
    }

    fn expects_token(&self, _endpoint: &EndpointId) -> bool {
        false
    }

    fn check_token(&self, _token: &[u8], _claim: Claim<'_>) -> Result<(), TokenRefusal> {
        Err(TokenRefusal::NotOne)
    }

    async fn stored_password(
        &self,
        _endpoint: &EndpointId,
        _role: &str,
    ) -> Result<Option<StoredRole>, ClientError> {
        Ok(None)
    }

    fn knows_key(&self, _key: &str) -> bool {
        false
    }

    /// What is set on the console holds until the file is read again, as in PgBouncer.
    async fn keep_pool_settings(
        &self,
        _changes: &[(&'static str, Option<String>)],
    ) -> Result<(), ClientError> {
        Ok(())
    }

    async fn acquire(&self, endpoint: &EndpointId) -> Result<Backend, ClientError> {
        let target = self.state().targets.get(endpoint).map(Targets::next);
        let target = target.ok_or_else(|| {
            ClientError::fatal(SqlState::INVALID_CATALOG_NAME, "this database is not configured any more")
                .with_hint(help("unknown-database"))
        })?;
        let pass = target.enter().await;
        Ok(Backend { pass, compute: target, ticket: None })
    }

    fn place(&self, _endpoint: &EndpointId, database: &str) -> String {
        database.to_owned()
    }

    fn pool_settings(
        &self,
        _endpoint: &EndpointId,
        database: &str,
        role: &str,
        global: &Settings,
    ) -> Settings {
        let state = self.state();
        let database = state.plan.ini.database(database).map(|entry| &entry.layer);
        let role = state.plan.ini.user(role).map(|entry| &entry.layer);
        global.with(database.into_iter().chain(role))
    }
}
