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
//! In reading order: [`state`] is what the files say, [`users`] what is known of roles, [`door`] answers the rest of the proxy from it, [`config`] says what is understood of a `pgbouncer.ini` and what is refused, [`encryption`] what
//! its TLS settings mean, [`login`] lets clients in ([`prove`] asks them for proof, [`lookup`] asks a server what a
//! role must prove, [`startup`] takes what else they said), [`target`] leads to servers ([`sites`] are the addresses of a name, [`way`] what may change for new connections only), [`server_tls`] encrypts the
//! way ([`old_certs`] are certificates that rustls does not read), [`peers`] are other processes behind the same
//! address, [`handed`] goes along with clients that move to another process, [`requests`] is what the console asks of whoever runs this, [`journal`] what is logged. How a pool proves
//! its role at a server is in `pooled/prove.rs`. Where the next change goes: a setting of the file that must be
//! refused or read is one entry in `config`.

mod config;
mod door;
mod encryption;
mod handed;
pub(crate) mod journal;
mod login;
mod lookup;
pub(crate) mod old_certs;
pub(crate) mod peers;
mod prove;
mod requests;
mod server_tls;
mod sites;
mod startup;
mod state;
mod target;
#[cfg(test)]
mod tests;
mod users;
mod way;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, Weak};

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::Settings;
use dormouse_pooler::config::ini::{Database, Ini};
use parking_lot::{Mutex, RwLock};
use socket2::SockRef;
use tokio::sync::{mpsc, oneshot};

pub use config::{AuthType, Lists, Plan, PlanError};
pub use encryption::{Encryption, TlsMode};
pub use handed::Handed;
pub(crate) use login::{login, never_began};
pub use requests::{Request, Requests, Shutdown};
pub(crate) use target::NoAddress;

use crate::pooled::pools::{PoolKey, Pools};
use crate::pooled::{Order, Target as Meant};
use crate::tls::Tls;
use crate::wake::{Compute, Wake};
use state::State;
use target::Target;
use users::Users;

/// The database that is the console.
pub(crate) const CONSOLE_NAME: &str = "pgbouncer";

/// Whose limits of clients and backends the roles are: those of all databases together.
static EVERYBODY: LazyLock<EndpointId> = LazyLock::new(|| "ep-everybody".parse().expect("it is an ID"));

/// Names of databases that only `*` has an entry for that are remembered.
const MAX_AUTO: usize = 10_000;

/// The door to ordinary servers. Cheap to clone.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    users: Arc<Users>,
    state: RwLock<Arc<State>>,
    requests: mpsc::Sender<Request>,
    /// SHUTDOWN came, and something is still waited for.
    ending: AtomicBool,
    /// PAUSE came by a signal, or SUSPEND.
    paused: AtomicBool,
    /// SUSPEND came.
    suspended: AtomicBool,
    /// Clients of the process before come, and that one still has connections to the servers.
    moving_in: AtomicBool,
    /// Another process has been given the sockets.
    replaced: AtomicBool,
    /// What entries led to before they were changed, while work is held up: who waits there goes on when it may.
    retired: Mutex<Vec<Arc<Target>>>,
    /// Whose PAUSE without a name [`Upstream::resume`] ends, too.
    pools: OnceLock<Weak<Pools>>,
    /// Databases that came by `*`.
    auto: Mutex<HashSet<String>>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

impl Upstream {
    /// As a plan says. What the console asks for comes out of the other end.
    #[must_use]
    pub fn new(plan: Plan, encryption: Encryption) -> (Self, Requests) {
        let users = Arc::new(Users::default());
        let state = State::new(plan, encryption, &HashMap::new(), &users);
        let (requests, asked) = requests::channel();
        let inner = Inner {
            users,
            state: RwLock::new(Arc::new(state)),
            requests,
            ending: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            moving_in: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            retired: Mutex::default(),
            pools: OnceLock::new(),
            auto: Mutex::default(),
        };
        (Self(Arc::new(inner)), asked)
    }

