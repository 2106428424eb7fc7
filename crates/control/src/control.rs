//! Holds control together. `server` uses it in three steps, because the fleet needs the keeper and
//! control needs the fleet:
//!
//! ```text
//!  Foundation::open(config)        metadata, machine key, directories, keeper
//!  Fleet::new(foundation.keeper()) the computes
//!  Control::new(foundation, fleet, vault) operations, HTTP API, reconcilers
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use dormouse_base::{EndpointId, Secret, clock};
use dormouse_runtime::task::Scope;
use dormouse_statistics::Recorder;
use parking_lot::Mutex;

use crate::alerts::Watch;
use crate::api_key;
use crate::calendar::Calendar;
use crate::computes::Computes;
use crate::config::{Config, StartError};
use crate::db::{Db, DbError, api_keys, belongs, databases, endpoints, sessions, settings};
use crate::directory::Directories;
use crate::first::{self, FirstProject};
use crate::identity::Oidc;
use crate::identity::session::{self, Doorman, Session};
use crate::keeper::Keeper;
use crate::known::Known;
use crate::locate::{LocateError, Located, Locator};
use crate::measure::exported::Exported;
use crate::measure::storage::Stored;
use crate::metering::Clients;
use crate::metrics::Metrics;
use crate::model::token::TokenError;
use crate::node::Node;
use crate::node::sizes::Retention;
use crate::operation::{Executor, kinds};
use crate::password::Passwords;
use crate::pooler::Attached;
use crate::reconcile::{self, Statuses};
use crate::replies::Replies;
use crate::secrets::{Secrets, private_file};
use crate::token::Tokens;
use crate::vault::Vault;

/// The file with the API key of this machine's command line, in the data directory.
pub const LOCAL_KEY_FILE: &str = "api.key";

/// Everything that does not need the fleet.
#[derive(Debug, Clone)]
pub struct Foundation {
    pub(crate) config: Arc<Config>,
    pub(crate) db: Db,
    pub(crate) calendar: Calendar,
    pub(crate) known: Known,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) tokens: Tokens,
    pub(crate) directories: Directories,
    pub(crate) keeper: Keeper,
    pub(crate) node: Node,
    pub(crate) recorder: Recorder,
    pub(crate) exported: Exported,
    /// How large everything was when it was measured last.
    pub(crate) stored: Stored,
    /// Where alerts are; the reconciler `alerts` writes it.
    pub(crate) watch: Arc<Mutex<Watch>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) identities: Option<Oidc>,
}

impl Foundation {
    /// Opens (the first time: makes) metadata, machine key and directories. Blocks.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn open(config: Config) -> Result<Self, StartError> {
        let db = Db::open(&config.data).map_err(StartError::Open)?;
        if let Some(id) = config.store.id() {
            belongs::remember(&db, id).map_err(StartError::Metadata)?;
        }
        let recorder = Recorder::open(&config.data).map_err(StartError::Statistics)?;
        let secrets = Arc::new(Secrets::open(&config.data).map_err(StartError::Key)?);
        let tokens = Tokens::open(&config.data, db.clone()).map_err(StartError::Key)?;
        let directories = Directories::open(&config.data, config.installations.clone(), config.identities)
            .map_err(StartError::Directory)?;
        let metrics = Arc::new(Metrics::default());
        let calendar = Calendar::new(db.clone());
        let node = Node::new(
            config.store.clone(),
            directories.clone(),
            config.identities,
            (config.data.clone(), config.run_root.clone()),
            Arc::new(Retention { db: db.clone(), calendar: calendar.clone() }),
            config.ways,
            &Scope::new(),
        );
        let (timeouts, pricing) = (config.timeouts, Arc::clone(&config.pricing));
        let keeper = Keeper::new(db.clone(), node.clone(), timeouts, Arc::clone(&metrics), pricing)
            .map_err(StartError::Metadata)?;
        node.report_to(keeper.clone());
        let known = Known::new(db.clone());
        let identities = config.oidc.clone().map(Oidc::new).transpose().map_err(StartError::Identity)?;
        let (watch, db_of_metrics) = (Arc::default(), db.clone());
        Ok(Self {
            config: Arc::new(config),
            db,
            calendar,
            known,
            secrets,
            tokens,
            directories,
            keeper,
            node,
            exported: Exported::new(recorder.clone(), Arc::clone(&watch), db_of_metrics),
            recorder,
            stored: Arc::default(),
            watch,
            metrics,
            identities,
        })
    }

    /// What this node holds of branches.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node.clone()
    }

    /// After a start, before computes are adopted: the node looks at its directories.
    ///
    /// # Errors
    /// When the metadata or the directories cannot be read.
    pub async fn look_around(&self) -> Result<(), StartError> {
        let slot = |endpoint: &EndpointId| {
            let row = self.db.read("read an endpoint", |db| endpoints::get(db, endpoint));
            row.ok().flatten().map(|row| row.slot)
        };
        self.node.look_around(slot).await.map_err(StartError::Node)
    }

    /// What the fleet asks: `Fleet::new(Arc::new(foundation.keeper()), …)`.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        self.keeper.clone()
    }
}

