//! What the proxy asks of the rest of the product. `server` implements it.
//!
//! The order of calls for one connection is fixed, and is invariant 5: `locate`, `admit`,
//! `stored_password` and `check_token` read only, and `acquire`, which may start a compute, comes after
//! the client has proved who it is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_base::{EndpointId, RoleChanges, Secret, Timestamp};
use dormouse_pgwire::ClientError;
use dormouse_pgwire::auth::scram::LoginKeys;
use dormouse_pooler::config::Settings;
use dormouse_runtime::gate::{Closing, Gate, Pass};
use tokio::sync::watch;

use crate::backend_stream::BackendStream;
use crate::route::Route;
use crate::upstream::Handed;

/// A role as the metadata (or the running database) knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRole {
    /// The text of `pg_authid.rolpassword`; `None` = no password, so no login.
    pub password: Option<String>,
    /// `rolcanlogin`.
    pub can_login: bool,
    /// `rolvaliduntil`: the password does not work after this.
    pub valid_until: Option<Timestamp>,
    /// `oid`: which role has this name now. `None` = not known.
    pub oid: Option<u32>,
}

/// What a client claims to be when it shows a token.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Where it wants to go.
    pub endpoint: &'a EndpointId,
    /// As whom.
    pub role: &'a str,
    /// To which database.
    pub database: &'a str,
}

/// Why a login token does not prove a claim. All but the first two carry our signature, so whoever shows
/// them is not guessing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It is no token of ours at all, or a forged one.
    NotOne,
    /// It names a key that is not in use (any more).
    Revoked,
    /// It was good until then.
    Expired(Timestamp),
    /// It will be good from then.
    NotYet(Timestamp),
    /// It is for another role.
    Role,
    /// It is for another project, branch or endpoint.
    Place,
    /// It is for this database only.
    Database(String),
}

