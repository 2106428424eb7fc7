//! The metadata: one SQLite file with what should exist.
//!
//! It holds wishes and what was learned, never storage truth. Two connections: a reader for the many
//! small questions (the connect path asks one per login, microseconds each, so it may ask inline)
//! and a writer for transactions. WAL mode keeps them out of each other's way; `synchronous=FULL`
//! makes a committed wish survive a loss of power.
//!
//! One file per table. Their functions take a `&Connection`, so that the caller decides what is in
//! one transaction. [`migrations`] is the only place that changes the schema.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_runtime::telemetry::Metrics;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub mod schema;
pub mod migrations;
pub mod column;
pub mod projects;
pub mod branches;
pub mod endpoints;
pub mod roles;
pub mod databases;
pub mod api_keys;
pub mod sessions;
pub mod audit;
pub mod replies;
pub mod usage;
pub mod cost;
pub mod quotas;
pub mod snapshots;
pub mod alerts;
pub mod webhooks;
pub mod tokens;
pub mod operations;
pub mod events;
pub mod metas;
pub mod settings;
pub mod belongs;

/// The file name in the data directory.
pub const FILE: &str = "metadata.sqlite";
/// Upper bounds in seconds of the time of a transaction: from a fast disk to a stuck one.
const TRANSACTION_BUCKETS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];
/// How long one connection waits for the other's lock before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The metadata could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("metadata: cannot {what}")]
pub struct DbError {
    /// What was tried.
    what: &'static str,
    /// The cause.
    #[source]
    source: rusqlite::Error,
}

impl DbError {
    /// Whether a uniqueness rule was hit: the name is taken, or the project is busy.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(&self.source, rusqlite::Error::SqliteFailure(e, _)
            if e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
            || e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY)
    }

    /// Whether the hit rule is the one of that table.
    #[must_use]
    pub fn conflicts_in(&self, table: &str) -> bool {
        self.is_conflict()
            && matches!(&self.source, rusqlite::Error::SqliteFailure(_, Some(text)) if text.contains(&format!("{table}.")))
    }

    /// Whether the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
    }
}

/// The metadata store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    /// For questions that take long, so that nobody who logs in waits for them.
    surveyor: Mutex<Connection>,
    /// Transactions so far.
    generation: AtomicU64,
    /// How long each took, waiting for others included.
    times: Histogram,
    failures: Counter,
}

impl Db {
    /// Opens the store in a data directory; makes it (readable by the owner only) if it is not there
    /// and brings it up to the current schema.
    ///
    /// # Errors
    /// When the file cannot be opened, is not a database, or was written by a newer version.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        // Made before SQLite does, so that it is never readable by others.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| OpenError::Create { path: path.clone(), source })?;
        let connect = || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok(connection)
        };
        let mut writer = connect().map_err(|source| OpenError::Open { path: path.clone(), source })?;
        migrations::run(&mut writer).map_err(|e| e.at(&path))?;
        let reader = connect().map_err(|source| OpenError::Open { path: path.clone(), source })?;
        let surveyor = connect().map_err(|source| OpenError::Open { path: path.clone(), source })?;
        let (writer, reader, surveyor) = (Mutex::new(writer), Mutex::new(reader), Mutex::new(surveyor));
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                reader,
                surveyor,
                generation: AtomicU64::new(0),
                times: Histogram::new(TRANSACTION_BUCKETS),
                failures: Counter::default(),
            }),
        })
    }

    /// Another number after every change. What was read after it was looked at is at least as new as that.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// Asks a question. Keep it small: it runs where it is called.
    ///
    /// # Errors
    /// When SQLite fails; `what` says what was tried.
    pub fn read<T>(
        &self,
        what: &'static str,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DbError> {
        ask(&self.inner.reader.lock()).map_err(|source| DbError { what, source })
    }

    /// Asks something that reads a lot, away from the executor's threads; one such question at a time.
    ///
    /// # Errors
    /// When SQLite fails; `what` says what was tried.
    pub async fn survey<T, F>(&self, what: &'static str, ask: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let db = self.clone();
        let ask = move || ask(&db.inner.surveyor.lock()).map_err(|source| DbError { what, source });
        dormouse_runtime::task::blocking(ask).await
    }

    /// Runs one transaction, durable when this returns. Blocks for the disk; async code uses
    /// [`Db::write`].
    ///
    /// # Errors
    /// When SQLite fails; then nothing was changed.
    pub fn write_now<T>(
        &self,
        what: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, DbError> {
        let start = Mono::now();
        let mut writer = self.inner.writer.lock();
        let run = |writer: &mut Connection| {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        let done = run(&mut writer);
        // Whatever came of it: a commit that failed may have happened.
        self.inner.generation.fetch_add(1, Ordering::Release);
        self.inner.times.observe(start.elapsed().as_secs_f64());
        if done.is_err() {
            self.inner.failures.inc();
        }
        done.map_err(|source| DbError { what, source })
    }

    /// Makes visible how long transactions take.
    pub(crate) fn register_metrics(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let help = "Time of a transaction of the metadata, waiting for others and for the disk included";
            registry.register_with_unit(
                "dormouse_metadata_transaction",
                help,
                Unit::Seconds,
                self.inner.times.clone(),
            );
            let help = "Transactions of the metadata that failed";
            registry.register("dormouse_metadata_failures", help, self.inner.failures.clone());
        });
    }

    /// Bytes in use in the file.
    ///
    /// # Errors
    /// When SQLite does not say.
    pub(crate) fn bytes(&self) -> Result<u64, DbError> {
        let bytes = self.read("measure the metadata", |db| {
            let pragma = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
        })?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// [`Db::write_now`] away from the executor's threads.
    ///
    /// # Errors
    /// As for [`Db::write_now`].
    pub async fn write<T, F>(&self, what: &'static str, change: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let db = self.clone();
        dormouse_runtime::task::blocking(move || db.write_now(what, change)).await
    }
}

/// The metadata store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made.
    #[error("cannot make the metadata file {path}: check the permissions of its directory")]
    Create {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refuses it.
    #[error("cannot open the metadata file {path}")]
    Open {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer version wrote it.
    #[error(
        "{path} was written by a newer Dormouse (schema {found}, this one knows {known}): use that version or newer"
    )]
    Newer {
        /// The file.
        path: std::path::PathBuf,
        /// The schema in the file.
        found: usize,
        /// The newest schema known here.
        known: usize,
    },
    /// A step of the schema's history failed.
    #[error("cannot bring the metadata file {path} to schema {step}")]
    Migrate {
        /// The file.
        path: std::path::PathBuf,
        /// The step that failed; nothing of it was kept.
        step: usize,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
}

#[cfg(test)]
mod tests;