/// The control plane of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    pub(crate) foundation: Foundation,
    pub(crate) computes: Arc<dyn Computes>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) executor: Executor,
    pub(crate) statuses: Statuses,
    pub(crate) scope: Scope,
    pub(crate) pooler: Attached,
    pub(crate) identities: Option<Oidc>,
    pub(crate) replies: Replies,
    /// What roles must prove.
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) doorman: Doorman,
}

impl Control {
    /// Control over these computes and this storage. Operations run in `scope`; nothing is started yet.
    #[must_use]
    pub fn new(
        foundation: Foundation,
        computes: Arc<dyn Computes>,
        vault: Arc<dyn Vault>,
        scope: &Scope,
    ) -> Self {
        foundation.node.attach(Arc::clone(&computes));
        let kinds = kinds::all(&foundation, &computes, &vault);
        let metrics = Arc::clone(&foundation.metrics);
        let executor = Executor::new(foundation.db.clone(), scope.clone(), kinds, metrics);
        let statuses = Statuses::default();
        let pooler = Attached::default();
        let identities = foundation.identities.clone();
        let replies = Replies::new(foundation.db.clone(), Arc::clone(&foundation.secrets));
        let passwords = Arc::new(Passwords::new(&foundation, Arc::clone(&computes), scope.clone()));
        let scope = scope.clone();
        let doorman = Doorman::new(&foundation.config.data);
        Self {
            foundation,
            computes,
            vault,
            executor,
            statuses,
            scope,
            pooler,
            identities,
            replies,
            passwords,
            doorman,
        }
    }

    /// The API below `/api/v2`. Every route asks for a key.
    pub fn router(&self) -> axum::Router {
        crate::http::router(self)
    }

    /// Starts the reconcilers, which also resume unfinished operations. Call it once.
    pub fn start_reconcilers(&self) {
        reconcile::start_all(self, &self.scope);
    }

    /// The proxy is there: what its clients do is counted. Only the first one holds.
    pub fn attach_clients(&self, clients: Arc<dyn Clients>) {
        self.foundation.keeper.meter().attach(clients);
    }

    /// How the reconcilers are doing, by name.
    #[must_use]
    pub fn reconcilers(&self) -> Vec<(&'static str, reconcile::Status)> {
        self.statuses.all()
    }

