//! What a role must prove to log in, such that a changed or revoked password stops working at once, if Dormouse sees the
//! change.
//!
//! ```text
//!  endpoint            who knows
//!  Active              PostgreSQL: ask its catalog, or have asked milliseconds ago ([`crate::remembered`])
//!  Starting, Stopping  nobody yet: wait until it is one of the others
//!  Paused, Stopped     the metadata, when it is exact
//!  read-only           its branch's writer is asked in its place
//!  Stopped, not exact  PostgreSQL alone, and it is not running: the last run ended badly. The server
//!                      (not the client, who has proved nothing yet) starts it to recover, then asks it.
//! ```

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{EndpointId, Kind, Timestamp};
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use dormouse_compute::spec::Mode;
use dormouse_runtime::task::Scope;

use crate::computes::{ComputeError, Computes};
use crate::control::{Control, Foundation};
use crate::db::{Db, DbError, endpoints, roles};
use crate::keeper::Keeper;
use crate::known::Known;
use crate::model::name::{ADMIN_ROLE, MAX_SQL_NAME};
use crate::model::record::{Endpoint, Pending};
use crate::remembered::{Asked, Remembered};

/// How often an endpoint may change its state between question and answer.
const MAX_ROUNDS: u32 = 8;
/// The pause after an endpoint that calls itself Active did not answer, for example because it has
/// just died; it doubles, to 1.3 s.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

const ASK: &str = "SELECT rolpassword::text, rolcanlogin,
    CASE WHEN rolvaliduntil = '-infinity' THEN 0
         WHEN isfinite(rolvaliduntil) AND rolvaliduntil < '9000-01-01'
         THEN (extract(epoch FROM rolvaliduntil) * 1000000)::bigint END,
    oid
    FROM pg_catalog.pg_authid WHERE rolname = $1::text";

/// What is known of a role for its login.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRole {
    /// The text of `rolpassword`; `None` = it has no password.
    pub verifier: Option<String>,
    /// Whether it may log in at all.
    pub can_login: bool,
    /// When its password ends.
    pub valid_until: Option<Timestamp>,
    /// Which role has this name now (`pg_authid.oid`); `None` when PostgreSQL has not told yet.
    pub oid: Option<u32>,
}

impl std::fmt::Debug for StoredRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A verifier is as good as a password for somebody with time.
        let has_password = self.verifier.is_some();
        f.debug_struct("StoredRole")
            .field("has_password", &has_password)
            .field("can_login", &self.can_login)
            .finish()
    }
}

/// The password cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The endpoint is gone.
    #[error("the endpoint does not exist any more")]
    NoEndpoint,
    /// Only the compute knows, and it cannot be asked.
    #[error("{0}")]
    Compute(#[source] ComputeError),
    /// The metadata failed.
    #[error("the metadata cannot be read")]
    Metadata(#[source] DbError),
}

impl PasswordError {
    /// What a caller should do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoEndpoint => Kind::NotFound,
            Self::Compute(error) => error.kind,
            Self::Metadata(_) => Kind::Internal,
        }
    }

    /// A kebab-case stem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "endpoint-not-found",
            Self::Compute(error) => error.code,
            Self::Metadata(_) => "metadata-failed",
        }
    }
}

impl Control {
    /// What a role must prove to log in; `None` = there is no such role. May wake an endpoint whose
    /// last run ended badly, because nobody else knows.
    ///
    /// # Errors
    /// When only the compute knows, and it cannot be asked.
    pub async fn stored_password(
        &self,
        endpoint: &EndpointId,
        role: &str,
    ) -> Result<Option<StoredRole>, PasswordError> {
        self.passwords.stored(endpoint, role).await
    }

    /// What [`Self::stored_password`] would answer from memory; `None` when it would have to ask. Takes microseconds.
    #[must_use]
    pub fn remembered_password(&self, endpoint: &EndpointId, role: &str) -> Option<StoredRole> {
        self.passwords.remembered(endpoint, role)
    }

