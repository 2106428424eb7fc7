//! Does what a command says.

use std::sync::Arc;
use std::time::Duration;

use dormouse_pooler::admin::{AdminError, Command, Reply};
use dormouse_pooler::config;

use super::names;
use super::rows;
use super::settings::{self, ChangeError};
use crate::pooled::{Order, Pool};
use crate::session::Shared;

/// How often PAUSE and WAIT_CLOSE look whether they are over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
            Command::Show(show) => Ok(Reply::Table(rows::table(self.shared, show))),
            Command::Set { name, value } => self.set(name, value).await,
            Command::Reload if self.shared.upstream.is_some() => {
                Err(AdminError::NotHere("the files are read again on SIGHUP"))
            }
            Command::Reload => {
                Ok(Reply::Notice("settings are in the metadata, and hold as soon as they are set".to_owned()))
            }
            Command::Pause(name) => self.pause(name).await,
            Command::Resume(name) => self.resume(name),
            Command::Kill(name) => self.kill(name),
            Command::Disable(name) => self.disable("disable", name, true),
            Command::Enable(name) => self.disable("enable", name, false),
            Command::Reconnect(name) => {
                let (_, pools) = names::pools(&self.shared.pools, "reconnect", name)?;
                pools.iter().for_each(|pool| pool.reconnect());
                Ok(Reply::Done)
            }
            Command::WaitClose(name) => {
                let (_, pools) = names::pools(&self.shared.pools, "wait_close", name)?;
                until(&pools, |pool| pool.counts().close_needed == 0).await;
                Ok(Reply::Done)
            }
            Command::KillClient(id) => self.kill_client(id),
            Command::Suspend => Err(AdminError::NotHere(
                "SUSPEND is for handing sockets over, which a restart does not need: use PAUSE",
            )),
            Command::Shutdown(_) if self.shared.upstream.is_some() => {
                Err(AdminError::NotHere("SIGINT ends the pooler when nothing runs any more, SIGTERM at once"))
            }
            Command::Shutdown(_) => Err(AdminError::NotHere(
                "the console does not end the server, which has databases too: use PAUSE, or stop `dormouse up`",
            )),
            // The console itself answers these.
            Command::Empty | Command::SetIgnored | Command::ShowParameter { .. } => Ok(Reply::Done),
        }
    }

    async fn set(&self, name: String, value: String) -> Result<Reply, AdminError> {
        let note = config::find(&name).filter(|setting| !setting.used);
        settings::change(self.shared, &[(name, Some(value))]).await.map_err(|error| match error {
            ChangeError::Setting(error) => AdminError::SetFailed(error),
            ChangeError::Keep(error) => AdminError::NotKept(error.message),
        })?;
        Ok(note.map_or(Reply::Done, |it| Reply::Notice(format!("{} has no effect: {}", it.name, it.note))))
    }

    async fn pause(&self, name: Option<String>) -> Result<Reply, AdminError> {
        if name.is_none() && self.shared.pools.all_stopped() {
            return Err(AdminError::AlreadyPaused);
        }
        let (target, pools) = names::pools(&self.shared.pools, "pause", name)?;
        self.shared.pools.order(&target, Order::Pause);
        until(&pools, |pool| pool.is_stopped()).await;
        Ok(Reply::Done)
    }

    fn resume(&self, name: Option<String>) -> Result<Reply, AdminError> {
        let stopped = name.is_none() && self.shared.pools.all_stopped();
        let (target, _) = names::pools(&self.shared.pools, "resume", name.clone())?;
        match (self.shared.pools.order(&target, Order::Resume), name) {
            (0, Some(name)) => Err(AdminError::NotPaused(name)),
            (0, None) if !stopped => Err(AdminError::PoolerNotPaused),
            _ => Ok(Reply::Done),
        }
    }

    fn kill(&self, name: Option<String>) -> Result<Reply, AdminError> {
        let (target, _) = names::pools(&self.shared.pools, "kill", name)?;
        self.shared.pools.order(&target, Order::Kill);
        Ok(Reply::Done)
    }

    fn disable(&self, verb: &'static str, name: String, disabled: bool) -> Result<Reply, AdminError> {
        let (target, _) = names::pools(&self.shared.pools, verb, Some(name))?;
        self.shared.pools.disable(&target, disabled);
        Ok(Reply::Done)
    }

    fn kill_client(&self, id: u64) -> Result<Reply, AdminError> {
        let clients = self.shared.pools.list().into_iter().flat_map(|pool| pool.clients());
        let client = clients.into_iter().find(|client| u64::from(client.id) == id);
        client.ok_or(AdminError::ClientNotFound)?.kill();
        Ok(Reply::Done)
    }
}

/// Waits for all of these pools.
async fn until(pools: &[Arc<Pool>], holds: impl Fn(&Pool) -> bool) {
    while !pools.iter().all(|pool| holds(pool)) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