    /// What was measured, and what measures.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        self.foundation.recorder.clone()
    }

    /// Makes control's counters visible.
    pub fn register_metrics(&self, metrics: &dormouse_runtime::telemetry::Metrics) {
        self.foundation.metrics.register(metrics);
        self.foundation.db.register_metrics(metrics);
        let exported = Box::new(self.foundation.exported.clone());
        metrics.register(|registry| registry.register_collector(exported));
        self.foundation.node.register_metrics(metrics);
    }

    /// Which endpoint a route means. Takes microseconds.
    ///
    /// # Errors
    /// When nothing is there. The proxy must not pass the error's names on to clients.
    pub fn locate(&self, place: &Locator<'_>) -> Result<Located, LocateError> {
        self.foundation.known.locate(place)
    }

    /// Whether clients from this address may connect to this endpoint. Takes microseconds.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn admits(&self, endpoint: &EndpointId, from: IpAddr) -> Result<bool, DbError> {
        self.foundation.known.admits(endpoint, from)
    }

    /// Whether somebody may hold a login token for this endpoint. Takes microseconds.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn expects_token(&self, endpoint: &EndpointId) -> Result<bool, DbError> {
        self.foundation.tokens.expected(endpoint)
    }

    /// Whether a login token proves that its holder may be this role here. Takes microseconds.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn check_token(
        &self,
        token: &[u8],
        endpoint: &EndpointId,
        role: &str,
        database: &str,
    ) -> Result<Result<(), TokenError>, DbError> {
        self.foundation.tokens.verify(token, endpoint, role, database)
    }

    /// The role that owns a database of an endpoint's branch; `None` = there is no such database that we know.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn owner_of(&self, endpoint: &EndpointId, database: &str) -> Result<Option<String>, DbError> {
        self.foundation.db.read("find the owner of a database", |db| {
            let Some(endpoint) = endpoints::get(db, endpoint)? else { return Ok(None) };
            Ok(databases::get(db, &endpoint.branch_id, database)?.map(|database| database.owner))
        })
    }

    /// Whether a key is one of ours that may use the whole server: one that is bound to a project may not, for
    /// example, log in to the pooler's console.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn knows_key(&self, key: &str) -> Result<bool, DbError> {
        Ok(api_key::check(&self.foundation.db, key)?.is_some_and(|row| row.project_id.is_none()))
    }

    /// The session of a browser, if it is one that goes on.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) fn session(&self, token: &str) -> Result<Option<Session>, DbError> {
        let hash = session::hash(token);
        let found = self.foundation.db.read("look for a session", |db| sessions::find(db, &hash))?;
        Ok(found.filter(|session| session.is_alive(clock::now())))
    }

    /// Makes the cookie of a request from the console as good as an `Authorization` header.
    pub fn lend(&self, headers: &mut axum::http::HeaderMap) {
        self.doorman.lend(headers);
    }

    /// A code that signs a browser in once with this API key; `None` = the key is not known any more.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn console_code(&self, key: &Secret<String>) -> Result<Option<Secret<String>>, DbError> {
        let row = api_key::check(&self.foundation.db, key.expose())?;
        Ok(row.map(|row| self.doorman.issue(row.id, clock::now()).0))
    }

    /// Whether a key, or a session, may run statements at an endpoint: one that is bound to a project, in that project. Without an
    /// endpoint: whether it may anywhere.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn key_opens(&self, key: &str, endpoint: Option<&EndpointId>) -> Result<bool, DbError> {
        let project = if key.starts_with(session::START) {
            let Some(session) = self.session(key)? else { return Ok(false) };
            session.project
        } else {
            let Some(row) = api_key::check(&self.foundation.db, key)? else { return Ok(false) };
            row.project_id
        };
        let (Some(project), Some(endpoint)) = (project, endpoint) else { return Ok(true) };
        let row = self.foundation.db.read("read an endpoint", |db| endpoints::get(db, endpoint))?;
        Ok(row.is_some_and(|endpoint| endpoint.project_id == project))
    }

    /// The project `default`: makes it at the first start, finds it (or the oldest one) later.
    /// `None` = the user deleted every project; that is not undone behind their back.
    ///
    /// # Errors
    /// When it cannot be made, for example because no PostgreSQL is installed.
    pub async fn first_project(&self) -> Result<Option<FirstProject>, StartError> {
        first::first_project(self).await
    }

    /// The API key of this machine's own command line, from `api.key` in the data directory (0600).
    /// Makes file and key the first time; a key that was revoked stays revoked. Blocks.
    ///
    /// # Errors
    /// When the file or the metadata cannot be used.
    pub fn local_key(&self) -> Result<Secret<String>, StartError> {
        let path = self.foundation.config.data.join(LOCAL_KEY_FILE);
        let bytes = private_file(&path, || api_key::generate_text().into_bytes()).map_err(StartError::Key)?;
        let key = Secret::new(String::from_utf8_lossy(bytes.expose()).trim().to_owned());
        // The note tells a key that was revoked (note, no row) from one that a crash kept from
        // getting its row, or whose metadata is new (no note).
        let row = api_key::row_of(key.expose(), "local command line", clock::now());
        let note = hex::encode(&row.hash);
        let add = |db: &rusqlite::Transaction<'_>| {
            if settings::get(db, settings::LOCAL_KEY)?.as_deref() != Some(note.as_str()) {
                api_keys::insert(db, &row)?;
                settings::put(db, settings::LOCAL_KEY, &note)?;
            }
            Ok(())
        };
        self.foundation.db.write_now("add the local API key", add).map_err(StartError::Metadata)?;
        Ok(key)
    }
}
