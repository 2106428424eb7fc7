//! From login to the life of a pooled client.

use std::net::SocketAddr;
use std::sync::Arc;

use dormouse_pgwire::backend::{NoticeResponse, Severity};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, Encode};
use dormouse_pooler::config::PoolMode;
use dormouse_pooler::link::Client;
use dormouse_pooler::settings::Startup;

use super::client_info::ClientInfo;
use super::pools::PoolKey;
use super::session::Session;
use crate::route::Pooling;
use crate::session::io::Client as Connection;
use crate::session::login::LoggedIn;
use crate::session::{Shared, help};
use crate::upstream::Upstream;

/// Hands a client that has logged in to its pool. Its session runs on the pool's shard; `kept` is dropped when it
/// ends.
pub(crate) fn enter(
    shared: &Arc<Shared>,
    connection: Connection,
    mut who: LoggedIn,
    peer: SocketAddr,
    kept: Box<dyn Send>,
) -> Result<(), (Box<Connection>, ClientError)> {
    let startup = match Startup::read(&who.startup.params) {
        Ok(startup) => startup,
        Err(error) => return Err((Box::new(connection), invalid(&error))),
    };
    let key = PoolKey {
        endpoint: who.endpoint.clone(),
        database: who.startup.params.database().unwrap_or_default().to_owned(),
        role: who.role().to_owned(),
        people: match &shared.upstream {
            Some(_) => Upstream::everybody(),
            None => who.endpoint.clone(),
        },
    };
    let name = who.name.clone().unwrap_or_else(|| key.role.clone());
    let seated = match shared.pools.seat(&key, &name) {
        Ok(seated) => seated,
        Err(error) => return Err((Box::new(connection), error)),
    };
    let pool = shared.pools.get(key);
    let mode = match who.mode {
        Some(Pooling::Mode(mode)) => mode,
        _ => pool.config().pool_mode,
    };
    let keeps = mode == PoolMode::Session;
    let number = who.number.unwrap_or_else(|| shared.pools.number());
    let application = who.startup.params.get("application_name").unwrap_or_default().to_owned();
    let tls = connection.stream.tls_words();
    let peering = shared.upstream.as_ref().map_or(0, Upstream::peer_id);
    let info = Arc::new(ClientInfo::new(number, peer, tls, application).of(name, peering));
    let cancel = shared.cancels.add_pooled(Arc::clone(&info));
    pool.join(&info);
    let home = pool.home().clone();
    let metrics = shared.metrics.clone();
    let client = Client::new(startup.settings, Default::default(), keeps).with_pid(info.key().0);
    let mut session = Session::new(pool, connection, client, info, cancel);
    session.keep_journal(who.journal.take());
    if let Some(text) = notify(&shared.pools.settings().login_notify_message) {
        session.greet_with(text);
    }
    if mode == PoolMode::Statement {
        session.forbid_blocks();
    }
    home.spawn(async move {
        let _kept = (kept, seated);
        if let Err(error) = session.rehome() {
            tracing::warn!(%error, "a client could not be moved to its pool's thread");
            return;
        }
        metrics.sessions.inc();
        let ended = session.await;
        metrics.sessions.dec();
        tracing::debug!(?ended, "pooled session ended");
    });
    Ok(())
}

/// `login_notify_message` as a message for the client.
fn notify(text: &str) -> Option<Vec<u8>> {
    let notice = NoticeResponse::new(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, text);
    (!text.is_empty()).then(|| notice.encode())
}

fn invalid(error: &dyn std::error::Error) -> ClientError {
    ClientError::fatal(SqlState::INVALID_PARAMETER_VALUE, error.to_string())
        .with_hint(help("session-settings"))
}
