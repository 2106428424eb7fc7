//! A superuser connection over the private socket.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dormouse_runtime::gate::Pass;
use dormouse_runtime::task::Scope;
use tokio_postgres::{Client, Config, NoTls};

use super::SUPERUSER;

/// An administrative statement must not hold up a wake or a stop longer than this.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Why the connection failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the administrative connection to database {database}")]
pub struct AdminError {
    /// The database.
    pub database: String,
    /// The cause, `None` when it took too long.
    #[source]
    pub source: Option<tokio_postgres::Error>,
}

/// Opens a connection whose driver task lives in `scope`.
///
/// # Errors
/// When PostgreSQL refuses or does not answer in time.
pub async fn connect(socket_dir: &Path, database: &str, scope: &Scope) -> Result<Client, AdminError> {
    let mut config = Config::new();
    config
        .host_path(socket_dir)
        .user(SUPERUSER)
        .dbname(database)
        .application_name("dormouse")
        .options("-c statement_timeout=60s -c log_statement=none -c search_path=pg_catalog");
    let failed = |source| AdminError { database: database.to_owned(), source };
    let (client, connection) = tokio::time::timeout(CONNECT_WITHIN, config.connect(NoTls))
        .await
        .map_err(|_| failed(None))?
        .map_err(|error| failed(Some(error)))?;
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

/// A connection that keeps the endpoint awake while it is held.
#[derive(Debug)]
pub struct AdminClient {
    client: Arc<Client>,
    _inside: Pass,
}

impl AdminClient {
    pub(crate) fn new(client: Arc<Client>, inside: Pass) -> Self {
        Self { client, _inside: inside }
    }
}

impl Deref for AdminClient {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}