/// The door to endpoints.
#[async_trait::async_trait]
pub trait Wake: Send + Sync + 'static {
    /// Which endpoint a route means. The error must not tell which names exist.
    ///
    /// # Errors
    /// When it means none.
    fn locate(&self, route: &Route) -> Result<EndpointId, ClientError>;

    /// Whether clients from this address may connect to this endpoint. Asked before anything else about
    /// the client, so the answer must not depend on who it is.
    ///
    /// # Errors
    /// When they may not.
    fn admit(&self, endpoint: &EndpointId, from: IpAddr) -> Result<(), ClientError>;

    /// Whether somebody may hold a token for this endpoint, so that it makes sense to ask for it. Not by
    /// role: the answer shows, and must not tell which roles exist.
    fn expects_token(&self, endpoint: &EndpointId) -> bool;

    /// Whether a token proves a claim. Asks neither PostgreSQL nor anything that takes long.
    ///
    /// # Errors
    /// When it does not.
    fn check_token(&self, token: &[u8], claim: Claim<'_>) -> Result<(), TokenRefusal>;

    /// What a role must prove. `None` when there is no such role. Never starts a compute for the
    /// client's sake.
    ///
    /// # Errors
    /// When it cannot be known at the moment.
    async fn stored_password(
        &self,
        endpoint: &EndpointId,
        role: &str,
    ) -> Result<Option<StoredRole>, ClientError>;

    /// What [`Wake::stored_password`] would answer from memory, without a wait; `None` when it would have to ask.
    fn remembered_password(&self, _endpoint: &EndpointId, _role: &str) -> Option<StoredRole> {
        None
    }

    /// Whether the role that has proved itself is the one that has its name where the endpoint is, which runs.
    ///
    /// # Errors
    /// When it cannot be known at the moment.
    async fn is_same_role(&self, _: &EndpointId, _role: &str, _oid: u32) -> Result<bool, ClientError> {
        Ok(true)
    }

    /// Whether this is an API key of this server: who has one may use the console.
    fn knows_key(&self, key: &str) -> bool;

    /// Keeps settings of the pooler for the next start; `None` = forget this one.
    ///
    /// # Errors
    /// When they cannot be kept; then none is.
    async fn keep_pool_settings(&self, changes: &[(&'static str, Option<String>)])
    -> Result<(), ClientError>;

    /// The client is authenticated: wakes the endpoint if needed and gives the right to connect.
    ///
    /// # Errors
    /// When it cannot be woken, or not in time.
    async fn acquire(&self, endpoint: &EndpointId) -> Result<Backend, ClientError>;

    /// The run of an endpoint that goes by this name ([`Compute::identity`]), if it is still there. Wakes nothing.
    fn running(&self, _endpoint: &EndpointId, _identity: &str) -> Option<Arc<dyn Compute>> {
        None
    }

    /// The settings of a pool, given those that hold for all.
    fn pool_settings(
        &self,
        _endpoint: &EndpointId,
        _database: &str,
        _role: &str,
        global: &Settings,
    ) -> Settings {
        global.clone()
    }

    /// Whether an API key may run statements at an endpoint, as any of its roles; with none, whether it may anywhere.
    fn key_opens(&self, key: &str, _endpoint: Option<&EndpointId>) -> bool {
        self.knows_key(key)
    }

    /// The role that owns a database, as far as the metadata knows.
    ///
    /// # Errors
    /// When it cannot be known at the moment.
    fn owner_of(&self, _endpoint: &EndpointId, _database: &str) -> Result<Option<String>, ClientError> {
        Ok(None)
    }

    /// Whether an endpoint runs, so that nobody has to wait for it. For information only.
    fn is_awake(&self, _endpoint: &EndpointId) -> bool {
        true
    }

    /// Whether ordinary servers are behind it, and PgBouncer's words and ways are expected.
    fn stands_in(&self) -> bool {
        false
    }

    /// Whether the smallest size of a database's pools holds without clients, too.
    fn keeps_up(&self, _endpoint: &EndpointId, _database: &str) -> bool {
        false
    }

    /// What a login as this role has left that has to go along when its client moves to another process; `None` where a
    /// role has nothing to show.
    fn hand(&self, _database: &str, _role: &str) -> Option<Handed> {
        None
    }

    /// Whether another process still has connections to the servers, and gives them up as its clients come over.
    fn moves_in(&self) -> bool {
        false
    }

    /// Whether nobody configured this database: its pools are forgotten when nobody uses them for long.
    fn is_auto(&self, _endpoint: &EndpointId) -> bool {
        false
    }

    /// A pool of this database was forgotten.
    fn forgotten(&self, _endpoint: &EndpointId, _database: &str) {}

    /// What operators call a database of an endpoint.
    fn place(&self, endpoint: &EndpointId, database: &str) -> String {
        format!("{database}@{endpoint}")
    }
}

/// The right to connect to a running compute.
pub struct Backend {
    /// Keeps the endpoint awake until it is given up.
    pub pass: Pass,
    /// The running compute.
    pub compute: Arc<dyn Compute>,
    /// Present when this client woke it.
    pub ticket: Option<Box<dyn WakeTicket>>,
}

/// One run of a compute. Sessions hold it while they are connected.
#[async_trait::async_trait]
pub trait Compute: Send + Sync + 'static {
    /// Connects to it, having made sure that it really is the other end.
    ///
    /// # Errors
    /// When it does not listen (any more).
    async fn connect(&self) -> io::Result<BackendStream>;

    /// The same, and notes when the other end is reached: what takes long from then on (TLS, a login) is that one's doing.
    ///
    /// # Errors
    /// When it does not listen (any more).
    async fn connect_noting(&self, reached: &AtomicBool) -> io::Result<BackendStream> {
        let stream = self.connect().await?;
        reached.store(true, Ordering::Relaxed);
        Ok(stream)
    }

    /// Connects to the very server that is at the other end of such a connection, to cancel what runs there.
    ///
    /// # Errors
    /// When it does not listen (any more).
    async fn connect_again(&self, _there: Option<SocketAddr>) -> io::Result<BackendStream> {
        self.connect().await
    }

    /// How a pool of this database and role introduces itself. `None`: as what it is, and nothing is asked; a
    /// failure to connect then means that PostgreSQL is just starting, and is tried again.
    fn introduction(&self, _database: &str, _role: &str) -> Option<Introduction> {
        None
    }

    /// Whether nobody can NOTIFY between its end and the next run, so that clients that listen may wait for that one.
    /// Not so with a server that others reach without us.
    fn is_ours_alone(&self) -> bool {
        true
    }

    /// The gate that sessions enter while they work.
    fn gate(&self) -> Arc<Gate>;

    /// Is told when its roles may have changed, before whoever did that is told that it is done. Nobody looks at the one
    /// that is given here: for computes of whose roles nothing is remembered.
    fn role_changes(&self) -> RoleChanges {
        RoleChanges::default()
    }

    /// Tells when and how this run ends. All handles of one run have the same channel, and no other run has it:
    /// see [`same_run`].
    fn closing(&self) -> watch::Receiver<Option<Closing>>;

    /// The same of the connections to one of its addresses, where it has several that may go before it does.
    fn closing_at(&self, _there: Option<SocketAddr>) -> watch::Receiver<Option<Closing>> {
        self.closing()
    }

    /// A name that no other run ever has, and that another process knows it by. `None`: sessions cannot move.
    fn identity(&self) -> Option<String> {
        None
    }

    /// The gate is closed: wakes this run if it is only paused, and enters.
    ///
    /// # Errors
    /// When this run has ended.
    async fn reenter(self: Arc<Self>) -> Result<Pass, ClientError>;
}

/// How a run ends, and so which run it is.
pub(crate) type End = watch::Receiver<Option<Closing>>;

/// Whether two handles are of the same run.
pub(crate) fn same_run(one: &End, other: &End) -> bool {
    one.same_channel(other)
}

/// How to log in to a server that is not a compute of ours.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// Where it is, in words, for messages.
    pub place: String,
    /// As whom.
    pub role: String,
    /// To which database.
    pub database: String,
    /// Startup parameters besides these, in order.
    pub parameters: Vec<(&'static str, String)>,
    /// What proves the role.
    pub password: ServerPassword,
    /// What is run before anybody uses the connection.
    pub first_query: Option<String>,
    /// Connecting and logging in may take this long; zero: for ever.
    pub within: Duration,
}

/// What is known of a password with which to log in elsewhere.
#[derive(Debug, Clone)]
pub enum ServerPassword {
    /// Nothing.
    Unknown,
    /// The password: good for every method.
    Plain(Secret<String>),
    /// Its MD5 text: good for MD5 only.
    Md5(Secret<String>),
    /// What a client's own proof left: good for SCRAM with the same verifier.
    Keys(LoginKeys),
}

/// Measures the last phases of a wake; recorded when dropped.
pub trait WakeTicket: Send + 'static {
    /// The backend is ready for queries.
    fn connected(&mut self);
    /// The first row (or completion) arrived.
    fn first_row(&mut self);
}