    /// As another plan says, from now on; without `encryption` that stays as it is. Entries that lead where they led keep
    /// their connections, whatever else has changed; those of others serve who has them, and nobody else. What happens to
    /// these is for the new settings to say, so `reconfigure` passes them on before ([`crate::Proxy::reconfigure`]).
    pub fn reload(&self, plan: Plan, encryption: Option<Encryption>, reconfigure: impl FnOnce(&Settings)) {
        let before = self.state();
        let encryption = encryption.unwrap_or_else(|| before.encryption.clone());
        let state = State::new(plan, encryption, &before.targets, &self.0.users);
        if self.is_paused() {
            state.all().for_each(Target::pause);
        }
        *self.0.state.write() = Arc::new(state);
        let state = self.state();
        reconfigure(&state.plan.ini.settings);
        for (id, old) in &before.targets {
            if !state.targets.get(id).is_some_and(|new| new.is_same(old)) {
                old.replaced();
                self.0.retired.lock().extend(old.all().iter().cloned());
            }
        }
        // It was not paused, or is not any more.
        if !self.is_paused() {
            self.let_in();
        }
    }

    fn let_in(&self) {
        self.state().all().for_each(Target::resume);
        self.0.retired.lock().drain(..).for_each(|target| target.resume());
    }

    /// The settings of `[pgbouncer]`.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.state().plan.ini.settings.clone()
    }

    /// The file as it holds now.
    #[must_use]
    pub fn ini(&self) -> Ini {
        self.state().plan.ini.clone()
    }

    /// Sets the options of clients that will come by a socket.
    pub(crate) fn tune_clients(&self, listening: &SockRef<'_>) -> std::io::Result<()> {
        way::tune_clients(listening, &self.state().plan)
    }

    /// TLS for a new client, if it is offered.
    pub(crate) fn tls(&self) -> Option<Tls> {
        self.state().encryption.tls.clone()
    }

    /// The same as PAUSE of everything on the console, as far as nothing else holds: servers that rest are closed.
    pub async fn pause_all(&self) {
        if let Some(pools) = self.0.pools.get().and_then(Weak::upgrade) {
            pools.order(&Meant::All, Order::Pause);
        }
        self.pause().await;
    }

    /// Lets no work begin, and leaves servers as they are; returns when nothing runs any more.
    pub(crate) async fn pause(&self) {
        self.0.paused.store(true, Ordering::Release);
        let state = self.state();
        state.all().for_each(Target::pause);
        for target in state.all() {
            target.gate().emptied().await;
        }
    }

    /// These pools are in front of it.
    pub(crate) fn serves(&self, pools: &Arc<Pools>) {
        let _first = self.0.pools.set(Arc::downgrade(pools));
    }

    /// Undoes [`Upstream::pause`], and PAUSE and KILL of everything on the console. False: nothing of that held.
    pub fn resume(&self) -> bool {
        let suspended = self.0.suspended.swap(false, Ordering::AcqRel);
        let paused = self.0.paused.swap(false, Ordering::AcqRel);
        let stopped = self.0.pools.get().and_then(Weak::upgrade).is_some_and(|it| it.resume(&Meant::All));
        self.let_in();
        suspended || paused || stopped
    }

    /// Marks it as suspended; false when it was.
    pub(crate) fn suspend(&self) -> bool {
        !self.0.suspended.swap(true, Ordering::AcqRel)
    }

    /// Whether SUSPEND holds.
    pub(crate) fn is_suspended(&self) -> bool {
        self.0.suspended.load(Ordering::Acquire)
    }

    /// Takes no new clients any more: it ends when those that are there have gone.
    pub fn begin_to_end(&self) {
        self.0.ending.store(true, Ordering::Release);
    }

    /// Whether it ends.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.0.ending.load(Ordering::Acquire)
    }

    /// The process before sends its clients, or has no more.
    pub fn moves_in(&self, moves: bool) {
        self.0.moving_in.store(moves, Ordering::Release);
    }

    /// Another process may have the sockets: the first one that asks.
    pub(crate) fn may_be_replaced(&self) -> bool {
        !self.0.replaced.swap(true, Ordering::AcqRel)
    }

    /// It did not get them.
    pub(crate) fn is_not_replaced(&self) {
        self.0.replaced.store(false, Ordering::Release);
    }

    /// Asks whoever runs this for something, and waits for the answer.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.0.requests.send(request(answer)).await.ok()?;
        answered.await.ok()
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.state.read())
    }

    /// Everything that the file, or a client by way of `*`, calls a database: its name and its entry.
    pub(crate) fn databases(&self) -> Vec<(String, Database)> {
        let state = self.state();
        let entries = &state.plan.ini.databases;
        let mut all: Vec<_> =
            entries.iter().filter(|it| it.name != "*").map(|it| (it.name.clone(), it.clone())).collect();
        for name in self.0.auto.lock().iter() {
            if let Some(entry) = state.plan.ini.database(name).filter(|entry| entry.name == "*") {
                all.push((name.clone(), entry.clone()));
            }
        }
        all
    }

    /// Whether the file names this database, or a client came for it by way of `*`.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.databases().iter().any(|(known, _)| known == name)
    }

    /// Whether the file has an entry for this database. One that only `*` covers is known from now on, as if a client had
    /// come for it.
    pub(crate) fn register(&self, name: &str) -> bool {
        self.entry(name).is_ok()
    }

    /// Whether work is held up by a signal or SUSPEND.
    pub(crate) fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Acquire)
    }

    /// The pools that are kept up without clients: their role is known beforehand.
    pub(crate) fn kept_up(&self) -> Vec<PoolKey> {
        let settings = self.settings();
        let keep = |(name, entry): (String, Database)| {
            let role = entry.user.clone()?;
            let smallest =
                self.pool_settings(&target::id(&entry.name), &name, &role, &settings).min_pool_size;
            (smallest > 0).then(|| self.key(&entry, &name, &role))
        };
        self.databases().into_iter().filter_map(keep).collect()
    }

    /// The pool of a database and role.
    pub(crate) fn key(&self, entry: &Database, database: &str, role: &str) -> PoolKey {
        PoolKey {
            endpoint: target::id(&entry.name),
            database: database.to_owned(),
            role: role.to_owned(),
            people: Self::everybody(),
        }
    }

    /// A client that logged in as `name` came from another process: its pool, as the file is here.
    ///
    /// # Errors
    /// When the file has no entry for its database.
    pub(crate) fn take_in(
        &self,
        database: &str,
        name: &str,
        handed: &Handed,
    ) -> Result<PoolKey, ClientError> {
        let endpoint = self.entry(database)?;
        self.0.users.take_in(database, name, handed);
        let forced = self.database(database).and_then(|entry| entry.user);
        let role = forced.unwrap_or_else(|| name.to_owned());
        Ok(PoolKey { endpoint, database: database.to_owned(), role, people: Self::everybody() })
    }

    /// The port of a database's server.
    pub(crate) fn port(&self, database: &str) -> u16 {
        self.database(database).and_then(|entry| entry.ports.first().copied()).unwrap_or_default()
    }

    /// The entry of a database, if it has one.
    pub(crate) fn database(&self, name: &str) -> Option<Database> {
        self.state().plan.ini.database(name).cloned()
    }

    /// The roles that the file and its list name.
    pub(crate) fn roles(&self) -> Vec<String> {
        let state = self.state();
        let mut all: Vec<String> = state.plan.lists.users.iter().map(|user| user.name.clone()).collect();
        all.extend(state.plan.ini.users.iter().map(|user| user.name.clone()));
        all.extend(self.0.users.looked_up());
        all.sort();
        all.dedup();
        all
    }

    /// Whose the limits of roles are.
    pub(crate) fn everybody() -> EndpointId {
        EVERYBODY.clone()
    }

    /// The entry of `[databases]` for a database.
    fn entry(&self, database: &str) -> Result<EndpointId, ClientError> {
        let state = self.state();
        let entry = state.plan.ini.database(database).ok_or_else(|| {
            let name = dormouse_pgwire::client_error::quoted(database);
            let text = format!("no such database: {}", name.trim_matches('"'));
            ClientError::fatal(SqlState::INVALID_CATALOG_NAME, text).with_hint(
                "It has no entry in [databases] of the pooler's configuration, and there is no `*`.",
            )
        })?;
        if entry.name == "*" {
            let mut auto = self.0.auto.lock();
            if auto.len() < MAX_AUTO && auto.insert(database.to_owned()) {
                tracing::info!(database, "registered new auto-database");
            }
        }
        Ok(state.id(&entry.name))
    }
}
