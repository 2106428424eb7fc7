//! Does what a command says.

use std::sync::Arc;
use std::time::Duration;

use dormouse_pooler::admin::{AdminError, Command, Reply, Show, ShutdownMode};
use dormouse_pooler::config;

use super::names;
use super::rows;
use super::settings::{self, ChangeError};
use crate::pooled::{ClientInfo, Order, Pool, Target};
use crate::session::Shared;
use crate::upstream::{Plan, Request, Upstream};

/// How often PAUSE and WAIT_CLOSE look whether they are over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Clients that are cut are waited for so long.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// Where commands are carried out.
pub(super) struct Desk<'a> {
    shared: &'a Shared,
}

impl<'a> Desk<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Carries one out.
    pub(super) async fn run(&self, command: Command) -> Result<Reply, AdminError> {
        match command {
            Command::Show(Show::Fds) if self.shared.upstream.is_some() => Err(AdminError::NotHere(
                "sockets are not handed over to PgBouncer: end this process first (SHUTDOWN), and start PgBouncer \
                 without -R then",
            )),
            Command::Show(show) => Ok(Reply::Table(rows::table(self.shared, show))),
            Command::Set { name, value } => self.set(name, value).await,
            Command::Reload if self.shared.upstream.is_some() => self.reload().await,
            Command::Reload => {
                Ok(Reply::Notice("settings are in the metadata, and hold as soon as they are set".to_owned()))
            }
            Command::Pause(name) => self.pause(name).await,
            Command::Resume(name) => self.resume(name),
            Command::Kill(name) => self.kill(name).await,
            Command::Disable(name) => self.disable("disable", name, true),
            Command::Enable(name) => self.disable("enable", name, false),
            Command::Reconnect(name) => {
                let (_, pools) = names::pools(self.shared, "reconnect", name)?;
                pools.iter().for_each(|pool| pool.reconnect());
                Ok(Reply::Done)
            }
            Command::WaitClose(name) => {
                let (_, pools) = names::pools(self.shared, "wait_close", name)?;
                until(&pools, |pool| pool.counts().close_needed == 0).await;
                Ok(Reply::Done)
            }
            Command::KillClient(id) => self.kill_client(id).await,
            Command::Suspend if self.shared.upstream.is_some() => self.suspend().await,
            Command::Suspend => Err(AdminError::NotHere(
                "SUSPEND is for handing sockets over, which a restart does not need: use PAUSE",
            )),
            Command::Shutdown(mode) if self.shared.upstream.is_some() => self.shutdown(mode).await,
            Command::Shutdown(_) => Err(AdminError::NotHere(
                "the console does not end the server, which has databases too: use PAUSE, or stop `dormouse up`",
            )),
            // The console itself answers these.
            Command::Empty
            | Command::SetIgnored
            | Command::Takeover { .. }
            | Command::ShowParameter { .. } => Ok(Reply::Done),
        }
    }

    async fn set(&self, name: String, value: String) -> Result<Reply, AdminError> {
        let honoured = self.shared.upstream.is_some() && Plan::honours(&name);
        let note = config::find(&name).filter(|setting| !setting.used && !honoured);
        settings::change(self.shared, &[(name, Some(value))]).await.map_err(|error| match error {
            ChangeError::Setting(error) => AdminError::SetFailed(error),
            // The file's own rules have refused it.
            ChangeError::Keep(error) if self.shared.upstream.is_some() => {
                AdminError::SetRefused(error.message)
            }
            ChangeError::Keep(error) => AdminError::NotKept(error.message),
        })?;
        Ok(note.map_or(Reply::Done, |it| Reply::Notice(format!("{} has no effect: {}", it.name, it.note))))
    }

    async fn pause(&self, name: Option<String>) -> Result<Reply, AdminError> {
        self.runs()?;
        let (target, pools) = names::pools(self.shared, "pause", name)?;
        self.shared.pools.order(&target, Order::Pause);
        until(&pools, |pool| pool.is_stopped()).await;
        Ok(Reply::Done)
    }

    fn resume(&self, name: Option<String>) -> Result<Reply, AdminError> {
        let upstream = self.shared.upstream.as_ref();
        if upstream.is_some_and(Upstream::is_ending) {
            return Err(AdminError::ShuttingDown);
        }
        let (target, _) = names::pools(self.shared, "resume", name.clone())?;
        let was_stopped = match (&target, upstream) {
            (Target::All, Some(upstream)) => upstream.resume(),
            _ => self.shared.pools.resume(&target),
        };
        match name {
            _ if was_stopped => Ok(Reply::Done),
            Some(name) => Err(AdminError::NotPaused(name)),
            None => Err(AdminError::PoolerNotPaused),
        }
    }

    /// Nothing can be paused or cut by itself while everything is held up.
    fn runs(&self) -> Result<(), AdminError> {
        let held = self.shared.upstream.as_ref().is_some_and(|it| it.is_paused() || it.is_suspended());
        if held || self.shared.pools.all_paused() { Err(AdminError::AlreadyPaused) } else { Ok(()) }
    }

    async fn kill(&self, name: Option<String>) -> Result<Reply, AdminError> {
        self.runs()?;
        let (target, pools) = names::pools(self.shared, "kill", name)?;
        self.shared.pools.order(&target, Order::Kill);
        let gone = until(&pools, |pool| pool.clients().is_empty());
        // Who does not take its last words in time is cut without them, later.
        let _in_time = tokio::time::timeout(CUT_WITHIN, gone).await;
        Ok(Reply::Done)
    }

    fn disable(&self, verb: &'static str, name: String, disabled: bool) -> Result<Reply, AdminError> {
        let (target, _) = names::pools(self.shared, verb, Some(name))?;
        self.shared.pools.disable(&target, disabled);
        Ok(Reply::Done)
    }

    async fn kill_client(&self, id: u64) -> Result<Reply, AdminError> {
        let is_it = |client: &ClientInfo| u64::from(client.id) == id;
        let of = |pool: &Arc<Pool>| pool.clients().into_iter().find(|client| is_it(client));
        let pools = self.shared.pools.list();
        let found = pools.into_iter().find_map(|pool| of(&pool).map(|client| (pool, client)));
        let (pool, client) = found.ok_or(AdminError::ClientNotFound)?;
        client.kill();
        let pools = [pool];
        let gone = until(&pools, |pool| !pool.clients().iter().any(|client| is_it(client)));
        let _in_time = tokio::time::timeout(CUT_WITHIN, gone).await;
        Ok(Reply::Done)
    }

    async fn reload(&self) -> Result<Reply, AdminError> {
        let upstream = self.shared.upstream.as_ref().ok_or(AdminError::ReloadFailed)?;
        match upstream.ask(Request::Reload).await {
            Some(true) => Ok(Reply::Done),
            Some(false) | None => Err(AdminError::ReloadFailed),
        }
    }

    /// As PAUSE, but not for longer than `suspend_timeout`.
    async fn suspend(&self) -> Result<Reply, AdminError> {
        let upstream = self.shared.upstream.as_ref().ok_or(AdminError::AlreadyPaused)?;
        self.runs()?;
        if self.shared.pools.any_stopped() {
            return Err(AdminError::PausedDatabases);
        }
        if !upstream.suspend() {
            return Err(AdminError::AlreadyPaused);
        }
        let limit = self.shared.pools.settings().suspend_timeout;
        if tokio::time::timeout(limit, upstream.pause()).await.is_err() {
            tracing::warn!("SUSPEND: some transactions still run after suspend_timeout");
        }
        Ok(Reply::Done)
    }

    async fn shutdown(&self, mode: ShutdownMode) -> Result<Reply, AdminError> {
        let upstream = self.shared.upstream.as_ref().ok_or(AdminError::ShuttingDown)?;
        match upstream.ask(|answer| Request::Shutdown(mode, answer)).await {
            Some(()) => Ok(Reply::Done),
            None => Err(AdminError::ShuttingDown),
        }
    }
}

/// Waits for all of these pools.
async fn until(pools: &[Arc<Pool>], holds: impl Fn(&Pool) -> bool) {
    while !pools.iter().all(|pool| holds(pool)) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
