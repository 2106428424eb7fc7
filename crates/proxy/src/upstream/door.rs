//! Ordinary servers in the place of endpoints: what the rest of the proxy asks ([`Wake`]), answered from the files. Nothing
//! sleeps here, and who may log in is decided by [`super::login`].

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::Settings;

use super::requests::Request;
use super::target::{self, Targets};
use super::{Handed, Upstream};
use crate::route::Route;
use crate::session::help;
use crate::wake::{Backend, Claim, StoredRole, TokenRefusal, Wake};

#[async_trait::async_trait]
impl Wake for Upstream {
    fn locate(&self, _route: &Route) -> Result<EndpointId, ClientError> {
        Err(ClientError::internal("no-endpoints-here"))
    }

    fn admit(&self, _endpoint: &EndpointId, _from: IpAddr) -> Result<(), ClientError> {
        Ok(())
    }

    fn expects_token(&self, _endpoint: &EndpointId) -> bool {
        false
    }

    fn check_token(&self, _token: &[u8], _claim: Claim<'_>) -> Result<(), TokenRefusal> {
        Err(TokenRefusal::NotOne)
    }

    async fn stored_password(
        &self,
        _endpoint: &EndpointId,
        _role: &str,
    ) -> Result<Option<StoredRole>, ClientError> {
        Ok(None)
    }

    fn knows_key(&self, _key: &str) -> bool {
        false
    }

    /// What is set on the console holds until the file is read again, as in PgBouncer.
    async fn keep_pool_settings(
        &self,
        changes: &[(&'static str, Option<String>)],
    ) -> Result<(), ClientError> {
        let mut settings = self.settings();
        let refused = |why: String| ClientError::error(SqlState::INVALID_PARAMETER_VALUE, why);
        for (name, value) in changes {
            let default = dormouse_pooler::config::find(name).map_or("", |setting| setting.pgbouncer);
            settings
                .change(name, value.as_deref().unwrap_or(default))
                .map_err(|error| refused(error.to_string()))?;
        }
        match self.ask(|answer| Request::Change(Box::new(settings), answer)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(refused(why)),
            None => Err(ClientError::shutting_down()),
        }
    }

    async fn acquire(&self, endpoint: &EndpointId) -> Result<Backend, ClientError> {
        loop {
            let target = self.state().targets.get(endpoint).map(Targets::next);
            let target = target.ok_or_else(|| {
                ClientError::fatal(SqlState::INVALID_CATALOG_NAME, "this database is not configured any more")
                    .with_hint(help("unknown-database"))
            })?;
            if let Some(pass) = target.enter().await {
                return Ok(Backend { pass, compute: target, ticket: None });
            }
        }
    }

    fn place(&self, _endpoint: &EndpointId, database: &str) -> String {
        database.to_owned()
    }

    fn stands_in(&self) -> bool {
        true
    }

    fn keeps_up(&self, _endpoint: &EndpointId, database: &str) -> bool {
        self.database(database).is_some_and(|entry| entry.user.is_some())
    }

    fn hand(&self, database: &str, role: &str) -> Option<Handed> {
        Some(self.0.users.hand(database, role))
    }

    fn moves_in(&self) -> bool {
        self.0.moving_in.load(Ordering::Acquire)
    }

    fn is_auto(&self, endpoint: &EndpointId) -> bool {
        *endpoint == target::id("*")
    }

    fn forgotten(&self, endpoint: &EndpointId, database: &str) {
        if self.is_auto(endpoint) {
            self.0.auto.lock().remove(database);
        }
    }

    fn pool_settings(
        &self,
        _endpoint: &EndpointId,
        database: &str,
        role: &str,
        global: &Settings,
    ) -> Settings {
        let state = self.state();
        let database = state.plan.ini.database(database).map(|entry| &entry.layer);
        let role = state.plan.ini.user(role).map(|entry| &entry.layer);
        global.with(database.into_iter().chain(role))
    }
}
