//! A superuser connection over the private socket.

use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_runtime::gate::Pass;
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::SUPERUSER;

/// An administrative statement must not hold up a wake or a stop longer than this.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What every administrative session has, whatever the project chose for its own. Its commits are on disk when they are
/// answered (the point of a branch relies on it), and wait for no standby.
const OPTIONS: &str =
    "-c statement_timeout=60s -c log_statement=none -c search_path=pg_catalog -c synchronous_commit=local";

/// Why the connection failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The socket cannot be reached, or is not the compute's.
    #[error("cannot reach the compute's socket")]
    Socket(#[source] io::Error),
    /// PostgreSQL refused.
    #[error("cannot open the administrative connection to database {database}")]
    Refused {
        /// The database.
        database: String,
        /// The cause.
        #[source]
        source: tokio_postgres::Error,
    },
    /// No answer in time.
    #[error("the administrative connection to database {0} took too long")]
    TooSlow(String),
}

/// Where a compute's socket is, and whose it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// The directory.
    pub dir: PathBuf,
    /// The user ID that PostgreSQL runs as.
    pub uid: u32,
}

impl Socket {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join(".s.PGSQL.5432")
    }

    /// Connects and makes sure that the compute is at the other end. The directory belongs to the
    /// compute, which could have put a link to somebody else's socket there; we may be root, and
    /// somebody else may trust root.
    ///
    /// # Errors
    /// When nobody listens, or somebody else does.
    pub async fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(self.path()).await?;
        let peer = stream.peer_cred()?.uid();
        if peer == self.uid {
            return Ok(stream);
        }
        let text = format!("user {peer} listens there, not the compute's user {}", self.uid);
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    }
}

/// Opens a connection whose driver task lives in `scope`.
///
/// # Errors
/// When PostgreSQL refuses or does not answer in time.
pub async fn connect(socket: &Socket, database: &str, scope: &Scope) -> Result<Client, AdminError> {
    let mut config = Config::new();
    config.user(SUPERUSER).dbname(database).application_name("dormouse").options(OPTIONS);
    let open = async {
        let stream = socket.connect().await.map_err(AdminError::Socket)?;
        let opened = config.connect_raw(stream, NoTls).await;
        opened.map_err(|source| AdminError::Refused { database: database.to_owned(), source })
    };
    let (client, connection) = tokio::time::timeout(CONNECT_WITHIN, open)
        .await
        .map_err(|_| AdminError::TooSlow(database.to_owned()))??;
    let token = scope.token();
    scope.spawn("admin-connection", async move {
        tokio::select! {
            result = connection => if let Err(error) = result {
                tracing::debug!(%error, "administrative connection ended");
            },
            () = token.cancelled() => {}
        }
    });
    Ok(client)
}

/// What a host is given to learn from a running compute: a superuser connection to database
/// `postgres`, and a way into the other databases.
#[derive(Debug, Clone)]
pub struct Door {
    client: Arc<Client>,
    socket: Socket,
    scope: Scope,
}

impl Door {
    pub(crate) fn new(client: Arc<Client>, socket: Socket, scope: Scope) -> Self {
        Self { client, socket, scope }
    }

    /// The superuser connection, for those who keep it.
    #[must_use]
    pub fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    /// Opens a connection to another database; it ends when the client is dropped.
    ///
    /// # Errors
    /// When PostgreSQL refuses or does not answer in time.
    pub async fn open(&self, database: &str) -> Result<Client, AdminError> {
        connect(&self.socket, database, &self.scope).await
    }
}

impl Deref for Door {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A superuser connection with what has been prepared on it.
#[derive(Debug)]
pub(crate) struct Kept {
    client: Arc<Client>,
    /// The few questions that come with every login.
    prepared: Mutex<Vec<(&'static str, Statement)>>,
}

impl Kept {
    pub(crate) fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client: Arc::new(client), prepared: Mutex::default() })
    }

    /// The connection.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Deref for Kept {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A connection that keeps the endpoint awake while it is held.
#[derive(Debug)]
pub struct AdminClient {
    kept: Arc<Kept>,
    _inside: Option<Pass>,
}

impl AdminClient {
    pub(crate) fn new(kept: Arc<Kept>, inside: Option<Pass>) -> Self {
        Self { kept, _inside: inside }
    }

    /// A statement of ours; PostgreSQL parses and plans it once for each connection.
    ///
    /// # Errors
    /// When PostgreSQL does not know what it means, or the connection ended.
    pub async fn prepared(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let known = |(text, statement): &(&str, Statement)| (*text == sql).then(|| statement.clone());
        if let Some(statement) = self.kept.prepared.lock().iter().find_map(known) {
            return Ok(statement);
        }
        let statement = self.kept.client.prepare(sql).await?;
        // Two may have done so at once; the first is found from now on.
        self.kept.prepared.lock().push((sql, statement.clone()));
        Ok(statement)
    }
}

impl Deref for AdminClient {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.kept.client
    }
}
