//! Is there work that no client session stands for?
//!
//! The gate ([`dormouse_runtime::gate`]) knows every statement and open transaction of every
//! client. What it cannot know, PostgreSQL is asked before it is put to sleep:
//!
//! | work | where it shows |
//! |---|---|
//! | a statement or open transaction (a second opinion) | client backend not `idle` |
//! | a held session advisory lock | `pg_locks`, granted, of an idle session |
//! | autovacuum | `autovacuum worker` |
//! | a backup or a replica that is not the WAL service | `walsender` of another role than our own |
//! | a subscription | logical replication worker |
//! | a job of pg_cron or another background worker | any other backend that is `active` |
//!
//! Idle sessions are not work. Prepared transactions are not: they survive a stop.

use tokio_postgres::Client;

use crate::postgres::SUPERUSER;

const QUESTION: &str = "
SELECT
  (SELECT count(*) FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND state <> 'idle'
       AND pid <> pg_backend_pid() AND usename IS DISTINCT FROM $1) AS statements,
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted) AS advisory_locks,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker') AS autovacuum,
  (SELECT count(*) FROM pg_stat_activity
     WHERE backend_type = 'walsender' AND usename IS DISTINCT FROM $1) AS replication,
  (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL) AS subscriptions,
  (SELECT count(*) FROM pg_stat_activity
     WHERE state = 'active' AND backend_type NOT IN
       ('client backend', 'autovacuum worker', 'walsender', 'parallel worker')) AS workers";

/// What is going on besides the clients the proxy knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// Running statements and open transactions.
    pub statements: i64,
    /// Session advisory locks held.
    pub advisory_locks: i64,
    /// Autovacuum workers.
    pub autovacuum: i64,
    /// Replication clients that are not ours.
    pub replication: i64,
    /// Live subscription workers.
    pub subscriptions: i64,
    /// Other background workers that are executing something.
    pub workers: i64,
}

impl Activity {
    /// Asks PostgreSQL.
    ///
    /// # Errors
    /// When the question fails; not knowing counts as work.
    pub async fn ask(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let row = client.query_one(QUESTION, &[&SUPERUSER]).await?;
        Ok(Self {
            statements: row.try_get(0)?,
            advisory_locks: row.try_get(1)?,
            autovacuum: row.try_get(2)?,
            replication: row.try_get(3)?,
            subscriptions: row.try_get(4)?,
            workers: row.try_get(5)?,
        })
    }

    /// The first kind of work there is, by name; `None` when all is quiet.
    #[must_use]
    pub fn work(self) -> Option<&'static str> {
        [
            (self.statements, "a running statement or an open transaction"),
            (self.advisory_locks, "a held advisory lock"),
            (self.autovacuum, "autovacuum"),
            (self.replication, "a replication client or a backup"),
            (self.subscriptions, "a live subscription"),
            (self.workers, "a busy background worker"),
        ]
        .into_iter()
        .find_map(|(count, name)| (count > 0).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_means_nothing_at_all() {
        assert_eq!(Activity::default().work(), None);
        assert!(Activity { autovacuum: 1, ..Activity::default() }.work().is_some());
    }
}
