//! `auth_user`, `auth_query`, `auth_dbname`: a role that the list does not know is looked up on a server.
//!
//! The question takes a backend of the pool of (authentication database, `auth_user`), with no settings of the client:
//! who has not proved anything yet must not have a say in how the question is understood.

use dormouse_pgwire::ClientError;
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::userlist::Password;

use super::journal::Journal;
use super::{CONSOLE_NAME, State, Upstream};
use crate::pooled::pools::PoolKey;
use crate::pooled::{Unanswered, ask};
use crate::session::Shared;

/// Who asks where.
pub(super) struct Lookup {
    user: String,
    database: String,
    query: String,
}

impl Lookup {
    /// What the file says for a database; `None`: nobody is asked. `database` is none for the console.
    pub(super) fn of(state: &State, database: Option<&str>) -> Option<Self> {
        let entry = database.and_then(|name| state.plan.ini.database(name));
        if database.is_some() && entry.is_none() {
            // It does not exist, so nothing is to be learnt there.
            return None;
        }
        let global = |name: &str| Some(state.plan.setting(name)).filter(|value| !value.is_empty());
        let user = entry.and_then(|it| it.auth_user.clone()).or_else(|| global("auth_user"))?;
        let place = entry.and_then(|it| it.auth_dbname.clone()).or_else(|| global("auth_dbname"));
        let query = entry.and_then(|it| it.auth_query.clone()).or_else(|| global("auth_query"));
        Some(Self {
            user,
            database: place
                .or_else(|| database.map(str::to_owned))
                .unwrap_or_else(|| CONSOLE_NAME.to_owned()),
            query: query.unwrap_or_default(),
        })
    }

    /// Looks a role up; `None`: the server does not know it. Nothing is left of the question when this is dropped.
    pub(super) async fn find(
        &self,
        shared: &Shared,
        upstream: &Upstream,
        role: &str,
        journal: &Journal,
    ) -> Result<Option<Password>, ClientError> {
        let key = self.pool(shared, upstream, journal)?;
        let pool = shared.pools.get(key);
        let rows = match ask(&pool, &self.query, role).await {
            Ok(rows) => rows,
            Err(Unanswered::NoBackend(error) | Unanswered::TooLate(error)) => return Err(error),
            Err(Unanswered::Failed(error)) => {
                journal.warn(format_args!("auth_query failed: {}", error.message));
                return Err(misconfigured());
            }
        };
        let Some(row) = rows.first() else { return Ok(None) };
        if row.columns.len() != 2 {
            let count = row.columns.len();
            journal.warn(format_args!("expected 2 columns from auth_query, not {count}"));
            return Err(misconfigured());
        }
        if row.text(0).is_none() {
            journal.warn("auth_query response contained null user name");
            return Err(misconfigured());
        }
        let password = Password::of(row.text(1).unwrap_or_default()).map_err(|problem| {
            journal.warn(format_args!("auth_query gives no usable password: {problem}"));
            misconfigured()
        })?;
        Ok(Some(password))
    }

    fn pool(&self, shared: &Shared, upstream: &Upstream, journal: &Journal) -> Result<PoolKey, ClientError> {
        let name = &self.database;
        if name == CONSOLE_NAME {
            journal.warn(format_args!("cannot use the reserved \"{name}\" database as an auth_dbname"));
            return Err(misconfigured());
        }
        let Some(entry) = upstream.database(name) else {
            journal.warn(format_args!("authentication database \"{name}\" is not configured."));
            return Err(misconfigured());
        };
        let key = upstream.key(&entry, name, &self.user);
        if shared.pools.is_disabled(&key) {
            let text = format!("authentication database {} is disabled", quoted(name));
            return Err(ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, text));
        }
        Ok(key)
    }
}

/// What a client is told when the operator has something to put right; the log has the rest.
pub(super) fn misconfigured() -> ClientError {
    ClientError::fatal(SqlState::CONNECTION_REJECTED, "bouncer config error")
        .with_detail("The pooler's log says what is wrong.")
}