    /// Whether a role that has proved itself is the one that has its name where the endpoint is, which runs. Takes
    /// microseconds but for a reader, which may be of an earlier moment than the branch whose roles are its own.
    ///
    /// # Errors
    /// When only the compute knows, and it cannot be asked.
    pub async fn is_same_role(
        &self,
        endpoint: &EndpointId,
        role: &str,
        oid: u32,
    ) -> Result<bool, PasswordError> {
        self.passwords.is_same(endpoint, role, oid).await
    }
}

/// Answers [`Passwords::stored`].
#[derive(Debug)]
pub(crate) struct Passwords {
    db: Db,
    known: Known,
    keeper: Keeper,
    remembered: Remembered,
    computes: Arc<dyn Computes>,
    scope: Scope,
}

impl Passwords {
    /// Of these computes; nothing is remembered yet. Questions that nobody waits for are tasks of `scope`.
    pub(crate) fn new(foundation: &Foundation, computes: Arc<dyn Computes>, scope: Scope) -> Self {
        Self {
            db: foundation.db.clone(),
            known: foundation.known.clone(),
            keeper: foundation.keeper.clone(),
            remembered: Remembered::default(),
            computes,
            scope,
        }
    }

    /// What [`Self::stored`] would answer from memory; `None` when it would have to ask. An answer that ages is asked for
    /// again by the first who uses it.
    pub(crate) fn remembered(self: &Arc<Self>, id: &EndpointId, role: &str) -> Option<StoredRole> {
        // A reader's roles are asked for where its branch is written.
        self.known.mode(id).ok()?.filter(|mode| *mode != Mode::ReadOnly)?;
        if self.computes.state(id) != State::Active {
            return None;
        }
        let now = Asked::now(&self.computes.role_changes(id)?);
        let recalled = self.remembered.get(id, role, now)?;
        if recalled.renew {
            let (passwords, id, role) = (Arc::clone(self), id.clone(), role.to_owned());
            let token = self.scope.token();
            self.scope.spawn("renew-password", async move {
                // Without an answer the next login asks, and is told what is wrong.
                let renewed = passwords.ask_and_remember(&id, &role, now);
                let _told = token.run_until_cancelled(renewed).await;
            });
        }
        Some(recalled.role)
    }

