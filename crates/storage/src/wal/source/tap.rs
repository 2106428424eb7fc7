//! What the `files` source asks of a running compute, and the slot by which it holds the files.
//!
//! The slot reserves WAL; nobody streams from it. It is moved after bytes are filed, so PostgreSQL keeps what
//! the store does not have yet, up to `max_slot_wal_keep_size`. The answers come from a server whose superuser
//! is not ours: they are positions, used only to read files of a bounded size.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_base::{Lsn, Timeline};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

/// The slot's name.
pub const SLOT: &str = "dormouse_wal";
/// A question that takes longer is given up.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// An error of whoever connects to the compute.
pub type ConnectError = Box<dyn std::error::Error + Send + Sync>;

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// There is no connection.
    #[error("no connection to the compute")]
    Connect(#[source] ConnectError),
    /// The statement failed.
    #[error("a statement about the WAL failed")]
    Statement(#[source] tokio_postgres::Error),
    /// No answer in time.
    #[error("no answer in time")]
    TooSlow,
    /// An answer that makes no sense.
    #[error("the compute gave an impossible answer")]
    Answer,
}

/// Whether the slot still holds the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// There is no slot.
    Missing,
    /// It holds what it should.
    Held,
    /// It is over the limit: files may go at the next checkpoint.
    Unreserved,
    /// It holds nothing any more.
    Lost,
}

/// How far a compute's WAL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// The timeline it writes on.
    pub timeline: Timeline,
    /// Behind the last byte that is on disk.
    pub lsn: Lsn,
    /// Behind the last byte that was given to the operating system; equal to `lsn` when nothing is on its way.
    pub written: Lsn,
    /// The slot.
    pub slot: SlotState,
}

/// What is asked of a running compute.
#[async_trait]
pub trait Tap: Send + Sync + fmt::Debug {
    /// How far it is, and how the slot is.
    ///
    /// # Errors
    /// When it does not answer.
    async fn flushed(&self) -> Result<Flushed, TapError>;

    /// The slot need not hold anything before `upto`.
    ///
    /// # Errors
    /// When it does not answer.
    async fn release(&self, upto: Lsn) -> Result<(), TapError>;

    /// Makes the slot, and makes it anew when it is lost.
    ///
    /// # Errors
    /// When it does not answer.
    async fn ensure_slot(&self) -> Result<(), TapError>;
}

/// Gives a connection; called for every question.
pub type Provider =
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Arc<Client>, ConnectError>> + Send>> + Send + Sync;

/// A [`Tap`] over a superuser connection.
pub struct SqlTap {
    provider: Box<Provider>,
}

impl fmt::Debug for SqlTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlTap").finish_non_exhaustive()
    }
}

impl SqlTap {
    /// Asks over the connections that `provider` gives.
    #[must_use]
    pub fn new(provider: Box<Provider>) -> Self {
        Self { provider }
    }

    async fn ask(&self, sql: &str) -> Result<Option<SimpleQueryRow>, TapError> {
        let ask = async {
            let client = (self.provider)().await.map_err(TapError::Connect)?;
            client.simple_query(sql).await.map_err(TapError::Statement)
        };
        let answer = tokio::time::timeout(ASK_WITHIN, ask).await.map_err(|_| TapError::TooSlow)??;
        Ok(answer.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        }))
    }
}

#[async_trait]
impl Tap for SqlTap {
    async fn flushed(&self) -> Result<Flushed, TapError> {
        let row = self
            .ask(&format!(
                "select pg_catalog.pg_walfile_name(f), f, w, s.slot_name, s.wal_status from \
                 (select pg_catalog.pg_current_wal_flush_lsn() f, pg_catalog.pg_current_wal_lsn() w) p \
                 left join pg_catalog.pg_replication_slots s on s.slot_name = '{SLOT}'"
            ))
            .await?;
        row.and_then(|row| read_flushed(&row)).ok_or(TapError::Answer)
    }

    async fn release(&self, upto: Lsn) -> Result<(), TapError> {
        let sql = format!(
            "select pg_catalog.pg_replication_slot_advance(slot_name, '{upto}') \
             from pg_catalog.pg_replication_slots where slot_name = '{SLOT}' and restart_lsn < '{upto}'"
        );
        self.ask(&sql).await.map(drop)
    }

    async fn ensure_slot(&self) -> Result<(), TapError> {
        self.ask(&format!(
            "select pg_catalog.pg_drop_replication_slot(slot_name) \
             from pg_catalog.pg_replication_slots where slot_name = '{SLOT}' and wal_status = 'lost'"
        ))
        .await?;
        self.ask(&format!(
            "select pg_catalog.pg_create_physical_replication_slot('{SLOT}', true) where not exists \
             (select from pg_catalog.pg_replication_slots where slot_name = '{SLOT}')"
        ))
        .await
        .map(drop)
    }
}

fn read_flushed(row: &SimpleQueryRow) -> Option<Flushed> {
    let text = |column: usize| row.try_get(column).ok().flatten();
    let timeline = u32::from_str_radix(text(0)?.get(..8)?, 16).ok()?;
    let slot = match (text(3), text(4)) {
        (None, _) => SlotState::Missing,
        (_, Some("reserved" | "extended")) => SlotState::Held,
        (_, Some("unreserved")) => SlotState::Unreserved,
        _ => SlotState::Lost,
    };
    Some(Flushed {
        timeline: Timeline(timeline),
        lsn: text(1)?.parse().ok()?,
        written: text(2)?.parse().ok()?,
        slot,
    })
}