    /// What a role must prove; `None` = there is no such role.
    pub(crate) async fn stored(
        &self,
        id: &EndpointId,
        role: &str,
    ) -> Result<Option<StoredRole>, PasswordError> {
        // PostgreSQL would not even look up a longer name, it calls it an error.
        if role == ADMIN_ROLE || role.len() > MAX_SQL_NAME {
            return Ok(None);
        }
        match self.known.mode(id).map_err(PasswordError::Metadata)? {
            None => return Err(PasswordError::NoEndpoint),
            Some(Mode::ReadOnly) => return self.stored_for_reader(&self.row(id)?, role).await,
            Some(_) => {}
        }
        let mut last = None;
        for round in 0..MAX_ROUNDS {
            match self.computes.settled(id).await {
                State::Active => match self.lately(id, role).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => {
                        last = Some(error);
                        tokio::time::sleep(FIRST_PAUSE * 2u32.pow(round)).await;
                    }
                },
                State::Paused | State::Stopped => {
                    let row = self.row(id)?;
                    if self.keeper.is_exact(&row) {
                        let answer = self.look_up(&row, role)?;
                        // Exact only if it still sleeps: a client that got in meanwhile may have changed it.
                        if self.keeper.is_exact(&self.row(id)?) {
                            return Ok(answer);
                        }
                    } else {
                        self.computes.wake(id, Cause::Heal).await.map_err(PasswordError::Compute)?;
                    }
                }
                State::Starting | State::Stopping => {}
            }
        }
        let busy = || ComputeError {
            kind: Kind::Unavailable,
            code: "compute-did-not-start",
            message: "the endpoint keeps starting and stopping: try again".to_owned(),
        };
        Err(PasswordError::Compute(last.unwrap_or_else(busy)))
    }

    /// A reader's roles are those of its branch: its writer knows them, or the branch's rows do.
    async fn stored_for_reader(
        &self,
        reader: &Endpoint,
        role: &str,
    ) -> Result<Option<StoredRole>, PasswordError> {
        let writer = self.db.read("find an endpoint", |db| endpoints::of_branch(db, &reader.branch_id));
        match writer.map_err(PasswordError::Metadata)? {
            Some(writer) => Box::pin(self.stored(&writer.id, role)).await,
            None => self.look_up(reader, role),
        }
    }

    /// Whether the name is the same role's where the endpoint is. Its branch's writer was asked for a reader's roles,
    /// which may be of an earlier moment.
    pub(crate) async fn is_same(&self, id: &EndpointId, role: &str, oid: u32) -> Result<bool, PasswordError> {
        match self.known.mode(id).map_err(PasswordError::Metadata)? {
            Some(Mode::ReadOnly) => {
                let here = self.ask(id, role).await.map_err(PasswordError::Compute)?;
                Ok(here.is_some_and(|here| here.oid == Some(oid)))
            }
            _ => Ok(true),
        }
    }

    fn row(&self, id: &EndpointId) -> Result<Endpoint, PasswordError> {
        let row = self.db.read("read an endpoint", |db| endpoints::get(db, id));
        row.map_err(PasswordError::Metadata)?.ok_or(PasswordError::NoEndpoint)
    }

    fn look_up(&self, endpoint: &Endpoint, role: &str) -> Result<Option<StoredRole>, PasswordError> {
        let row = self.db.read("read a role", |db| roles::get(db, &endpoint.branch_id, role));
        let row = row.map_err(PasswordError::Metadata)?.filter(|row| row.pending != Some(Pending::Drop));
        Ok(row.map(|row| StoredRole {
            verifier: row.verifier,
            can_login: row.can_login,
            valid_until: row.valid_until,
            oid: row.oid,
        }))
    }

    /// Asks, unless the answer is known.
    async fn lately(&self, id: &EndpointId, role: &str) -> Result<Option<StoredRole>, ComputeError> {
        let Some(changes) = self.computes.role_changes(id) else { return self.ask(id, role).await };
        let asked = Asked::now(&changes);
        match self.remembered.get(id, role, asked) {
            Some(known) if !known.renew => Ok(Some(known.role)),
            _ => self.ask_and_remember(id, role, asked).await,
        }
    }

    async fn ask_and_remember(
        &self,
        id: &EndpointId,
        role: &str,
        asked: Asked,
    ) -> Result<Option<StoredRole>, ComputeError> {
        let answer = self.ask(id, role).await?;
        match &answer {
            Some(stored) => self.remembered.put(id, role, asked, stored),
            None => self.remembered.forget(id, role),
        }
        Ok(answer)
    }

    async fn ask(&self, id: &EndpointId, role: &str) -> Result<Option<StoredRole>, ComputeError> {
        let client = self.computes.admin(id, "postgres").await?;
        let answer = async { client.query_opt(&client.prepared(ASK).await?, &[&role]).await };
        let row = answer.await.map_err(|error| {
            tracing::warn!(endpoint = %id, %error, "cannot ask for a role");
            ComputeError {
                kind: Kind::Unavailable,
                code: "compute-did-not-start",
                message: "the endpoint does not answer: try again".to_owned(),
            }
        })?;
        Ok(row.map(|row| StoredRole {
            verifier: row.get(0),
            can_login: row.get(1),
            valid_until: row.get::<_, Option<i64>>(2).and_then(|us| Timestamp::from_microsecond(us).ok()),
            oid: row.get(3),
        }))
    }
}
